package trunkline

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

func newUdpManager(t *testing.T, config UdpManagerConfig) *UdpConnectionManager {
	t.Helper()
	balanced(t)
	m, err := NewUdpConnectionManager(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// echoingPackets is the address of a server that gives every datagram back, so many times.
func echoingPackets(t *testing.T, times int) string {
	t.Helper()
	server := packets(t, "127.0.0.1:0")
	_ = server.SetDeadline(time.Time{})
	served := make(chan struct{})
	go func() {
		defer close(served)
		buf := make([]byte, 1<<16)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			for range times {
				if _, err := server.WriteTo(buf[:n], from); err != nil {
					return
				}
			}
		}
	}()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return "udp://" + server.LocalAddr().String()
}

func relayed(t *testing.T, m *UdpConnectionManager, destination string, options UdpRelayOptions) netip.AddrPort {
	t.Helper()
	at, err := m.Relay(t.Context(), "udp://127.0.0.1:0", destination, options)
	if err != nil {
		t.Fatal(err)
	}
	return at.(*net.UDPAddr).AddrPort()
}

func ask(t *testing.T, client *PacketConn, to netip.AddrPort, question string) {
	t.Helper()
	if _, err := client.WriteToUDPAddrPort([]byte(question), to); err != nil {
		t.Fatal(err)
	}
	answered(t, client, to, question)
}

func answered(t *testing.T, client *PacketConn, by netip.AddrPort, answer string) {
	t.Helper()
	buf := make([]byte, 100)
	n, from, err := client.ReadFromUDPAddrPort(buf)
	if err != nil || string(buf[:n]) != answer || from != by {
		t.Fatalf("got %q from %v, %v", buf[:n], from, err)
	}
}

// until waits until the counts are as they should be.
func until(t *testing.T, m *UdpConnectionManager, met func(UdpManagerStats) bool) {
	t.Helper()
	eventually(t, func() error {
		if stats := m.Stats(); !met(stats) {
			return errors.New("it did not happen")
		}
		return nil
	})
}

func TestEachSourceHasASessionAndGetsItsOwnAnswers(t *testing.T) {
	m := newUdpManager(t, UdpManagerConfig{})
	to := relayed(t, m, echoingPackets(t, 1), UdpRelayOptions{})
	clients := []*PacketConn{packets(t, "127.0.0.1:0"), packets(t, "127.0.0.1:0")}
	for range 3 {
		for _, client := range clients {
			ask(t, client, to, client.LocalAddr().String())
		}
	}
	until(t, m, func(s UdpManagerStats) bool { return s.DatagramsSent == 6 && s.Verified == 2 })
	s := m.Stats()
	if s.Active != 2 || s.Unverified != 0 || s.Opened != 2 || s.Limit != 2048 || s.DatagramsReceived != 6 || s.Dropped != 0 {
		t.Errorf("got %+v", s)
	}
	live := m.Live()
	if len(live) != 2 {
		t.Fatalf("got %+v", live)
	}
	for i, one := range live {
		if one.Source != addrOf(clients[i]) || one.Local != to || !one.Verified || one.Age <= 0 || one.DatagramsSent != 3 {
			t.Errorf("got %+v", one)
		}
	}
	m.Close()
	if s := m.Stats(); s.Active != 0 || s.ClosedBy[CloseLocal] != 2 {
		t.Errorf("after Close %+v", s)
	}
	if live := m.Live(); live != nil {
		t.Errorf("after Close %+v", live)
	}
}

func TestASessionIsKilledByItsNumber(t *testing.T) {
	m := newUdpManager(t, UdpManagerConfig{})
	to := relayed(t, m, echoingPackets(t, 1), UdpRelayOptions{})
	client := packets(t, "127.0.0.1:0")
	ask(t, client, to, "x")
	id := m.Live()[0].ID
	if err := m.Kill(id); err != nil {
		t.Fatal(err)
	}
	err := m.Kill(id)
	var known *Error
	if !errors.As(err, &known) || known.Kind != KindUDP || known.Op != "shutdown" {
		t.Errorf("got %v", err)
	}
	if s := m.Stats(); s.ClosedBy[CloseKilled] != 1 {
		t.Errorf("got %+v", s)
	}
	ask(t, client, to, "again")
	if live := m.Live(); len(live) != 1 || live[0].ID == id {
		t.Errorf("got %+v", live)
	}
}

func TestAnUnverifiedSourceGetsNoMoreThanTheLimit(t *testing.T) {
	m := newUdpManager(t, UdpManagerConfig{MaxSessions: 1, AmplificationLimit: 2})
	to := relayed(t, m, echoingPackets(t, 5), UdpRelayOptions{})
	client, late := packets(t, "127.0.0.1:0"), packets(t, "127.0.0.1:0")
	ask(t, client, to, "1")
	until(t, m, func(s UdpManagerStats) bool { return s.DroppedBy[DropAmplification] == 3 })
	answered(t, client, to, "1")
	ask(t, client, to, "2")
	for range 4 {
		answered(t, client, to, "2")
	}
	if _, err := late.WriteToUDPAddrPort([]byte("no place"), to); err != nil {
		t.Fatal(err)
	}
	until(t, m, func(s UdpManagerStats) bool { return s.DroppedBy[DropSessionTableFull] == 1 })
	if s := m.Stats(); s.Opened != 1 || s.Dropped != 4 {
		t.Errorf("got %+v", s)
	}
}

func TestSilenceEndsASessionInTheTimeOfItsClassAndRelay(t *testing.T) {
	m := newUdpManager(t, UdpManagerConfig{UnverifiedTimeout: After(time.Second), IdleTimeout: Never})
	destination := echoingPackets(t, 1)
	to := relayed(t, m, destination, UdpRelayOptions{IdleTimeout: After(500 * time.Millisecond)})
	client := packets(t, "127.0.0.1:0")
	ask(t, client, to, "1")
	ask(t, client, to, "2")
	until(t, m, func(s UdpManagerStats) bool { return s.ClosedBy[CloseIdleTimeout] == 1 })
	relayed(t, m, destination, UdpRelayOptions{IdleTimeout: Never})
	for _, wrong := range []time.Duration{0, -1, 1, 400 * 24 * time.Hour} {
		_, err := m.Relay(t.Context(), "udp://127.0.0.1:0", destination, UdpRelayOptions{IdleTimeout: After(wrong)})
		var known *Error
		if !errors.As(err, &known) || known.Kind != KindConfig {
			t.Errorf("%v: %v", wrong, err)
		}
	}
}

func TestADrainCutsAtItsDeadlineAndClosesWhatWasGivenAway(t *testing.T) {
	m := newUdpManager(t, UdpManagerConfig{})
	to := relayed(t, m, echoingPackets(t, 1), UdpRelayOptions{})
	client := packets(t, "127.0.0.1:0")
	ask(t, client, to, "x")
	own, err := m.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Drain(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	ask(t, client, to, "still here")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if cut, err := m.Drain(ctx); cut != 1 || err != nil {
		t.Errorf("cut %d, %v", cut, err)
	}
	if _, _, err := own.ReadFrom(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := m.ListenPacket(t.Context(), "udp", "127.0.0.1:0"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if s := m.Stats(); s.ClosedBy[CloseDrained] != 1 || s.Active != 0 {
		t.Errorf("got %+v", s)
	}
}

func TestWhatIsNoUdpConfigurationOrRelayIsRefused(t *testing.T) {
	m := newUdpManager(t, UdpManagerConfig{})
	refused := func(what string, err error) {
		t.Helper()
		var known *Error
		if !errors.As(err, &known) || known.Kind != KindConfig {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := NewUdpConnectionManager(UdpManagerConfig{AmplificationLimit: 70_000})
	refused("a figure out of its range", err)
	for listen, destination := range map[string]string{
		"udp://127.0.0.1:5": "udp://localhost:5",
		"tcp://127.0.0.1:0": "udp://127.0.0.1:9",
		"udp://127.0.0.1:0": "tcp://127.0.0.1:9",
		"udp://no port":     "udp://127.0.0.1:9",
	} {
		_, err := m.Relay(t.Context(), listen, destination, UdpRelayOptions{})
		refused(listen+" to "+destination, err)
	}
}

func TestEveryDropReasonHasAName(t *testing.T) {
	seen := make(map[string]bool)
	for reason := DropTruncated; reason <= DropSendFailed; reason++ {
		seen[reason.String()] = true
	}
	if len(seen) != 10 || seen[""] || DropReason(99).String() != "reason 99" {
		t.Errorf("got %v", seen)
	}
}
