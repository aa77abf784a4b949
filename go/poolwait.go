package trunkline

import (
	"context"
	"math"
	"runtime"

	"trunkline.dev/go/internal/native"
)

// InsertFor is Insert with a lifetime of the value's own instead of the pool's, without jitter.
func (p *KeyedPool[K, V]) InsertFor(key K, value V, lifetime TimeLimit) error {
	defer runtime.KeepAlive(p)
	bytes := append([]byte(nil), key...)
	id := p.kept.add(bytes, value)
	failure := native.KeyedPoolInsertFor(p.kept.handle.Load(), bytes, id, lifetimeNs(lifetime))
	if failure == nil {
		return nil
	}
	p.kept.takeBack(id)
	if failure.Status == native.WouldBlock {
		failure.Status = native.LimitExceeded
	}
	return poolError(failure)
}

// InsertWait is Insert into a pool that, where it is full and made with [WaitWhenFull], has it wait for a place. Those
// who wait are served in the order in which they came. An unset lifetime means that of the pool.
//
// It fails with [ErrPoolTimeout] or context.Canceled when ctx ends, with [ErrPoolClosed], also during the wait, and with
// [ErrLimitExceeded] if the pool is full and does not let anybody wait; the value then stays the caller's.
func (p *KeyedPool[K, V]) InsertWait(ctx context.Context, key K, value V, lifetime TimeLimit) error {
	defer runtime.KeepAlive(p)
	k, bytes := p.kept, append([]byte(nil), key...)
	id, own := k.add(bytes, value), lifetimeNs(lifetime)
	failure := native.KeyedPoolInsertFor(k.handle.Load(), bytes, id, own)
	if failure == nil {
		return nil
	}
	if failure.Status != native.WouldBlock {
		k.takeBack(id)
		return poolError(failure)
	}
	e, err := k.rt.await(ctx, native.StepAcquire, func(deadline int64, queue, tag uint64) (uint64, *native.Failure) {
		return native.KeyedPoolInsertAsync(k.handle.Load(), bytes, id, own, deadline, queue, tag)
	})
	if err == nil || e.Tag != 0 && e.Failure == nil {
		return nil
	}
	k.takeBack(id)
	return asPoolError(err)
}

// GetOrCreate finds the value under key; create makes it if there is none, on the goroutine of this call.
//
// For each key one create runs at a time. Those who ask for the key meanwhile wait, in order, and get its value. If it
// fails or panics, that is what this call does, and the next of them makes one. A place in the pool is taken before it
// is called. If a value is inserted under the key meanwhile, that one stays and is what this returns; the new one is
// closed as [PoolCloseDuplicate]. It must not ask for the same key.
//
// It fails with what create says; with [ErrPoolTimeout] or context.Canceled when ctx ends, of which create should take
// notice: what it makes after the deadline is closed as [PoolCloseUnwanted]; with [ErrPoolClosed], also during the
// wait or the making; and with [ErrLimitExceeded] if the pool is full and nothing may make room.
func (p *KeyedPool[K, V]) GetOrCreate(ctx context.Context, key K, create func(context.Context) (V, error)) (V, error) {
	defer runtime.KeepAlive(p)
	var none V
	k, bytes := p.kept, append([]byte(nil), key...)
	if !k.begin() {
		return none, poolError(native.Plain(native.Closed))
	}
	defer k.settle(true)
	for {
		id, job, err := k.ask(ctx, bytes)
		if err != nil {
			return none, asPoolError(err)
		}
		if job != 0 {
			other, made, err := k.create(ctx, bytes, job, create)
			if other == 0 || err != nil {
				return made, err
			}
			id = other
		}
		if value, ok := k.find(id); ok {
			return value, nil
		}
		// It was given up meanwhile.
	}
}

// begin lets a close wait for a call that may bring a value, until settle; false if the pool is closed.
func (k *kept[K, V]) begin() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.freed {
		return false
	}
	k.owed++
	return true
}

// ask finds the id of the value under a key, or the job to make it.
func (k *kept[K, V]) ask(ctx context.Context, key []byte) (id, job uint64, err *Error) {
	if ctx.Err() != nil {
		return 0, 0, contextError(ctx, native.StepAcquire)
	}
	limit := deadlineOf(ctx)
	id, job, failure := native.KeyedPoolAsk(k.handle.Load(), key, limit)
	if failure == nil {
		return id, job, nil
	}
	if failure.Status != native.WouldBlock {
		return 0, 0, newError(failure, native.StepAcquire)
	}
	e, err := k.rt.await(ctx, native.StepAcquire, func(deadline int64, queue, tag uint64) (uint64, *native.Failure) {
		return native.KeyedPoolAskAsync(k.handle.Load(), key, deadline, limit, queue, tag)
	})
	if err != nil {
		return 0, 0, err
	}
	if e.Kind == native.EventJob {
		return 0, e.Handle, nil
	}
	return e.Value, 0, nil
}

// create does a job. The id is that of another value that is under the key, or 0 if it is the one that was made.
func (k *kept[K, V]) create(ctx context.Context, key []byte, job uint64, create func(context.Context) (V, error)) (id uint64, made V, err error) {
	answered := false
	defer func() {
		if !answered { // also after a panic
			native.JobFailed(job, native.Callback, "it was not made")
		}
	}()
	if made, err = create(ctx); err != nil {
		return 0, made, err
	}
	own := k.add(key, made)
	answered = true
	id, failure := native.KeyedPoolFill(job, own)
	if failure != nil {
		var none V
		return 0, none, poolError(failure) // the value is on its way to close
	}
	if id == own {
		id = 0
	}
	return id, made, nil
}

// asPoolError says of a call that never reached the pool that it was one.
func asPoolError(err *Error) *Error {
	if err.Kind == KindClosed || err.Kind == KindStale {
		err.Op = stepNames[native.StepAcquire]
	}
	return err
}

func lifetimeNs(lifetime TimeLimit) int64 {
	if lifetime.IsNever() {
		return math.MaxInt64
	}
	d, ok := lifetime.Duration()
	if ok && d == 0 {
		return 1 // zero would be that of the pool
	}
	return int64(d)
}
