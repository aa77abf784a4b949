package trunkline

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"trunkline.dev/go/internal/native"
)

// fullName is a name in memory whose backlog is full: who dials it waits.
func fullName(t testing.TB) string {
	t.Helper()
	rt, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	name := t.Name()
	handle, failure := native.Listen(rt.handle, 0, "mem:"+name, 1)
	if failure != nil {
		t.Fatal(failure)
	}
	t.Cleanup(func() { native.ListenerClose(handle) })
	dial(t, MemAddr(name))
	return name
}

// closedPort is an address on which nobody listens.
func closedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestDiallingFailsAsPackageNetDoes(t *testing.T) {
	balanced(t)
	refused := closedPort(t)
	for _, c := range []struct {
		network, address string
		kind             Kind
		is               error
	}{
		{"tcp", refused, KindConnect, syscall.ECONNREFUSED},
		{"tcp4", refused, KindConnect, syscall.ECONNREFUSED},
		{"tcp", noName + ":80", KindConnect, nil},
		{"tcp6", noName + ":80", KindConnect, nil},
		{"unix", "/no/such/socket", KindConnect, os.ErrNotExist},
		{"mem", "nobody", KindConnect, nil},
		{"tcp", "127.0.0.1:0", KindConfig, nil},
		{"tcp", "127.0.0.1", KindConfig, nil},
		{"tcp4", "[::1]:80", KindConfig, nil},
		{"tcp", "bad host:80", KindConfig, nil},
		{"ip", "127.0.0.1", KindConfig, nil},
	} {
		t.Run(c.network+" "+c.address, func(t *testing.T) {
			_, err := Dial(soon(t), c.network, c.address)
			var op *net.OpError
			var known *Error
			if !errors.As(err, &op) || op.Op != "dial" || op.Addr == nil {
				t.Fatalf("got %#v", err)
			}
			if !errors.As(err, &known) || known.Kind != c.kind || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v: %#v", err, known)
			}
			if known.Retryable != (c.kind == KindConnect) {
				t.Errorf("retryable: %v", known.Retryable)
			}
		})
	}
	if _, err := DialAddr(soon(t), "http://127.0.0.1"); kindOf(err) != KindConfig {
		t.Errorf("got %v", err)
	}
}

func TestAContextEndsADial(t *testing.T) {
	balanced(t)
	name := fullName(t)
	broken := errors.New("the user went away")
	for what, c := range map[string]struct {
		context func() (context.Context, func())
		kind    Kind
		is      []error
	}{
		"cancelled before": {
			func() (context.Context, func()) {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				return ctx, cancel
			},
			KindCancelled, []error{context.Canceled},
		},
		"cancelled meanwhile, with a cause": {
			func() (context.Context, func()) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Millisecond, func() { cancel(broken) })
				return ctx, func() { cancel(nil) }
			},
			KindCancelled, []error{context.Canceled, broken},
		},
		"out of time before": {
			func() (context.Context, func()) { return context.WithDeadline(t.Context(), testTime) },
			KindTimeout, []error{context.DeadlineExceeded, os.ErrDeadlineExceeded},
		},
		"out of time meanwhile": {
			func() (context.Context, func()) { return context.WithTimeout(t.Context(), 10*time.Millisecond) },
			KindTimeout, []error{context.DeadlineExceeded, os.ErrDeadlineExceeded},
		},
	} {
		t.Run(what, func(t *testing.T) {
			ctx, cancel := c.context()
			defer cancel()
			_, err := Dial(ctx, "mem", name)
			if kindOf(err) != c.kind {
				t.Errorf("got %v", err)
			}
			for _, is := range c.is {
				if !errors.Is(err, is) {
					t.Errorf("%v is not %v", err, is)
				}
			}
			var known net.Error
			if !errors.As(err, &known) || known.Timeout() != (c.kind == KindTimeout) {
				t.Errorf("timeout: %v", err)
			}
		})
	}
}

// Dials that are cancelled at every moment, while the collector runs, leave nothing behind: no operation, no late
// stream, no goroutine.
func TestACancelStormLeavesNothing(t *testing.T) {
	balanced(t)
	l := listening(t, "tcp://127.0.0.1:0")
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	stop := make(chan struct{})
	var churn sync.WaitGroup
	churn.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	})
	goroutines := runtime.NumGoroutine()
	const dialers, each = 32, 60
	var cancelled, connected atomic.Int64
	var all sync.WaitGroup
	for i := range dialers {
		all.Go(func() {
			for j := range each {
				ctx, cancel := context.WithCancel(t.Context())
				timer := time.AfterFunc(time.Duration((i*each+j)%200)*5*time.Microsecond, cancel)
				conn, err := Dial(ctx, "tcp", l.Addr().String())
				switch {
				case err == nil:
					connected.Add(1)
					conn.Close()
				case errors.Is(err, context.Canceled):
					cancelled.Add(1)
				default:
					t.Error(err)
				}
				timer.Stop()
				cancel()
			}
		})
	}
	all.Wait()
	close(stop)
	churn.Wait()
	t.Logf("%d cancelled, %d connected", cancelled.Load(), connected.Load())
	if cancelled.Load() == 0 {
		t.Error("no dial was cancelled")
	}
	eventually(t, func() error {
		if now := runtime.NumGoroutine(); now > goroutines {
			return errors.New("goroutines are left over")
		}
		return nil
	})
}

// Reads that are cut off by Close and by deadlines while data flows never see bytes of another connection.
func TestReadersThatAreCutOffHarmNobody(t *testing.T) {
	balanced(t)
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			for range 30 {
				a, b, err := Pipe(PipeCapacity(16))
				if err != nil {
					t.Error(err)
					return
				}
				go func() {
					chunk := make([]byte, 10)
					for k := range chunk {
						chunk[k] = byte(i)
					}
					for {
						if _, err := a.Write(chunk); err != nil {
							return
						}
					}
				}()
				time.AfterFunc(time.Duration(i)*20*time.Microsecond, func() { b.Close() })
				got, err := io.ReadAll(b)
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("got %v", err)
				}
				for _, c := range got {
					if c != byte(i) {
						t.Errorf("reader %d got a byte of %d", i, c)
						break
					}
				}
				a.Close()
			}
		})
	}
	all.Wait()
}
