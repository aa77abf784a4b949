package trunkline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// echoingOn is a listener whose connections give back what they get, until the test ends.
func echoingOn(t testing.TB, address string) *Listener {
	t.Helper()
	listener := listening(t, address)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				_, _ = io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}, make([]byte, 64))
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		all.Wait()
	})
	return listener
}

func opened(t testing.TB, config CheckoutPoolConfig, to ...net.Addr) *Pool[*Conn] {
	t.Helper()
	targets := make([]string, len(to))
	for i, addr := range to {
		targets[i] = addressOf(addr)
	}
	open := OpenPool
	if len(to) > 0 && securing(to[0]) != nil {
		open = securing(to[0]).OpenPool
	}
	p, err := open(t.Context(), targets, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func addressOf(addr net.Addr) string {
	if securing(addr) != nil {
		return "tls://" + addr.String()
	}
	if addr.Network() == "tcp" {
		return "tcp://" + addr.String()
	}
	return addr.Network() + ":" + addr.String()
}

// asks sends a text over a connection and wants it back.
func asks(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestConnectionsOfEveryTransportAreLentAgain(t *testing.T) {
	for name := range addresses(t) {
		t.Run(name, func(t *testing.T) {
			balanced(t)
			p := opened(t, CheckoutPoolConfig{MaxSize: 1}, echoingOn(t, addresses(t)[name]).Addr())
			var local string
			for range 3 {
				l := get(t, p)
				if l.Conn().LocalAddr().String() != local && local != "" {
					t.Error("it is another connection")
				}
				local = l.Conn().LocalAddr().String()
				asks(t, l.Conn(), "hello")
				release(t, l)
			}
			if s := p.Stats(); s.Created != 1 || s.Acquired != 3 {
				t.Errorf("got %+v", s)
			}
		})
	}
}

// A holder that reads on after its lease, or left a deadline behind, does not disturb the next one.
func TestNothingOfAHolderOutlivesItsLease(t *testing.T) {
	balanced(t)
	p := opened(t, CheckoutPoolConfig{MaxSize: 1}, echoingOn(t, "tcp://127.0.0.1:0").Addr())
	l := get(t, p)
	conn := l.Conn()
	read := make(chan error)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		read <- err
	}()
	eventually(t, func() error {
		if !conn.stream.in.armed.Load() {
			return errors.New("the read does not wait yet")
		}
		return nil
	})
	if err := conn.SetWriteDeadline(time.Now()); err != nil {
		t.Error(err)
	}
	release(t, l)
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the read that waited: %v", err)
	}
	if _, err := conn.Write([]byte("late")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a late write: %v", err)
	}
	l = get(t, p)
	asks(t, l.Conn(), "next")
	release(t, l)
	if n := p.Stats().Created; n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestAConnectionThatItsHolderClosedIsNotLentAgain(t *testing.T) {
	balanced(t)
	p := opened(t, CheckoutPoolConfig{MaxSize: 1}, echoingOn(t, "tcp://127.0.0.1:0").Addr())
	l := get(t, p)
	if err := l.Conn().Close(); err != nil {
		t.Error(err)
	}
	release(t, l)
	l = get(t, p)
	asks(t, l.Conn(), "again")
	release(t, l)
	if s := p.Stats(); s.Created != 2 || s.ClosedBy[PoolCloseBroken] != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestAConnectionThatThePeerEndedIsNotLent(t *testing.T) {
	balanced(t)
	listener := listening(t, "tcp://127.0.0.1:0")
	p := opened(t, CheckoutPoolConfig{MaxSize: 1}, listener.Addr())
	l := get(t, p)
	far, err := listener.AcceptConn()
	if err != nil {
		t.Fatal(err)
	}
	release(t, l)
	far.Close()
	eventually(t, func() error {
		l := get(t, p)
		defer release(t, l)
		if p.Stats().Created != 2 {
			return errors.New("the old connection is lent")
		}
		return nil
	})
}

func TestADetachedConnIsOpenAfterItsPool(t *testing.T) {
	balanced(t)
	p := opened(t, CheckoutPoolConfig{MaxSize: 1}, echoingOn(t, "tcp://127.0.0.1:0").Addr())
	conn, err := get(t, p).Detach()
	if err != nil {
		t.Fatal(err)
	}
	release(t, get(t, p))
	p.Close()
	asks(t, conn, "mine")
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

func TestNoConnToAnEndpointThatWasTakenOutIsLent(t *testing.T) {
	balanced(t)
	one, two := echoingOn(t, "tcp://127.0.0.1:0"), echoingOn(t, "tcp://127.0.0.1:0")
	p := opened(t, CheckoutPoolConfig{MaxSize: 2}, one.Addr())
	before := get(t, p)
	if err := p.SetEndpoints([]string{addressOf(two.Addr())}); err != nil {
		t.Fatal(err)
	}
	after := get(t, p)
	if to := after.Conn().RemoteAddr().String(); to != two.Addr().String() {
		t.Errorf("the next goes to %s", to)
	}
	release(t, before)
	release(t, after)
	eventually(t, func() error {
		if by := p.Stats().ClosedBy; by[PoolCloseEndpointRemoved] != 1 {
			return fmt.Errorf("closed: %v", by)
		}
		return nil
	})
	for _, wrong := range [][]string{nil, {"nowhere"}} {
		if err := p.SetEndpoints(wrong); kindOf(err) != KindConfig {
			t.Errorf("%v: %v", wrong, err)
		}
	}
}

func TestARefusedConnectionIsTheCauseOfTheTimeout(t *testing.T) {
	balanced(t)
	listener := listening(t, "tcp://127.0.0.1:0")
	listener.Close()
	p := opened(t, CheckoutPoolConfig{}, listener.Addr())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := p.Get(ctx)
	if !errors.Is(err, ErrPoolTimeout) || !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), listener.Addr().String()) {
		t.Errorf("got %v", err)
	}
	if _, err := OpenPool(t.Context(), []string{"nowhere"}, CheckoutPoolConfig{}); kindOf(err) != KindConfig {
		t.Errorf("got %v", err)
	}
	if _, err := OpenPool(t.Context(), nil, CheckoutPoolConfig{}); kindOf(err) != KindConfig {
		t.Errorf("got %v", err)
	}
}

func TestEndpointsShareTheConnections(t *testing.T) {
	balanced(t)
	one, two := echoingOn(t, "mem:"+t.Name()+"1"), echoingOn(t, "mem:"+t.Name()+"2")
	p := opened(t, CheckoutPoolConfig{MaxSize: 4}, one.Addr(), two.Addr())
	seen := make(map[string]int)
	var leases []*Lease[*Conn]
	for range 4 {
		l := get(t, p)
		seen[l.Conn().RemoteAddr().String()]++
		leases = append(leases, l)
	}
	if seen[one.Addr().String()] != 2 || seen[two.Addr().String()] != 2 {
		t.Errorf("got %v", seen)
	}
	release(t, leases...)
}

func TestAConnKeepsItsLease(t *testing.T) {
	logged := captureLog(t)
	balanced(t)
	p := opened(t, CheckoutPoolConfig{MaxSize: 1}, echoingOn(t, "tcp://127.0.0.1:0").Addr())
	conn := get(t, p).Conn()
	for range 3 {
		runtime.GC()
	}
	asks(t, conn, "still here")
	if logged() != "" {
		t.Errorf("logged %q", logged())
	}
	conn = nil
	eventually(t, func() error {
		runtime.GC()
		if p.Stats().Used != 0 {
			return errors.New("the lease is not found")
		}
		return nil
	})
	if !strings.Contains(logged(), "dropped without Release") {
		t.Errorf("logged %q", logged())
	}
}
