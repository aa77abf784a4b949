package trunkline

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// newResolvedChannel makes a channel without retries whose addresses resolve says, and closes it.
func newResolvedChannel(t *testing.T, resolve func(context.Context, ResolveQuestion) ([]string, error)) *Channel {
	t.Helper()
	config := ConnectionConfig{ServiceConfig: ServiceConfig{Document: []byte("{}")}}
	c, err := NewChannel("zone:web", config, ResolvedBy(resolve))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestAFunctionSaysWhereATargetIsAndAgainWhenThatDoesNotWork(t *testing.T) {
	server := "tcp://" + serveGRPC(t)
	var asked atomic.Uint64
	c := newResolvedChannel(t, func(ctx context.Context, question ResolveQuestion) ([]string, error) {
		if _, ok := ctx.Deadline(); !ok || question.Target != "zone:web" || question.Number != asked.Add(1) {
			t.Errorf("%+v", question)
		}
		switch question.Number {
		case 1:
			return nil, errors.New("no such zone")
		case 2:
			panic("the function of a test")
		case 3:
			runtime.Goexit()
		case 4:
			return []string{"nonsense"}, nil
		}
		return []string{server}, nil
	})
	if _, err := c.Invoke(soon(t), "/test.Service/Echo", nil); err == nil || !strings.Contains(err.Error(), "no such zone") {
		t.Errorf("%v", err)
	}
	if err := c.WaitReady(soon(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Invoke(soon(t), "/test.Service/Echo", nil); err != nil || asked.Load() != 5 {
		t.Errorf("%v after %d questions", err, asked.Load())
	}
}

func TestWhatIsPushedCountsAndABadPushChangesNothing(t *testing.T) {
	one, other := "tcp://"+serveGRPC(t), "tcp://"+serveGRPC(t)
	c := newResolvedChannel(t, func(context.Context, ResolveQuestion) ([]string, error) { return []string{one}, nil })
	at := func() string {
		t.Helper()
		if _, err := c.Invoke(soon(t), "/test.Service/Echo", nil); err != nil {
			t.Fatal(err)
		}
		shown, err := c.Inspect()
		if err != nil {
			t.Fatal(err)
		}
		return shown.Addresses[0].Address
	}
	if at() != one {
		t.Error("not where the function says")
	}
	if err := c.PushAddresses(other); err != nil {
		t.Fatal(err)
	}
	if at() != other {
		t.Error("not where it was pushed to")
	}
	kind := func(err error) Kind {
		var failed *Error
		errors.As(err, &failed)
		return failed.Kind
	}
	if err := c.PushAddresses(); kind(err) != KindConnect {
		t.Errorf("no address: %v", err)
	}
	if err := c.PushAddresses("nonsense"); kind(err) != KindConfig {
		t.Errorf("no address either: %v", err)
	}
	if at() != other {
		t.Error("a bad push counts")
	}
	if err := newChannel(t, one, ConnectionConfig{}).PushAddresses(one); kind(err) != KindConfig {
		t.Errorf("nobody asks: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.PushAddresses(one); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestAQuestionEndsWithItsChannelOrItsTime(t *testing.T) {
	started, ended := make(chan struct{}, 16), make(chan error, 16)
	hang := func(ctx context.Context, _ ResolveQuestion) ([]string, error) {
		started <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}
	c := newResolvedChannel(t, hang)
	c.Connect()
	<-started
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("closed: %v", err)
	}
	c, err := NewChannel("web", ConnectionConfig{Resolver: ResolverConfig{Timeout: After(time.Millisecond)}}, ResolvedBy(hang))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	c.Connect()
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its time: %v", err)
	}
	if _, err := NewChannel("web", ConnectionConfig{Resolver: ResolverConfig{MaxAddresses: 10_001}}, ResolvedBy(hang)); err == nil {
		t.Error("too many addresses")
	}
}
