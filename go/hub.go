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

// Hub lets agents in, and opens connections to the clusters behind them. Any number of goroutines may use it at once.
type Hub struct {
	standing *standingHub
}

// HubStats are the counts of a [Hub], of one moment.
type HubStats struct {
	Clusters      uint64 // clusters that have an agent
	Links         uint64 // links to agents that may get new connections
	LinksOpened   uint64 // links that stood so far
	LinksRefused  uint64 // hellos that were turned away
	Replaced      uint64 // links whose place another agent of the cluster has taken
	Active        uint64 // logical connections that stand
	Limit         uint64 // the most there can be
	Opened        uint64 // logical connections that stood
	Closed        uint64 // logical connections that ended: Opened = Active + Closed
	Refused       uint64 // dials that led to none
	BytesReceived uint64 // bytes that came from the agents on logical connections
	BytesSent     uint64 // bytes that went to the agents on logical connections
}

// NewHub makes a hub on the default runtime; see [Runtime.NewHub].
func NewHub(config HubConfig) (*Hub, error) {
	rt, err := Default()
	if err != nil {
		return nil, err
	}
	return rt.NewHub(config)
}

// NewHub makes a hub. It fails with [KindConfig] for a configuration out of range.
func (rt *Runtime) NewHub(config HubConfig) (*Hub, error) {
	return rt.newHub(config, 0)
}

func (rt *Runtime) newHub(config HubConfig, tls uint64) (*Hub, error) {
	document, err := config.document()
	if err != nil {
		return nil, configError(err)
	}
	handle, failure := native.HubNew(rt.handle, tls, document)
	if failure != nil {
		return nil, newError(failure, native.StepConfigure)
	}
	s := &standingHub{rt: rt, handle: handle}
	s.id = rt.sinks.add(s)
	if rt.stopping.Load() {
		s.shut()
	}
	h := &Hub{s}
	runtime.AddCleanup(h, func(s *standingHub) {
		if s.abandon() {
			slog.Warn("trunkline: a hub was dropped without Close")
		}
	}, s)
	return h, nil
}

// Listen lets agents in at an address such as "tcp://127.0.0.1:0", in the background, until the hub is drained or closed. It
// says where it listens. It fails with [KindConfig] where tokens would cross a network in the clear.
//
// The context bounds the look-up of a host name only.
func (h *Hub) Listen(ctx context.Context, address string) (net.Addr, error) {
	return h.bind(ctx, address, func(target string) (string, *native.Failure) {
		return native.HubListen(h.standing.handle, target)
	})
}

// ListenHTTP serves users who speak HTTP/1 or HTTP/2 at an address such as "tls://0.0.0.0:443", in the background, until the hub
// is drained or closed: each request goes to the cluster that the configuration's HTTP.Routes say, if its user, or everybody,
// may use it. It says where it listens. It fails with [KindConfig] without routes, and where secrets or anonymous clusters
// would be in reach of others.
//
// The context bounds the look-up of a host name only.
func (h *Hub) ListenHTTP(ctx context.Context, address string) (net.Addr, error) {
	return h.bind(ctx, address, func(target string) (string, *native.Failure) {
		return native.HubListenHTTP(h.standing.handle, target)
	})
}

// ListenSOCKS serves users who speak SOCKS5, CONNECT alone, at an address such as "tls://0.0.0.0:1080", in the background, until
// the hub is drained or closed. Who they are is told by a name of the configuration's Users with a token as the password, or
// by a certificate; what the host means that they ask for, by its SOCKS. It says where it listens. It fails with [KindConfig]
// where secrets or anonymous clusters would be in reach of others.
//
// The context bounds the look-up of a host name only.
func (h *Hub) ListenSOCKS(ctx context.Context, address string) (net.Addr, error) {
	return h.bind(ctx, address, func(target string) (string, *native.Failure) {
		return native.HubListenSOCKS(h.standing.handle, target)
	})
}

// Forward carries every connection to the address listen to the cluster, and there to target, or where the agent decides if
// it is empty, in the background, until the hub is drained or closed. It says where it listens.
//
// Nobody who connects is asked who it is, so a TCP address must be on loopback unless AllowPublicForwards is set. A
// client whose cluster or target is not reached is reset. The context bounds the look-up of a host name only.
func (h *Hub) Forward(ctx context.Context, listen, cluster, target string) (net.Addr, error) {
	return h.bind(ctx, listen, func(from string) (string, *native.Failure) {
		return native.HubForward(h.standing.handle, from, cluster, target)
	})
}

func (h *Hub) bind(ctx context.Context, listen string, bind func(string) (string, *native.Failure)) (net.Addr, error) {
	defer runtime.KeepAlive(h)
	network, rest, err := splitAddress(listen)
	if err != nil {
		return nil, listenError("", textAddr{"", listen}, err)
	}
	found, err := listenTargets(ctx, network, rest)
	if err != nil {
		return nil, listenError(network, textAddr{network, rest}, err)
	}
	for _, target := range found {
		bound, failure := bind(target)
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

// DialContext opens a connection to the cluster, where its agent decides what it leads to; what it returns is a [*Conn]. It
// stands once the agent has accepted it.
//
// The context bounds the attempt, not the connection; without a deadline the configured DialTimeout holds. It fails with
// [KindConnect] if no agent is there, nobody listens at it, or it cannot reach its target, with [ErrLimitExceeded], and with
// [KindConfig] for what is no cluster's name.
func (h *Hub) DialContext(ctx context.Context, cluster string) (net.Conn, error) {
	return h.DialTarget(ctx, cluster, "")
}

// DialTarget is DialContext to a target that the agent is to dial, such as "tcp://10.0.0.1:80"; it fails with
// [KindConfig] if the agent does not allow it.
func (h *Hub) DialTarget(ctx context.Context, cluster, target string) (net.Conn, error) {
	defer runtime.KeepAlive(h)
	submit := func(deadline int64, queue, tag uint64) (uint64, *native.Failure) {
		return native.HubDialAsync(h.standing.handle, cluster, target, deadline, queue, tag)
	}
	e, err := h.standing.rt.await(ctx, native.StepConnect, submit)
	if err != nil {
		if err.Addr == "" {
			err.Addr = "tunnel:" + cluster
		}
		return nil, dialError("tunnel", TunnelAddr(cluster), err)
	}
	return newConn(h.standing.rt, e.Handle), nil
}

// Stats are the counts of the hub, exact also after it was closed.
func (h *Hub) Stats() HubStats {
	defer runtime.KeepAlive(h)
	return HubStats(h.standing.stats())
}

// Drain lets no agent and no connection in and waits until every one has ended by itself. What is left at the context's
// deadline, or without one after the configured DrainTimeout, is closed as [CloseDrained]; it says how many.
//
// A context that is cancelled ends the waiting alone: nothing is closed, nothing new is let in, and a further Drain goes on.
func (h *Hub) Drain(ctx context.Context) (cut uint64, err error) {
	defer runtime.KeepAlive(h)
	e, failed := h.standing.rt.await(ctx, native.StepDrain, func(deadline int64, queue, tag uint64) (uint64, *native.Failure) {
		return native.HubDrainAsync(h.standing.handle, deadline, queue, tag)
	})
	if failed != nil {
		return 0, failed
	}
	return e.Value, nil
}

// Close ends every listener, tunnel and connection of the hub at once, those that it gave away included, and returns when
// their descriptors are gone: a short wait, inside C. Only the first call succeeds; the others fail with net.ErrClosed.
func (h *Hub) Close() error { return h.standing.close() }

// standingHub is what a [Hub] names.
type standingHub struct {
	rt     *Runtime
	id     uint64
	handle uint64
	closed atomic.Bool
	mu     sync.Mutex // guards last, and that it is set once
	last   native.HubStats
	kept   bool
}

// event does nothing: a hub's events go to operations of their own.
func (*standingHub) event(e native.Event) { e.Dispose() }

func (s *standingHub) stats() native.HubStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept {
		return s.last
	}
	stats, _ := native.HubStatsOf(s.handle)
	return stats
}

func (s *standingHub) close() error {
	if !s.closed.CompareAndSwap(false, true) {
		return &Error{Op: stepNames[native.StepShutdown], Kind: KindClosed}
	}
	s.mu.Lock()
	native.HubClose(s.handle)
	s.last, _ = native.HubStatsOf(s.handle)
	s.kept = true
	s.mu.Unlock()
	native.HubFree(s.handle)
	s.rt.sinks.remove(s.id)
	return nil
}

func (s *standingHub) shut() { _ = s.close() }

// abandon ends what a hub runs that nobody can reach any more. It does not wait.
func (s *standingHub) abandon() bool {
	if !s.closed.CompareAndSwap(false, true) {
		return false
	}
	native.HubFree(s.handle)
	s.rt.sinks.remove(s.id)
	return true
}
