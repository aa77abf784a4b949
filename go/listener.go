package trunkline

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"trunkline.dev/go/internal/native"
)

// Listener accepts connections on TCP, a Unix socket or a name in memory. It is a net.Listener.
type Listener struct {
	acceptor *acceptor
}

var _ net.Listener = (*Listener)(nil)

// Listen listens on the default runtime; see [Runtime.Listen].
func Listen(ctx context.Context, network, address string) (*Listener, error) {
	rt, err := Default()
	if err != nil {
		return nil, err
	}
	return rt.Listen(ctx, network, address)
}

// ListenAddr listens on the default runtime; see [Runtime.ListenAddr].
func ListenAddr(ctx context.Context, address string) (*Listener, error) {
	rt, err := Default()
	if err != nil {
		return nil, err
	}
	return rt.ListenAddr(ctx, address)
}

// Listen listens on an address of network "tcp", "tcp4", "tcp6", "unix" or "mem". The context bounds the look-up of
// a host name only.
//
// Port 0 means a free port, which [Listener.Addr] tells; no host means all addresses. A Unix socket file gets mode
// 0600 and goes away with the listener; on an abstract name only processes of the same user are let in. The
// backlog is 1024, as far as the system allows it.
//
// It fails with syscall.EADDRINUSE and the like ([KindBind]), and with [KindConfig] for what is no address.
func (rt *Runtime) Listen(ctx context.Context, network, address string) (*Listener, error) {
	return rt.listen(ctx, network, address, rt.bind)
}

// ListenAddr listens on an address such as "tcp://127.0.0.1:0", "unix:/run/app.sock" or "mem:app", as Listen does.
func (rt *Runtime) ListenAddr(ctx context.Context, address string) (*Listener, error) {
	network, rest, err := splitAddress(address)
	if err != nil {
		return nil, listenError("", textAddr{"", address}, err)
	}
	return rt.Listen(ctx, network, rest)
}

// binder listens on one address.
type binder func(address string) (handle uint64, failure *native.Failure)

func (rt *Runtime) bind(address string) (uint64, *native.Failure) {
	return native.Listen(rt.handle, 0, address, 0)
}

func (rt *Runtime) listen(ctx context.Context, network, address string, bind binder) (*Listener, error) {
	found, err := listenTargets(ctx, network, address)
	if err != nil {
		return nil, listenError(network, textAddr{network, address}, err)
	}
	for _, target := range found {
		handle, failure := bind(target)
		if failure == nil {
			return newListener(rt, handle, protocolOf(target)), nil
		}
		err = listenError(network, parseTarget(target), newError(failure, native.StepBind))
		if !isOtherFamily(err) {
			break
		}
	}
	return nil, err
}

// isOtherFamily says whether the host may have the other version of IP only.
func isOtherFamily(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

func listenError(network string, address net.Addr, err error) error {
	return &net.OpError{Op: "listen", Net: network, Addr: address, Err: err}
}

// acceptor is what a [Listener] names.
type acceptor struct {
	rt       *Runtime
	id       uint64
	handle   uint64
	address  net.Addr
	incoming direction
	closed   atomic.Bool
}

func newListener(rt *Runtime, handle uint64, protocol uint32) *Listener {
	a := &acceptor{rt: rt, handle: handle, address: parseAddr(native.ListenerAddress(handle), protocol)}
	a.incoming = newDirection(func() native.Status {
		return native.ListenerArm(handle, rt.queue.Handle(), a.id)
	})
	a.id = rt.sinks.add(a)
	if rt.stopping.Load() {
		a.shut()
	}
	l := &Listener{a}
	runtime.AddCleanup(l, func(a *acceptor) {
		if a.close() == nil {
			slog.Warn("trunkline: a listener was dropped without Close", "address", a.address)
		}
	}, a)
	return l
}

func (a *acceptor) event(e native.Event) {
	if e.Kind == native.EventAcceptable {
		a.incoming.ready()
	}
}

func (a *acceptor) accept() (*Conn, error) {
	a.incoming.turn.Lock()
	defer a.incoming.turn.Unlock()
	for {
		if a.closed.Load() {
			return nil, a.opError("accept", net.ErrClosed)
		}
		if a.incoming.isExpired() {
			return nil, a.opError("accept", os.ErrDeadlineExceeded)
		}
		handle, failure := native.Accept(a.handle)
		if failure == nil {
			return newConn(a.rt, handle), nil
		}
		if failure.Status == native.WouldBlock {
			failure = native.Plain(a.incoming.wait())
		}
		if failure != nil && !a.closed.Load() {
			return nil, a.opError("accept", newError(failure, native.StepAccept))
		}
	}
}

func (a *acceptor) close() error {
	if !a.closed.CompareAndSwap(false, true) {
		return a.opError("close", net.ErrClosed)
	}
	native.ListenerClose(a.handle)
	a.rt.sinks.remove(a.id)
	a.incoming.close()
	return nil
}

func (a *acceptor) shut() { _ = a.close() }

func (a *acceptor) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: a.address.Network(), Addr: a.address, Err: err}
}

// Accept waits for the next connection; it is a [*Conn].
//
// It fails with net.ErrClosed once the listener is closed, with os.ErrDeadlineExceeded at the deadline, and with
// [ErrLimitExceeded] while no descriptor is free: that one is Temporary, so that net/http's server pauses and goes on.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// AcceptConn is Accept with the type of what it returns.
func (l *Listener) AcceptConn() (*Conn, error) {
	defer runtime.KeepAlive(l)
	return l.acceptor.accept()
}

// Close stops listening and wakes whoever waits. Connections that were accepted stay. Only the first call succeeds.
func (l *Listener) Close() error { return l.acceptor.close() }

// Addr is the address that is listened on: a *net.TCPAddr, *net.UnixAddr, [MemAddr] or [TunnelAddr].
func (l *Listener) Addr() net.Addr { return l.acceptor.address }

// SetDeadline makes an Accept that waits at t, and all later ones, fail with os.ErrDeadlineExceeded. The zero time means never.
func (l *Listener) SetDeadline(t time.Time) error {
	if l.acceptor.closed.Load() {
		return l.acceptor.opError("set", net.ErrClosed)
	}
	l.acceptor.incoming.setDeadline(t)
	return nil
}
