package trunkline

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"trunkline.dev/go/internal/native"
)

// lender is what a [Pool] names, whatever it lends. Native code knows it by its tag.
type lender struct {
	rt     *Runtime
	queue  uint64
	name   string
	places bool    // whether to note where each lease is taken
	jobs   jobHost // nil if Trunkline makes the connections

	failures failures

	closing  atomic.Bool // Close was called
	finished sync.Once

	handle uint64 // written under mu, before anybody else knows the lender
	tag    uint64

	mu    sync.Mutex // guards what is below; never held while code of the user's runs
	owed  int        // connections in Go's hands
	freed bool
	final native.CheckoutStats // the counts when it was freed
}

// jobHost does what a pool asks for.
type jobHost interface {
	serve(*lender)
	do(native.Event)
	stop() // no more dialling
}

// acquire takes a connection for the place in the program.
func (l *lender) acquire(ctx context.Context, place string) (native.Answer, error) {
	if ctx.Err() != nil {
		return native.Answer{}, contextError(ctx, native.StepAcquire)
	}
	deadline := native.DefaultDeadline
	if t, ok := ctx.Deadline(); ok {
		deadline = native.Deadline(t)
	}
	w := l.rt.line.join()
	answer := native.PoolAcquire(l.handle, deadline, place, l.queue, w.tag())
	if answer.Lease == 0 && answer.Failure == nil {
		answer = l.wait(ctx, answer.Op, w)
	}
	l.rt.line.leave(w)
	switch {
	case answer.Failure != nil:
		return answer, l.acquireError(ctx, answer.Failure)
	case answer.Lease == 0:
		return answer, contextError(ctx, native.StepAcquire)
	}
	return answer, nil
}

// wait is the answer to the operation; an empty one if ctx was cancelled. Nothing of the operation is left then.
func (l *lender) wait(ctx context.Context, op uint64, w *waiter) native.Answer {
	done := ctx.Done()
	if done == nil {
		return <-w.answer
	}
	select {
	case answer := <-w.answer:
		return answer
	case <-done:
	}
	if _, ok := ctx.Deadline(); ok && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return <-w.answer // the library keeps the same deadline, and its answer says more
	}
	native.Cancel(op)
	if answer := <-w.answer; answer.Lease != 0 {
		l.release(answer.Lease, false)
	}
	return native.Answer{}
}

// release gives a connection back. If that serves somebody who waits in this runtime, this goroutine tells it.
func (l *lender) release(lease uint64, discard bool) native.Status {
	answer, status := native.PoolRelease(l.handle, lease, discard, l.queue)
	if answer.Tag != 0 {
		l.rt.line.tell(answer)
	}
	return status
}

// event takes a job.
func (l *lender) event(e native.Event) {
	if e.Kind != native.EventJob || l.jobs == nil {
		e.Dispose()
		return
	}
	l.jobs.do(e)
}

// take counts a connection that Go has to close some time.
func (l *lender) take() {
	l.mu.Lock()
	l.owed++
	l.mu.Unlock()
}

// settle says that such a connection is closed, or somebody else's.
func (l *lender) settle() {
	l.mu.Lock()
	l.owed--
	l.endIfDone()
	l.mu.Unlock()
}

// endIfDone is called under the lock.
func (l *lender) endIfDone() {
	if l.freed && l.owed == 0 {
		l.rt.sinks.remove(l.tag)
	}
}

// finish closes the pool, and frees it once nothing is lent any more.
func (l *lender) finish() {
	l.finished.Do(func() {
		l.stopDialling()
		last := &finisher{lender: l}
		last.tag = l.rt.sinks.add(last)
		if _, failure := native.PoolCloseAsync(l.handle, native.NoDeadline, l.queue, last.tag); failure != nil {
			l.rt.sinks.remove(last.tag)
			l.free()
		}
	})
}

// finisher takes the event that says that a closed pool is empty, or that its runtime stops.
type finisher struct {
	lender *lender
	tag    uint64
}

func (f *finisher) event(native.Event) {
	f.lender.rt.sinks.remove(f.tag)
	f.lender.free()
}

// free closes whatever the native pool has, also what is lent; false if that was done before.
func (l *lender) free() bool {
	l.stopDialling()
	l.mu.Lock()
	first := !l.freed
	l.mu.Unlock()
	if !first {
		return false
	}
	stats, _ := native.CheckoutStatsOf(l.handle, false)
	l.mu.Lock()
	first = !l.freed
	if first {
		l.freed, l.final = true, stats
	}
	l.mu.Unlock()
	if first {
		native.PoolFree(l.handle)
		l.mu.Lock()
		l.endIfDone()
		l.mu.Unlock()
	}
	return first
}

func (l *lender) isFreed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.freed
}

// shut is what a runtime that stops does to its pools.
func (l *lender) shut() { l.free() }

func (l *lender) stopDialling() {
	if l.jobs != nil {
		l.jobs.stop()
	}
}

func (l *lender) stats(take bool) native.CheckoutStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.freed {
		return l.final
	}
	stats, _ := native.CheckoutStatsOf(l.handle, take)
	return stats
}

func (l *lender) isClosingSome() bool {
	stats, status := native.CheckoutStatsOf(l.handle, false)
	return status == native.OK && stats.Idle+stats.Validating+stats.Closing > 0
}

// caller is where the program called Get, such as "shop/orders.go:42".
func caller() string {
	var at [1]uintptr
	if runtime.Callers(3, at[:]) == 0 {
		return ""
	}
	frame, _ := runtime.CallersFrames(at[:]).Next()
	file := frame.File
	if slash := strings.LastIndexByte(file, '/'); slash > 0 {
		file = file[strings.LastIndexByte(file[:slash], '/')+1:]
	}
	return file + ":" + strconv.Itoa(frame.Line)
}
