package trunkline

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"trunkline.dev/go/internal/native"
)

// stream is what a [Conn] names. The registry holds it, so that events find it; it does not keep the Conn alive.
type stream struct {
	rt          *Runtime
	id          uint64 // tag of its events
	handle      uint64
	lent        bool // of a pool, which frees the handle
	local, peer net.Addr
	tls         *TlsSession // nil without TLS
	in, out     direction

	closed atomic.Bool
	mu     sync.Mutex         // guards last, and that it is set once
	last   native.StreamStats // the counts when it was closed
	kept   bool
}

func newStream(rt *Runtime, handle uint64, lent bool) *stream {
	stats, _ := native.StreamStatsOf(handle)
	local, peer := native.StreamAddresses(handle)
	s := &stream{
		rt:     rt,
		handle: handle,
		lent:   lent,
		local:  parseAddr(local, stats.Protocol),
		peer:   parseAddr(peer, stats.Protocol),
	}
	if stats.Protocol == native.ProtocolTLS {
		s.tls = sessionOf(handle)
	}
	s.in = newDirection(func() native.Status {
		return native.StreamArm(handle, native.Readable, rt.queue.Handle(), s.id)
	})
	s.out = newDirection(func() native.Status {
		return native.StreamArm(handle, native.Writable, rt.queue.Handle(), s.id)
	})
	s.id = rt.sinks.add(s)
	if rt.stopping.Load() {
		s.shut()
	}
	return s
}

func (s *stream) event(e native.Event) {
	switch e.Kind {
	case native.EventReadable:
		s.in.ready()
	case native.EventWritable:
		s.out.ready()
	}
}

func (s *stream) read(b []byte) (int, error) {
	s.in.turn.Lock()
	defer s.in.turn.Unlock()
	for {
		if err := s.check(&s.in); err != nil {
			return 0, s.opError("read", err)
		}
		if len(b) == 0 {
			return 0, nil
		}
		n, status := native.Read(s.handle, b)
		if status == native.WouldBlock {
			status = s.in.wait()
		} else if status == native.OK && n > 0 {
			return n, nil
		} else if status == native.OK {
			return 0, io.EOF
		}
		if status != native.OK {
			return 0, s.opError("read", s.failure(status, native.StepRead))
		}
	}
}

func (s *stream) write(b []byte) (written int, err error) {
	s.out.turn.Lock()
	defer s.out.turn.Unlock()
	for {
		if err := s.check(&s.out); err != nil {
			return written, s.opError("write", err)
		}
		if len(b) == written {
			return written, nil
		}
		n, status := native.Write(s.handle, b[written:])
		written += n
		if status == native.WouldBlock {
			status = s.out.wait()
		}
		if status != native.OK {
			return written, s.opError("write", s.failure(status, native.StepWrite))
		}
		if written == len(b) {
			return written, nil
		}
	}
}

// check says why not even a try is due.
func (s *stream) check(d *direction) error {
	switch {
	case s.closed.Load():
		return net.ErrClosed
	case d.isExpired():
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

func (s *stream) failure(status native.Status, step int32) error {
	failure := native.StreamError(s.handle)
	if s.closed.Load() {
		return net.ErrClosed
	}
	if failure == nil {
		failure = native.Plain(status)
	}
	return newError(failure, step)
}

func (s *stream) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: s.local.Network(), Source: named(s.local), Addr: named(s.peer), Err: err}
}

func (s *stream) shutdown(how uint32) error {
	if s.closed.Load() {
		return s.opError("close", net.ErrClosed)
	}
	if status := native.StreamShutdown(s.handle, how); status != native.OK {
		return s.opError("close", s.failure(status, native.StepShutdown))
	}
	return nil
}

// close ends the stream with end, which is native.StreamClose or native.StreamAbort.
func (s *stream) close(end func(uint64)) error {
	if !s.closed.CompareAndSwap(false, true) {
		return s.opError("close", net.ErrClosed)
	}
	s.mu.Lock()
	end(s.handle)
	s.last, _ = native.StreamStatsOf(s.handle)
	s.kept = true
	s.mu.Unlock()
	if !s.lent {
		native.StreamFree(s.handle)
	}
	s.rt.sinks.remove(s.id)
	s.in.close()
	s.out.close()
	return nil
}

// toSocket leaves the stream to the socket that it gets.
func (s *stream) toSocket() (*os.File, error) {
	if s.closed.Load() {
		return nil, s.opError("socket", net.ErrClosed)
	}
	fd, failure := native.StreamToSocket(s.handle)
	if failure != nil {
		return nil, s.opError("socket", newError(failure, native.StepConnect))
	}
	s.leave()
	return os.NewFile(uintptr(fd), s.local.String()), nil
}

// leave ends the use of a stream that is somebody else's, and lets the stream be.
func (s *stream) leave() { _ = s.close(func(uint64) {}) }

// shut is what a runtime that stops does to what is still open.
func (s *stream) shut() { _ = s.close(native.StreamClose) }

func (s *stream) stats() native.StreamStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept {
		return s.last
	}
	stats, _ := native.StreamStatsOf(s.handle)
	return stats
}

func (s *stream) setDeadline(t time.Time, directions ...*direction) error {
	if s.closed.Load() {
		return s.opError("set", net.ErrClosed)
	}
	for _, d := range directions {
		d.setDeadline(t)
	}
	return nil
}
