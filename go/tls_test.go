package trunkline

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// noise is data that no compression and no shift would leave as it is.
func noise(size int) []byte {
	data := make([]byte, size)
	for i, x := 0, uint32(1); i < size; i++ {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	return data
}

// swap sends data and the end from one side while the other does the same, and checks what arrives.
func swap(t *testing.T, near, far net.Conn) {
	t.Helper()
	data := noise(3 << 20)
	failures := make(chan error, 4)
	for _, ends := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() {
			_, err := ends[0].Write(data)
			failures <- errors.Join(err, ends[0].(interface{ CloseWrite() error }).CloseWrite())
		}()
		go func() {
			heard, err := io.ReadAll(ends[1])
			if err == nil && !bytes.Equal(heard, data) {
				err = fmt.Errorf("%d bytes of %d, or others", len(heard), len(data))
			}
			failures <- err
		}()
	}
	for range 4 {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
}

func TestAClientOfGoTalksToOurListener(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			balanced(t)
			a := newAuthority(t)
			ours := newTls(t, TlsConfig{Server: &TlsServerConfig{
				Certificate: a.issue(t, nil).texts(),
				Alpn:        []string{"trunk", "line"},
				ClientAuth:  ClientAuthRequired,
				ClientRoots: PemText(a.pem),
			}})
			listener, err := ours.Listen(t.Context(), "tls", "localhost:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			worker := a.issue(t, func(c *x509.Certificate) { c.URIs = append(c.URIs, uri(t, "spiffe://example.test/worker")) })
			near, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{
				RootCAs:      a.pool(),
				ServerName:   "localhost",
				NextProtos:   []string{"line"},
				MaxVersion:   version,
				Certificates: []tls.Certificate{worker.pair(t)},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer near.Close()
			far, err := listener.AcceptConn()
			if err != nil {
				t.Fatal(err)
			}
			defer far.Close()
			swap(t, near, far)
			session := far.Tls()
			if session.Alpn != "line" || session.ServerName != "localhost" || session.PeerUri != "spiffe://example.test/worker" ||
				session.Version[:5] != "TLSv1" || near.ConnectionState().NegotiatedProtocol != "line" {
				t.Errorf("got %+v", session)
			}
			peer, err := x509.ParseCertificate(session.PeerCertificates[0])
			if err != nil || peer.URIs[0].Host != "example.test" {
				t.Errorf("%v, %v", peer, err)
			}
		})
	}
}

func TestOurClientTalksToAServerOfGo(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			balanced(t)
			a := newAuthority(t)
			listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
				Certificates: []tls.Certificate{a.issue(t, nil).pair(t)},
				ClientCAs:    a.pool(),
				ClientAuth:   tls.RequireAndVerifyClientCert,
				NextProtos:   []string{"h2"},
				MaxVersion:   version,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			own := a.issue(t, nil).texts()
			ours := newTls(t, TlsConfig{Client: &TlsClientConfig{Roots: PemText(a.pem), Alpn: []string{"h2"}, Certificate: &own}})
			accepted := make(chan net.Conn, 1)
			go func() {
				conn, err := listener.Accept()
				if err == nil {
					err = conn.(*tls.Conn).Handshake()
				}
				if err != nil {
					t.Error(err)
				}
				accepted <- conn
			}()
			near, err := ours.Dial(soon(t), "tls", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer near.Close()
			far := <-accepted
			defer far.Close()
			swap(t, near, far)
			session := near.(*Conn).Tls()
			if session.Alpn != "h2" || len(session.PeerCertificates) != 1 || session.Version[:5] != "TLSv1" {
				t.Errorf("got %+v", session)
			}
		})
	}
}

// fails dials and, where TLS 1.3 lets the client stand before the server has judged it, reads.
func fails(t *testing.T, by *Tls, address string) *Error {
	t.Helper()
	conn, err := by.DialAddr(soon(t), address)
	if err == nil {
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
	}
	var known *Error
	if !errors.As(err, &known) {
		t.Fatalf("got %v", err)
	}
	return known
}

func TestWhoIsNotTrustedIsRefusedAndItIsKnownWhoseFaultThatIs(t *testing.T) {
	balanced(t)
	a, foreign := newAuthority(t), newAuthority(t)
	own := foreign.issue(t, nil).texts()
	client := func(certificate *TlsCertificate) *Tls {
		return newTls(t, TlsConfig{Client: &TlsClientConfig{Roots: PemText(a.pem), Certificate: certificate}})
	}
	for name, c := range map[string]struct {
		shown  issued
		auth   tls.ClientAuthType
		client *Tls
		fault  TlsFault
	}{
		"untrusted":  {foreign.issue(t, nil), tls.NoClientCert, client(nil), FaultPeerCertificate},
		"expired":    {a.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), tls.NoClientCert, client(nil), FaultPeerCertificate},
		"other name": {a.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"other.test"} }), tls.NoClientCert, client(nil), FaultNameMismatch},
		"none shown": {a.issue(t, nil), tls.RequireAndVerifyClientCert, client(nil), FaultOwnCertificate},
		"bad shown":  {a.issue(t, nil), tls.RequireAndVerifyClientCert, client(&own), FaultOwnCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			server, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
				Certificates: []tls.Certificate{c.shown.pair(t)}, ClientCAs: a.pool(), ClientAuth: c.auth,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			go func() {
				for {
					conn, err := server.Accept()
					if err != nil {
						return
					}
					go func() {
						_, _ = io.Copy(io.Discard, conn)
						conn.Close()
					}()
				}
			}()
			_, port, _ := net.SplitHostPort(server.Addr().String())
			known := fails(t, c.client, "tls://localhost:"+port)
			if known.Kind != KindTLS || known.TlsFault != c.fault || known.Retryable || known.Cause == nil {
				t.Errorf("got %#v", known)
			}
		})
	}
}

func TestAServerOfGoThatBreaksOffIsNoEnd(t *testing.T) {
	balanced(t)
	a := newAuthority(t)
	server, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{a.issue(t, nil).pair(t)}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		conn, err := server.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Write([]byte("half of it"))
		conn.(*tls.Conn).NetConn().Close() // without a close_notify
	}()
	ours := newTls(t, TlsConfig{Client: &TlsClientConfig{Roots: PemText(a.pem)}})
	conn, err := ours.DialAddr(soon(t), "tls://"+server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	heard, err := io.ReadAll(conn)
	if string(heard) != "half of it" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%q, %v", heard, err)
	}
}

func TestNothingIsTrustedWithoutRootsAndNobodyIsLetInWithoutACertificate(t *testing.T) {
	balanced(t)
	listener := securelyListening(t, "tls://127.0.0.1:0")
	_, err := DialAddr(soon(t), "tls://"+listener.Addr().String())
	var known *Error
	if !errors.As(err, &known) || known.Kind != KindTLS && known.Kind != KindConfig {
		t.Errorf("got %v", err)
	}
	if _, err := ListenAddr(t.Context(), "tls://127.0.0.1:0"); !errors.As(err, &known) || known.Kind != KindConfig {
		t.Errorf("got %v", err)
	}
	if _, err := Dial(t.Context(), "tls", "localhost"); !errors.As(err, &known) || known.Kind != KindConfig {
		t.Errorf("got %v", err)
	}
}

func TestANewCertificateIsSeenByNewConnectionsAndABadOneByNone(t *testing.T) {
	balanced(t)
	a := newAuthority(t)
	files := newFiles(t, a.issue(t, nil))
	ours := newTls(t, TlsConfig{
		Client: &TlsClientConfig{Roots: PemText(a.pem)},
		Server: &TlsServerConfig{Certificate: TlsCertificate{PemFile(files.chain), PemFile(files.key)}},
	})
	listener, err := ours.ListenAddr(t.Context(), "tls://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	shown := func() []byte {
		conn, err := ours.DialAddr(soon(t), "tls://"+listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		accepted, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		accepted.Close()
		return conn.(*Conn).Tls().PeerCertificates[0]
	}
	first := shown()
	files.write(t, a.issue(t, nil))
	if err := ours.Reload(); err != nil {
		t.Fatal(err)
	}
	second := shown()
	if bytes.Equal(first, second) {
		t.Error("the old certificate is still shown")
	}
	files.write(t, a.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }))
	var known *Error
	if err := ours.Reload(); !errors.As(err, &known) || known.Kind != KindTLS || known.TlsFault != FaultOwnCertificate {
		t.Errorf("got %v", err)
	}
	if !bytes.Equal(second, shown()) {
		t.Error("an expired certificate was put to use")
	}
	if left, ok := ours.ExpiresIn(); !ok || left <= 0 || left > time.Hour {
		t.Errorf("%v, %v", left, ok)
	}
	ours.Close()
	if _, ok := ours.ExpiresIn(); ok || ours.Close() != net.ErrClosed || ours.Reload() == nil {
		t.Error("a closed configuration is still of use")
	}
}

func TestManagersAndPoolsAreSecured(t *testing.T) {
	balanced(t)
	ours := bothSides(t)
	manager, err := ours.NewTcpConnectionManager(TcpManagerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	plain := listening(t, "mem:"+t.Name())
	bound, err := manager.Relay(t.Context(), "tls://127.0.0.1:0", "mem:"+t.Name())
	if err != nil {
		t.Fatal(err)
	}
	pool, err := ours.OpenPool(t.Context(), []string{"tls://" + bound.String()}, CheckoutPoolConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	lease, err := pool.Get(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Discard(nil)
	far, err := plain.AcceptConn()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	swap(t, lease.Conn(), far)
	if lease.Conn().Tls() == nil || far.Tls() != nil {
		t.Error("one end is of TLS, and the other is not")
	}
}

// An HTTP server on our listener, and the standard library's client: HTTP/1.1 over TLS.
func TestAnHTTPServerOnOurListenerServesGosClient(t *testing.T) {
	balanced(t)
	a := newAuthority(t)
	ours := newTls(t, TlsConfig{Server: &TlsServerConfig{Certificate: a.issue(t, nil).texts()}})
	listener, err := ours.Listen(t.Context(), "tls", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	body := noise(1 << 20)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(body) })}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool()}}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Get("https://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if heard, err := io.ReadAll(answer.Body); err != nil || !bytes.Equal(heard, body) {
		t.Errorf("%d bytes, %v", len(heard), err)
	}
}

func TestTextsInPEMAreShownNowhere(t *testing.T) {
	a := newAuthority(t)
	c := a.issue(t, nil)
	config := TlsConfig{Server: &TlsServerConfig{Certificate: c.texts(), MaxHandshakes: 7}}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{string(text), fmt.Sprintf("%v %+v %#v", config.Server, config.Server, *config.Server)} {
		if strings.Contains(shown, c.key[40:60]) || !strings.Contains(shown, redacted) {
			t.Errorf("got %s", shown)
		}
	}
	document, err := config.document()
	if err != nil || !strings.Contains(document, c.key[40:60]) || strings.Contains(document, redacted) {
		t.Errorf("got %s, %v", document, err)
	}
	if PemFile("a.pem").String() != "a.pem" {
		t.Error("a path is no secret")
	}
	if _, err := NewTls(TlsConfig{Server: &TlsServerConfig{MaxHandshakes: 7}}); err == nil {
		t.Error("a server without a certificate")
	}
	if _, err := NewTls(TlsConfig{MinVersion: "1.1"}); err == nil {
		t.Error("TLS 1.1")
	}
}

func TestEveryFaultHasAName(t *testing.T) {
	names := []string{}
	for fault := FaultPeerCertificate; fault <= FaultProtocol+1; fault++ {
		names = append(names, fault.String())
	}
	if want := []string{"peer_certificate", "name_mismatch", "own_certificate", "protocol", "none"}; !slices.Equal(names, want) {
		t.Errorf("got %v", names)
	}
}

func TestAHandshakeEndsWithItsContext(t *testing.T) {
	balanced(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ours := bothSides(t)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := ours.DialAddr(ctx, "tls://"+silent.Addr().String())
		failed <- err
	}()
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil { // it has begun
		t.Fatal(err)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
