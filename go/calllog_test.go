package trunkline

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// captureDebug makes slog's default logger write all levels into a text until the test ends.
func captureDebug(t *testing.T) func() string {
	var mu sync.Mutex
	var text bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(writer(func(b []byte) {
		mu.Lock()
		defer mu.Unlock()
		text.Write(b)
	}), &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(before) })
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return text.String()
	}
}

func TestCallsAreLoggedWithWhatMayBeShown(t *testing.T) {
	text := captureDebug(t)
	target := "tcp://" + serveGRPC(t)
	logging := &CallLogConfig{ShowMetadata: []string{"tenant"}, Slow: Never, Skip: []string{"/test.Service/Quiet"}}
	c := newChannel(t, target, ConnectionConfig{
		Interceptors:  InterceptorsConfig{Logging: logging},
		ServiceConfig: ServiceConfig{Document: []byte("{}")},
	})
	c.Intercept(Interceptor{Begin: func(_ context.Context, call *Beginning) error {
		if call.Method == "/test.Service/Denied" {
			return Deny(7, "not this one")
		}
		return nil
	}})
	metadata := WithMetadata(Metadata{{"tenant", []byte("t1")}, {"other", []byte("o")}})
	credentials := WithCredentials(Metadata{{"token", []byte("s3cret")}})
	if _, err := c.Invoke(soon(t), "/test.Service/Echo", []byte("payload"), metadata, credentials, PlaintextCredentials()); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"/test.Service/Denied", "/test.Service/Quiet"} {
		_, _ = c.Invoke(soon(t), method, nil)
	}
	said := text()
	for _, line := range []string{
		`level=DEBUG msg="call begins" target=` + target + ` method=/test.Service/Echo metadata="tenant=\"t1\" other=redacted token=redacted"`,
		`level=INFO msg="call ended" target=` + target + ` method=/test.Service/Echo took=`,
		`level=WARN msg="call failed" target=` + target + ` method=/test.Service/Denied took=`,
		`code=7 why=`,
	} {
		if !strings.Contains(said, line) {
			t.Errorf("%s\nis not in\n%s", line, said)
		}
	}
	if regexp.MustCompile("payload|s3cret|Quiet").MatchString(said) {
		t.Error(said)
	}
}

func TestWhatIsWrongWithTheLogIsNamed(t *testing.T) {
	config := ConnectionConfig{Interceptors: InterceptorsConfig{Logging: &CallLogConfig{Skip: []string{"a.B/C"}}}}
	_, err := NewChannel("mem:a", config)
	var failed *Error
	if !errors.As(err, &failed) || failed.Kind != KindConfig || !strings.Contains(err.Error(), "interceptors.logging.skip") {
		t.Errorf("%v", err)
	}
}
