package trunkline

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"trunkline.dev/go/internal/native"
)

// maxTogether is how many calls begin in one step across the border, at most.
const maxTogether = 256

// together gathers the calls of one message that goroutines are about to make. The first of them waits until those that
// are ready to run have had their turn, and begins all of theirs: what crosses the border together wakes the library
// once, and goes to the server together.
type together struct {
	underWay atomic.Int64

	mu       sync.Mutex
	gathered []*unary
	led      bool // a goroutine is going to begin what is gathered
}

// unary is one call of one message.
type unary struct {
	request native.CallRequest
	done    operation

	// Under together.mu.
	op      uint64 // 0 until it has begun
	givenUp bool
}

// call makes one call and waits for its event, or for ctx.
func (o *channel) call(ctx context.Context, request native.CallRequest) (native.Event, *Error) {
	if ctx.Err() != nil {
		return native.Event{}, contextError(ctx, native.StepCall)
	}
	u := &unary{request: request, done: make(operation, 1)}
	u.request.Tag = o.rt.sinks.add(u.done)
	defer o.rt.sinks.remove(u.request.Tag)
	alone := o.calls.underWay.Add(1) == 1
	defer o.calls.underWay.Add(-1)
	o.gather(u, alone)
	return u.done.wait(ctx, native.StepCall, func() { o.calls.giveUp(u) })
}

// gather lets a call begin: now if it is alone, else with others that come at the same time.
func (o *channel) gather(u *unary, alone bool) {
	t := &o.calls
	t.mu.Lock()
	t.gathered = append(t.gathered, u)
	follows := t.led
	t.led = true
	t.mu.Unlock()
	if follows {
		return
	}
	if !alone {
		runtime.Gosched()
	}
	if o.lead() {
		// Others have come meanwhile, and this goroutine has an answer to wait for.
		go func() {
			for o.lead() {
			}
		}()
	}
}

// lead begins what is gathered, and says whether there is more.
func (o *channel) lead() bool {
	t := &o.calls
	t.mu.Lock()
	calls := t.gathered
	more := len(calls) > maxTogether
	if more {
		t.gathered = append([]*unary(nil), calls[maxTogether:]...)
		calls = calls[:maxTogether]
	} else {
		t.gathered = nil
	}
	t.mu.Unlock()
	o.submit(calls)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.led = len(t.gathered) > 0
	return t.led
}

// submit begins calls: at once, or each for itself where one of them is refused.
func (o *channel) submit(calls []*unary) {
	if len(calls) > 1 {
		requests, ops := make([]*native.CallRequest, len(calls)), make([]uint64, len(calls))
		for i, u := range calls {
			requests[i] = &u.request
		}
		if native.ChannelCallMany(o.handle, requests, o.rt.queue.Handle(), ops) == nil {
			o.calls.begun(calls, ops)
			return
		}
	}
	for _, u := range calls {
		op, failure := native.ChannelCallAsync(o.handle, u.request, o.rt.queue.Handle())
		if failure != nil {
			u.done <- native.Event{Failure: failure}
			continue
		}
		o.calls.begun([]*unary{u}, []uint64{op})
	}
}

func (t *together) begun(calls []*unary, ops []uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, u := range calls {
		u.op = ops[i]
		if u.givenUp {
			native.Cancel(u.op)
		}
	}
}

// giveUp cancels a call, as soon as it has begun.
func (t *together) giveUp(u *unary) {
	t.mu.Lock()
	defer t.mu.Unlock()
	u.givenUp = true
	if u.op != 0 {
		native.Cancel(u.op)
	}
}
