package trunkline

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"

	"trunkline.dev/go/internal/native"
)

// Agent stands for a cluster at its hubs, and serves the connections that they open. It connects in the background from
// its beginning, and again with backoff whenever a tunnel is lost. Any number of goroutines may use it at once.
type Agent struct {
	standing *standingAgent
}

// AgentStats are the counts of an [Agent], of one moment.
type AgentStats struct {
	Links         uint64 // links to hubs that stand
	LinksOpened   uint64 // links that stood so far
	LinksFailed   uint64 // attempts that led to no link
	Replaced      uint64 // links whose place another agent of the cluster has taken
	Active        uint64 // logical connections that stand
	Limit         uint64 // the most there can be
	Opened        uint64 // logical connections that stood
	Closed        uint64 // logical connections that ended: Opened = Active + Closed
	Refused       uint64 // logical connections that were not opened
	BytesReceived uint64 // bytes that came from the hubs on logical connections
	BytesSent     uint64 // bytes that went to the hubs on logical connections
}

// MemoryCommStats are the counts of the two ways between an [Agent] and its listener, side by side. All are zero where
// connections come as they are.
type MemoryCommStats struct {
	MemoryShare float64       // the share of new connections that go by a pipe, from 0 to 1
	Memory      CommPathStats // those by a pipe
	Socket      CommPathStats // those over a Unix socket
}

// CommPathStats are the counts of one way between an [Agent] and its listener.
type CommPathStats struct {
	Active        uint64 // connections that stand
	Opened        uint64 // connections that stood
	Closed        uint64 // connections that ended: Opened = Active + Closed
	Fallbacks     uint64 // connections that went this way because the other one could not take them
	Failed        uint64 // connections that could not go this way
	BytesReceived uint64 // bytes that came from the host
	BytesSent     uint64 // bytes that went to the host
}

// NewAgent makes an agent on the default runtime; see [Runtime.NewAgent].
func NewAgent(config AgentConfig) (*Agent, error) {
	rt, err := Default()
	if err != nil {
		return nil, err
	}
	return rt.NewAgent(config)
}

// NewAgent makes an agent. It fails with [KindConfig] for a configuration out of range; that a hub cannot be reached is no
// failure here: [Agent.WaitReady] tells.
func (rt *Runtime) NewAgent(config AgentConfig) (*Agent, error) {
	return rt.newAgent(config, 0)
}

func (rt *Runtime) newAgent(config AgentConfig, tls uint64) (*Agent, error) {
	document, err := config.document()
	if err != nil {
		return nil, configError(err)
	}
	handle, failure := native.AgentNew(rt.handle, tls, document)
	if failure != nil {
		return nil, newError(failure, native.StepConfigure)
	}
	s := &standingAgent{rt: rt, handle: handle}
	s.id = rt.sinks.add(s)
	if rt.stopping.Load() {
		s.shut()
	}
	a := &Agent{s}
	runtime.AddCleanup(a, func(s *standingAgent) {
		if s.abandon() {
			slog.Warn("trunkline: an agent was dropped without Close")
		}
	}, s)
	return a, nil
}

// WaitReady waits until a tunnel to any hub stands. An error says why the last attempt failed.
func (a *Agent) WaitReady(ctx context.Context) error {
	defer runtime.KeepAlive(a)
	_, err := a.standing.rt.await(ctx, native.StepConnect, func(deadline int64, queue, tag uint64) (uint64, *native.Failure) {
		return native.AgentWaitReadyAsync(a.standing.handle, deadline, queue, tag)
	})
	if err != nil {
		return err
	}
	return nil
}

// Listener accepts the connections that name no target, one listener at a time: http.Serve(listener, handler) serves a
// hub's users. Connections wait for it from the agent's beginning.
//
// It fails with syscall.EADDRINUSE while another is open, and with [KindConfig] if Forward is set. The agent must be
// kept as long as it is to serve.
func (a *Agent) Listener() (*Listener, error) {
	defer runtime.KeepAlive(a)
	handle, failure := native.AgentListener(a.standing.handle)
	if failure != nil {
		return nil, listenError("tunnel", TunnelAddr(""), newError(failure, native.StepBind))
	}
	return newListener(a.standing.rt, handle, native.ProtocolTunnel), nil
}

// UseMemoryComm lets a share of the connections to come reach the listener by a pipe, the others over a Unix socket: 1 is
// UseMemoryComm of the configuration, 0 is its absence. Those that stand stay as they are.
//
// It fails with [KindConfig] for what is not within 0 and 1, and where the configuration has neither MemoryComm nor
// UseMemoryComm, so that connections come as they are.
func (a *Agent) UseMemoryComm(share float64) error {
	defer runtime.KeepAlive(a)
	if failure := native.AgentUseMemoryComm(a.standing.handle, share); failure != nil {
		return newError(failure, native.StepConfigure)
	}
	return nil
}

// MemoryCommStats are the counts of both ways to the listener, also after the agent was closed.
func (a *Agent) MemoryCommStats() MemoryCommStats {
	defer runtime.KeepAlive(a)
	share, memory, socket := a.standing.commStats()
	return MemoryCommStats{share, CommPathStats(memory), CommPathStats(socket)}
}

// Stats are the counts of the agent, exact also after it was closed.
func (a *Agent) Stats() AgentStats {
	defer runtime.KeepAlive(a)
	return AgentStats(a.standing.stats())
}

// Drain lets the hubs open nothing new and waits until every connection has ended by itself. What is left at the context's
// deadline, or without one after the configured DrainTimeout, is closed as [CloseDrained]; it says how many.
//
// A context that is cancelled ends the waiting alone: nothing is closed, nothing new is opened, and a further Drain goes on.
func (a *Agent) Drain(ctx context.Context) (cut uint64, err error) {
	defer runtime.KeepAlive(a)
	e, failed := a.standing.rt.await(ctx, native.StepDrain, func(deadline int64, queue, tag uint64) (uint64, *native.Failure) {
		return native.AgentDrainAsync(a.standing.handle, deadline, queue, tag)
	})
	if failed != nil {
		return 0, failed
	}
	return e.Value, nil
}

// Close ends every tunnel and connection of the agent at once, those that it gave away included, and returns when their
// descriptors are gone: a short wait, inside C. Only the first call succeeds; the others fail with net.ErrClosed.
func (a *Agent) Close() error { return a.standing.close() }

// standingAgent is what an [Agent] names.
type standingAgent struct {
	rt     *Runtime
	id     uint64
	handle uint64
	closed atomic.Bool
	mu     sync.Mutex // guards last and ways, and that they are set once
	last   native.AgentStats
	ways   commStats
	kept   bool
}

// commStats are the share of memory, and the counts of memory and of the socket.
type commStats struct {
	share          float64
	memory, socket native.CommPathStats
}

// event does nothing: an agent's events go to operations of their own.
func (*standingAgent) event(e native.Event) { e.Dispose() }

func (s *standingAgent) stats() native.AgentStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept {
		return s.last
	}
	stats, _ := native.AgentStatsOf(s.handle)
	return stats
}

func (s *standingAgent) commStats() (share float64, memory, socket native.CommPathStats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept {
		return s.ways.share, s.ways.memory, s.ways.socket
	}
	return native.AgentMemoryCommStats(s.handle)
}

func (s *standingAgent) close() error {
	if !s.closed.CompareAndSwap(false, true) {
		return &Error{Op: stepNames[native.StepShutdown], Kind: KindClosed}
	}
	s.mu.Lock()
	native.AgentClose(s.handle)
	s.last, _ = native.AgentStatsOf(s.handle)
	s.ways.share, s.ways.memory, s.ways.socket = native.AgentMemoryCommStats(s.handle)
	s.kept = true
	s.mu.Unlock()
	native.AgentFree(s.handle)
	s.rt.sinks.remove(s.id)
	return nil
}

func (s *standingAgent) shut() { _ = s.close() }

// abandon ends what an agent runs that nobody can reach any more. It does not wait.
func (s *standingAgent) abandon() bool {
	if !s.closed.CompareAndSwap(false, true) {
		return false
	}
	native.AgentFree(s.handle)
	s.rt.sinks.remove(s.id)
	return true
}

var _ net.Addr = TunnelAddr("")

// TunnelAddr is the name of a cluster, as the address of what goes through a tunnel.
type TunnelAddr string

// Network is "tunnel".
func (TunnelAddr) Network() string { return "tunnel" }

// String is the name, as [Hub.DialContext] takes it.
func (a TunnelAddr) String() string { return string(a) }
