package trunkline

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"trunkline.dev/go/internal/native"
)

func TestALibraryOfAnotherABIIsRefusedAtStart(t *testing.T) {
	if err := native.CheckABI(native.HeaderABI); err != nil {
		t.Error(err)
	}
	for _, header := range []uint32{native.HeaderABI + 1, native.HeaderABI + 1<<16} {
		err := native.CheckABI(header)
		if err == nil || !strings.Contains(err.Error(), "needs ABI") || !strings.Contains(err.Error(), Version()) {
			t.Errorf("%#x: %v", header, err)
		}
	}
}

func TestShutdownClosesWhatIsOpenAndLeavesNothing(t *testing.T) {
	balanced(t)
	goroutines := runtime.NumGoroutine()
	rt, err := Start(WithWorkers(1), WithThreadName("shutdown"), WithMaxHandles(100))
	if err != nil {
		t.Fatal(err)
	}
	l, err := rt.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	peers := listening(t, "mem:"+t.Name()) // on the default runtime, so that the peers stay
	failures := make(chan error, 3)
	go func() { _, err := l.Accept(); failures <- err }()
	for _, wait := range []func(net.Conn) (int, error){
		func(c net.Conn) (int, error) { return c.Read(make([]byte, 1)) },
		func(c net.Conn) (int, error) { return c.Write(make([]byte, 1<<20)) },
	} {
		c, err := rt.Dial(t.Context(), "mem", t.Name())
		if err != nil {
			t.Fatal(err)
		}
		peer, err := peers.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		go func() { _, err := wait(c); failures <- err }()
	}
	if err := rt.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	for range cap(failures) {
		if err := <-failures; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
	if err := rt.Shutdown(soon(t)); err != nil {
		t.Errorf("a second Shutdown: %v", err)
	}
	if _, err := rt.Dial(soon(t), "tcp", "127.0.0.1:1"); kindOf(err) != KindStale {
		t.Errorf("a dial afterwards: %v", err)
	}
	if _, _, err := rt.Pipe(); kindOf(err) != KindStale {
		t.Errorf("a pipe afterwards: %v", err)
	}
	if _, err := rt.Listen(t.Context(), "mem", "x"); kindOf(err) != KindStale {
		t.Errorf("a listener afterwards: %v", err)
	}
	eventually(t, func() error {
		if now := runtime.NumGoroutine(); now > goroutines {
			return fmt.Errorf("%d goroutines, %d before", now, goroutines)
		}
		return nil
	})
}

func TestShutdownEndsADialThatIsUnderWay(t *testing.T) {
	balanced(t)
	name := fullName(t)
	rt, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	dialled := make(chan error)
	before := native.DebugCounts().Operations
	go func() {
		_, err := rt.Dial(t.Context(), "mem", name)
		dialled <- err
	}()
	eventually(t, func() error {
		if native.DebugCounts().Operations == before {
			return errors.New("the dial has not begun")
		}
		return nil
	})
	if err := rt.Shutdown(soon(t)); err != nil {
		t.Error(err)
	}
	if err := <-dialled; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTheDefaultRuntimeComesBackAfterAShutdown(t *testing.T) {
	first, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	if err := Configure(WithWorkers(1)); kindOf(err) != KindConfig {
		t.Errorf("a Configure while it runs: %v", err)
	}
	if err := first.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := Configure(WithWorkers(1)); err != nil {
		t.Errorf("a Configure after the shutdown: %v", err)
	}
	second, err := Default()
	if err != nil || second == first {
		t.Fatalf("%p after %p, %v", second, first, err)
	}
	a, b := pipe(t)
	if _, err := a.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := b.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

func TestOptionsOutOfRangeAreRefused(t *testing.T) {
	balanced(t)
	for _, option := range []Option{WithWorkers(1025), WithThreadName("a\x00b"), WithThreadName("\xff")} {
		if rt, err := Start(option); kindOf(err) != KindConfig {
			t.Errorf("%v, %v", rt, err)
		}
	}
}

func TestTheLimitOfHandlesHolds(t *testing.T) {
	balanced(t)
	rt, err := Start(WithMaxHandles(3))
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Shutdown(soon(t))
	a, b, err := rt.Pipe() // the third handle is the queue's
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := rt.Pipe(); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("got %v", err)
	}
	a.Close()
	b.Close()
	if _, _, err := rt.Pipe(); err != nil {
		t.Errorf("after a Close: %v", err)
	}
}

func TestDescriptorsThatRunOutAreATemporaryFailureOfAccept(t *testing.T) {
	balanced(t)
	l := listening(t, "tcp://127.0.0.1:0")
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	withoutDescriptors(t, func() {
		_, err = l.Accept()
	})
	var known interface{ Temporary() bool }
	if !errors.Is(err, ErrLimitExceeded) || !errors.Is(err, syscall.EMFILE) || !errors.As(err, &known) || !known.Temporary() {
		t.Errorf("got %v", err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatalf("afterwards: %v", err)
	}
	conn.Close()
}

// withoutDescriptors runs f while the process may open no more files.
func withoutDescriptors(t *testing.T, f func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	none := before
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}

func TestWhatIsDroppedWithoutCloseIsCollected(t *testing.T) {
	logged := captureLog(t)
	before := native.DebugCounts()
	func() {
		a, b, err := Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = a.Write([]byte("x"))
		_, _ = b.Read(make([]byte, 1))
		if _, err := ListenAddr(t.Context(), "mem:dropped"); err != nil {
			t.Fatal(err)
		}
		rt, err := Start()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := rt.Pipe(); err != nil {
			t.Fatal(err)
		}
	}()
	eventually(t, func() error {
		runtime.GC()
		if now := native.DebugCounts(); now != before {
			return fmt.Errorf("objects before %+v, now %+v", before, now)
		}
		return nil
	})
	for text, times := range map[string]int{"a connection was dropped": 4, "a listener was dropped": 1, "a runtime was dropped": 1} {
		if n := strings.Count(logged(), text); n != times {
			t.Errorf("%q was logged %d times", text, n)
		}
	}
}

func TestWhatIsInUseIsNotCollected(t *testing.T) {
	balanced(t)
	a, b, err := Pipe()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func(b *Conn) { // the only reference left is that of the waiting call
		_, err := b.Read(make([]byte, 1))
		got <- err
	}(b)
	d := &b.stream.in
	b = nil
	eventually(t, func() error {
		if !d.armed.Load() {
			return errors.New("the read does not wait")
		}
		return nil
	})
	for range 5 {
		runtime.GC()
	}
	if _, err := a.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
	a.Close()
	eventually(t, func() error {
		runtime.GC()
		if n := native.DebugCounts().Streams; n != 0 {
			return fmt.Errorf("%d streams", n)
		}
		return nil
	})
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	balanced(t)
	rt, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if err := rt.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
