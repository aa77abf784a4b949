package trunkline

import (
	"context"
	"errors"
	"io"
	"runtime"
	"syscall"
	"testing"
	"time"
)

func routeCallbackConfig(callback RouteCallbackConfig) TcpManagerConfig {
	to := func(address string) BackendConfig {
		return BackendConfig{Endpoints: []EndpointConfig{{Address: address}}}
	}
	return TcpManagerConfig{
		Listeners:      map[string]ListenerConfig{"in": {Address: "tcp://127.0.0.1:0", Probe: ProbeConfig{Timeout: After(time.Hour)}}},
		RouteCallback:  callback,
		DefaultBackend: "a",
		Backends:       map[string]BackendConfig{"a": to("mem:go-route-a"), "b": to("mem:go-route-b")},
	}
}

func TestAFunctionSaysWhereEachConnectionGoes(t *testing.T) {
	m := newManager(t, routeCallbackConfig(RouteCallbackConfig{Timeout: After(time.Hour)}))
	a, b, c := listening(t, "mem:go-route-a"), listening(t, "mem:go-route-b"), listening(t, "mem:go-route-c")
	bound, err := m.Start()
	if err != nil {
		t.Fatal(err)
	}
	choose := func(ctx context.Context, arrival Arrival) (Route, error) {
		if arrival.Listener != "in" || arrival.Protocol != "http1" || arrival.ID == 0 || arrival.Source == "" {
			t.Errorf("%+v", arrival)
		}
		switch arrival.Host {
		case "b.example":
			return RouteTo("b"), nil
		case "c.example":
			return RouteToAddress("mem:go-route-c"), nil
		case "refused.example":
			return RouteRefuse, nil
		case "failed.example":
			return RouteRefuse, errors.New("the function of a test")
		case "panics.example":
			panic("the function of a test")
		case "exits.example":
			runtime.Goexit()
		case "nowhere.example":
			return RouteTo(""), nil
		}
		return RouteByDefault, nil
	}
	said := func(host string) *Conn {
		t.Helper()
		client := dial(t, bound["in"])
		if _, err := client.Write([]byte("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		return client
	}
	goesTo := func(l *Listener, host string) {
		t.Helper()
		client := said(host)
		defer client.Close()
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if _, err := io.ReadFull(server, make([]byte, 5)); err != nil {
			t.Error(err)
		}
	}
	if err := m.OnRoute(choose); err != nil {
		t.Fatal(err)
	}
	goesTo(b, "b.example")
	goesTo(c, "c.example")
	for _, host := range []string{"default.example", "failed.example", "panics.example", "exits.example", "nowhere.example"} {
		goesTo(a, host)
	}
	if _, err := said("refused.example").Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a refused one was told %v", err)
	}
	if err := m.OnRoute(nil); err != nil {
		t.Fatal(err)
	}
	goesTo(a, "b.example")
	m.Close()
	if err := m.OnRoute(choose); err == nil {
		t.Error("a closed manager takes a function")
	}
}

func TestAFunctionThatHangsIsNotWaitedFor(t *testing.T) {
	m := newManager(t, routeCallbackConfig(RouteCallbackConfig{
		Timeout: After(time.Millisecond), MaxPending: 1, Probe: Set(false),
	}))
	a := listening(t, "mem:go-route-a")
	bound, err := m.Start()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	if err := m.OnRoute(func(ctx context.Context, _ Arrival) (Route, error) {
		<-ctx.Done()
		select {
		case ended <- ctx.Err():
		default:
		}
		return RouteTo("b"), ctx.Err()
	}); err != nil {
		t.Fatal(err)
	}
	for {
		client := dial(t, bound["in"])
		server, err := a.Accept()
		if err != nil {
			t.Fatal(err)
		}
		server.Close()
		client.Close()
		select {
		case err := <-ended:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("its context ended as %v", err)
			}
			return
		default: // A question may be over before it is asked.
		}
	}
}

func TestACloseEndsAQuestionThatIsNotAnswered(t *testing.T) {
	m := newManager(t, routeCallbackConfig(RouteCallbackConfig{Timeout: After(time.Hour), Probe: Set(false)}))
	bound, err := m.Start()
	if err != nil {
		t.Fatal(err)
	}
	asked, ended := make(chan Arrival), make(chan error)
	if err := m.OnRoute(func(ctx context.Context, arrival Arrival) (Route, error) {
		asked <- arrival
		<-ctx.Done()
		ended <- ctx.Err()
		return RouteByDefault, ctx.Err()
	}); err != nil {
		t.Fatal(err)
	}
	client := dial(t, bound["in"])
	defer client.Close()
	arrival := <-asked
	if live, err := m.Inspect(arrival.ID); err != nil || live.State != LiveReaching {
		t.Errorf("%+v, %v", live, err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("its context ended as %v", err)
	}
}
