package trunkline

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"trunkline.dev/go/internal/native"
)

// UdpConnectionManager relays datagrams by session and counts them. Its limits are never exceeded: when every place is
// taken, an unverified session makes room for a new one, and a verified one never does. Any number of goroutines may use
// it at once.
type UdpConnectionManager struct {
	managed *udpManaged
}

// UdpManagerStats are the counts of a [UdpConnectionManager], of one moment. Datagrams and bytes are those between the
// clients and the manager.
type UdpManagerStats struct {
	Active            uint64 // sessions at this moment: Active = Verified + Unverified
	Verified          uint64 // those of them whose client has answered an answer
	Unverified        uint64 // the others
	Limit             uint64 // the most there can be
	Opened            uint64 // sessions that stood
	Closed            uint64 // sessions that ended: Opened = Active + Closed
	DatagramsReceived uint64 // from clients, dropped ones included
	DatagramsSent     uint64 // to clients
	BytesReceived     uint64 // from clients of sessions
	BytesSent         uint64 // to clients of sessions
	Refused           uint64 // times that a destination let us know that nobody takes datagrams there; the session goes on
	ReceivePauses     uint64 // times that receiving paused because it failed
	Dropped           uint64 // datagrams that were not delivered
	// ClosedBy counts the closed sessions by their reasons.
	ClosedBy map[CloseReason]uint64
	// DroppedBy counts the dropped datagrams by their reasons.
	DroppedBy map[DropReason]uint64
}

// DropReason says why a datagram was not delivered.
type DropReason int32

// The reasons.
const (
	DropTruncated        DropReason = 1  // longer than the receiver's buffer
	DropTooLong          DropReason = 2  // longer than the way to its destination carries
	DropBufferFull       DropReason = 3  // the socket's send buffer was full
	DropSessionTableFull DropReason = 4  // every place for a session was taken by a verified one
	DropEarlyQueueFull   DropReason = 5  // enough datagrams waited for the session's socket already
	DropAmplification    DropReason = 6  // too much for what an unverified source had sent
	DropConnectFailed    DropReason = 7  // the destination of its session was not reached
	DropSessionClosed    DropReason = 8  // its session ended first
	DropDraining         DropReason = 9  // it would have begun a session while the manager drains
	DropSendFailed       DropReason = 10 // the system refused to send it
)

var dropReasonNames = [...]string{"", "truncated", "too_long", "buffer_full", "session_table_full", "early_queue_full",
	"amplification", "connect_failed", "session_closed", "draining", "send_failed"}

// String is the reason as metrics name it.
func (r DropReason) String() string {
	if r > 0 && int(r) < len(dropReasonNames) {
		return dropReasonNames[r]
	}
	return "reason " + strconv.Itoa(int(r))
}

// LiveUdpConnection is a session that stands, as it was seen at one moment.
type LiveUdpConnection struct {
	ID                uint64         // for [UdpConnectionManager.Kill]
	Source            netip.AddrPort // the client
	Local             netip.AddrPort // which of our addresses it sends to
	Destination       string         // where its datagrams go, such as "udp://dns.internal:53"
	Verified          bool           // whether its client has answered an answer
	Age               time.Duration  // since it began
	DatagramsReceived uint64         // from the client
	DatagramsSent     uint64         // to the client
	BytesReceived     uint64         // from the client
	BytesSent         uint64         // to the client
}

// UdpRelayOptions say how one relay differs from the manager's configuration. The zero value is as configured.
type UdpRelayOptions struct {
	// IdleTimeout is the time without a datagram either way after which a verified session of this relay ends.
	// Default: that of the manager. Limits: 1 ms to 365 days, or never.
	IdleTimeout TimeLimit
}

// NewUdpConnectionManager makes a manager on the default runtime; see [Runtime.NewUdpConnectionManager].
func NewUdpConnectionManager(config UdpManagerConfig) (*UdpConnectionManager, error) {
	rt, err := Default()
	if err != nil {
		return nil, err
	}
	return rt.NewUdpConnectionManager(config)
}

// NewUdpConnectionManager makes a manager. It fails with [KindConfig] for a configuration out of range.
func (rt *Runtime) NewUdpConnectionManager(config UdpManagerConfig) (*UdpConnectionManager, error) {
	document, err := json.Marshal(config)
	if err != nil {
		return nil, configError(err)
	}
	handle, failure := native.UDPManagerNew(rt.handle, string(document))
	if failure != nil {
		return nil, newError(failure, native.StepConfigure)
	}
	g := &udpManaged{rt: rt, handle: handle}
	g.id = rt.sinks.add(g)
	if rt.stopping.Load() {
		g.shut()
	}
	m := &UdpConnectionManager{g}
	runtime.AddCleanup(m, func(g *udpManaged) {
		if g.abandon() {
			slog.Warn("trunkline: a UDP connection manager was dropped without Close")
		}
	}, g)
	return m, nil
}

// ListenPacket binds a socket as [Runtime.ListenPacket] does; it is closed with the manager.
func (m *UdpConnectionManager) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	defer runtime.KeepAlive(m)
	return m.managed.rt.listenPacket(ctx, network, address, func(target string) (uint64, *native.Failure) {
		return native.UDPManagerBind(m.managed.handle, target)
	})
}

// Relay relays what comes to the address listen to destination and back, in the background, until the manager is drained
// or closed. Both are addresses such as "udp://0.0.0.0:53". It says where it listens; the context bounds the look-up of a
// host name in listen only.
//
// Each source has a session with its own socket to the destination, and gets its answers from the address that it sent to.
// Nothing is lost while that socket is made, up to the configured EarlyDatagrams; what is dropped is counted under its
// reason. A destination that refuses may come back: the session goes on.
func (m *UdpConnectionManager) Relay(ctx context.Context, listen, destination string, options UdpRelayOptions) (net.Addr, error) {
	defer runtime.KeepAlive(m)
	rest, ok := strings.CutPrefix(listen, "udp://")
	if !ok {
		err := badAddress(&net.AddrError{Err: "expected udp://host:port", Addr: listen})
		return nil, listenError("udp", textAddr{"udp", listen}, err)
	}
	limit, err := nanoseconds(options.IdleTimeout)
	if err != nil {
		return nil, listenError("udp", textAddr{"udp", rest}, err)
	}
	found, err := packetTargets(ctx, "udp", rest)
	if err != nil {
		return nil, listenError("udp", textAddr{"udp", rest}, err)
	}
	for _, target := range found {
		bound, failure := native.UDPManagerRelay(m.managed.handle, target, destination, limit)
		if failure == nil {
			return parseTarget(bound), nil
		}
		err = listenError("udp", parseTarget(target), newError(failure, native.StepBind))
		if !isOtherFamily(err) {
			break
		}
	}
	return nil, err
}

// nanoseconds is a limit as the library takes it: 0 is unset.
func nanoseconds(limit TimeLimit) (int64, error) {
	after, ok := limit.Duration()
	switch {
	case limit.IsNever():
		return math.MaxInt64, nil
	case ok && after <= 0:
		return 0, configError(errors.New("IdleTimeout must be more than zero"))
	default:
		return int64(after), nil
	}
}

// Stats are the counts of the manager, exact also after it was closed.
func (m *UdpConnectionManager) Stats() UdpManagerStats {
	defer runtime.KeepAlive(m)
	s := m.managed.stats()
	stats := UdpManagerStats{
		Active:            s.Active,
		Verified:          s.Verified,
		Unverified:        s.Unverified,
		Limit:             s.Limit,
		Opened:            s.Opened,
		Closed:            s.Closed,
		DatagramsReceived: s.DatagramsReceived,
		DatagramsSent:     s.DatagramsSent,
		BytesReceived:     s.BytesReceived,
		BytesSent:         s.BytesSent,
		Refused:           s.Refused,
		ReceivePauses:     s.ReceivePauses,
		Dropped:           s.Dropped,
		ClosedBy:          make(map[CloseReason]uint64),
		DroppedBy:         make(map[DropReason]uint64),
	}
	for reason, count := range s.ClosedBy {
		if count > 0 {
			stats.ClosedBy[CloseReason(reason)] = count
		}
	}
	for reason, count := range s.DroppedBy {
		if count > 0 {
			stats.DroppedBy[DropReason(reason)] = count
		}
	}
	return stats
}

// Live is the sessions that stand, in the order in which they began; none once the manager is closed.
func (m *UdpConnectionManager) Live() []LiveUdpConnection {
	defer runtime.KeepAlive(m)
	text, failure := native.UDPManagerLive(m.managed.handle)
	if failure != nil {
		return nil
	}
	var list []liveSession
	if err := json.Unmarshal(text, &list); err != nil {
		return nil
	}
	live := make([]LiveUdpConnection, len(list))
	for i, one := range list {
		live[i] = LiveUdpConnection{
			ID:                one.ID,
			Source:            addrPort(one.Source),
			Local:             addrPort(one.Local),
			Destination:       one.Destination,
			Verified:          one.Verified,
			Age:               time.Duration(one.AgeNs),
			DatagramsReceived: one.DatagramsReceived,
			DatagramsSent:     one.DatagramsSent,
			BytesReceived:     one.BytesReceived,
			BytesSent:         one.BytesSent,
		}
	}
	return live
}

// liveSession is a session as the library writes it.
type liveSession struct {
	ID                uint64 `json:"id"`
	Source            string `json:"source"`
	Local             string `json:"local"`
	Destination       string `json:"destination"`
	Verified          bool   `json:"verified"`
	AgeNs             int64  `json:"age_ns"`
	DatagramsReceived uint64 `json:"datagrams_received"`
	DatagramsSent     uint64 `json:"datagrams_sent"`
	BytesReceived     uint64 `json:"bytes_received"`
	BytesSent         uint64 `json:"bytes_sent"`
}

func addrPort(text string) netip.AddrPort {
	parsed, _ := netip.ParseAddrPort(strings.TrimPrefix(text, "udp://"))
	return parsed
}

// Kill ends the session with this number. Its client's next datagram begins a new one. It fails with [KindUDP] if no
// session that stands has this number.
func (m *UdpConnectionManager) Kill(id uint64) error {
	defer runtime.KeepAlive(m)
	if failure := native.UDPManagerKill(m.managed.handle, id); failure != nil {
		return newError(failure, native.StepShutdown)
	}
	return nil
}

// Drain lets no new session begin and waits until every one has fallen silent. What is left at the context's deadline, or
// without one after the configured DrainTimeout, is closed as [CloseDrained]; it says how many. Then the manager serves no
// more, and only its counts are left.
//
// A context that is cancelled ends the waiting alone: nothing is closed, and a further Drain goes on.
func (m *UdpConnectionManager) Drain(ctx context.Context) (cut uint64, err error) {
	defer runtime.KeepAlive(m)
	e, failed := m.managed.rt.await(ctx, native.StepDrain, func(deadline int64, queue, tag uint64) (uint64, *native.Failure) {
		return native.UDPManagerDrainAsync(m.managed.handle, deadline, queue, tag)
	})
	if failed != nil {
		return 0, failed
	}
	return e.Value, nil
}

// Close closes every socket and every session of the manager at once, those that it gave away included, and returns when
// their descriptors are gone: a short wait, inside C. Only the first call succeeds; the others fail with net.ErrClosed.
func (m *UdpConnectionManager) Close() error { return m.managed.close() }

// udpManaged is what a [UdpConnectionManager] names.
type udpManaged struct {
	rt     *Runtime
	id     uint64
	handle uint64
	closed atomic.Bool
	mu     sync.Mutex // guards last, and that it is set once
	last   native.UDPManagerStats
	kept   bool
}

// event does nothing: a manager's events go to operations of their own.
func (*udpManaged) event(e native.Event) { e.Dispose() }

func (g *udpManaged) stats() native.UDPManagerStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.kept {
		return g.last
	}
	stats, _ := native.UDPManagerStatsOf(g.handle)
	return stats
}

func (g *udpManaged) close() error {
	if !g.closed.CompareAndSwap(false, true) {
		return &Error{Op: stepNames[native.StepShutdown], Kind: KindClosed}
	}
	g.mu.Lock()
	native.UDPManagerClose(g.handle)
	g.last, _ = native.UDPManagerStatsOf(g.handle)
	g.kept = true
	g.mu.Unlock()
	native.UDPManagerFree(g.handle)
	g.rt.sinks.remove(g.id)
	return nil
}

func (g *udpManaged) shut() { _ = g.close() }

// abandon ends the relays of a manager that nobody can reach any more; what it gave away lives on. It does not wait.
func (g *udpManaged) abandon() bool {
	if !g.closed.CompareAndSwap(false, true) {
		return false
	}
	native.UDPManagerFree(g.handle)
	g.rt.sinks.remove(g.id)
	return true
}
