package trunkline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"
)

func TestHTTPAsksOverThePool(t *testing.T) {
	balanced(t)
	listener := listening(t, "tcp://127.0.0.1:0")
	server := &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello ", r.Host) }),
		ErrorLog: log.New(io.Discard, "", 0),
	}
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()
	p := opened(t, CheckoutPoolConfig{MaxSize: 2}, listener.Addr())
	transport := &http.Transport{DialContext: DialContext(p)}
	client := &http.Client{Transport: transport}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			response, err := client.Get("http://backend/")
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if body, err := io.ReadAll(response.Body); string(body) != "hello backend" || err != nil {
				t.Errorf("got %q, %v", body, err)
			}
		})
	}
	all.Wait()
	if s := p.Stats(); s.PeakUsed > 2 || s.Acquired == 0 {
		t.Errorf("got %+v", s)
	}
	transport.CloseIdleConnections()
	eventually(t, func() error {
		if s := p.Stats(); s.Used != 0 || s.ClosedBy[PoolCloseDiscarded] == 0 {
			return fmt.Errorf("got %+v", s)
		}
		return nil
	})
	server.Close()
	<-served
}

func TestADialledConnectionEndsItsLeaseWithItsClose(t *testing.T) {
	balanced(t)
	p := opened(t, CheckoutPoolConfig{MaxSize: 1, AcquireTimeout: After(0)}, echoingOn(t, "tcp://127.0.0.1:0").Addr())
	release(t, get(t, p))
	dial := DialContext(p)
	dialled := func() net.Conn {
		conn, err := dial(soon(t), "tcp", "ignored:80")
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}

	conn := dialled()
	var refusal *net.OpError
	if _, err := dial(context.Background(), "tcp", "ignored:80"); !errors.As(err, &refusal) || !refusal.Timeout() || !errors.Is(err, ErrPoolTimeout) {
		t.Errorf("got %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := conn.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second close: %v", err)
	}
	if s := p.Stats(); s.Closed != 0 {
		t.Errorf("an unused connection was closed: %+v", s)
	}

	conn = dialled()
	asks(t, conn, "clean")
	if err := conn.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Error(err)
	}
	if err := conn.(interface{ Release() error }).Release(); err != nil {
		t.Error(err)
	}
	if s := p.Stats(); s.Closed != 0 {
		t.Errorf("a connection that was given back was closed: %+v", s)
	}

	conn = dialled()
	asks(t, conn, "used")
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a late read: %v", err)
	}
	eventually(t, func() error {
		if s := p.Stats(); s.Created != 1 || s.ClosedBy[PoolCloseDiscarded] != 1 {
			return fmt.Errorf("got %+v", s)
		}
		return nil
	})
}

// Connections of the host's own may be lent to net/http as well; their deadlines do not outlive the lease.
func TestAHostsConnectionsAreDialledToo(t *testing.T) {
	balanced(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				reader := bufio.NewReader(conn)
				for {
					line, err := reader.ReadString('\n')
					if err != nil {
						return
					}
					_, _ = conn.Write([]byte(line))
				}
			}()
		}
	}()
	dial := func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", listener.Addr().String())
	}
	p := poolOf(t, dial, CheckoutPoolConfig{MaxSize: 1})
	for range 2 {
		conn, err := DialContext(p)(soon(t), "tcp", "ignored:80")
		if err != nil {
			t.Fatal(err)
		}
		asks(t, conn, "line\n")
		if err := conn.SetDeadline(time.Unix(1, 0)); err != nil {
			t.Error(err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := conn.(interface{ Release() error }).Release(); err != nil {
			t.Error(err)
		}
	}
	if n := p.Stats().Created; n != 1 {
		t.Errorf("%d connections", n)
	}
}
