package interop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/nettest"

	trunkline "trunkline.dev/go"
	"trunkline.dev/go/internal/native"
)

// onRuntime runs the test on a runtime of its own, after whose shutdown nothing may be left: no goroutine and no
// object of the library.
func onRuntime(t *testing.T, test func(t *testing.T, rt *trunkline.Runtime)) {
	before := native.DebugCounts()
	rt, err := trunkline.Start()
	if err != nil {
		t.Fatal(err)
	}
	test(t, rt)
	if err := rt.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if after := native.DebugCounts(); after != before {
		t.Errorf("objects before the test %+v, after it %+v", before, after)
	}
	goleak.VerifyNone(t)
}

func TestPipesAreConns(t *testing.T) {
	for _, capacity := range []uint64{64, 4096, 64 << 10, 1 << 20} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			onRuntime(t, func(t *testing.T, rt *trunkline.Runtime) {
				nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
					a, b, err := rt.Pipe(trunkline.PipeCapacity(capacity))
					if err != nil {
						return nil, nil, nil, err
					}
					return a, b, func() { a.Close(); b.Close() }, nil
				})
			})
		})
	}
}

func TestAcceptedAndDialledStreamsAreConns(t *testing.T) {
	for network, address := range map[string]string{
		"tcp":  "tcp://127.0.0.1:0",
		"unix": "unix:" + filepath.Join(t.TempDir(), "s"),
		"mem":  "mem:nettest",
	} {
		t.Run(network, func(t *testing.T) {
			onRuntime(t, func(t *testing.T, rt *trunkline.Runtime) {
				nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) { return connect(rt, address) })
			})
		})
	}
}

func TestConnectionsOfTLSAreConns(t *testing.T) {
	for _, version := range []string{"1.2", "1.3"} {
		t.Run(version, func(t *testing.T) {
			onRuntime(t, func(t *testing.T, rt *trunkline.Runtime) {
				both := bothSides(t, rt, version)
				nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
					ctx := context.Background()
					listener, err := both.ListenAddr(ctx, "tls://127.0.0.1:0")
					if err != nil {
						return nil, nil, nil, err
					}
					defer listener.Close()
					dialled, err := both.Dial(ctx, "tls", listener.Addr().String())
					if err != nil {
						return nil, nil, nil, err
					}
					accepted, err := listener.Accept()
					if err != nil {
						return nil, nil, nil, err
					}
					return dialled, accepted, func() { dialled.Close(); accepted.Close() }, nil
				})
				both.Close()
			})
		})
	}
}

// bothSides is a client and a server of 127.0.0.1 that trust each other. The certificate is its own authority.
func bothSides(t *testing.T, rt *trunkline.Runtime, version string) *trunkline.Tls {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	chain := trunkline.PemText(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	both, err := rt.NewTls(trunkline.TlsConfig{
		Client: &trunkline.TlsClientConfig{Roots: chain},
		Server: &trunkline.TlsServerConfig{Certificate: trunkline.TlsCertificate{
			Chain: chain,
			Key:   trunkline.PemText(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))),
		}},
		MinVersion: version,
	})
	if err != nil {
		t.Fatal(err)
	}
	return both
}

// What a lease lends is a net.Conn, for as long as it lasts.
func TestLeasedStreamsAreConns(t *testing.T) {
	onRuntime(t, func(t *testing.T, rt *trunkline.Runtime) {
		ctx := context.Background()
		listener, err := rt.ListenAddr(ctx, "tcp://127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		pool, err := trunkline.OpenPoolOn(rt, ctx, []string{"tcp://" + listener.Addr().String()}, trunkline.CheckoutPoolConfig{})
		if err != nil {
			t.Fatal(err)
		}
		nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
			lease, err := pool.Get(ctx)
			if err != nil {
				return nil, nil, nil, err
			}
			accepted, err := listener.Accept()
			if err != nil {
				return nil, nil, nil, err
			}
			return lease.Conn(), accepted, func() { lease.Discard(nil); accepted.Close() }, nil
		})
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
		if stats := pool.Stats(); stats.Used != 0 || stats.Acquired == 0 {
			t.Errorf("got %+v", stats)
		}
		listener.Close()
	})
}

// Both ends of what goes through a tunnel are net.Conns.
func TestTunnelledStreamsAreConns(t *testing.T) {
	onRuntime(t, func(t *testing.T, rt *trunkline.Runtime) {
		ctx := context.Background()
		token := trunkline.NewSecret("a token that is long enough")
		hub, err := rt.NewHub(trunkline.HubConfig{Agents: map[string][]trunkline.Secret{"c1": {token}}})
		if err != nil {
			t.Fatal(err)
		}
		at, err := hub.Listen(ctx, "tcp://127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		agent, err := rt.NewAgent(trunkline.AgentConfig{Cluster: "c1", Token: token, Hubs: []string{"tcp://" + at.String()}})
		if err != nil {
			t.Fatal(err)
		}
		if err := agent.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		listener, err := agent.Listener()
		if err != nil {
			t.Fatal(err)
		}
		nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
			dialled, err := hub.DialContext(ctx, "c1")
			if err != nil {
				return nil, nil, nil, err
			}
			accepted, err := listener.Accept()
			if err != nil {
				return nil, nil, nil, err
			}
			return dialled, accepted, func() { dialled.Close(); accepted.Close() }, nil
		})
		listener.Close()
		agent.Close()
		hub.Close()
	})
}

// A pool whose functions run, whose callers wait and whose leases are out leaves no goroutine behind.
func TestAPoolLeavesNoGoroutineBehind(t *testing.T) {
	onRuntime(t, func(t *testing.T, rt *trunkline.Runtime) {
		dial := func(ctx context.Context) (net.Conn, error) { near, _ := net.Pipe(); return near, nil }
		check := func(context.Context, net.Conn) error { return nil }
		pool, err := trunkline.NewPoolOn(rt, context.Background(), dial,
			trunkline.CheckoutPoolConfig{MaxSize: 2, CheckAfter: trunkline.After(0)}, trunkline.WithCheck(check))
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for range 20 {
					lease, err := pool.Get(context.Background())
					if err != nil {
						t.Error(err)
						return
					}
					if err := lease.Release(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if _, err := pool.Get(context.Background()); err != nil { // never released
			t.Error(err)
		}
	})
}

// connect is both ends of a connection over a listener on address.
func connect(rt *trunkline.Runtime, address string) (dialled, accepted net.Conn, stop func(), err error) {
	ctx := context.Background()
	listener, err := rt.ListenAddr(ctx, address)
	if err != nil {
		return nil, nil, nil, err
	}
	defer listener.Close()
	if dialled, err = rt.Dial(ctx, listener.Addr().Network(), listener.Addr().String()); err != nil {
		return nil, nil, nil, err
	}
	if accepted, err = listener.Accept(); err != nil {
		return nil, nil, nil, err
	}
	return dialled, accepted, func() { dialled.Close(); accepted.Close() }, nil
}
