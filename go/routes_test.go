package trunkline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

func routedConfig() TcpManagerConfig {
	return TcpManagerConfig{
		Listeners: map[string]ListenerConfig{"in": {
			Address:       "tcp://127.0.0.1:0",
			ProxyProtocol: AcceptProxyConfig{Mode: ProxyOptional, Trusted: []string{"127.0.0.0/8"}},
			Probe:         ProbeConfig{Timeout: After(time.Second), MaxBytes: 4096},
		}},
		Routes: []RouteConfig{
			{Host: "*.a.example", Backend: "a"},
			{Source: "192.0.2.0/24", Listener: "in", Backend: "b"},
		},
		Backends: map[string]BackendConfig{
			"a": {
				Endpoints: []EndpointConfig{{Address: "mem:go-nobody", Weight: Set[uint32](2)}, {Address: "mem:go-a"}},
				Balance: BalanceConfig{
					Policy: "round_robin", Ewma: EwmaConfig{Decay: After(3 * time.Second), Floor: After(0)},
					SlowStart: SlowStartConfig{Window: After(0)},
				},
				Breaker:        BreakerConfig{ConsecutiveFailures: 3},
				Outlier:        OutlierConfig{MaxEjectionPercent: Set[uint32](50)},
				MaxAttempts:    2,
				AttemptTimeout: After(time.Second),
			},
			"b": {
				Endpoints:         []EndpointConfig{{Address: "mem:go-b"}},
				SendProxyProtocol: SendProxyV1,
				Resolve:           ResolveConfig{MinTTL: After(time.Second), Retry: &BackoffConfig{Multiplier: 2}},
				RemovedTimeout:    Never,
			},
		},
	}
}

func TestAClientGoesWhereItWantsTo(t *testing.T) {
	m := newManager(t, routedConfig())
	a, b := listening(t, "mem:go-a"), listening(t, "mem:go-b")
	bound, err := m.Start()
	if err != nil {
		t.Fatal(err)
	}
	const header = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"
	for said, l := range map[string]*Listener{
		"GET / HTTP/1.1\r\nHost: x.a.example\r\n": a,
		header + "hello": b,
	} {
		client := dial(t, bound["in"])
		if _, err := client.Write([]byte(said)); err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		heard := make([]byte, len(said))
		if _, err := io.ReadFull(server, heard); err != nil || string(heard) != said {
			t.Errorf("%q, %v", heard, err)
		}
		client.Close()
		server.Close()
	}
	client := dial(t, bound["in"])
	_, _ = client.Write([]byte("no route"))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a client without a route was told %v", err)
	}
	eventually(t, func() error {
		if stats := m.Stats(); stats.Active > 0 || stats.ClosedBy[CloseRefused] != 1 {
			return errors.New("not over yet")
		}
		return nil
	})
	var e *Error
	if _, err := m.Start(); !errors.As(err, &e) || e.Kind != KindConfig {
		t.Errorf("a second start: %v", err)
	}
}

func TestAMistakeInADocumentIsNamed(t *testing.T) {
	rt, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	for document, named := range map[string]string{
		`{"listeners": {"in": {"adress": "mem:a"}}}`: "listeners.in.adress",
		`{"routes": [{"backend": "b"}]}`:             "routes[0].backend",
		`{"backends": {"a": {"endpoints": []}}}`:     "backends.a.endpoints",
	} {
		_, err := rt.NewTcpConnectionManagerFromJSON([]byte(document))
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindConfig || !strings.Contains(err.Error(), named) {
			t.Errorf("%s: %v", document, err)
		}
	}
}

func TestListenersThatCannotListenSaySo(t *testing.T) {
	m := newManager(t, TcpManagerConfig{Listeners: map[string]ListenerConfig{"in": {Address: "mem:go-taken"}}})
	listening(t, "mem:go-taken")
	var e *Error
	if _, err := m.Start(); !errors.As(err, &e) || e.Kind != KindBind {
		t.Errorf("%v", err)
	}
}

func leadingTo(name string) TcpManagerConfig {
	return TcpManagerConfig{
		Listeners:      map[string]ListenerConfig{"in": {Address: "tcp://127.0.0.1:0"}},
		DefaultBackend: "all",
		Backends:       map[string]BackendConfig{"all": {Endpoints: []EndpointConfig{{Address: "mem:" + name}}}},
	}
}

func TestAnotherConfigurationTakesHoldAndWhatStandsStays(t *testing.T) {
	m := newManager(t, leadingTo("go-one"))
	one, two := listening(t, "mem:go-one"), listening(t, "mem:go-two")
	bound, err := m.Start()
	if err != nil {
		t.Fatal(err)
	}
	carries := func(client, server io.ReadWriter, text string) {
		t.Helper()
		if _, err := client.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		heard := make([]byte, len(text))
		if _, err := io.ReadFull(server, heard); err != nil || string(heard) != text {
			t.Fatalf("%q, %v", heard, err)
		}
	}
	first := dial(t, bound["in"])
	firstServer, err := one.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer firstServer.Close()
	next := leadingTo("go-two")
	next.MaxConnections = 2
	next.TCP = TcpConfig{NoDelay: Set(false), Keepalive: TcpKeepalive{Idle: After(42 * time.Second)}, Backlog: 7}
	if err := m.Reconfigure(next); err != nil {
		t.Fatal(err)
	}
	second := dial(t, bound["in"])
	secondServer, err := two.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer secondServer.Close()
	carries(first, firstServer, "stays")
	carries(second, secondServer, "is led elsewhere")
	if s := m.Stats(); s.Active != 2 || s.Limit != 2 || s.Closed != 0 {
		t.Errorf("got %+v", s)
	}
	for document, field := range map[string]string{
		`{"max_connections": 0}`:    "max_connections",
		`{"tcp": {"backlog": 0}}`:   "tcp.backlog",
		`{}`:                        "listeners.in",
		`{"no_such_key": "at all"}`: "no_such_key",
	} {
		err := m.ReconfigureFromJSON([]byte(document))
		if kindOf(err) != KindConfig || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", document, err)
		}
	}
	m.Close()
	if err := m.Reconfigure(next); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// limitedConfig has one place in the backend, and one connection for each network.
func limitedConfig(queue QueueConfig) TcpManagerConfig {
	return TcpManagerConfig{
		PerSource: PerSourceConfig{MaxConnections: 1, IPv4Prefix: Set[uint8](24), MaxNetworks: 100, WhenFull: SourcesRefuse},
		Listeners: map[string]ListenerConfig{"in": {
			Address:        "tcp://127.0.0.1:0",
			MaxConnections: 3,
			ProxyProtocol:  AcceptProxyConfig{Mode: ProxyOptional, Trusted: []string{"127.0.0.0/8"}, Timeout: After(time.Hour)},
		}},
		DefaultBackend: "one",
		Backends: map[string]BackendConfig{"one": {
			Endpoints: []EndpointConfig{{Address: "mem:go-places"}}, MaxConnections: 1, Queue: queue,
		}},
	}
}

func TestAFullBackendMakesClientsWaitAndEachRefusalHasItsReason(t *testing.T) {
	m := newManager(t, limitedConfig(QueueConfig{MaxWaiting: Set[uint32](1), Timeout: Never}))
	behind := listening(t, "mem:go-places")
	bound, err := m.Start()
	if err != nil {
		t.Fatal(err)
	}
	announced := func(network string) *Conn {
		t.Helper()
		client := dial(t, bound["in"])
		if _, err := client.Write([]byte("PROXY TCP4 " + network + ".7 198.51.100.1 4711 443\r\nhello")); err != nil {
			t.Fatal(err)
		}
		return client
	}
	served := func() net.Conn {
		t.Helper()
		server, err := behind.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })
		heard := make([]byte, 5)
		if _, err := io.ReadFull(server, heard); err != nil || string(heard) != "hello" {
			t.Fatalf("%q, %v", heard, err)
		}
		return server
	}
	refused := func(network string, reason CloseReason) {
		t.Helper()
		if _, err := announced(network).Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v: %v", reason, err)
		}
		eventually(t, func() error {
			if stats := m.Stats(); stats.ClosedBy[reason] != 1 {
				return fmt.Errorf("%v: %+v", reason, stats)
			}
			return nil
		})
	}
	waits := func() {
		t.Helper()
		eventually(t, func() error {
			if stats := m.Stats(); stats.Waiting != 1 {
				return fmt.Errorf("%+v", stats)
			}
			return nil
		})
	}
	first, server := announced("192.0.1"), served()
	refused("192.0.1", CloseSourceLimit)
	second := announced("192.0.2")
	waits()
	live, err := m.Live(0, 10)
	if err != nil || len(live) != 2 || live[1].State != LiveWaiting || live[1].Backend != "one" {
		t.Errorf("%+v, %v", live, err)
	}
	refused("192.0.3", CloseBackendFull)
	first.Close()
	server.Close()
	served()
	if stats := m.Stats(); stats.Waiting != 0 {
		t.Errorf("its turn has come: %+v", stats)
	}
	if err := m.Reconfigure(limitedConfig(QueueConfig{Timeout: After(time.Millisecond)})); err != nil {
		t.Fatal(err)
	}
	refused("192.0.4", CloseQueueTimeout)
	if err := m.Reconfigure(limitedConfig(QueueConfig{Timeout: Never})); err != nil {
		t.Fatal(err)
	}
	announced("192.0.5")
	waits()
	now, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if cut, err := m.Drain(now); cut != 2 || err != nil {
		t.Errorf("cut %d, %v", cut, err)
	}
	second.Close()
}
