package trunkline

import (
	"context"
	"errors"
	"net"

	"trunkline.dev/go/internal/native"
)

// Dial connects on the default runtime; see [Runtime.Dial].
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	rt, err := Default()
	if err != nil {
		return nil, err
	}
	return rt.Dial(ctx, network, address)
}

// DialAddr connects on the default runtime; see [Runtime.DialAddr].
func DialAddr(ctx context.Context, address string) (net.Conn, error) {
	rt, err := Default()
	if err != nil {
		return nil, err
	}
	return rt.DialAddr(ctx, address)
}

// Dial connects to an address of network "tcp", "tcp4", "tcp6", "tls", "unix" or "mem". What it returns is a [*Conn].
// Network "tls" trusts the certificates that the system trusts; for others see [Tls].
//
// The context bounds the attempt, not the connection; without a deadline 5 s hold. A host name may have several
// addresses: they are tried with a stagger, and the first that answers wins.
//
// It fails with syscall.ECONNREFUSED and the like ([KindConnect]), with os.ErrDeadlineExceeded, with context.Canceled,
// with [ErrLimitExceeded] if the process may open no more files, and with [KindConfig] for what is no address.
func (rt *Runtime) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return rt.dial(ctx, network, address, rt.connect)
}

// DialAddr connects to an address such as "tcp://db.internal:5432", "tls://db.internal:5432", "unix:/run/app.sock" or
// "mem:app", as Dial does.
func (rt *Runtime) DialAddr(ctx context.Context, address string) (net.Conn, error) {
	return rt.dialAddr(ctx, address, rt.connect)
}

// connector submits one attempt.
type connector func(address string, deadline int64, queue, tag uint64) (op uint64, failure *native.Failure)

func (rt *Runtime) connect(address string, deadline int64, queue, tag uint64) (uint64, *native.Failure) {
	return native.ConnectAsync(rt.handle, 0, address, deadline, queue, tag)
}

func (rt *Runtime) dial(ctx context.Context, network, address string, connect connector) (net.Conn, error) {
	found, err := dialTargets(ctx, network, address)
	if err != nil {
		return nil, dialError(network, textAddr{network, address}, err)
	}
	for _, target := range found {
		var conn net.Conn
		if conn, err = rt.dialAddr(ctx, target, connect); err == nil || !isElsewhere(err) {
			return conn, err
		}
	}
	return nil, err
}

// isElsewhere says whether another address of the same name may do better.
func isElsewhere(err error) bool {
	var known *Error
	return errors.As(err, &known) && known.Kind == KindConnect
}

func (rt *Runtime) dialAddr(ctx context.Context, address string, connect connector) (net.Conn, error) {
	submit := func(deadline int64, queue, tag uint64) (uint64, *native.Failure) {
		return connect(address, deadline, queue, tag)
	}
	e, err := rt.await(ctx, native.StepConnect, submit)
	if err != nil {
		if err.Addr == "" {
			err.Addr = address
		}
		return nil, dialError(networkOf(address), parseTarget(address), err)
	}
	return newConn(rt, e.Handle), nil
}

func dialError(network string, address net.Addr, err error) error {
	return &net.OpError{Op: "dial", Net: network, Addr: address, Err: err}
}
