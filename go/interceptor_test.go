package trunkline

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
)

// scribe writes down what it sees, and adds its name to every call.
type scribe struct {
	mu   sync.Mutex
	seen []string
}

func (s *scribe) interceptor(name string) Interceptor {
	return Interceptor{
		Begin: func(_ context.Context, call *Beginning) error {
			s.write(name + " begins " + call.Method + " after " + string(call.Metadata.Get("echo-text")))
			call.Metadata = append(Metadata{{"echo-text", []byte(name)}}, call.Metadata...)
			return nil
		},
		End: func(_ context.Context, end Ending) {
			var failure *Error
			switch {
			case end.Err == nil:
				s.write(name + " ends well")
			case errors.As(end.Err, &failure):
				s.write(name + " ends with " + failure.Details)
			}
		},
	}
}

func (s *scribe) write(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, line)
}

func (s *scribe) expect(t *testing.T, lines ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.seen, lines) {
		t.Errorf("seen was %q, not %q", s.seen, lines)
	}
	s.seen = nil
}

func TestInterceptorsAddMetadataAndHearTheEnd(t *testing.T) {
	c := newChannel(t, serveGRPC(t), noRetries)
	var s scribe
	c.Intercept(s.interceptor("one"))
	c.Intercept(s.interceptor("two"))
	var header Metadata
	if _, err := c.Invoke(soon(t), "/test.Service/Echo", []byte("x"), Header(&header)); err != nil {
		t.Fatal(err)
	}
	if got := string(header.Get("echo-text")); got != "two" {
		t.Errorf("the server was told %q", got)
	}
	s.expect(t, "one begins /test.Service/Echo after ", "two begins /test.Service/Echo after one", "two ends well", "one ends well")
	if _, err := c.Invoke(soon(t), "/test.Service/Fail", nil); err == nil {
		t.Error("it fails")
	}
	s.expect(t, "one begins /test.Service/Fail after ", "two begins /test.Service/Fail after one",
		"two ends with no such thing", "one ends with no such thing")
}

func TestAnInterceptorDeniesACallWithAStatus(t *testing.T) {
	c := newChannel(t, "mem:nobody-is-asked", noRetries)
	var s scribe
	c.Intercept(s.interceptor("one"))
	c.Intercept(Interceptor{Begin: func(context.Context, *Beginning) error { return Deny(7, "not today") }})
	c.Intercept(s.interceptor("never"))
	var failure *Error
	if _, err := c.Invoke(soon(t), "/test.Service/Echo", nil); !errors.As(err, &failure) || failure.Code != 7 {
		t.Error(err)
	}
	if _, err := c.Open(soon(t), "/test.Service/Talk"); !errors.As(err, &failure) || failure.Details != "not today" {
		t.Error(err)
	}
	s.expect(t, "one begins /test.Service/Echo after ", "one ends with not today",
		"one begins /test.Service/Talk after ", "one ends with not today")
	if c.GetState() != Idle {
		t.Error("nothing was sent")
	}
}

func TestAnInterceptorHearsHowStreamsEnd(t *testing.T) {
	c := newChannel(t, serveGRPC(t), noRetries)
	var s scribe
	c.Intercept(s.interceptor("one"))
	for _, isEnded := range []bool{true, false} {
		call, err := c.Open(soon(t), "/test.Service/Talk")
		if err != nil {
			t.Fatal(err)
		}
		if isEnded {
			call.CloseSend()
			if _, err := call.Receive(); err != io.EOF {
				t.Error(err)
			}
		}
		call.Close()
	}
	s.expect(t, "one begins /test.Service/Talk after ", "one ends well",
		"one begins /test.Service/Talk after ", "one ends with the call was given up")
}

func TestCallsSayWhoMakesThemAndAreCountedByMethod(t *testing.T) {
	told := make(chan http.Header, 1)
	target := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		told <- r.Header
		grpcMethod(w, r)
	})
	c := newChannel(t, target, ConnectionConfig{
		Interceptors:  InterceptorsConfig{Caller: &CallerConfig{Name: "orders", TrustDomain: "example.org"}, Metrics: true},
		ServiceConfig: noRetries.ServiceConfig,
	})
	counted := func(status string) (total float64) {
		for _, s := range Metrics().Samples {
			if s.Name == "trunkline_channel_method_calls_total" && s.Labels["status"] == status {
				total += s.Value
			}
		}
		return total
	}
	ok, refused := counted("OK"), counted("FAILED_PRECONDITION")
	onBehalf := func(chain string) error {
		metadata := WithMetadata(Metadata{{Name: "x-trunkline-call-chain", Value: []byte(chain)}})
		_, err := c.Invoke(soon(t), "/test.Service/Echo", nil, metadata)
		return err
	}
	if err := onBehalf("shop"); err != nil {
		t.Fatal(err)
	}
	header := <-told
	for name, value := range map[string]string{"Call-Chain": "shop -> orders", "Service-Name": "orders", "Trust-Domain": "example.org"} {
		if got := header.Values("X-Trunkline-" + name); len(got) != 1 || got[0] != value {
			t.Errorf("%s was %q", name, got)
		}
	}
	var failed *Error
	if err := onBehalf("orders -> shop"); !errors.As(err, &failed) || failed.Code != 9 {
		t.Error(err)
	}
	if counted("OK") != ok+1 || counted("FAILED_PRECONDITION") != refused {
		t.Error("one call was made, and one was not")
	}
}
