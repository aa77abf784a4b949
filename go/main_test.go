package trunkline

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"trunkline.dev/go/internal/native"
)

// patience is how long a test waits for what should happen at once; it is only reached by a failure.
const patience = 20 * time.Second

// noName is a host that every resolver refuses without asking anybody: its label is too long for DNS.
var noName = strings.Repeat("x", 64) + ".test"

// balanced fails the test if objects of the library are left over at its end.
func balanced(t testing.TB) {
	t.Helper()
	if _, err := Default(); err != nil {
		t.Fatal(err)
	}
	before := native.DebugCounts()
	t.Cleanup(func() {
		eventually(t, func() error {
			if now := native.DebugCounts(); now != before {
				return fmt.Errorf("objects before the test %+v, after it %+v", before, now)
			}
			return nil
		})
	})
}

// eventually repeats check, for what has no event to wait for.
func eventually(t testing.TB, check func() error) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Since(start) > patience {
			t.Error(err)
			return
		}
	}
}

// addresses are where connections of every transport can be had.
func addresses(t testing.TB) map[string]string {
	return map[string]string{
		"tcp":  "tcp://127.0.0.1:0",
		"tls":  "tls://127.0.0.1:0",
		"unix": "unix:" + filepath.Join(t.TempDir(), "s"),
		"mem":  "mem:" + t.Name(),
	}
}

// onEach runs the test on a connection of every transport.
func onEach(t *testing.T, test func(t *testing.T, dialled, accepted *Conn)) {
	for name := range addresses(t) {
		t.Run(name, func(t *testing.T) {
			balanced(t)
			dialled, accepted := connected(t, addresses(t)[name])
			test(t, dialled, accepted)
		})
	}
}

// connected is both ends of a connection; they are closed with the test.
func connected(t testing.TB, address string) (dialled, accepted *Conn) {
	t.Helper()
	listener := listening(t, address)
	dialled = dial(t, listener.Addr())
	accepted, err := listener.AcceptConn()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	listener.Close()
	return dialled, accepted
}

func listening(t testing.TB, address string) *Listener {
	t.Helper()
	if strings.HasPrefix(address, "tls:") {
		return securelyListening(t, address)
	}
	listener, err := ListenAddr(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// secured is the *Tls of each listener of TLS, by its address: a client of it needs the same.
var secured sync.Map

func securelyListening(t testing.TB, address string) *Listener {
	t.Helper()
	both := bothSides(t)
	listener, err := both.ListenAddr(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	key := listener.Addr().String()
	secured.Store(key, both)
	t.Cleanup(func() { secured.Delete(key); listener.Close() })
	return listener
}

// securing is the configuration for an address; nil for one without TLS.
func securing(to net.Addr) *Tls {
	if both, ok := secured.Load(to.String()); ok && to.Network() == "tcp" {
		return both.(*Tls)
	}
	return nil
}

// dialing is Dial, with TLS where the address needs it.
func dialing(ctx context.Context, to net.Addr) (net.Conn, error) {
	if both := securing(to); both != nil {
		return both.Dial(ctx, "tls", to.String())
	}
	return Dial(ctx, to.Network(), to.String())
}

func dial(t testing.TB, to net.Addr) *Conn {
	t.Helper()
	conn, err := dialing(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*Conn)
}

func pipe(t testing.TB, options ...PipeOption) (a, b *Conn) {
	t.Helper()
	a, b, err := Pipe(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// soon is a context that ends when the test has waited too long.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
