package trunkline

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"trunkline.dev/go/internal/native"
)

// Runtime owns the threads that drive connections, their limit of handles and their metrics. The default one is
// started on first use and serves every function of this package that is not a method; names of in-memory
// listeners belong to the process and are seen by all.
type Runtime struct {
	handle   uint64 // 0 is the process's default runtime
	queue    *native.Queue
	sinks    *registry
	line     *line
	stopping atomic.Bool
	served   chan struct{} // closed when the wake goroutine has ended
	cleanup  runtime.Cleanup
}

// Option says how a runtime is made.
type Option func(*native.RuntimeOptions)

// WithWorkers sets how many threads drive the connections, 1 to 1024. Default: 2, which serve
// tens of thousands; 1 for a process that may run on one core only.
func WithWorkers(n uint32) Option {
	return func(o *native.RuntimeOptions) { o.WorkerThreads = n }
}

// WithMaxHandles limits connections, listeners, pools and so on, together. Default: 1,048,576. Past it operations
// fail with [ErrLimitExceeded].
func WithMaxHandles(n uint32) Option {
	return func(o *native.RuntimeOptions) { o.MaxHandles = n }
}

// WithThreadName names the threads, as debuggers show them. Default: "trunkline".
func WithThreadName(name string) Option {
	return func(o *native.RuntimeOptions) { o.ThreadName = name }
}

// Start makes a runtime of its own, beside the default one. [Runtime.Shutdown] ends it.
func Start(options ...Option) (*Runtime, error) {
	handle, failure := native.RuntimeNew(apply(options))
	if failure != nil {
		return nil, newError(failure, native.StepConfigure)
	}
	rt, err := serve(handle)
	if err != nil {
		native.RuntimeFree(handle)
		return nil, err
	}
	rt.cleanup = runtime.AddCleanup(rt, func(left abandoned) {
		slog.Warn("trunkline: a runtime was dropped without Shutdown")
		native.RuntimeFree(left.handle)
		left.queue.Shutdown()
	}, abandoned{handle, rt.queue})
	return rt, nil
}

// abandoned is what is left of a runtime that nobody can reach any more.
type abandoned struct {
	handle uint64
	queue  *native.Queue
}

func apply(options []Option) native.RuntimeOptions {
	var chosen native.RuntimeOptions
	for _, option := range options {
		option(&chosen)
	}
	return chosen
}

// serve gives a native runtime its queue and the one goroutine that waits for it.
func serve(handle uint64) (*Runtime, error) {
	// What can be outstanding is limited already: two readiness events for each handle, one for each pooled value.
	queue, failure := native.QueueNew(handle, math.MaxUint32)
	if failure != nil {
		return nil, newError(failure, native.StepConfigure)
	}
	rt := &Runtime{handle: handle, queue: queue, line: new(line), served: make(chan struct{})}
	rt.sinks = &registry{line: rt.line}
	go wake(queue, rt.sinks, rt.served)
	return rt, nil
}

// wake is the body of the wake goroutine. It holds no Runtime, so that one can be found unused.
func wake(queue *native.Queue, sinks *registry, served chan<- struct{}) {
	defer close(served)
	queue.Serve(sinks.dispatch)
}

// shutter is a sink that a runtime closes when it stops.
type shutter interface{ shut() }

// Shutdown closes whatever is open on the runtime and stops its threads. Calls under way fail with net.ErrClosed
// or context.Canceled.
//
// It waits for the threads until ctx ends; they then end by themselves. The default runtime may be used again
// afterwards: that starts a new one. Shutting down twice is no error.
func (rt *Runtime) Shutdown(ctx context.Context) error {
	if !rt.stopping.CompareAndSwap(false, true) {
		return nil
	}
	rt.cleanup.Stop()
	deadline := deadlineOf(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- rt.stop(deadline) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
		return contextError(ctx, native.StepShutdown)
	}
}

func (rt *Runtime) stop(deadline int64) error {
	if rt.handle == 0 {
		// Until the native default runtime is gone, nobody may put a queue on it.
		defaults.mu.Lock()
		defer defaults.mu.Unlock()
		defaults.rt = nil
	}
	rt.shutAll()
	failure := native.RuntimeShutdown(rt.handle, deadline)
	rt.shutAll() // what was made in the meantime
	rt.queue.Shutdown()
	<-rt.served
	if rt.handle != 0 {
		native.RuntimeFree(rt.handle)
	}
	if failure != nil {
		return newError(failure, native.StepShutdown)
	}
	return nil
}

func (rt *Runtime) shutAll() {
	for _, sink := range rt.sinks.all() {
		if open, ok := sink.(shutter); ok {
			open.shut()
		}
	}
}

// defaults holds the default runtime, once it is used.
var defaults struct {
	mu sync.Mutex
	rt *Runtime
}

// Default is the runtime behind the functions of this package that are not methods; it is started now if it was not.
func Default() (*Runtime, error) {
	defaults.mu.Lock()
	defer defaults.mu.Unlock()
	if defaults.rt != nil {
		return defaults.rt, nil
	}
	rt, err := serve(0)
	if err != nil {
		return nil, err
	}
	defaults.rt = rt
	return rt, nil
}

// Configure says how the default runtime will be made. It must come before its first use, and fails after it.
func Configure(options ...Option) error {
	defaults.mu.Lock()
	defer defaults.mu.Unlock()
	if defaults.rt != nil {
		return &Error{Op: "configure", Kind: KindConfig, Cause: errors.New("the default runtime runs already")}
	}
	if failure := native.RuntimeConfigure(apply(options)); failure != nil {
		return newError(failure, native.StepConfigure)
	}
	return nil
}
