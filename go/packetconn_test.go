package trunkline

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

func packets(t *testing.T, address string) *PacketConn {
	t.Helper()
	c, err := ListenPacket(t.Context(), "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*PacketConn)
}

func addrOf(c net.PacketConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

func TestADatagramArrivesWholeWithItsSource(t *testing.T) {
	balanced(t)
	server, client := packets(t, "127.0.0.1:0"), packets(t, "127.0.0.1:0")
	buf := make([]byte, 1<<16)
	for _, data := range [][]byte{[]byte("hello"), {}, bytes.Repeat([]byte{7}, 9000)} {
		if n, err := client.WriteTo(data, server.LocalAddr()); n != len(data) || err != nil {
			t.Fatal(n, err)
		}
		n, from, err := server.ReadFrom(buf)
		if err != nil || !bytes.Equal(buf[:n], data) || from.String() != client.LocalAddr().String() {
			t.Errorf("got %d bytes from %v, %v", n, from, err)
		}
	}
	if got := server.Stats(); got != (PacketConnStats{Received: 3}) {
		t.Errorf("got %+v", got)
	}
	server.Close()
	if got := server.Stats(); got.Received != 3 {
		t.Errorf("after Close %+v", got)
	}
}

func TestItSpeaksWithSocketsOfTheStandardLibrary(t *testing.T) {
	balanced(t)
	server := packets(t, "127.0.0.1:0")
	other, err := net.Dial("udp", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Write([]byte("theirs")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, from, err := server.ReadFromUDPAddrPort(buf)
	if err != nil || string(buf[:n]) != "theirs" || from.String() != other.LocalAddr().String() {
		t.Fatalf("got %q from %v, %v", buf[:n], from, err)
	}
	if _, err := server.WriteToUDPAddrPort([]byte("ours"), from); err != nil {
		t.Fatal(err)
	}
	if n, err := other.Read(buf); err != nil || string(buf[:n]) != "ours" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
}

func TestABatchTellsEachAddressThatWasAskedAndAnAnswerLeavesFromThere(t *testing.T) {
	balanced(t)
	server, client := packets(t, ":0"), packets(t, "127.0.0.1:0")
	port := addrOf(server).Port()
	for i := range byte(10) {
		to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, i%3 + 1}), port)
		if _, err := client.WriteToUDPAddrPort([]byte{i, i}, to); err != nil {
			t.Fatal(err)
		}
	}
	batch := make([]Packet, 4)
	for i := range batch {
		batch[i].Buf = make([]byte, i%2+1) // every other one is too short
	}
	for taken := byte(0); taken < 10; {
		n, err := server.ReadBatch(batch)
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
		for i, p := range batch[:n] {
			asked := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, taken%3 + 1}), port)
			if p.N != i%2+1 || p.WholeLen != 2 || p.Buf[0] != taken || p.Source != addrOf(client) || p.To != asked {
				t.Errorf("datagram %d is %+v", taken, p)
			}
			if _, err := server.WriteFrom(p.Buf[:1], p.Source, p.To.Addr()); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 1)
			if _, from, err := client.ReadFromUDPAddrPort(buf); err != nil || from != asked || buf[0] != taken {
				t.Errorf("answer %d from %v, %v", buf[0], from, err)
			}
			taken++
		}
	}
	if got := server.Stats(); got.Received != 10 || got.Truncated == 0 || got.Sent != 10 {
		t.Errorf("got %+v", got)
	}
}

func TestOneThatIsCutIsAnErrorWithItsSource(t *testing.T) {
	balanced(t)
	server, client := packets(t, "127.0.0.1:0"), packets(t, "127.0.0.1:0")
	for _, data := range []string{"0123456789", "next"} {
		if _, err := client.WriteTo([]byte(data), server.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 4)
	n, from, err := server.ReadFrom(buf)
	var known *Error
	if !errors.As(err, &known) || known.Kind != KindUDP || known.Retryable {
		t.Errorf("got %v", err)
	}
	if n != 4 || string(buf) != "0123" || from.String() != client.LocalAddr().String() {
		t.Errorf("got %d bytes %q from %v", n, buf, from)
	}
	if n, _, err := server.ReadFrom(buf); err != nil || string(buf[:n]) != "next" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
}

func TestDeadlinesAndACloseEndTheWait(t *testing.T) {
	balanced(t)
	server := packets(t, "127.0.0.1:0")
	_ = server.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, _, err := server.ReadFrom(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := server.ReadBatch(make([]Packet, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	_ = server.SetDeadline(time.Time{})
	var waiting sync.WaitGroup
	for range 3 {
		waiting.Go(func() {
			if _, _, err := server.ReadFrom(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v", err)
			}
		})
	}
	runtime.Gosched()
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	waiting.Wait()
	for _, err := range []error{server.Close(), server.SetDeadline(time.Now()), second(server.WriteTo(nil, server.LocalAddr()))} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestWhatCannotBeSentOrBoundSaysWhy(t *testing.T) {
	balanced(t)
	server := packets(t, "127.0.0.1:0")
	if _, err := server.WriteTo(make([]byte, 65508), server.LocalAddr()); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("got %v", err)
	}
	kindOf := func(err error) Kind {
		var known *Error
		if !errors.As(err, &known) {
			t.Errorf("got %v", err)
			return 0
		}
		return known.Kind
	}
	if _, err := server.WriteTo(nil, &net.TCPAddr{}); kindOf(err) != KindConfig {
		t.Errorf("got %v", err)
	}
	_, err := ListenPacket(t.Context(), "udp", server.LocalAddr().String())
	if !errors.Is(err, syscall.EADDRINUSE) || kindOf(err) != KindBind {
		t.Errorf("got %v", err)
	}
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "udp6": "127.0.0.1:0", "udp": "no port"} {
		if c, err := ListenPacket(t.Context(), network, address); kindOf(err) != KindConfig {
			t.Errorf("%s %s: %v, %v", network, address, c, err)
		}
	}
	if _, err := Dial(t.Context(), "udp", "127.0.0.1:9"); kindOf(err) != KindConfig {
		t.Errorf("got %v", err)
	}
}

func TestEveryVersionOfIPCanBeBound(t *testing.T) {
	balanced(t)
	for network, want := range map[string]string{"udp4": "0.0.0.0", "udp6": "::", "udp": "::"} {
		c, err := ListenPacket(t.Context(), network, ":0")
		if err != nil {
			t.Fatal(err)
		}
		if got := addrOf(c); got.Addr().String() != want || got.Port() == 0 {
			t.Errorf("%s is bound to %v", network, got)
		}
		c.Close()
	}
}

func TestASocketThatIsDroppedIsClosed(t *testing.T) {
	balanced(t)
	func() {
		if _, err := ListenPacket(t.Context(), "udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}()
	runtime.GC()
}

func TestManyReadersShareWhatComes(t *testing.T) {
	balanced(t)
	server, client := packets(t, "127.0.0.1:0"), packets(t, "127.0.0.1:0")
	const readers, each = 8, 50
	places := make(chan struct{}, 16) // what the socket's buffer holds for sure
	var mu sync.Mutex
	seen := make(map[string]int)
	var reading sync.WaitGroup
	for range readers {
		reading.Go(func() {
			buf := make([]byte, 16)
			for range each {
				n, _, err := server.ReadFrom(buf)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				seen[string(buf[:n])]++
				mu.Unlock()
				<-places
			}
		})
	}
	for i := range readers * each {
		places <- struct{}{}
		if _, err := client.WriteTo(fmt.Append(nil, i), server.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	reading.Wait()
	if len(seen) != readers*each {
		t.Errorf("%d of %d came", len(seen), readers*each)
	}
}
