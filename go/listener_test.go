package trunkline

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestWhatIsListenedOnCanBeDialled(t *testing.T) {
	balanced(t)
	path := filepath.Join(t.TempDir(), "s")
	for _, c := range []struct{ network, address, dialNetwork string }{
		{"tcp", "127.0.0.1:0", "tcp"},
		{"tcp", "localhost:0", "tcp"},
		{"tcp", ":0", "tcp"},
		{"tcp4", ":0", "tcp4"},
		{"tcp4", "localhost:0", "tcp4"},
		{"unix", path, "unix"},
		{"unix", "@trunkline-go-test", "unix"},
		{"mem", "dialled", "mem"},
	} {
		t.Run(c.network+" "+c.address, func(t *testing.T) {
			l, err := Listen(t.Context(), c.network, c.address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			at := l.Addr().String()
			if tcp, ok := l.Addr().(*net.TCPAddr); ok {
				if tcp.Port == 0 {
					t.Fatal("the port is not told")
				}
				at = net.JoinHostPort("localhost", at[strings.LastIndex(at, ":")+1:])
			}
			client, err := Dial(t.Context(), c.dialNetwork, at)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			server.Close()
		})
	}
}

func TestListeningFailsAsPackageNetDoes(t *testing.T) {
	balanced(t)
	taken := listening(t, "tcp://127.0.0.1:0")
	name := listening(t, "mem:taken")
	for _, c := range []struct {
		network, address string
		kind             Kind
		is               error
	}{
		{"tcp", taken.Addr().String(), KindBind, syscall.EADDRINUSE},
		{"mem", name.Addr().String(), KindBind, nil},
		{"unix", "/no/such/folder/s", KindBind, os.ErrNotExist},
		{"tcp", "192.0.2.1:0", KindBind, syscall.EADDRNOTAVAIL},
		{"tcp", "no port", KindConfig, nil},
		{"tcp", "127.0.0.1:no-such-service", KindConfig, nil},
		{"tcp6", "127.0.0.1:0", KindConfig, nil},
		{"udp", "127.0.0.1:0", KindConfig, nil},
		{"mem", "two words", KindConfig, nil},
		{"tcp", noName + ":0", KindConnect, nil},
	} {
		t.Run(c.network+" "+c.address, func(t *testing.T) {
			l, err := Listen(soon(t), c.network, c.address)
			if err == nil {
				l.Close()
				t.Fatal("it listens")
			}
			var op *net.OpError
			var known *Error
			if !errors.As(err, &op) || op.Op != "listen" || op.Net != c.network || op.Addr == nil {
				t.Errorf("got %#v", err)
			}
			if !errors.As(err, &known) || known.Kind != c.kind || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v: %#v", err, known)
			}
		})
	}
	if _, err := ListenAddr(t.Context(), "127.0.0.1:0"); kindOf(err) != KindConfig {
		t.Errorf("got %v", err)
	}
}

// kindOf is the kind of the Error behind err; 0 if there is none.
func kindOf(err error) Kind {
	var known *Error
	if errors.As(err, &known) {
		return known.Kind
	}
	return 0
}

func TestCloseWakesAccept(t *testing.T) {
	balanced(t)
	for name, address := range addresses(t) {
		t.Run(name, func(t *testing.T) {
			l := listening(t, address)
			const acceptors = 3
			failures := make(chan error, acceptors)
			for range acceptors {
				go func() {
					_, err := l.Accept()
					failures <- err
				}()
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			for range acceptors {
				if err := <-failures; !errors.Is(err, net.ErrClosed) {
					t.Errorf("got %v", err)
				}
			}
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("a second Close: %v", err)
			}
		})
	}
}

func TestAUnixListenerLeavesNoFile(t *testing.T) {
	balanced(t)
	path := filepath.Join(t.TempDir(), "s")
	l := listening(t, "unix:"+path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	l.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
