package trunkline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func newManager(t *testing.T, config TcpManagerConfig) *TcpConnectionManager {
	t.Helper()
	balanced(t)
	m, err := NewTcpConnectionManager(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// echoing is the address of a server that sends back what it gets.
func echoing(t *testing.T) string {
	t.Helper()
	l := listening(t, "tcp://127.0.0.1:0")
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.AcceptConn()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
				_ = conn.CloseWrite()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		served.Wait()
	})
	return "tcp://" + l.Addr().String()
}

func TestARelayCarriesBothWaysAndCounts(t *testing.T) {
	m := newManager(t, TcpManagerConfig{})
	at, err := m.Relay(t.Context(), "tcp://127.0.0.1:0", echoing(t))
	if err != nil {
		t.Fatal(err)
	}
	const clients, size = 4, 300_000
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			conn, err := Dial(t.Context(), "tcp", at.String())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			sent := bytes.Repeat([]byte{byte(i), 7}, size/2)
			go func() {
				_, _ = conn.Write(sent)
				_ = conn.(*Conn).CloseWrite()
			}()
			got, err := io.ReadAll(conn)
			if err != nil || sha256.Sum256(got) != sha256.Sum256(sent) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	all.Wait()
	eventually(t, func() error {
		if m.Stats().Active != 0 {
			return errors.New("connections are left")
		}
		return nil
	})
	stats := m.Stats()
	if stats.Opened != clients || stats.Closed != clients || stats.ClosedBy[CloseFinished] != clients {
		t.Errorf("got %+v", stats)
	}
}

func TestBulkIsSplicedWhereTheConfigurationSays(t *testing.T) {
	for name, c := range map[string]struct {
		after   ByteLimit
		spliced bool
	}{
		"unset": {ByteLimit{}, true},
		"zero":  {AfterBytes(0), true},
		"never": {NeverBytes, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t, TcpManagerConfig{Splice: SpliceConfig{After: c.after, MaxPipes: 8, PipeSize: 65536}})
			at, err := m.Relay(t.Context(), "tcp://127.0.0.1:0", echoing(t))
			if err != nil {
				t.Fatal(err)
			}
			conn, err := Dial(t.Context(), "tcp", at.String())
			if err != nil {
				t.Fatal(err)
			}
			sent := bytes.Repeat([]byte{1, 2, 3, 4}, 1<<20)
			go func() {
				_, _ = conn.Write(sent)
				_ = conn.(*Conn).CloseWrite()
			}()
			got, err := io.ReadAll(conn)
			conn.Close()
			if err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			eventually(t, func() error {
				if m.Stats().Active != 0 {
					return errors.New("it is left")
				}
				return nil
			})
			stats := m.Stats()
			if (stats.BytesSpliced > 0) != c.spliced || stats.BytesSpliced > stats.BytesReceived+stats.BytesSent {
				t.Errorf("got %+v", stats)
			}
		})
	}
}

func TestConnectionsAreListedLookedAtAndKilledByNumber(t *testing.T) {
	m := newManager(t, TcpManagerConfig{})
	l := listening(t, "mem:go-live")
	at, err := m.Relay(t.Context(), "tcp://127.0.0.1:0", "mem:go-live")
	if err != nil {
		t.Fatal(err)
	}
	client := dial(t, at)
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if _, err := io.ReadFull(server, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	held, err := m.DialAddr(soon(t), "mem:go-live")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	page := func(after uint64, most int) []LiveTcpConnection {
		live, err := m.Live(after, most)
		if err != nil {
			t.Fatal(err)
		}
		return live
	}
	eventually(t, func() error {
		if page(0, 1)[0].State != LiveRelaying {
			return errors.New("not yet relayed")
		}
		return nil
	})
	live := page(0, 10)
	if len(live) != 2 || live[1].State != LiveHeld || live[1].Destination != "mem:go-live" {
		t.Fatalf("got %+v", live)
	}
	one := live[0]
	if one.Source != "tcp://"+client.LocalAddr().String() || one.Local != "tcp://"+at.String() ||
		one.Destination != "mem:go-live" || one.BytesReceived != 5 || one.Age <= 0 || one.Idle > one.Age {
		t.Errorf("got %+v", one)
	}
	if next := page(one.ID, 1); len(next) != 1 || next[0].ID != live[1].ID || len(page(live[1].ID, 1)) != 0 {
		t.Errorf("after %d comes %+v", one.ID, next)
	}
	if again, err := m.Inspect(one.ID); err != nil || again.ID != one.ID {
		t.Errorf("got %+v, %v", again, err)
	}
	if _, err := m.Live(0, 0); kindOf(err) != KindConfig {
		t.Errorf("an empty page: %v", err)
	}
	if err := m.Kill(one.ID); err != nil {
		t.Fatal(err)
	}
	if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
	eventually(t, func() error {
		if stats := m.Stats(); stats.Active != 1 || stats.ClosedBy[CloseKilled] != 1 {
			return errors.New("it still stands")
		}
		return nil
	})
	_, err = m.Inspect(one.ID)
	if kindOf(m.Kill(one.ID)) != KindNotFound || kindOf(err) != KindNotFound {
		t.Errorf("after the kill: %v", err)
	}
}

func TestAConnectionEndsAtItsMaximumAndIsNoFasterThanItMay(t *testing.T) {
	m := newManager(t, TcpManagerConfig{
		MaxDuration: After(time.Second), Bandwidth: BandwidthConfig{ToServer: AfterBytes(50_000), Burst: 1000},
	})
	l := listening(t, "mem:go-limited")
	at, err := m.Relay(t.Context(), "tcp://127.0.0.1:0", "mem:go-limited")
	if err != nil {
		t.Fatal(err)
	}
	client := dial(t, at)
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if _, err := client.Write(make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if m.Stats().ClosedBy[CloseMaxDuration] != 1 {
			return errors.New("it still stands")
		}
		return nil
	})
	if n := m.Stats().BytesReceived; n >= 100_000 {
		t.Errorf("%d bytes in a second", n)
	}
}

func TestALimitIsNeverExceeded(t *testing.T) {
	m := newManager(t, TcpManagerConfig{MaxConnections: 2})
	to := strings.TrimPrefix(echoing(t), "tcp://")
	first, err := m.Dial(soon(t), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := m.DialAddr(soon(t), "tcp://"+to)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	_, err = m.Dial(soon(t), "tcp", to)
	var known *Error
	if !errors.Is(err, ErrLimitExceeded) || !errors.As(err, &known) || !known.Retryable {
		t.Errorf("got %v", err)
	}
	if stats := m.Stats(); stats.Active != 2 || stats.Limit != 2 || stats.Dialled != 2 {
		t.Errorf("got %+v", stats)
	}
	second.Close()
	third, err := m.Dial(soon(t), "tcp", to)
	if err != nil {
		t.Fatalf("after a Close: %v", err)
	}
	third.Close()
	if _, err := m.Dial(soon(t), "tcp", closedPort(t)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
}

func TestWhatExceedsTheLimitWaitsInTheBacklog(t *testing.T) {
	m := newManager(t, TcpManagerConfig{MaxConnections: 1})
	l, err := m.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial(t, l.Addr())
	dial(t, l.Addr())
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			conn.Close()
		}
		second <- err
	}()
	select {
	case err := <-second:
		t.Errorf("a second connection at a limit of one: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	first.Close()
	if err := <-second; err != nil {
		t.Error(err)
	}
	if stats := m.Stats(); stats.Accepted != 2 {
		t.Errorf("got %+v", stats)
	}
}

func TestADrainWaitsForWhatIsOpenAndCutsWhatStays(t *testing.T) {
	m := newManager(t, TcpManagerConfig{DrainSpread: After(time.Hour)})
	at, err := m.Relay(t.Context(), "tcp://127.0.0.1:0", echoing(t))
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, at)
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if _, err := m.Drain(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if stats := m.Stats(); stats.Active != 1 {
		t.Errorf("a cancelled drain: %+v", stats)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if cut, err := m.Drain(short); cut != 1 || err != nil {
		t.Errorf("cut %d, %v", cut, err)
	}
	if stats := m.Stats(); stats.Active != 0 || stats.ClosedBy[CloseDrained] != 1 {
		t.Errorf("got %+v", stats)
	}
	if cut, err := m.Drain(soon(t)); cut != 0 || err != nil {
		t.Errorf("a second drain cut %d, %v", cut, err)
	}
}

func TestAManagerThatIsClosedClosesItsConnections(t *testing.T) {
	m := newManager(t, TcpManagerConfig{})
	conn, err := m.DialAddr(soon(t), echoing(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := m.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second Close: %v", err)
	}
	if stats := m.Stats(); stats.Opened != 1 || stats.Closed != 1 || stats.Active != 0 {
		t.Errorf("got %+v", stats)
	}
	if _, err := m.Dial(soon(t), "tcp", "127.0.0.1:1"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a dial afterwards: %v", err)
	}
	if _, err := m.Relay(t.Context(), "tcp://127.0.0.1:0", "tcp://127.0.0.1:1"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a relay afterwards: %v", err)
	}
}

func TestARelayNeedsAddresses(t *testing.T) {
	m := newManager(t, TcpManagerConfig{})
	taken := listening(t, "tcp://127.0.0.1:0")
	for _, c := range []struct {
		listen, destination string
		kind                Kind
	}{
		{"127.0.0.1:0", "tcp://127.0.0.1:1", KindConfig},
		{"tcp://127.0.0.1", "tcp://127.0.0.1:1", KindConfig},
		{"tcp://127.0.0.1:0", "nowhere", KindConfig},
		{"tcp://" + taken.Addr().String(), "tcp://127.0.0.1:1", KindBind},
	} {
		if at, err := m.Relay(t.Context(), c.listen, c.destination); kindOf(err) != c.kind {
			t.Errorf("%s to %s: %v, %v", c.listen, c.destination, at, err)
		}
	}
}

func TestAManagerConfigOutOfRangeNamesTheField(t *testing.T) {
	balanced(t)
	for field, config := range map[string]TcpManagerConfig{
		"max_connections":        {MaxConnections: 1_000_001},
		"idle_timeout":           {IdleTimeout: After(0)},
		"buffer_size":            {BufferSize: 1},
		"splice.pipe_size":       {Splice: SpliceConfig{PipeSize: 1}},
		"bandwidth.to_client":    {Bandwidth: BandwidthConfig{ToClient: AfterBytes(0)}},
		"max_duration":           {MaxDuration: After(0)},
		"per_source.ipv6_prefix": {PerSource: PerSourceConfig{IPv6Prefix: Set[uint8](129)}},
		"tcp.keepalive.count":    {TCP: TcpConfig{Keepalive: TcpKeepalive{Count: 128}}},
		"tcp.user_timeout":       {TCP: TcpConfig{UserTimeout: After(25 * 24 * time.Hour)}},
		"tcp.connect_timeout":    {TCP: TcpConfig{ConnectTimeout: Never}},
		"tcp.keepalive.interval": {TCP: TcpConfig{Keepalive: TcpKeepalive{Interval: After(0)}}},
		"tcp.backlog":            {TCP: TcpConfig{Backlog: 65536}},
		"half_close_timeout":     {HalfCloseTimeout: After(-1)},
		"accept_pause":           {AcceptPause: After(0)},
		"tcp.attempt_stagger":    {TCP: TcpConfig{AttemptStagger: After(-1)}},
		"drain_timeout":          {DrainTimeout: After(-1)},
		"drain_spread":           {DrainSpread: Never},
	} {
		if _, err := NewTcpConnectionManager(config); kindOf(err) != KindConfig || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	m, err := NewTcpConnectionManager(TcpManagerConfig{
		HalfCloseTimeout: After(0), DrainTimeout: Never, TCP: TcpConfig{NoDelay: Set(false), Keepalive: TcpKeepalive{Idle: Never}},
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
}

func TestAManagerThatIsDroppedEndsItsRelaysAndLeavesItsConnections(t *testing.T) {
	logged := captureLog(t)
	balanced(t)
	address := echoing(t)
	conn, relay := func() (net.Conn, net.Addr) {
		m, err := NewTcpConnectionManager(TcpManagerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := m.DialAddr(soon(t), address)
		if err != nil {
			t.Fatal(err)
		}
		relay, err := m.Relay(t.Context(), "tcp://127.0.0.1:0", address)
		if err != nil {
			t.Fatal(err)
		}
		return conn, relay
	}()
	defer conn.Close()
	eventually(t, func() error {
		runtime.GC()
		late, err := Dial(soon(t), "tcp", relay.String())
		if err == nil {
			late.Close()
			return errors.New("the relay still listens")
		}
		return nil
	})
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	if !strings.Contains(logged(), "a TCP connection manager was dropped") {
		t.Errorf("logged %q", logged())
	}
}
