package trunkline

import (
	"context"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"trunkline.dev/go/internal/native"
)

// cancelled is gRPC's status CANCELLED.
const cancelled = 1

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// Call is a call with any number of messages each way. One goroutine may send while another receives. It must be
// closed; Close gives it up if it has not ended.
type Call struct {
	call *openCall
}

// openCall is what a [Call] names.
type openCall struct {
	rt     *Runtime
	ctx    context.Context
	handle uint64
	row    *row
	// users is held for reading while the handle is used.
	users  sync.RWMutex
	closed atomic.Bool
}

// Open begins a call with any number of messages each way, without waiting for the server. When ctx ends, the call
// does; its deadline covers the whole call.
func (c *Channel) Open(ctx context.Context, method string, options ...CallOption) (*Call, error) {
	defer runtime.KeepAlive(c)
	if ctx.Err() != nil {
		return nil, contextError(ctx, native.StepCall)
	}
	terms := termsOf(ctx, options)
	r, denied := c.owned.begin(ctx, method, &terms)
	if denied != nil {
		return nil, denied
	}
	handle, failure := native.ChannelOpen(c.owned.handle, method, terms.options)
	if failure != nil {
		err := newError(failure, native.StepCall)
		r.end(err)
		return nil, err
	}
	o := &openCall{rt: c.owned.rt, ctx: ctx, handle: handle, row: r}
	call := &Call{o}
	runtime.AddCleanup(call, func(o *openCall) { _ = o.close() }, o)
	return call, nil
}

// Send sends one message, waiting while several are on their way. It fails with io.EOF once the call has ended, as Receive
// then tells.
func (c *Call) Send(message []byte) error {
	defer runtime.KeepAlive(c)
	_, err := c.call.await(func(queue, tag uint64) (uint64, *native.Failure) {
		return native.CallSendAsync(c.call.handle, message, queue, tag)
	})
	if err != nil && err.Kind == KindClosed {
		return io.EOF
	}
	return plain(err)
}

// CloseSend says that no more messages follow.
func (c *Call) CloseSend() {
	defer runtime.KeepAlive(c)
	o := c.call
	o.users.RLock()
	defer o.users.RUnlock()
	if !o.closed.Load() {
		native.CallFinishSending(o.handle)
	}
}

// Receive is the next message. It fails with io.EOF at the end of a call that ended well, and with [KindRPC] and the
// status of any other.
func (c *Call) Receive() ([]byte, error) {
	defer runtime.KeepAlive(c)
	e, err := c.call.await(func(queue, tag uint64) (uint64, *native.Failure) {
		return native.CallReceiveAsync(c.call.handle, queue, tag)
	})
	switch {
	case err != nil:
		c.call.row.end(err)
		return nil, err
	case e.Reply == nil:
		c.call.row.end(nil)
		return nil, io.EOF
	default:
		return e.Reply.Message, nil
	}
}

// Header is what the server sends before its first message; it waits for it.
func (c *Call) Header() (Metadata, error) {
	defer runtime.KeepAlive(c)
	e, err := c.call.await(func(queue, tag uint64) (uint64, *native.Failure) {
		return native.CallInitialAsync(c.call.handle, queue, tag)
	})
	if err != nil {
		return nil, err
	}
	return metadataOf(e.Reply.Initial), nil
}

// Trailer is what the server sent behind its last message, once Receive has told the end.
func (c *Call) Trailer() Metadata {
	defer runtime.KeepAlive(c)
	o := c.call
	o.users.RLock()
	defer o.users.RUnlock()
	if o.closed.Load() {
		return nil
	}
	return metadataOf(native.CallTrailing(o.handle))
}

// Close gives the call up, if it has not ended. It returns nil always, for io.Closer.
func (c *Call) Close() error { return c.call.close() }

func (o *openCall) await(submit func(queue, tag uint64) (uint64, *native.Failure)) (native.Event, *Error) {
	o.users.RLock()
	defer o.users.RUnlock()
	if o.closed.Load() {
		return native.Event{}, &Error{Op: stepNames[native.StepCall], Kind: KindClosed}
	}
	return o.rt.await(o.ctx, native.StepCall, func(_ int64, queue, tag uint64) (uint64, *native.Failure) {
		return submit(queue, tag)
	})
}

func (o *openCall) close() error {
	if o.closed.CompareAndSwap(false, true) {
		// Given up first: whoever still waits on it is told, and then the handle goes.
		native.CallCancel(o.handle)
		o.users.Lock()
		native.CallFree(o.handle)
		o.users.Unlock()
		o.row.end(Deny(cancelled, "the call was given up"))
	}
	return nil
}
