package trunkline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"trunkline.dev/go/internal/native"
)

// Pool lends connections, each to one caller at a time, in the order in which they came. There are never more than
// [CheckoutPoolConfig] says, whatever state they are in.
//
// [NewPool] makes a pool of whatever a function of yours dials: the connections stay in Go. [OpenPool] makes one of
// streams that Trunkline connects by itself. Any number of goroutines may use a pool at once; those that wait in
// Get hold no thread.
type Pool[C any] struct {
	lender *lender
	// found is the entry of a connection that was lent, by its number; nil if the pool is gone by now.
	found func(number uint64) *entry[C]
	// left gives up the entry of a connection that was detached, and returns the connection.
	left func(*entry[C]) C
}

// PoolOption gives a pool of connections that the caller dials one more function: [WithCheck], [WithReset], [WithClose].
type PoolOption[C any] func(*host[C])

// WithCheck lets a pool see whether a connection can still be used: before it lends one that stood idle for
// CheckAfter, and every Keepalive. An error closes the connection, and the caller gets another. The context ends
// after CheckTimeout.
func WithCheck[C any](check func(ctx context.Context, conn C) error) PoolOption[C] {
	return func(h *host[C]) { h.check = check }
}

// WithReset lets a pool make a connection that came back ready for its next holder. An error closes the connection.
// The context ends after CheckTimeout.
func WithReset[C any](reset func(ctx context.Context, conn C) error) PoolOption[C] {
	return func(h *host[C]) { h.reset = reset }
}

// WithClose lets a pool close connections; it runs once for each. Without it a connection that is an io.Closer is
// closed as such. The context ends after CloseTimeout.
func WithClose[C any](close func(ctx context.Context, conn C, reason PoolCloseReason)) PoolOption[C] {
	return func(h *host[C]) { h.close = close }
}

// NewPool makes a pool on the default runtime; see [NewPoolOn].
func NewPool[C any](ctx context.Context, dial func(ctx context.Context) (C, error), config CheckoutPoolConfig, options ...PoolOption[C]) (*Pool[C], error) {
	rt, err := Default()
	if err != nil {
		return nil, err
	}
	return NewPoolOn(rt, ctx, dial, config, options...)
}

// NewPoolOn makes a pool of connections that dial makes, on a runtime of the caller's.
//
// Nothing is dialled before somebody wants a connection, or MinIdle asks for some in the background: [Pool.WaitReady]
// waits for those. Each call of dial has a goroutine of its own, at most MaxConnecting at a time. Its context has the
// values of ctx, but ends after ConnectTimeout or when the pool is closed, and not with ctx or with the caller of Get: a
// connection that comes late serves the next one. A panic in dial is a failure to connect.
//
// It fails with [KindConfig] for a configuration out of range.
func NewPoolOn[C any](rt *Runtime, ctx context.Context, dial func(ctx context.Context) (C, error), config CheckoutPoolConfig, options ...PoolOption[C]) (*Pool[C], error) {
	if ctx.Err() != nil {
		return nil, contextError(ctx, native.StepConfigure)
	}
	if dial == nil {
		return nil, configError(errors.New("a pool needs a function that dials"))
	}
	h := newHost(ctx, dial, config)
	for _, option := range options {
		option(h)
	}
	l, err := lend(rt, config, h, func(document string, tag uint64) (uint64, *native.Failure) {
		return native.PoolNew(rt.handle, document, rt.queue.Handle(), tag, h.abilities())
	})
	if err != nil {
		h.cancel()
		return nil, err
	}
	return owned(&Pool[C]{l, h.entries.find, h.detached}), nil
}

// OpenPool makes a pool on the default runtime; see [OpenPoolOn].
func OpenPool(ctx context.Context, targets []string, config CheckoutPoolConfig) (*Pool[*Conn], error) {
	rt, err := Default()
	if err != nil {
		return nil, err
	}
	return OpenPoolOn(rt, ctx, targets, config)
}

// OpenPoolOn makes a pool of connections to addresses as in [DialAddr], on a runtime of the caller's: each goes to
// the address with the fewest, of those that work.
//
// A connection on which the peer has ended, or has sent what nobody asked for, is not lent. What [Lease.Conn] gives ends
// with the lease: reads and writes that still wait fail then with net.ErrClosed, and deadlines are forgotten. To
// close it breaks the connection, so that the pool makes another.
//
// It fails with [KindConfig] for a configuration out of range, and for what is no address.
func OpenPoolOn(rt *Runtime, ctx context.Context, targets []string, config CheckoutPoolConfig) (*Pool[*Conn], error) {
	return openPool(rt, ctx, targets, config, 0)
}

func openPool(rt *Runtime, ctx context.Context, targets []string, config CheckoutPoolConfig, tls uint64) (*Pool[*Conn], error) {
	if ctx.Err() != nil {
		return nil, contextError(ctx, native.StepConfigure)
	}
	l, err := lend(rt, config, nil, func(document string, _ uint64) (uint64, *native.Failure) {
		return native.PoolOpen(rt.handle, tls, document, targets)
	})
	if err != nil {
		return nil, err
	}
	return owned(&Pool[*Conn]{l, l.leasedConn, l.detachedConn}), nil
}

// lend makes the native pool by open, which gets the configuration and the tag of the pool's events.
func lend(rt *Runtime, config CheckoutPoolConfig, jobs jobHost, open func(document string, tag uint64) (uint64, *native.Failure)) (*lender, error) {
	document, err := json.Marshal(config)
	if err != nil {
		return nil, configError(err)
	}
	l := &lender{rt: rt, queue: rt.queue.Handle(), name: config.Name, jobs: jobs}
	l.places = config.Places.value || !config.Places.set && !config.LeakAfter.IsZero() && !config.LeakAfter.IsNever()
	l.failures.limit = recentFailures
	if jobs != nil {
		jobs.serve(l)
	}
	// Under the lock, which a runtime that stops has to wait for.
	l.mu.Lock()
	l.tag = rt.sinks.add(l)
	handle, failure := open(string(document), l.tag)
	l.handle = handle
	l.mu.Unlock()
	if failure != nil {
		rt.sinks.remove(l.tag)
		return nil, newError(failure, native.StepConfigure)
	}
	if rt.stopping.Load() {
		l.shut()
	}
	return l, nil
}

func owned[C any](p *Pool[C]) *Pool[C] {
	runtime.AddCleanup(p, func(l *lender) {
		if l.free() {
			slog.Warn("trunkline: a pool was dropped without Close", "pool", l.name)
		}
	}, p.lender)
	return p
}

// Get takes a connection, waiting for one until the deadline of ctx, or without one for AcquireTimeout. That time covers
// waiting, connecting and checking. The lease has to be released, once.
//
// It fails with [ErrPoolTimeout], whose text says how many are in use, and who holds one for longest; with
// [ErrTooManyWaiters]; with [ErrCircuitOpen] if no connection is left and no endpoint may be tried; with [ErrPoolClosed];
// with context.Canceled. Where a failure of dial is the reason, errors.Is and errors.As find that too.
//
// A caller whose ctx is cancelled loses its place in line and nothing else: what it was given at that moment goes to the next.
func (p *Pool[C]) Get(ctx context.Context) (*Lease[C], error) {
	place := ""
	if p.lender.places {
		place = caller()
	}
	answer, err := p.lender.acquire(ctx, place)
	if err != nil {
		return nil, err
	}
	return p.leased(answer)
}

// TryGet takes a connection if one is idle that needs no check first; it never waits, and never dials.
func (p *Pool[C]) TryGet() (lease *Lease[C], ok bool) {
	defer runtime.KeepAlive(p)
	place := ""
	if p.lender.places {
		place = caller()
	}
	answer, status := native.PoolTry(p.lender.handle, place)
	if status != native.OK {
		return nil, false
	}
	lease, err := p.leased(answer)
	return lease, err == nil
}

// leased is what the caller gets of a connection that is lent.
func (p *Pool[C]) leased(answer native.Answer) (*Lease[C], error) {
	e := p.found(answer.Value)
	if e == nil {
		p.lender.release(answer.Lease, true)
		return nil, poolError(native.Plain(native.Closed))
	}
	l := &Lease[C]{pool: p, entry: e, id: answer.Lease, token: e.token.Swap(nil)}
	e.guard.lease.Store(answer.Lease)
	if conn, ok := any(e.conn).(*Conn); ok && e.stream != nil {
		conn.lease = l
	}
	return l, nil
}

// Stats are the counts of the pool, all of one moment; those of its end once it is closed and empty.
func (p *Pool[C]) Stats() CheckoutPoolStats {
	defer runtime.KeepAlive(p)
	return newCheckoutPoolStats(p.lender.stats(false))
}

// TakeStats is as Stats; the measurement of PeakUsed starts anew.
func (p *Pool[C]) TakeStats() CheckoutPoolStats {
	defer runtime.KeepAlive(p)
	return newCheckoutPoolStats(p.lender.stats(true))
}

// Leases says who holds what, longest held first; nothing once the pool is closed and empty.
func (p *Pool[C]) Leases() []HeldLease {
	defer runtime.KeepAlive(p)
	return heldLeases(p.lender.handle)
}

// Advice is what the tuner advised lately, oldest first: another MaxSize, with the reason and the figures behind it. Nothing
// once the pool is closed and empty.
func (p *Pool[C]) Advice() []PoolAdvice {
	defer runtime.KeepAlive(p)
	return poolAdvice(p.lender.handle, time.Now())
}

// Resize changes how many connections there may be, and how many stand ready. Smaller, it closes idle ones at once and
// the others when they come back; larger, it serves as many who wait as now fit. It fails with [KindConfig].
func (p *Pool[C]) Resize(maxSize, minIdle uint32) error {
	defer runtime.KeepAlive(p)
	if failure := native.PoolResize(p.lender.handle, maxSize, minIdle); failure != nil {
		return poolError(failure)
	}
	return nil
}

// SetEndpoints has a pool of [OpenPool] connect to these addresses and no others from now on, as when the peers are found
// anew. Idle connections to others are closed now, those that are lent when they come back, and none of them is lent after
// it returns. What is known of the addresses that stay is kept; one that is named twice counts once. It fails with
// [KindConfig] if none is named, if one is malformed, and for a pool whose connections a function dials.
func (p *Pool[C]) SetEndpoints(targets []string) error {
	defer runtime.KeepAlive(p)
	if failure := native.PoolSetEndpoints(p.lender.handle, targets); failure != nil {
		return poolError(failure)
	}
	return nil
}

// Clear retires every connection made so far, as after a failover: none of them is lent after it returns, and
// those that are lent are closed when they come back.
func (p *Pool[C]) Clear() {
	defer runtime.KeepAlive(p)
	native.PoolClear(p.lender.handle)
}

// Check checks every idle connection in the background, and closes those that fail.
func (p *Pool[C]) Check() {
	defer runtime.KeepAlive(p)
	native.PoolCheck(p.lender.handle)
}

// WaitReady waits until as many connections stand ready as MinIdle says. It fails with the last failure of dial behind
// os.ErrDeadlineExceeded when ctx ends at its deadline, with context.Canceled, and with [ErrPoolClosed].
func (p *Pool[C]) WaitReady(ctx context.Context) error {
	defer runtime.KeepAlive(p)
	l := p.lender
	_, err := l.rt.await(ctx, native.StepWait, func(deadline int64, queue, tag uint64) (uint64, *native.Failure) {
		return native.PoolWaitReadyAsync(l.handle, deadline, queue, tag)
	})
	switch {
	case err == nil:
		return nil
	case err.Kind == KindClosed || err.Kind == KindStale || err.Kind == KindCancelled && ctx.Err() == nil:
		return poolError(native.Plain(native.Closed))
	case err.Kind == KindTimeout:
		if last := l.failures.last(); last != nil {
			err.Cause = errors.Join(err.Cause, last)
		}
	}
	return err
}

// Drain lends to nobody who is not in line yet, and waits until every connection has come back and is closed. When ctx
// ends at its deadline the pool is closed as it is, and Drain fails with [ErrPoolTimeout] and the number of connections
// left, which are closed when they come back. When ctx is cancelled, the pool goes on to drain.
func (p *Pool[C]) Drain(ctx context.Context) error {
	defer runtime.KeepAlive(p)
	l := p.lender
	e, err := l.rt.await(ctx, native.StepAcquire, func(deadline int64, queue, tag uint64) (uint64, *native.Failure) {
		return native.PoolDrainAsync(l.handle, deadline, queue, tag)
	})
	switch {
	case err != nil && (err.Kind == KindStale || err.Kind == KindCancelled && ctx.Err() == nil):
		return poolError(native.Plain(native.Closed))
	case err != nil:
		return err
	}
	l.finish()
	if e.Value > 0 {
		text := fmt.Sprintf("the pool was closed while %d of its connections were still lent", e.Value)
		return &Error{Op: "acquire", Kind: KindTimeout, message: text}
	}
	return nil
}

// Close closes the pool: those who wait get [ErrPoolClosed], and so do later calls. It returns when all connections
// are closed that are not lent, and does not wait for those that are: they are closed when they are released.
//
// Only the first call succeeds; the others fail with [ErrPoolClosed] at once.
func (p *Pool[C]) Close() error {
	defer runtime.KeepAlive(p)
	l := p.lender
	if !l.closing.CompareAndSwap(false, true) {
		return poolError(native.Plain(native.Closed))
	}
	l.finish()
	// There is no event for "all but those that are lent".
	for pause := 20 * time.Microsecond; l.isClosingSome(); pause = min(2*pause, 5*time.Millisecond) {
		time.Sleep(pause)
	}
	return nil
}
