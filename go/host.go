package trunkline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"trunkline.dev/go/internal/native"
)

// host does the work that a pool asks for: dial, check, reset and close, each on a goroutine of its own.
type host[C any] struct {
	lender  *lender
	dial    func(context.Context) (C, error)
	check   func(context.Context, C) error
	reset   func(context.Context, C) error
	close   func(context.Context, C, PoolCloseReason)
	entries table[C]

	dialling context.Context // ends when the pool is closed
	cancel   context.CancelFunc
	working  context.Context // as dialling, but never ends

	connectTimeout, checkTimeout, closeTimeout time.Duration
	// A function that hangs holds up its own kind only.
	dials, checks, resets, closes lane
}

// The figures of CheckoutPoolConfig where it does not say.
const (
	defaultConnectTimeout = 5 * time.Second
	defaultCheckTimeout   = 5 * time.Second
	defaultCloseTimeout   = 5 * time.Second
	// at once, of each kind; of dials more if the configuration has more
	maxJobs = 64
)

func newHost[C any](ctx context.Context, dial func(context.Context) (C, error), config CheckoutPoolConfig) *host[C] {
	h := &host[C]{
		dial:           dial,
		close:          closeCloser[C],
		working:        context.WithoutCancel(ctx),
		connectTimeout: durationOr(config.ConnectTimeout, defaultConnectTimeout),
		checkTimeout:   durationOr(config.CheckTimeout, defaultCheckTimeout),
		closeTimeout:   durationOr(config.CloseTimeout, defaultCloseTimeout),
	}
	h.dialling, h.cancel = context.WithCancel(h.working)
	h.dials.limit = max(maxJobs, int(config.MaxConnecting))
	h.checks.limit, h.resets.limit, h.closes.limit = maxJobs, maxJobs, maxJobs
	return h
}

func durationOr(limit TimeLimit, otherwise time.Duration) time.Duration {
	if d, ok := limit.Duration(); ok {
		return d
	}
	return otherwise
}

func closeCloser[C any](_ context.Context, conn C, _ PoolCloseReason) {
	if closer, ok := any(conn).(io.Closer); ok {
		_ = closer.Close()
	}
}

func (h *host[C]) abilities() uint32 {
	var can uint32
	if h.check != nil {
		can |= native.PoolChecks
	}
	if h.reset != nil {
		can |= native.PoolResets
	}
	return can
}

func (h *host[C]) serve(l *lender) { h.lender = l }

func (h *host[C]) stop() { h.cancel() }

// do begins a job, on the wake goroutine.
func (h *host[C]) do(e native.Event) {
	job := e.Handle
	switch what, reason := uint32(e.Value), PoolCloseReason(e.Value>>32); what {
	case native.JobConnect:
		h.dials.run(func() { h.connect(job) })
	case native.JobCheck:
		h.ask(&h.checks, "check", h.check, job, e.About)
	case native.JobReset:
		h.ask(&h.resets, "reset", h.reset, job, e.About)
	case native.JobClose:
		gone := h.entries.remove(e.About)
		if gone == nil {
			native.JobDone(job, 0)
			return
		}
		gone.retire()
		if reason == PoolCloseUnwanted && h.lender.isFreed() {
			reason = PoolClosePoolClosed // the runtime stopped before it could say so
		}
		h.closes.run(func() {
			defer native.JobDone(job, 0)
			h.end(gone.conn, reason)
		})
	default:
		e.Dispose()
	}
}

func (h *host[C]) connect(job uint64) {
	var conn C
	err := errors.New("dial ended its goroutine")
	defer func() { h.connected(job, conn, err) }()
	ctx, cancel := context.WithTimeout(h.dialling, h.connectTimeout)
	defer cancel()
	defer rescue("dial", &err)
	conn, err = h.dial(ctx)
}

func (h *host[C]) connected(job uint64, conn C, err error) {
	if err != nil {
		native.JobFailed(job, jobStatus(err, native.ConnectionFailed), h.lender.failures.note(err))
		return
	}
	h.lender.take()
	e := newEntry(h.lender, conn, nil)
	h.entries.put(e)
	if native.JobDone(job, e.number) != native.OK {
		// The pool is gone.
		h.entries.remove(e.number)
		e.retire()
		h.end(conn, PoolCloseUnwanted)
	}
}

// ask begins a check or a reset.
func (h *host[C]) ask(in *lane, what string, f func(context.Context, C) error, job, about uint64) {
	e := h.entries.find(about)
	if e == nil || f == nil {
		native.JobFailed(job, native.Broken, "the connection is closed")
		return
	}
	in.run(func() {
		err := fmt.Errorf("%s ended its goroutine", what)
		defer func() { h.asked(job, err) }()
		ctx, cancel := context.WithTimeout(h.working, h.checkTimeout)
		defer cancel()
		defer rescue(what, &err)
		err = f(ctx, e.conn)
	})
}

func (h *host[C]) asked(job uint64, err error) {
	if err != nil {
		native.JobFailed(job, jobStatus(err, native.Broken), h.lender.failures.note(err))
		return
	}
	native.JobDone(job, 0)
}

// end closes a connection.
func (h *host[C]) end(conn C, reason PoolCloseReason) {
	var err error
	defer h.lender.settle()
	ctx, cancel := context.WithTimeout(h.working, h.closeTimeout)
	defer cancel()
	defer rescue("close", &err)
	h.close(ctx, conn, reason)
}

// detached gives a connection up that is the caller's by now.
func (h *host[C]) detached(e *entry[C]) C {
	h.entries.remove(e.number)
	h.lender.settle()
	return e.conn
}

func jobStatus(err error, otherwise native.Status) native.Status {
	if errors.Is(err, context.DeadlineExceeded) {
		return native.Timeout
	}
	return otherwise
}

// rescue makes an error of a panic in a function of the user's.
func rescue(function string, err *error) {
	cause := recover()
	if cause == nil {
		return
	}
	slog.Error("trunkline: a function of the program panicked", "function", function, "panic", cause, "stack", string(debug.Stack()))
	wrapped, ok := cause.(error)
	if !ok {
		wrapped = fmt.Errorf("%v", cause)
	}
	*err = &Error{Kind: KindCallback, Cause: wrapped, message: function + " panicked"}
}
