package trunkline

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"trunkline.dev/go/internal/native"
)

// What errors.Is finds in an [*Error], beside net.ErrClosed, os.ErrDeadlineExceeded, context.Canceled,
// context.DeadlineExceeded and the numbers of package syscall.
var (
	// ErrLimitExceeded: a limit is reached. Nothing was started; later may work.
	ErrLimitExceeded = errors.New("trunkline: limit exceeded")
	// ErrNative: a bug in the native library, caught before it could do harm.
	ErrNative = errors.New("trunkline: bug in the native library")
	// ErrPoolClosed: the pool was closed by this process. It is net.ErrClosed as well.
	ErrPoolClosed = errors.New("trunkline: pool closed")
	// ErrPoolTimeout: no place came free in time. It is os.ErrDeadlineExceeded as well.
	ErrPoolTimeout = errors.New("trunkline: pool timed out")
	// ErrTooManyWaiters: as many wait for a connection as may. It is ErrLimitExceeded as well.
	ErrTooManyWaiters = errors.New("trunkline: too many wait for a connection")
	// ErrCircuitOpen: every endpoint of the pool keeps failing, and none may be tried yet. It is ErrLimitExceeded as well.
	ErrCircuitOpen = errors.New("trunkline: circuit open")
)

// Error says why an operation failed: at which step, whose fault it was, where, and whether a retry is safe.
//
// The text may change in any release: decide by Kind and with errors.Is, never by the text.
type Error struct {
	// Op is the step: "configure", "resolve", "connect", "bind", "accept", "acquire", "read", "write",
	// "shutdown", "drain", "wait" or "call"; empty where it is not known.
	Op string
	// Kind says whose fault it was.
	Kind Kind
	// Code is the gRPC status for KindRPC, else the operating system's error number; 0 if there is none.
	Code int
	// Addr is where the connection goes to, as in [DialAddr]; empty where it is not known.
	Addr string
	// TlsFault says whose fault it is, for KindTLS and for what has such a failure behind it; else 0.
	TlsFault TlsFault
	// Retryable says that the same operation may be tried again without risk of being applied twice.
	Retryable bool
	// Details are what the server said about a gRPC status, for KindRPC.
	Details string
	// Trailers are what the server sent with a gRPC status, for KindRPC.
	Trailers Metadata
	// Cause is what lies behind the failure; nil at the end of the chain.
	Cause error

	message string
	also    error // a sentinel that the kind alone does not stand for
}

// Error is the failure with its causes, for people.
func (e *Error) Error() string {
	text := e.message
	if text == "" {
		text = e.summary()
	}
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

func (e *Error) summary() string {
	text := e.Kind.String()
	if e.Addr != "" {
		text = e.Addr + ": " + text
	}
	if e.Op != "" {
		text = e.Op + " " + text
	}
	return text
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is compares with the sentinels that the kind stands for.
func (e *Error) Is(target error) bool {
	if e.also != nil && target == e.also {
		return true
	}
	switch e.Kind {
	case KindStale, KindClosed:
		return target == net.ErrClosed || target == ErrPoolClosed && e.Op == stepNames[native.StepAcquire]
	case KindTimeout:
		return target == os.ErrDeadlineExceeded || target == context.DeadlineExceeded ||
			target == ErrPoolTimeout && e.Op == stepNames[native.StepAcquire]
	case KindCancelled:
		return target == context.Canceled
	case KindLimit:
		return target == ErrLimitExceeded
	case KindNative:
		return target == ErrNative
	default:
		return false
	}
}

// Timeout says whether a deadline passed, as net.Error wants it.
func (e *Error) Timeout() bool { return e.Kind == KindTimeout }

// Temporary is true only where net/http's server should pause and accept again: when descriptors or places ran out.
func (e *Error) Temporary() bool {
	return e.Kind == KindLimit && e.Op == stepNames[native.StepAccept]
}

var stepNames = map[int32]string{
	native.StepConfigure: "configure",
	native.StepResolve:   "resolve",
	native.StepConnect:   "connect",
	native.StepBind:      "bind",
	native.StepAccept:    "accept",
	native.StepAcquire:   "acquire",
	native.StepRead:      "read",
	native.StepWrite:     "write",
	native.StepShutdown:  "shutdown",
	native.StepDrain:     "drain",
	native.StepWait:      "wait",
	native.StepCall:      "call",
}

// newError is what a failure of the library is in Go. A failure without a step happened at step.
func newError(failure *native.Failure, step int32) *Error {
	if failure.Step != 0 {
		step = failure.Step
	}
	e := &Error{
		Op:        stepNames[step],
		Kind:      Kind(failure.Status),
		Code:      int(failure.Errno),
		Addr:      failure.Destination,
		TlsFault:  TlsFault(failure.TLSFault),
		Retryable: failure.Retryable,
		Cause:     causeOf(failure.Cause),
		message:   failure.Message,
	}
	switch {
	case e.Kind == KindRPC:
		e.Code = int(failure.RPCCode)
		e.Details = failure.RPCMessage
		e.Trailers = metadataOf(failure.Metadata)
	case e.Cause == nil && failure.Errno != 0:
		e.Cause = syscall.Errno(failure.Errno)
	case e.Cause == nil && e.Kind == KindBroken:
		e.Cause = brokenAt(step)
	}
	return e
}

// brokenAt is the number that a socket would give where the library knows none.
func brokenAt(step int32) syscall.Errno {
	if step == native.StepWrite {
		return syscall.EPIPE
	}
	return syscall.ECONNRESET
}

// cause is one level below an Error.
type cause struct {
	text string
	next error
}

func (c *cause) Error() string {
	if c.next == nil {
		return c.text
	}
	return c.text + ": " + c.next.Error()
}

func (c *cause) Unwrap() error { return c.next }

func causeOf(failure *native.Failure) error {
	if failure == nil {
		return nil
	}
	next := causeOf(failure.Cause)
	if next == nil && failure.Errno != 0 {
		return syscall.Errno(failure.Errno)
	}
	return &cause{failure.Message, next}
}

// configError says that a configuration or an argument is out of its range.
func configError(err error) *Error {
	return &Error{Op: stepNames[native.StepConfigure], Kind: KindConfig, Cause: err}
}

// contextError says that ctx ended the step, and why.
func contextError(ctx context.Context, step int32) *Error {
	kind := KindCancelled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		kind = KindTimeout
	}
	return &Error{Op: stepNames[step], Kind: kind, Retryable: true, Cause: context.Cause(ctx)}
}
