package trunkline

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"

	"trunkline.dev/go/internal/native"
)

// MemoryProxy serves HTTP/1, HTTP/2, HTTPS and upgrades from them on every connection of its listeners, and passes each request
// on to a service that its configuration or its hooks name. Any number of goroutines may use it at once.
//
// The listener may be any; that of an [Agent] makes a service of what is behind the agent, without a socket between the
// tunnel and the proxy. What a client begins with tells what is spoken.
type MemoryProxy struct {
	standing *standingProxy
}

// MemoryProxyStats are the counts of a [MemoryProxy], of one moment.
type MemoryProxyStats struct {
	Active           uint64 // connections that stand
	Limit            uint64 // the most there can be
	Opened           uint64 // connections that stood
	Closed           uint64 // connections that ended: Opened = Active + Closed
	Requests         uint64 // requests that were answered, by a service or by the proxy itself
	Denied           uint64 // those of them that the proxy answered itself
	Upgraded         uint64 // connections that were upgraded to another protocol
	HandshakesFailed uint64 // TLS handshakes that failed
	HooksFailed      uint64 // questions to hooks that have no answer
	BytesReceived    uint64 // bytes that came from clients
	BytesSent        uint64 // bytes that went to clients
}

// NewMemoryProxy makes a memory proxy on the default runtime; see [Runtime.NewMemoryProxy].
func NewMemoryProxy(config MemoryProxyConfig, hooks MemoryProxyHooks) (*MemoryProxy, error) {
	rt, err := Default()
	if err != nil {
		return nil, err
	}
	return rt.NewMemoryProxy(config, hooks)
}

// NewMemoryProxy makes a memory proxy. It fails with [KindConfig] for a configuration out of range.
func (rt *Runtime) NewMemoryProxy(config MemoryProxyConfig, hooks MemoryProxyHooks) (*MemoryProxy, error) {
	return rt.newMemoryProxy(config, hooks, 0)
}

func (rt *Runtime) newMemoryProxy(config MemoryProxyConfig, hooks MemoryProxyHooks, tls uint64) (*MemoryProxy, error) {
	document, err := config.document()
	if err != nil {
		return nil, configError(err)
	}
	s := &standingProxy{rt: rt, hooked: newHooked(hooks)}
	s.id = rt.sinks.add(s)
	handle, failure := native.MemoryProxyNew(rt.handle, tls, document, s.hooked.which(), rt.queue.Handle(), s.id)
	if failure != nil {
		rt.sinks.remove(s.id)
		s.hooked.cancel()
		return nil, newError(failure, native.StepConfigure)
	}
	s.handle.Store(handle)
	if rt.stopping.Load() {
		s.shut()
	}
	p := &MemoryProxy{s}
	runtime.AddCleanup(p, func(s *standingProxy) {
		if s.abandon() {
			slog.Warn("trunkline: a memory proxy was dropped without Close")
		}
	}, s)
	return p, nil
}

// Serve serves what comes to listener, in the background, until that is closed, as it is when the proxy is. It does not wait. Nobody else should accept from the listener meanwhile. Any number of listeners can be served at once.
//
// It fails with net.ErrClosed once the proxy is drained or closed, or if the listener is.
func (p *MemoryProxy) Serve(listener *Listener) error {
	defer runtime.KeepAlive(p)
	defer runtime.KeepAlive(listener)
	if failure := native.MemoryProxyServe(p.standing.handle.Load(), listener.acceptor.handle); failure != nil {
		return newError(failure, native.StepAccept)
	}
	// A listener that nobody can reach would be closed.
	p.standing.keep(listener)
	return nil
}

// Stats are the counts of the proxy, exact also after it was closed.
func (p *MemoryProxy) Stats() MemoryProxyStats {
	defer runtime.KeepAlive(p)
	return MemoryProxyStats(p.standing.stats())
}

// Drain closes the listeners and waits until every request is answered. What is left at the context's deadline, or without one
// after the configured DrainTimeout, is closed as [CloseDrained]; it says how many.
//
// A context that is cancelled ends the waiting alone: nothing is closed, nothing new is taken, and a further Drain goes on.
func (p *MemoryProxy) Drain(ctx context.Context) (cut uint64, err error) {
	defer runtime.KeepAlive(p)
	e, failed := p.standing.rt.await(ctx, native.StepDrain, func(deadline int64, queue, tag uint64) (uint64, *native.Failure) {
		return native.MemoryProxyDrainAsync(p.standing.handle.Load(), deadline, queue, tag)
	})
	if failed != nil {
		return 0, failed
	}
	return e.Value, nil
}

// Close closes the listeners and ends every connection at once, and returns when their descriptors are gone: a short wait,
// inside C. Only the first call succeeds; the others fail with net.ErrClosed.
func (p *MemoryProxy) Close() error { return p.standing.close() }

// standingProxy is what a [MemoryProxy] names.
type standingProxy struct {
	rt     *Runtime
	id     uint64
	handle atomic.Uint64 // questions may come before it is known
	hooked *hooked
	closed atomic.Bool
	mu     sync.Mutex // guards what follows
	served []*Listener
	last   native.MemoryProxyStats
	kept   bool
}

func (s *standingProxy) event(e native.Event) { s.hooked.do(e) }

func (s *standingProxy) keep(listener *Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := s.served[:0]
	for _, one := range s.served {
		if !one.acceptor.closed.Load() {
			open = append(open, one)
		}
	}
	s.served = append(open, listener)
}

func (s *standingProxy) stats() native.MemoryProxyStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept {
		return s.last
	}
	stats, _ := native.MemoryProxyStatsOf(s.handle.Load())
	return stats
}

func (s *standingProxy) close() error {
	if !s.closed.CompareAndSwap(false, true) {
		return &Error{Op: stepNames[native.StepShutdown], Kind: KindClosed}
	}
	s.hooked.cancel()
	s.mu.Lock()
	native.MemoryProxyClose(s.handle.Load())
	s.last, _ = native.MemoryProxyStatsOf(s.handle.Load())
	served := s.served
	s.kept, s.served = true, nil
	s.mu.Unlock()
	for _, listener := range served {
		_ = listener.Close()
	}
	native.MemoryProxyFree(s.handle.Load())
	s.rt.sinks.remove(s.id)
	return nil
}

func (s *standingProxy) shut() { _ = s.close() }

// abandon ends what a proxy runs that nobody can reach any more. It does not wait.
func (s *standingProxy) abandon() bool {
	if !s.closed.CompareAndSwap(false, true) {
		return false
	}
	s.hooked.cancel()
	native.MemoryProxyFree(s.handle.Load())
	s.rt.sinks.remove(s.id)
	return true
}
