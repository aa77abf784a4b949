package trunkline

import (
	"sync"

	"trunkline.dev/go/internal/native"
)

// waiter takes the one answer to an operation; then it may wait for another.
type waiter chan native.Answer

var waiters = sync.Pool{New: func() any { return make(waiter, 1) }}

// line says which goroutine waits for which operation. An answer may come before the goroutine knows that it has to
// wait for it: then it is kept. There is exactly one for each operation, so that nothing stays here.
type line struct{ shards [64]lineShard }

type lineShard struct {
	mu      sync.Mutex
	waiting map[uint64]waiter
	early   map[uint64]native.Answer
}

func (l *line) shard(op uint64) *lineShard { return &l.shards[op%uint64(len(l.shards))] }

// join lets w have the answer to op.
func (l *line) join(op uint64, w waiter) {
	shard := l.shard(op)
	shard.mu.Lock()
	answer, ok := shard.early[op]
	if ok {
		delete(shard.early, op)
	} else {
		if shard.waiting == nil {
			shard.waiting = make(map[uint64]waiter)
		}
		shard.waiting[op] = w
	}
	shard.mu.Unlock()
	if ok {
		w <- answer
	}
}

// tell gives the answer to whoever waits, or will wait, for it. It never blocks.
func (l *line) tell(answer native.Answer) {
	shard := l.shard(answer.Op)
	shard.mu.Lock()
	w, ok := shard.waiting[answer.Op]
	if ok {
		delete(shard.waiting, answer.Op)
	} else {
		if shard.early == nil {
			shard.early = make(map[uint64]native.Answer)
		}
		shard.early[answer.Op] = answer
	}
	shard.mu.Unlock()
	if ok {
		w <- answer
	}
}

// event takes an answer that came through the queue.
func (l *line) event(e native.Event) {
	l.tell(native.Answer{Op: e.Op, Lease: e.Handle, Value: e.Value, Failure: e.Failure})
}
