package trunkline

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"

	"trunkline.dev/go/internal/native"
)

// line finds the goroutine that an answer is for. Each has a place while it waits, whose number is the tag of its
// answer; a lookup takes no lock.
type line struct {
	idle   sync.Pool // of *waiter
	chunks [26]atomic.Pointer[[]atomic.Pointer[waiter]]

	mu     sync.Mutex
	vacant []uint64
	places uint64
}

// waiter takes the one answer to an acquire; then it may wait for another.
type waiter struct {
	answer chan native.Answer // has room for it
	place  uint64
}

// Tags of waiters are told from those of other sinks by this bit.
const ofWaiters uint64 = 1 << 63

const firstChunk = 64

// join takes a waiter that can be told by its tag from now on.
func (l *line) join() *waiter {
	w, ok := l.idle.Get().(*waiter)
	if !ok {
		w = &waiter{make(chan native.Answer, 1), l.newPlace()}
		runtime.AddCleanup(w, l.vacate, w.place)
	}
	l.at(w.place).Store(w)
	return w
}

func (w *waiter) tag() uint64 { return ofWaiters | w.place }

// leave gives a waiter back that has taken its answer, or will get none.
func (l *line) leave(w *waiter) {
	l.at(w.place).Store(nil)
	l.idle.Put(w)
}

// tell gives an answer to the one who waits for it. It never blocks.
func (l *line) tell(answer native.Answer) {
	if w := l.at(answer.Tag &^ ofWaiters).Load(); w != nil {
		w.answer <- answer
	}
}

// event takes an answer that came through the queue.
func (l *line) event(e native.Event) {
	l.tell(native.Answer{Op: e.Op, Tag: e.Tag, Lease: e.Handle, Value: e.Value, Failure: e.Failure})
}

// at is a place. Chunks double in size and never move, so that nobody writes to a copy.
func (l *line) at(place uint64) *atomic.Pointer[waiter] {
	chunk := bits.Len64(place / firstChunk)
	start := uint64(firstChunk) << chunk >> 1
	if chunk == 0 {
		start = 0
	}
	return &(*l.chunks[chunk].Load())[place-start]
}

func (l *line) newPlace() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := len(l.vacant) - 1; last >= 0 {
		place := l.vacant[last]
		l.vacant = l.vacant[:last]
		return place
	}
	place := l.places
	l.places++
	chunk := bits.Len64(place / firstChunk)
	if l.chunks[chunk].Load() == nil {
		grown := make([]atomic.Pointer[waiter], max(firstChunk, firstChunk<<chunk>>1))
		l.chunks[chunk].Store(&grown)
	}
	return place
}

func (l *line) vacate(place uint64) {
	l.mu.Lock()
	l.vacant = append(l.vacant, place)
	l.mu.Unlock()
}
