package trunkline

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"trunkline.dev/go/internal/native"
)

// Every status the library can give, and what it is in Go.
func TestEveryStatusHasItsErrorInGo(t *testing.T) {
	for _, c := range []struct {
		status    native.Status
		kind      Kind
		is        []error
		retryable bool
	}{
		{native.InvalidArgument, KindConfig, nil, false},
		{native.InvalidHandle, KindStale, []error{net.ErrClosed}, false},
		{native.Closed, KindClosed, []error{net.ErrClosed}, false},
		{native.Timeout, KindTimeout, []error{os.ErrDeadlineExceeded, context.DeadlineExceeded}, false},
		{native.Cancelled, KindCancelled, []error{context.Canceled}, false},
		{native.WouldBlock, KindWouldBlock, nil, true},
		{native.WouldDeadlock, KindDeadlock, nil, false},
		{native.Forked, KindForked, nil, false},
		{native.LimitExceeded, KindLimit, []error{ErrLimitExceeded}, true},
		{native.ConnectionFailed, KindConnect, nil, false},
		{native.BindFailed, KindBind, nil, false},
		{native.Broken, KindBroken, []error{syscall.ECONNRESET}, false},
		{native.TLS, KindTLS, nil, false},
		{native.Protocol, KindProtocol, nil, false},
		{native.RPC, KindRPC, nil, false},
		{native.Callback, KindCallback, nil, false},
		{native.Unsupported, KindUnsupported, nil, false},
		{native.VersionMismatch, KindVersion, nil, false},
		{native.Panic, KindNative, []error{ErrNative}, false},
		{native.NoMemory, KindMemory, nil, false},
		{native.UDP, KindUDP, nil, false},
		{native.NotFound, KindNotFound, nil, false},
	} {
		t.Run(c.status.Name(), func(t *testing.T) {
			var err error = newError(native.DebugFail(c.status), 0)
			var known *Error
			if !errors.As(err, &known) || known.Kind != c.kind {
				t.Fatalf("got %#v", err)
			}
			if known.Retryable != c.retryable || known.Timeout() != (c.kind == KindTimeout) || known.Temporary() {
				t.Errorf("got %#v", known)
			}
			for _, sentinel := range sentinels {
				if want := contains(c.is, sentinel); errors.Is(err, sentinel) != want {
					t.Errorf("errors.Is(%v, %v) is %v", err, sentinel, !want)
				}
			}
			if strings.HasPrefix(c.kind.String(), "kind ") || err.Error() == "" {
				t.Errorf("%v has no words: %q", c.kind, err)
			}
		})
	}
	if native.DebugFail(native.OK) != nil {
		t.Error("success is a failure")
	}
	for status := native.Status(1); status.Name() != "UNKNOWN"; status++ {
		if strings.HasPrefix(Kind(status).String(), "kind ") {
			t.Errorf("status %d, %s, has no kind", status, status.Name())
		}
	}
}

var sentinels = []error{
	net.ErrClosed, os.ErrDeadlineExceeded, context.DeadlineExceeded, context.Canceled,
	ErrLimitExceeded, ErrNative, ErrPoolClosed, ErrPoolTimeout,
	ErrTooManyWaiters, ErrCircuitOpen, ErrReleased,
	syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNREFUSED, io.EOF,
}

func contains(list []error, wanted error) bool {
	for _, err := range list {
		if err == wanted {
			return true
		}
	}
	return false
}

func TestAnErrorTellsStepAddressAndCause(t *testing.T) {
	err := newError(&native.Failure{
		Status:      native.ConnectionFailed,
		Step:        native.StepConnect,
		Errno:       int32(syscall.ECONNREFUSED),
		Retryable:   true,
		Message:     "connect to tcp://10.0.0.1:80: connection failed",
		Destination: "tcp://10.0.0.1:80",
		Cause: &native.Failure{Message: "tried 1 address", Cause: &native.Failure{
			Message: "Connection refused (os error 111)", Errno: int32(syscall.ECONNREFUSED),
		}},
	}, native.StepResolve)
	if err.Op != "connect" || err.Addr != "tcp://10.0.0.1:80" || err.Code != int(syscall.ECONNREFUSED) || !err.Retryable {
		t.Errorf("got %#v", err)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v does not unwrap to the number", err)
	}
	const text = "connect to tcp://10.0.0.1:80: connection failed: tried 1 address: connection refused"
	if err.Error() != text {
		t.Errorf("got %q", err)
	}
}

func TestAnErrorLeavesOutWhatHasNoName(t *testing.T) {
	near, far, err := Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	defer far.Close()
	near.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := near.Read(make([]byte, 1)); err == nil || err.Error() != "read mem: i/o timeout" {
		t.Errorf("got %q", err)
	}
	_, err = DialAddr(t.Context(), "127.0.0.1:1")
	if err == nil || !strings.HasPrefix(err.Error(), "dial 127.0.0.1:1: address: ") {
		t.Errorf("got %q", err)
	}
}

func TestTheStepDecidesWhereTheKindDoesNot(t *testing.T) {
	for _, c := range []struct {
		failure native.Failure
		step    int32
		is      error
	}{
		{native.Failure{Status: native.Broken}, native.StepRead, syscall.ECONNRESET},
		{native.Failure{Status: native.Broken}, native.StepWrite, syscall.EPIPE},
		{native.Failure{Status: native.Timeout}, native.StepAcquire, ErrPoolTimeout},
		{native.Failure{Status: native.Closed}, native.StepAcquire, ErrPoolClosed},
	} {
		if err := newError(&c.failure, c.step); !errors.Is(err, c.is) {
			t.Errorf("%v is not %v", err, c.is)
		}
	}
	rpc := newError(&native.Failure{Status: native.RPC, RPCCode: 14}, 0)
	if rpc.Code != 14 {
		t.Errorf("got %#v", rpc)
	}
	full := newError(&native.Failure{Status: native.LimitExceeded, Errno: int32(syscall.EMFILE)}, native.StepAccept)
	if !full.Temporary() || !errors.Is(full, syscall.EMFILE) {
		t.Errorf("got %#v", full)
	}
	if (&Error{Op: "drain", Kind: KindTimeout, Addr: "mem:x"}).Error() != "drain mem:x: timed out" {
		t.Error("an error without a text of the library has no text")
	}
}

func TestAStaleHandleIsAnErrorEverywhere(t *testing.T) {
	balanced(t)
	a, b := pipe(t)
	handle := a.stream.handle
	a.Close()
	b.Close()
	if _, status := native.Read(handle, make([]byte, 1)); status != native.InvalidHandle {
		t.Errorf("read: %v", status.Name())
	}
	if _, status := native.Write(handle, make([]byte, 1)); status != native.InvalidHandle {
		t.Errorf("write: %v", status.Name())
	}
	if status := native.StreamArm(handle, native.Readable, 0, 0); status != native.InvalidHandle {
		t.Errorf("arm: %v", status.Name())
	}
	if failure := native.StreamError(handle); failure.Status != native.InvalidHandle {
		t.Errorf("error: %v", failure)
	}
}
