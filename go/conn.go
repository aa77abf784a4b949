package trunkline

import (
	"log/slog"
	"net"
	"os"
	"runtime"
	"time"

	"trunkline.dev/go/internal/native"
)

// Conn is a byte stream over TCP, TLS, a Unix socket or a pipe. It is a net.Conn, with the half-close that
// net/http and others look for.
//
// Any number of goroutines may use it at once. Reads take turns, and so do writes: a write is never mixed with
// another one. Every failure but io.EOF is a *net.OpError.
type Conn struct {
	stream *stream
	lease  any // of a connection that is lent: kept for as long as the connection is used
}

var _ net.Conn = (*Conn)(nil)

func newConn(rt *Runtime, handle uint64) *Conn {
	c := &Conn{stream: newStream(rt, handle, false)}
	runtime.AddCleanup(c, func(s *stream) {
		if s.close(native.StreamClose) == nil {
			slog.Warn("trunkline: a connection was dropped without Close", "local", s.local, "peer", s.peer)
		}
	}, c.stream)
	return c
}

// Read reads what is there, at least one byte, waiting for it if need be; io.EOF when the peer has ended its side.
//
// It fails with syscall.ECONNRESET when the peer reset the connection, with os.ErrDeadlineExceeded at the read
// deadline, with net.ErrClosed once the connection is closed.
func (c *Conn) Read(b []byte) (int, error) {
	defer runtime.KeepAlive(c)
	return c.stream.read(b)
}

// Write writes all of b, or fails and says how much was taken.
//
// It fails with syscall.EPIPE or ECONNRESET when the peer reads no more, with os.ErrDeadlineExceeded at the write
// deadline, with net.ErrClosed once the connection is closed.
func (c *Conn) Write(b []byte) (int, error) {
	defer runtime.KeepAlive(c)
	return c.stream.write(b)
}

// Close closes the connection and wakes whoever waits on it. What was written still reaches the peer.
//
// Only the first call succeeds; the others fail with net.ErrClosed, as those of package net do.
func (c *Conn) Close() error { return c.stream.close(native.StreamClose) }

// Abort closes the connection with a reset: the peer sees ECONNRESET instead of an end. Else as Close.
func (c *Conn) Abort() error { return c.stream.close(native.StreamAbort) }

// ToSocket makes a socket for what the connection carries, for code that takes nothing else, such as a program that is
// started with it. It is a Unix socket that blocks; net.FileConn makes a net.Conn of it. What is written to it goes to
// the peer, what comes is read from it, and an end crosses in either direction. A reset of the peer's is an end there.
//
// The connection counts as closed from then on; closing the file closes it for the peer. A connection that a pool lends
// is refused.
func (c *Conn) ToSocket() (*os.File, error) {
	defer runtime.KeepAlive(c)
	return c.stream.toSocket()
}

// CloseWrite ends what this side says: the peer reads what was written and then io.EOF. Doing it twice is no error.
func (c *Conn) CloseWrite() error {
	defer runtime.KeepAlive(c)
	return c.stream.shutdown(native.Writable)
}

// CloseRead takes no more from the peer: reads say io.EOF. Doing it twice is no error.
func (c *Conn) CloseRead() error {
	defer runtime.KeepAlive(c)
	return c.stream.shutdown(native.Readable)
}

// LocalAddr is the near end: a *net.TCPAddr, *net.UnixAddr, [MemAddr] or [TunnelAddr]; never nil.
func (c *Conn) LocalAddr() net.Addr { return c.stream.local }

// RemoteAddr is the far end: a *net.TCPAddr, *net.UnixAddr, [MemAddr] or [TunnelAddr]; never nil.
func (c *Conn) RemoteAddr() net.Addr { return c.stream.peer }

// Tls is who the peer is and what was agreed with it; nil for a connection without TLS.
func (c *Conn) Tls() *TlsSession { return c.stream.tls }

// SetDeadline sets both deadlines; see SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.stream.setDeadline(t, &c.stream.in, &c.stream.out)
}

// SetReadDeadline makes reads that wait at t, and all later ones, fail with os.ErrDeadlineExceeded. The zero
// time means never, which is the default. A new deadline also holds for a read that waits already.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.stream.setDeadline(t, &c.stream.in)
}

// SetWriteDeadline does for writes what SetReadDeadline does for reads. A write that fails so may have written a part.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.stream.setDeadline(t, &c.stream.out)
}

// Stats are the counts of the connection, exact also after it was closed.
func (c *Conn) Stats() ConnStats {
	defer runtime.KeepAlive(c)
	stats := c.stream.stats()
	return ConnStats{
		ID:            stats.ID,
		BytesReceived: stats.Received,
		BytesSent:     stats.Sent,
		Age:           time.Duration(stats.AgeNs),
		CloseReason:   CloseReason(stats.CloseReason),
	}
}
