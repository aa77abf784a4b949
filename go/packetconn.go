package trunkline

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"trunkline.dev/go/internal/native"
)

// PacketConn sends and receives datagrams on one local address. It is a net.PacketConn. Every failure is a *net.OpError.
//
// Any number of goroutines may use it at once; reads take turns, and so do writes.
type PacketConn struct {
	socket *datagram
}

var _ net.PacketConn = (*PacketConn)(nil)

// Packet is a place for a datagram in [PacketConn.ReadBatch], and what it then holds.
type Packet struct {
	Buf      []byte         // where it goes; set by the caller
	N        int            // bytes of it that are in Buf
	WholeLen int            // bytes that it had; more than N if Buf was too short, and the rest is lost
	Source   netip.AddrPort // who sent it
	To       netip.AddrPort // which of our addresses it was sent to; invalid where the system does not say
}

// PacketConnStats are the counts of a [PacketConn].
type PacketConnStats struct {
	Received  uint64 // datagrams that were received
	Sent      uint64 // datagrams that were sent
	Truncated uint64 // of those received, the ones that were longer than the buffer for them
}

// ListenPacket binds a socket on the default runtime; see [Runtime.ListenPacket].
func ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	rt, err := Default()
	if err != nil {
		return nil, err
	}
	return rt.ListenPacket(ctx, network, address)
}

// ListenPacket binds a socket for datagrams to an address of network "udp", "udp4" or "udp6". What it returns is a
// [*PacketConn]. The context bounds the look-up of a host name only.
//
// Port 0 means a free port, which [PacketConn.LocalAddr] tells; no host means all addresses, of both versions of IP for
// "udp".
//
// It fails with syscall.EADDRINUSE and the like ([KindBind]), and with [KindConfig] for what is no address.
func (rt *Runtime) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	return rt.listenPacket(ctx, network, address, func(target string) (uint64, *native.Failure) {
		return native.DatagramBind(rt.handle, target)
	})
}

func (rt *Runtime) listenPacket(ctx context.Context, network, address string, bind binder) (net.PacketConn, error) {
	found, err := packetTargets(ctx, network, address)
	if err != nil {
		return nil, listenError(network, textAddr{network, address}, err)
	}
	for _, target := range found {
		handle, failure := bind(target)
		if failure == nil {
			return newPacketConn(rt, handle), nil
		}
		err = listenError(network, parseTarget(target), newError(failure, native.StepBind))
		if !isOtherFamily(err) {
			break
		}
	}
	return nil, err
}

// packetTargets is what to bind, in order of preference.
func packetTargets(ctx context.Context, network, address string) ([]string, error) {
	switch network {
	case "udp", "udp4", "udp6":
		return ipTargets(ctx, network, address, listenHost(ctx, network))
	default:
		return nil, badAddress(net.UnknownNetworkError(network))
	}
}

// ReadFrom reads the next datagram into b, waiting for it if need be. The address is a *net.UDPAddr.
//
// A datagram that is longer than b fails with [KindUDP]: b holds its beginning, and the rest is lost. It fails with
// os.ErrDeadlineExceeded at the read deadline, and with net.ErrClosed once the socket is closed.
func (c *PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, source, err := c.ReadFromUDPAddrPort(b)
	if !source.IsValid() {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(source), err
}

// ReadFromUDPAddrPort reads as ReadFrom does, without an allocation for the address.
func (c *PacketConn) ReadFromUDPAddrPort(b []byte) (n int, source netip.AddrPort, err error) {
	defer runtime.KeepAlive(c)
	return c.socket.readFrom(b)
}

// ReadBatch reads the datagrams that are there, each into one of packets, and says how many. It waits for the first
// alone. One that is longer than its buffer is no failure here: its WholeLen tells. Errors are those of ReadFrom.
func (c *PacketConn) ReadBatch(packets []Packet) (int, error) {
	defer runtime.KeepAlive(c)
	return c.socket.readBatch(packets)
}

// WriteTo sends b as one datagram to addr, which is a *net.UDPAddr.
//
// It fails with syscall.EMSGSIZE for one that is longer than the way there carries, with os.ErrDeadlineExceeded at the
// write deadline, and with net.ErrClosed once the socket is closed.
func (c *PacketConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, c.socket.opError("write", addr, badAddress(&net.AddrError{Err: "no *net.UDPAddr", Addr: addr.String()}))
	}
	return c.WriteToUDPAddrPort(b, to.AddrPort())
}

// WriteToUDPAddrPort sends as WriteTo does, without an allocation for the address.
func (c *PacketConn) WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	return c.WriteFrom(b, addr, netip.Addr{})
}

// WriteFrom sends as WriteTo does; the datagram leaves from the address from, one of this host's such as that of
// [Packet.To].
func (c *PacketConn) WriteFrom(b []byte, addr netip.AddrPort, from netip.Addr) (int, error) {
	defer runtime.KeepAlive(c)
	return c.socket.writeTo(b, addr, from)
}

// Close closes the socket and wakes whoever waits on it. Only the first call succeeds.
func (c *PacketConn) Close() error { return c.socket.close() }

// LocalAddr is the address that the socket is bound to: a *net.UDPAddr.
func (c *PacketConn) LocalAddr() net.Addr { return c.socket.local }

// SetDeadline sets both deadlines; see SetReadDeadline and SetWriteDeadline.
func (c *PacketConn) SetDeadline(t time.Time) error {
	return c.socket.setDeadline(t, &c.socket.in, &c.socket.out)
}

// SetReadDeadline makes reads that wait at t, and all later ones, fail with os.ErrDeadlineExceeded. The zero time means
// never, which is the default. A new deadline also holds for a read that waits already.
func (c *PacketConn) SetReadDeadline(t time.Time) error {
	return c.socket.setDeadline(t, &c.socket.in)
}

// SetWriteDeadline does for writes what SetReadDeadline does for reads.
func (c *PacketConn) SetWriteDeadline(t time.Time) error {
	return c.socket.setDeadline(t, &c.socket.out)
}

// Stats are the counts of the socket, exact also after it was closed.
func (c *PacketConn) Stats() PacketConnStats {
	defer runtime.KeepAlive(c)
	stats := c.socket.stats()
	return PacketConnStats{stats.Received, stats.Sent, stats.Truncated}
}

// datagram is what a [PacketConn] names.
type datagram struct {
	rt      *Runtime
	id      uint64
	handle  uint64
	local   *net.UDPAddr
	in, out direction

	closed atomic.Bool
	mu     sync.Mutex // guards last, and that it is set once
	last   native.DatagramStats
	kept   bool
}

func newPacketConn(rt *Runtime, handle uint64) *PacketConn {
	d := &datagram{rt: rt, handle: handle, local: net.UDPAddrFromAddrPort(native.DatagramAddress(handle))}
	d.in = newDirection(func() native.Status {
		return native.DatagramArm(handle, native.Readable, rt.queue.Handle(), d.id)
	})
	d.out = newDirection(func() native.Status {
		return native.DatagramArm(handle, native.Writable, rt.queue.Handle(), d.id)
	})
	d.id = rt.sinks.add(d)
	if rt.stopping.Load() {
		d.shut()
	}
	c := &PacketConn{d}
	runtime.AddCleanup(c, func(d *datagram) {
		if d.close() == nil {
			slog.Warn("trunkline: a socket was dropped without Close", "local", d.local)
		}
	}, d)
	return c
}

func (d *datagram) event(e native.Event) {
	switch e.Kind {
	case native.EventReadable:
		d.in.ready()
	case native.EventWritable:
		d.out.ready()
	}
}

func (d *datagram) readFrom(b []byte) (n int, source netip.AddrPort, err error) {
	err = d.repeat(&d.in, "read", nil, native.StepRead, func() *native.Failure {
		received, failure := native.RecvFrom(d.handle, b)
		n, source = received.Len, received.Source
		if failure != nil && failure.Status == native.UDP {
			n, source = len(b), sourceOf(failure)
		}
		return failure
	})
	return n, source, err
}

// sourceOf is who sent the datagram that was cut.
func sourceOf(failure *native.Failure) netip.AddrPort {
	source, _ := netip.ParseAddrPort(strings.TrimPrefix(failure.Source, "udp://"))
	return source
}

func (d *datagram) readBatch(packets []Packet) (n int, err error) {
	if len(packets) == 0 {
		return 0, nil
	}
	bufs, received := make([][]byte, len(packets)), make([]native.Received, len(packets))
	for i := range packets {
		bufs[i] = packets[i].Buf
	}
	err = d.repeat(&d.in, "read", nil, native.StepRead, func() (failure *native.Failure) {
		n, failure = native.RecvMany(d.handle, bufs, received)
		return failure
	})
	for i, one := range received[:n] {
		packets[i] = Packet{packets[i].Buf, one.Len, one.WholeLen, one.Source, one.To}
	}
	return n, err
}

func (d *datagram) writeTo(b []byte, to netip.AddrPort, from netip.Addr) (int, error) {
	target := net.UDPAddrFromAddrPort(to)
	numbered, err := numberedZone(to)
	if err != nil {
		return 0, d.opError("write", target, badAddress(err))
	}
	err = d.repeat(&d.out, "write", target, native.StepWrite, func() *native.Failure {
		return native.SendTo(d.handle, b, numbered, from)
	})
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

// numberedZone writes a zone as the number that the library takes.
func numberedZone(address netip.AddrPort) (netip.AddrPort, error) {
	ip := address.Addr().Unmap()
	if zone := ip.Zone(); zone != "" {
		if _, err := strconv.ParseUint(zone, 10, 32); err != nil {
			link, err := net.InterfaceByName(zone)
			if err != nil {
				return address, err
			}
			ip = ip.WithZone(strconv.Itoa(link.Index))
		}
	}
	return netip.AddrPortFrom(ip, address.Port()), nil
}

// repeat tries until there is an answer, waiting for its turn and for readiness.
func (d *datagram) repeat(way *direction, op string, addr *net.UDPAddr, step int32, try func() *native.Failure) error {
	way.turn.Lock()
	defer way.turn.Unlock()
	for {
		if d.closed.Load() {
			return d.opError(op, udpAddr(addr), net.ErrClosed)
		}
		if way.isExpired() {
			return d.opError(op, udpAddr(addr), os.ErrDeadlineExceeded)
		}
		failure := try()
		if failure == nil {
			return nil
		}
		if failure.Status == native.WouldBlock {
			failure = native.Plain(way.wait())
		}
		if failure != nil && d.closed.Load() {
			return d.opError(op, udpAddr(addr), net.ErrClosed)
		}
		if failure != nil {
			return d.opError(op, udpAddr(addr), newError(failure, step))
		}
	}
}

// udpAddr is the address as an interface that is nil where there is none.
func udpAddr(addr *net.UDPAddr) net.Addr {
	if addr == nil {
		return nil
	}
	return addr
}

func (d *datagram) opError(op string, addr net.Addr, err error) error {
	var known *Error
	if errors.As(err, &known) && known.Kind == KindClosed {
		err = net.ErrClosed
	}
	return &net.OpError{Op: op, Net: "udp", Source: d.local, Addr: addr, Err: err}
}

func (d *datagram) close() error {
	if !d.closed.CompareAndSwap(false, true) {
		return d.opError("close", nil, net.ErrClosed)
	}
	d.mu.Lock()
	native.DatagramClose(d.handle)
	d.last, _ = native.DatagramStatsOf(d.handle)
	d.kept = true
	d.mu.Unlock()
	native.DatagramFree(d.handle)
	d.rt.sinks.remove(d.id)
	d.in.close()
	d.out.close()
	return nil
}

// shut is what a runtime that stops does to what is still open.
func (d *datagram) shut() { _ = d.close() }

func (d *datagram) stats() native.DatagramStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kept {
		return d.last
	}
	stats, _ := native.DatagramStatsOf(d.handle)
	return stats
}

func (d *datagram) setDeadline(t time.Time, directions ...*direction) error {
	if d.closed.Load() {
		return d.opError("set", nil, net.ErrClosed)
	}
	for _, way := range directions {
		way.setDeadline(t)
	}
	return nil
}
