package trunkline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

func checkedConfig(check EndpointCheck, timeout time.Duration, addresses ...string) TcpManagerConfig {
	backend := BackendConfig{Health: &HealthConfig{
		Check: &check, Interval: After(time.Millisecond), Rise: 1, Fall: 1, Timeout: After(timeout),
	}}
	for _, address := range addresses {
		backend.Endpoints = append(backend.Endpoints, EndpointConfig{Address: address})
	}
	return TcpManagerConfig{
		Listeners:      map[string]ListenerConfig{"in": {Address: "tcp://127.0.0.1:0"}},
		DefaultBackend: "all",
		Backends:       map[string]BackendConfig{"all": backend},
	}
}

func seenEndpoints(t *testing.T, m *TcpConnectionManager) map[string]LiveEndpoint {
	t.Helper()
	list, err := m.Endpoints()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]LiveEndpoint)
	for _, one := range list {
		seen[one.Address] = one
	}
	return seen
}

// isSeen waits until an endpoint is in a state, and says the text of the reason.
func isSeen(t *testing.T, m *TcpConnectionManager, address string, state EndpointState, text string) LiveEndpoint {
	t.Helper()
	var one LiveEndpoint
	eventually(t, func() error {
		one = seenEndpoints(t, m)[address]
		switch reason := one.Reason; {
		case one.State != state, (reason == nil) != (text == ""), reason != nil && !strings.Contains(reason.Text, text):
			return fmt.Errorf("%s is %s: %+v", address, one.State, reason)
		}
		return nil
	})
	return one
}

func started(t *testing.T, config TcpManagerConfig) *TcpConnectionManager {
	t.Helper()
	m := newManager(t, config)
	if _, err := m.Start(); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAnEndpointIsAskedByHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "shop.example" || r.Header.Get("X-Why") != "a check" {
			t.Errorf("%v %v", r.Host, r.Header)
		}
		if r.URL.Path != "/ready" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, "all is well")
	}))
	defer server.Close()
	address := "tcp://" + server.Listener.Addr().String()
	check := HttpCheckConfig{
		Path: "/ready", Host: "shop.example", Headers: map[string]string{"X-Why": "a check"},
		Expect: []string{"200", "204-206"}, Contains: "is well",
	}
	m := started(t, checkedConfig(EndpointCheck{HTTP: &check}, time.Hour, address))
	one := isSeen(t, m, address, EndpointHealthy, "")
	if one.Backend != "all" || one.Weight != 1 || one.EffectiveWeight != 1 || one.Active != 0 || one.Host != "" {
		t.Errorf("%+v", one)
	}
	check.Path = "/sick"
	config := checkedConfig(EndpointCheck{HTTP: &check}, time.Hour, address)
	config.Listeners = map[string]ListenerConfig{"in": {Address: "tcp://127.0.0.1:0"}}
	if err := m.Reconfigure(config); err != nil {
		t.Fatal(err)
	}
	one = isSeen(t, m, address, EndpointUnhealthy, "it answered 503 Service Unavailable")
	if one.Reason.Kind != "check" || one.Reason.Step != "status" || one.StateAge < 0 {
		t.Errorf("%+v", one.Reason)
	}
}

func TestAFunctionSaysHowEndpointsAre(t *testing.T) {
	addresses := []string{"mem:go-good", "mem:go-bad", "mem:go-panics", "mem:go-exits"}
	check := EndpointCheck{Callback: &CallbackCheckConfig{NoAnswer: NoAnswerKeep}}
	m := started(t, checkedConfig(check, time.Hour, addresses...))
	look := func(ctx context.Context, question CheckQuestion) error {
		if question.Backend != "all" || question.Host != "" {
			t.Errorf("%+v", question)
		}
		switch question.Address {
		case "mem:go-bad":
			return errors.New("it lags")
		case "mem:go-panics":
			panic("the function of a test")
		case "mem:go-exits":
			runtime.Goexit()
		}
		return nil
	}
	if err := m.OnCheck(look); err != nil {
		t.Fatal(err)
	}
	isSeen(t, m, "mem:go-good", EndpointHealthy, "")
	isSeen(t, m, "mem:go-bad", EndpointUnhealthy, "it lags")
	isSeen(t, m, "mem:go-panics", EndpointUnhealthy, "panicked")
	isSeen(t, m, "mem:go-exits", EndpointUnhealthy, "ended its goroutine")
	if err := m.OnCheck(nil); err != nil {
		t.Fatal(err)
	}
	isSeen(t, m, "mem:go-good", EndpointHealthy, "")
	m.Close()
	if err := m.OnCheck(look); err == nil {
		t.Error("a closed manager takes a function")
	}
}

func TestACheckThatHangsHasToldNothing(t *testing.T) {
	check := EndpointCheck{Callback: &CallbackCheckConfig{NoAnswer: NoAnswerKeep}}
	m := started(t, checkedConfig(check, time.Millisecond, "mem:go-hangs"))
	ended := make(chan error)
	if err := m.OnCheck(func(ctx context.Context, _ CheckQuestion) error {
		<-ctx.Done()
		select {
		case ended <- ctx.Err():
		default:
		}
		return ctx.Err()
	}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("its context ended as %v", err)
		}
	}
	if one := seenEndpoints(t, m)["mem:go-hangs"]; one.State != EndpointUnchecked || one.Reason != nil {
		t.Errorf("%+v", one)
	}
}

func TestACloseEndsACheckThatIsNotAnswered(t *testing.T) {
	check := EndpointCheck{Callback: &CallbackCheckConfig{}}
	m := started(t, checkedConfig(check, time.Hour, "mem:go-hangs"))
	asked, ended := make(chan struct{}), make(chan error)
	if err := m.OnCheck(func(ctx context.Context, _ CheckQuestion) error {
		asked <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}); err != nil {
		t.Fatal(err)
	}
	<-asked
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("its context ended as %v", err)
	}
}

func TestAnEndpointThatIsNotReachedIsSeenWithTheReason(t *testing.T) {
	m := started(t, TcpManagerConfig{
		Listeners:      map[string]ListenerConfig{"in": {Address: "mem:go-seen"}},
		DefaultBackend: "b",
		Backends: map[string]BackendConfig{
			"a": {Endpoints: []EndpointConfig{{Address: "mem:go-drained", Weight: Set[uint32](0)}}},
			"b": {Endpoints: []EndpointConfig{{Address: "mem:go-missing"}}, Breaker: BreakerConfig{ConsecutiveFailures: 1}},
		},
	})
	client, err := m.DialAddr(context.Background(), "mem:go-seen")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("it was served")
	}
	isSeen(t, m, "mem:go-drained", EndpointDrained, "")
	one := isSeen(t, m, "mem:go-missing", EndpointBreakerOpen, "connection failed")
	if one.Backend != "b" || one.Reason.Kind != "connect" || one.Remaining <= 0 || one.EffectiveWeight != 0 {
		t.Errorf("%+v", one)
	}
}

func TestWhatIsWrongWithACheckIsNamed(t *testing.T) {
	both := EndpointCheck{TLS: &TlsCheckConfig{ServerName: "a.example"}, HTTP: &HttpCheckConfig{}}
	for field, check := range map[string]EndpointCheck{
		"health.check.tls.server_name": {TLS: &TlsCheckConfig{}},
		"health.check.http.expect":     {HTTP: &HttpCheckConfig{Expect: []string{"2xx"}}},
		"health.check":                 both,
	} {
		_, err := NewTcpConnectionManager(checkedConfig(check, time.Second, "mem:go-a"))
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
