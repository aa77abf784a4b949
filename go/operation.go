package trunkline

import (
	"context"
	"errors"
	"fmt"

	"trunkline.dev/go/internal/native"
)

// operation takes the one event that an asynchronous call ends with.
type operation chan native.Event

func (o operation) event(e native.Event) { o <- e }

// await submits an operation and waits for its event or for ctx. When it returns, nothing of the operation is
// left: a cancelled one is waited for too, which is short, and what it may still have made is freed. Its event is
// returned in any case, unless there is none; a tag tells.
func (rt *Runtime) await(
	ctx context.Context,
	step int32,
	submit func(deadline int64, queue, tag uint64) (op uint64, failure *native.Failure),
) (native.Event, *Error) {
	if ctx.Err() != nil {
		return native.Event{}, contextError(ctx, step)
	}
	done := make(operation, 1)
	tag := rt.sinks.add(done)
	defer rt.sinks.remove(tag)
	op, failure := submit(deadlineOf(ctx), rt.queue.Handle(), tag)
	if failure != nil {
		return native.Event{}, newError(failure, step)
	}
	return done.wait(ctx, step, func() { native.Cancel(op) })
}

// wait waits for the event, or for ctx: then the operation is cancelled, and waited for all the same.
func (o operation) wait(ctx context.Context, step int32, cancel func()) (native.Event, *Error) {
	select {
	case e := <-o:
		return e, outcomeOf(ctx, e, step)
	case <-ctx.Done():
	}
	if _, ok := ctx.Deadline(); ok && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e := <-o // the library keeps the same deadline, and its answer says more
		return e, outcomeOf(ctx, e, step)
	}
	cancel()
	e := <-o // it may have succeeded just before
	e.Dispose()
	return e, contextError(ctx, step)
}

func outcomeOf(ctx context.Context, e native.Event, step int32) *Error {
	switch {
	case e.Failure == nil:
		return nil
	case e.Failure.Status == native.Timeout && ctx.Err() != nil:
		failed, told := contextError(ctx, step), newError(e.Failure, step)
		if told.Cause != nil {
			failed.Cause = fmt.Errorf("%w: %w", failed.Cause, told.Cause)
		}
		failed.TlsFault = told.TlsFault
		return failed
	default:
		return newError(e.Failure, step)
	}
}

func deadlineOf(ctx context.Context) int64 {
	if t, ok := ctx.Deadline(); ok {
		return native.Deadline(t)
	}
	return native.NoDeadline
}
