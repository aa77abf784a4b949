package trunkline

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"time"

	"trunkline.dev/go/internal/native"
)

// Arrival is what is known of a connection that a manager accepted; what is not known is empty.
type Arrival struct {
	ID       uint64   `json:"id"`       // its number, as in the live table
	Listener string   `json:"listener"` // the name of the one that it came in by
	Source   string   `json:"source"`   // who asked for it, as a proxy in front announced it where one did
	Local    string   `json:"local"`    // our end of it, as announced likewise
	Protocol string   `json:"protocol"` // what its first bytes speak, by the names of [ProbeTcp]
	Host     string   `json:"host"`     // whom it asks for, by the server name of TLS or the host of HTTP/1
	ALPN     []string `json:"alpn"`     // protocols that a client of TLS offers to speak inside
}

// Route says where a connection goes. The zero Route is [RouteByDefault].
type Route struct {
	decision int32
	to       string
}

var (
	// RouteByDefault is where the routes of the configuration say.
	RouteByDefault = Route{}
	// RouteRefuse is nowhere: the connection is reset as [CloseRefused].
	RouteRefuse = Route{decision: native.RouteRefuse}
)

// RouteTo is the backend of this name; where there is none, the routes of the configuration decide.
func RouteTo(backend string) Route { return Route{native.RouteBackend, backend} }

// RouteToAddress is an address, past the backends and their limits; one that leads back to a listener, or cannot be
// connected to, leaves it to the routes of the configuration.
func RouteToAddress(address string) Route { return Route{native.RouteAddress, address} }

// maxRouting is how many route functions of a manager run at once.
const maxRouting = 1024

// OnRoute has choose say where each connection goes that the manager accepts for its listeners, from now on and before the
// routes of the configuration; nil ends that. Each call has a goroutine of its own, at most 1024 at once, and a context that
// ends when the time for the answer is over, or when choose is replaced or the manager closed.
//
// An error, a panic, and no answer within the Timeout of [RouteCallbackConfig] leave the connection to the routes. The metric
// trunkline_route_callback_total counts what came of each. It fails with [KindClosed] once the manager drains.
func (m *TcpConnectionManager) OnRoute(choose func(context.Context, Arrival) (Route, error)) error {
	defer runtime.KeepAlive(m)
	return m.managed.onRoute(choose)
}

// router answers the questions where connections go.
type router struct {
	choose  func(context.Context, Arrival) (Route, error)
	ctx     context.Context
	cancel  context.CancelFunc
	running chan struct{} // a place for each call
}

func newRouter(choose func(context.Context, Arrival) (Route, error)) *router {
	r := &router{choose: choose, running: make(chan struct{}, maxRouting)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

func (g *managed) onRoute(choose func(context.Context, Arrival) (Route, error)) error {
	g.asking.Lock()
	defer g.asking.Unlock()
	var next *router
	queue := uint64(0)
	if choose != nil {
		next, queue = newRouter(choose), g.rt.queue.Handle()
	}
	// Known before the first question comes. One that was asked of the last is answered by the next.
	last := g.router.Swap(next)
	failure := native.TCPManagerOnRoute(g.handle, queue, g.id)
	if last != nil {
		last.cancel()
	}
	if failure != nil {
		g.endRouter()
		return newError(failure, native.StepConfigure)
	}
	return nil
}

func (g *managed) endRouter() {
	if last := g.router.Swap(nil); last != nil {
		last.cancel()
	}
}

// askNobody ends what the program is asked: for a manager that is closed.
func (g *managed) askNobody() {
	g.endRouter()
	g.endChecker()
}

// event takes a question, on the wake goroutine. Other events of a manager go to operations of their own.
func (g *managed) event(e native.Event) {
	r, c := g.router.Load(), g.checker.Load()
	switch what := uint32(e.Value); {
	case e.Kind == native.EventJob && what == native.JobRoute && r != nil:
		r.take(e.Handle)
	case e.Kind == native.EventJob && what == native.JobCheckEndpoint && c != nil:
		c.take(e.Handle)
	default:
		e.Dispose()
	}
}

func (r *router) take(job uint64) {
	select {
	case r.running <- struct{}{}:
		go r.answer(job)
	default:
		native.JobFailed(job, native.Callback, "too many route functions run")
	}
}

func (r *router) answer(job uint64) {
	defer func() { <-r.running }()
	question, ok := native.RouteQuestion(job)
	if !ok {
		return // nobody waits any more
	}
	var asked struct {
		Arrival
		Timeout time.Duration `json:"timeout_ns"`
	}
	route, err := RouteByDefault, json.Unmarshal(question, &asked)
	if err == nil {
		err = errors.New("the route function ended its goroutine")
		defer func() { decide(job, route, err) }()
		ctx, cancel := context.WithTimeout(r.ctx, asked.Timeout)
		defer cancel()
		defer rescue("route", &err)
		route, err = r.choose(ctx, asked.Arrival)
		return
	}
	decide(job, route, err)
}

func decide(job uint64, route Route, err error) {
	if err == nil && native.RouteDecide(job, route.decision, route.to) != native.InvalidArgument {
		return
	}
	message := "no such route: " + route.to
	if err != nil {
		message = err.Error()
	}
	native.JobFailed(job, native.Callback, message)
}
