package trunkline

import (
	"errors"
	"log/slog"
	"runtime"
	"sync/atomic"

	"trunkline.dev/go/internal/native"
)

// Lease is one connection that is lent to one caller, until Release, Discard or Detach.
//
// A lease that is dropped without any of them has its connection closed when the garbage collector finds it, since nobody
// knows in what state that is, and slog's default logger says so. The lease has to be kept as long as its connection is used.
type Lease[C any] struct {
	pool  *Pool[C] // so that the pool lives for as long
	entry *entry[C]
	id    uint64
	token *token
	ended atomic.Bool
}

// ErrReleased says that a lease had ended before. It is net.ErrClosed as well.
var ErrReleased = errors.New("trunkline: the lease was released before")

// Conn is the connection; the zero C once the lease has ended.
func (l *Lease[C]) Conn() C {
	if l.ended.Load() {
		var none C
		return none
	}
	return l.entry.conn
}

// Release gives the connection back: to the one who waits for longest, else to the pool.
//
// It fails with [ErrReleased] if the lease has ended before, and with [ErrPoolClosed] if the runtime was shut down, which
// has closed the connection.
func (l *Lease[C]) Release() error { return l.end(false) }

// Discard closes the connection instead of giving it back, as after an error that leaves it in doubt. The reason
// err, which may be nil, goes to slog's default logger at level debug. It fails as Release does.
func (l *Lease[C]) Discard(err error) error {
	if err != nil {
		slog.Debug("trunkline: a connection was discarded", "pool", l.pool.lender.name, "reason", err)
	}
	return l.end(true)
}

// Detach takes the connection out of the pool for good: the caller closes it. The pool may dial another in its place. It
// fails as Release does.
func (l *Lease[C]) Detach() (C, error) {
	var none C
	if !l.ended.CompareAndSwap(false, true) {
		return none, releasedError()
	}
	e := l.entry
	e.leave()
	l.dropToken()
	if _, status := native.PoolDetach(l.pool.lender.handle, l.id); status != native.OK {
		return none, poolError(native.Plain(status))
	}
	return l.pool.left(e), nil
}

func (l *Lease[C]) end(discard bool) error {
	if !l.ended.CompareAndSwap(false, true) {
		return releasedError()
	}
	e := l.entry
	e.leave()
	// Before the release: the next holder looks for it there.
	e.token.Store(l.token)
	l.token = nil
	if status := l.pool.lender.release(l.id, discard); status != native.OK {
		e.retire()
		return poolError(native.Plain(status))
	}
	if e.stream != nil {
		e.retire()
	}
	return nil
}

func (l *Lease[C]) dropToken() {
	l.entry.token.Store(l.token)
	l.token = nil
	l.entry.retire()
}

func releasedError() error {
	return &Error{Op: "acquire", Kind: KindStale, also: ErrReleased, message: ErrReleased.Error()}
}

// entry is a connection that may be lent: for as long as it lives if it was made by the host, else for one lease.
type entry[C any] struct {
	conn   C
	number uint64 // what native code knows it by
	guard  *guard
	stream *stream // of a connection that Trunkline made
	// token is here while the connection is not lent, else in its lease. Whoever stores it has done with the
	// connection, whoever takes it may begin.
	token atomic.Pointer[token]
}

// token is collected with the lease that holds it, and only then: that is how a lost lease is noticed, at the price
// of one cleanup for each connection instead of one for each lease.
type token struct{ watch runtime.Cleanup }

// guard is what is known of a connection when its lease is lost. It must not lead to the token.
type guard struct {
	lender *lender
	lease  atomic.Uint64 // 0 if there is nothing to give back any more
	stream *stream
}

func newEntry[C any](l *lender, conn C, s *stream) *entry[C] {
	e := &entry[C]{conn: conn, guard: &guard{lender: l, stream: s}, stream: s}
	t := new(token)
	t.watch = runtime.AddCleanup(t, (*guard).lost, e.guard)
	e.token.Store(t)
	return e
}

// leave ends what the holder does on a connection that Trunkline made.
func (e *entry[C]) leave() {
	if e.stream != nil {
		e.stream.leave()
	}
}

// retire says that the connection is not lent any more.
func (e *entry[C]) retire() {
	e.guard.lease.Store(0)
	if t := e.token.Swap(nil); t != nil {
		t.watch.Stop()
	}
}

func (g *guard) lost() {
	id := g.lease.Swap(0)
	if id == 0 {
		return
	}
	slog.Warn("trunkline: a lease was dropped without Release, and its connection closed", "pool", g.lender.name)
	if g.stream != nil {
		g.stream.leave()
	}
	g.lender.release(id, true)
}
