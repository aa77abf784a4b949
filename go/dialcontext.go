package trunkline

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// DialContext is a function for http.Transport.DialContext, and whatever else takes one, that lends connections of a
// pool. It goes where the pool goes, whatever address it is given.
//
// To close what it returns ends the lease. A connection that was used is closed then, since only its user knows whether
// somebody else could go on with it; one on which neither a read nor a write was begun goes back to the pool. A user who
// knows that the connection is between two messages gives it back with the method Release() error, as in
// conn.(interface{ Release() error }).Release().
//
// For an http.Transport the pool thus bounds how many connections there are, spreads them over its endpoints, and has
// MinIdle of them ready.
func DialContext[C net.Conn](p *Pool[C]) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		lease, err := p.Get(ctx)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		return &lentConn[C]{Conn: lease.Conn(), lease: lease}, nil
	}
}

// lentConn is a connection whose close is the end of its lease.
type lentConn[C net.Conn] struct {
	net.Conn
	lease *Lease[C]
	used  atomic.Bool
}

func (c *lentConn[C]) Read(b []byte) (int, error) {
	c.use()
	return c.Conn.Read(b)
}

func (c *lentConn[C]) Write(b []byte) (int, error) {
	c.use()
	return c.Conn.Write(b)
}

func (c *lentConn[C]) use() {
	if !c.used.Load() {
		c.used.Store(true)
	}
}

// Close ends the lease, and closes the connection if it was used.
func (c *lentConn[C]) Close() error {
	if !c.used.Load() {
		return c.Release()
	}
	return c.ended(c.lease.Discard(nil))
}

// Release gives the connection back to the pool.
func (c *lentConn[C]) Release() error {
	if !c.lease.ended.Load() {
		_ = c.SetDeadline(time.Time{})
	}
	return c.ended(c.lease.Release())
}

func (c *lentConn[C]) ended(err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: "close", Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
