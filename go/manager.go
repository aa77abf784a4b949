package trunkline

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"

	"trunkline.dev/go/internal/native"
)

// TcpConnectionManager makes, accepts, relays and counts TCP connections under one limit, which is never exceeded:
// a place is taken before a connection is dialled or accepted. Any number of goroutines may use it at once.
type TcpConnectionManager struct {
	managed *managed
}

// TcpManagerStats are the counts of a [TcpConnectionManager], of one moment.
type TcpManagerStats struct {
	Active        uint64 // connections at this moment; a relayed one counts once
	Waiting       uint64 // of those, the ones that stand in line for a place of their backend
	Limit         uint64 // the most there can be
	Opened        uint64 // connections that stood
	Closed        uint64 // connections that ended: Opened = Active + Closed
	Accepted      uint64 // of those opened, the accepted ones: Opened = Accepted + Dialled
	Dialled       uint64 // of those opened, the dialled ones
	BytesReceived uint64 // bytes that came from the peers; of a relayed connection, from its client
	BytesSent     uint64 // bytes that went to the peers; of a relayed connection, to its client
	BytesSpliced  uint64 // bytes that relays let the kernel move without copying, both ways together
	AcceptPauses  uint64 // times that accepting paused because descriptors or memory had run out
	// ClosedBy counts the closed ones by their reasons.
	ClosedBy map[CloseReason]uint64
}

// NewTcpConnectionManager makes a manager on the default runtime; see [Runtime.NewTcpConnectionManager].
func NewTcpConnectionManager(config TcpManagerConfig) (*TcpConnectionManager, error) {
	rt, err := Default()
	if err != nil {
		return nil, err
	}
	return rt.NewTcpConnectionManager(config)
}

// NewTcpConnectionManager makes a manager. It fails with [KindConfig] for a configuration out of range.
func (rt *Runtime) NewTcpConnectionManager(config TcpManagerConfig) (*TcpConnectionManager, error) {
	return rt.newManager(config, 0)
}

func (rt *Runtime) newManager(config TcpManagerConfig, tls uint64) (*TcpConnectionManager, error) {
	document, err := json.Marshal(config)
	if err != nil {
		return nil, configError(err)
	}
	return rt.newManagerOf(document, tls)
}

// NewTcpConnectionManagerFromJSON makes a manager of one document, which may say where to listen and where connections go
// as well. It fails with [KindConfig], and names the key, for one that is unknown or out of range.
func (rt *Runtime) NewTcpConnectionManagerFromJSON(document []byte) (*TcpConnectionManager, error) {
	return rt.newManagerOf(document, 0)
}

func (rt *Runtime) newManagerOf(document []byte, tls uint64) (*TcpConnectionManager, error) {
	handle, failure := native.TCPManagerNew(rt.handle, tls, string(document))
	if failure != nil {
		return nil, newError(failure, native.StepConfigure)
	}
	g := &managed{rt: rt, handle: handle}
	g.id = rt.sinks.add(g)
	if rt.stopping.Load() {
		g.shut()
	}
	m := &TcpConnectionManager{g}
	runtime.AddCleanup(m, func(g *managed) {
		if g.abandon() {
			slog.Warn("trunkline: a TCP connection manager was dropped without Close")
		}
	}, g)
	return m, nil
}

// Dial connects as [Runtime.Dial] does, within the manager's limit: when that is reached it fails at once, with [ErrLimitExceeded].
func (m *TcpConnectionManager) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	defer runtime.KeepAlive(m)
	return m.managed.rt.dial(ctx, network, address, m.managed.connect)
}

// DialAddr connects to an address such as "tcp://db.internal:5432", as Dial does.
func (m *TcpConnectionManager) DialAddr(ctx context.Context, address string) (net.Conn, error) {
	defer runtime.KeepAlive(m)
	return m.managed.rt.dialAddr(ctx, address, m.managed.connect)
}

// Listen listens as [Runtime.Listen] does. What is accepted counts against the manager's limit until it is closed; what
// exceeds the limit waits in the backlog.
func (m *TcpConnectionManager) Listen(ctx context.Context, network, address string) (*Listener, error) {
	defer runtime.KeepAlive(m)
	return m.managed.rt.listen(ctx, network, address, m.managed.bind)
}

// Relay accepts on the address listen and copies both ways between each connection and one that it dials to
// destination, in the background, until the manager is drained or closed. Both are addresses as in [DialAddr]. It says where
// it listens; the context bounds the look-up of a host name in listen only.
//
// A half-close and a reset travel on, after the bytes before them; a client whose destination is not reached is reset.
// Limits and timeouts are those of [TcpManagerConfig].
func (m *TcpConnectionManager) Relay(ctx context.Context, listen, destination string) (net.Addr, error) {
	defer runtime.KeepAlive(m)
	network, rest, err := splitAddress(listen)
	if err != nil {
		return nil, listenError("", textAddr{"", listen}, err)
	}
	found, err := listenTargets(ctx, network, rest)
	if err != nil {
		return nil, listenError(network, textAddr{network, rest}, err)
	}
	for _, target := range found {
		bound, failure := native.TCPManagerRelay(m.managed.handle, target, destination)
		if failure == nil {
			return parseAddr(bound, protocolOf(bound)), nil
		}
		err = listenError(network, parseTarget(target), newError(failure, native.StepBind))
		if !isOtherFamily(err) {
			break
		}
	}
	return nil, err
}

// Start listens where the configuration says, and passes every connection on to the backend that its routes say, in the
// background, until the manager is drained or closed; it says the address of each listener by its name. Either all
// listeners start or none. Host names are looked up inside C.
//
// What no route takes, and who breaks the rules for PROXY headers, is reset as [CloseRefused]; whose backend is not reached
// as [CloseConnectFailed]. Whose backend has as many connections as it may waits for a place, and is reset as
// [CloseBackendFull] where too many wait, or in the end as [CloseQueueTimeout]. It fails with [KindConfig] when it was started before, and for an endpoint that leads back to a
// listener.
func (m *TcpConnectionManager) Start() (map[string]net.Addr, error) {
	defer runtime.KeepAlive(m)
	document, failure := native.TCPManagerStart(m.managed.handle)
	if failure != nil {
		return nil, newError(failure, native.StepBind)
	}
	var bound map[string]string
	if err := json.Unmarshal([]byte(document), &bound); err != nil {
		return nil, configError(err)
	}
	addresses := make(map[string]net.Addr, len(bound))
	for name, address := range bound {
		addresses[name] = parseAddr(address, protocolOf(address))
	}
	return addresses, nil
}

// Reconfigure goes by another configuration from now on, and drops no connection for it: all of it or nothing. Connections
// that stand keep their server, their timeouts, their rates and what their sockets were told. A lower limit ends nothing; no
// more are let in until enough have ended.
//
// It fails with [KindConfig], and names the field, for one that is out of range or cannot change: once the manager is
// started, the names and addresses of its Listeners.
func (m *TcpConnectionManager) Reconfigure(config TcpManagerConfig) error {
	document, err := json.Marshal(config)
	if err != nil {
		return configError(err)
	}
	return m.ReconfigureFromJSON(document)
}

// ReconfigureFromJSON goes by another document from now on, as Reconfigure does. What it does not mention has its default.
func (m *TcpConnectionManager) ReconfigureFromJSON(document []byte) error {
	defer runtime.KeepAlive(m)
	if failure := native.TCPManagerReconfigure(m.managed.handle, string(document)); failure != nil {
		return newError(failure, native.StepConfigure)
	}
	return nil
}

// Stats are the counts of the manager, exact also after it was closed.
func (m *TcpConnectionManager) Stats() TcpManagerStats {
	defer runtime.KeepAlive(m)
	stats := m.managed.stats()
	closedBy := make(map[CloseReason]uint64)
	for reason, count := range stats.ClosedBy {
		if count > 0 {
			closedBy[CloseReason(reason)] = count
		}
	}
	return TcpManagerStats{
		Active:        stats.Active,
		Waiting:       stats.Waiting,
		Limit:         stats.Limit,
		Opened:        stats.Opened,
		Closed:        stats.Closed,
		Accepted:      stats.Accepted,
		Dialled:       stats.Dialled,
		BytesReceived: stats.BytesReceived,
		BytesSent:     stats.BytesSent,
		BytesSpliced:  stats.BytesSpliced,
		AcceptPauses:  stats.AcceptPauses,
		ClosedBy:      closedBy,
	}
}

// Drain lets no new connection in and waits until every one has ended by itself; those that wait in the backlog of a
// relay are still served. What does not end is closed as [CloseDrained] by the context's deadline, or without one within the
// configured DrainTimeout, one after the other as DrainSpread says; it says how many. Then the manager serves no more, and
// only its counts are left.
//
// A context that is cancelled ends the waiting alone: nothing is closed, nothing new is let in, and a further Drain goes on.
func (m *TcpConnectionManager) Drain(ctx context.Context) (cut uint64, err error) {
	defer runtime.KeepAlive(m)
	e, failed := m.managed.rt.await(ctx, native.StepDrain, func(deadline int64, queue, tag uint64) (uint64, *native.Failure) {
		return native.TCPManagerDrainAsync(m.managed.handle, deadline, queue, tag)
	})
	if failed != nil {
		return 0, failed
	}
	return e.Value, nil
}

// Close closes every listener and every connection of the manager at once, those that it gave away included, and returns
// when their descriptors are gone: a short wait, inside C. Only the first call succeeds; the others fail with net.ErrClosed.
func (m *TcpConnectionManager) Close() error { return m.managed.close() }

// managed is what a [TcpConnectionManager] names.
type managed struct {
	rt      *Runtime
	id      uint64
	handle  uint64
	closed  atomic.Bool
	router  atomic.Pointer[router]
	checker atomic.Pointer[checker]
	// asking is held while the router or the checker is replaced.
	asking sync.Mutex
	mu     sync.Mutex // guards last, and that it is set once
	last   native.TCPManagerStats
	kept   bool
}

func (g *managed) connect(address string, deadline int64, queue, tag uint64) (uint64, *native.Failure) {
	return native.TCPManagerConnectAsync(g.handle, address, deadline, queue, tag)
}

func (g *managed) bind(address string) (uint64, *native.Failure) {
	return native.TCPManagerListen(g.handle, address)
}

func (g *managed) stats() native.TCPManagerStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.kept {
		return g.last
	}
	stats, _ := native.TCPManagerStatsOf(g.handle)
	return stats
}

func (g *managed) close() error {
	if !g.closed.CompareAndSwap(false, true) {
		return &Error{Op: stepNames[native.StepShutdown], Kind: KindClosed}
	}
	g.mu.Lock()
	native.TCPManagerClose(g.handle)
	g.last, _ = native.TCPManagerStatsOf(g.handle)
	g.kept = true
	g.mu.Unlock()
	native.TCPManagerFree(g.handle)
	g.rt.sinks.remove(g.id)
	g.askNobody()
	return nil
}

func (g *managed) shut() { _ = g.close() }

// abandon ends the relays of a manager that nobody can reach any more; what it gave away lives on. It does not wait.
func (g *managed) abandon() bool {
	if !g.closed.CompareAndSwap(false, true) {
		return false
	}
	native.TCPManagerFree(g.handle)
	g.rt.sinks.remove(g.id)
	g.askNobody()
	return true
}
