package trunkline

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// serveSecuredGRPC serves the methods of serveGRPC over TLS; seen hears the client's certificate of each call.
func serveSecuredGRPC(t *testing.T, config *tls.Config, seen func(*tls.ConnectionState)) (port string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if seen != nil {
				seen(r.TLS)
			}
			if token := r.Header.Get("Token"); token != "" {
				w.Header().Set("Echo-Token", token)
			}
			grpcMethod(w, r)
		}),
		TLSConfig: config,
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ServeTLS(listener, "", "")
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	return port
}

// withoutALPN takes handshakes and agrees on no application protocol.
func withoutALPN(t *testing.T, pair tls.Certificate) (port string) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	return port
}

func newSecuredChannel(t *testing.T, port string, config TlsClientConfig) *Channel {
	t.Helper()
	ours := newTls(t, TlsConfig{Client: &config})
	c, err := ours.NewChannel("passthrough:localhost:"+port, noRetries)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestCallsGoOverTLSAndTheServerKnowsWhoCalls(t *testing.T) {
	a := newAuthority(t)
	worker := a.issue(t, func(c *x509.Certificate) { c.URIs = append(c.URIs, uri(t, "spiffe://example.test/worker")) })
	who := make(chan string, 1)
	port := serveSecuredGRPC(t, &tls.Config{
		Certificates: []tls.Certificate{a.issue(t, nil).pair(t)},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    a.pool(),
	}, func(state *tls.ConnectionState) { who <- state.PeerCertificates[0].URIs[0].String() })
	own := worker.texts()
	c := newSecuredChannel(t, port, TlsClientConfig{Roots: PemText(a.pem), Certificate: &own})
	var header Metadata
	token := Metadata{{"token", []byte("hush")}}
	reply, err := c.Invoke(soon(t), "/test.Service/Echo", []byte("hello"), WithCredentials(token), Header(&header))
	if err != nil || string(reply) != "hello" {
		t.Fatal(string(reply), err)
	}
	if got := string(header.Get("echo-token")); got != "hush" {
		t.Errorf("the credentials came as %q", got)
	}
	if got := <-who; got != "spiffe://example.test/worker" {
		t.Errorf("the server saw %q", got)
	}
}

func TestAFailureOfTLSSaysWhoseFaultItIsToCallsAndToWhoWaits(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	good := a.issue(t, nil).pair(t)
	elsewhere := a.issue(t, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"elsewhere.test"}, nil })
	trusted := serveSecuredGRPC(t, &tls.Config{Certificates: []tls.Certificate{good}}, nil)
	named := serveSecuredGRPC(t, &tls.Config{Certificates: []tls.Certificate{elsewhere.pair(t)}}, nil)
	demanding := serveSecuredGRPC(t, &tls.Config{
		Certificates: []tls.Certificate{good},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    a.pool(),
	}, nil)
	for _, test := range []struct {
		port  string
		roots *authority
		fault TlsFault
		words string
	}{
		{trusted, other, FaultPeerCertificate, "peer's certificate"},
		{named, a, FaultNameMismatch, "another name"},
		{demanding, a, FaultOwnCertificate, "our own certificate"},
		{withoutALPN(t, good), a, FaultProtocol, "h2"},
	} {
		c := newSecuredChannel(t, test.port, TlsClientConfig{Roots: PemText(test.roots.pem)})
		_, err := c.Invoke(soon(t), "/test.Service/Echo", nil)
		var failure *Error
		if !errors.As(err, &failure) || failure.Code != 14 || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%v: the call says %v", test.fault, err)
		}
		brief, end := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err = c.WaitReady(brief)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &failure) || failure.TlsFault != test.fault {
			t.Errorf("%v: waiting ended with %v", test.fault, err)
		}
		end()
	}
	if reply, err := newSecuredChannel(t, named, TlsClientConfig{Roots: PemText(a.pem), ServerName: "elsewhere.test"}).
		Invoke(soon(t), "/test.Service/Echo", []byte("x")); err != nil || string(reply) != "x" {
		t.Error(string(reply), err)
	}
}

func TestNewConnectionsShowRenewedCertificatesAndNotOneCallFails(t *testing.T) {
	a := newAuthority(t)
	issue := func(name string) issued {
		return a.issue(t, func(c *x509.Certificate) { c.URIs = append(c.URIs, uri(t, "spiffe://example.test/"+name)) })
	}
	var mu sync.Mutex
	var last string
	port := serveSecuredGRPC(t, &tls.Config{
		Certificates: []tls.Certificate{a.issue(t, nil).pair(t)},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    a.pool(),
	}, func(state *tls.ConnectionState) {
		mu.Lock()
		defer mu.Unlock()
		last = state.PeerCertificates[0].URIs[0].Path
	})
	files := newFiles(t, issue("first"))
	ours := newTls(t, TlsConfig{Client: &TlsClientConfig{
		Roots:       PemText(a.pem),
		Certificate: &TlsCertificate{PemFile(files.chain), PemFile(files.key)},
	}})
	c, err := ours.NewChannel("passthrough:localhost:"+port, noRetries)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	call := func() string {
		if _, err := c.Invoke(soon(t), "/test.Service/Echo", nil); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		return last
	}
	if got := call(); got != "/first" {
		t.Errorf("at first it shows %q", got)
	}
	files.write(t, issue("second"))
	if err := ours.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := call(); got != "/first" {
		t.Errorf("a connection that stands shows %q", got)
	}
	again, err := ours.NewChannel("passthrough:localhost:"+port, noRetries)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	c = again
	if got := call(); got != "/second" {
		t.Errorf("a new connection shows %q", got)
	}
}

func TestCredentialsAreNotSentInTheClearUnlessThatIsAskedFor(t *testing.T) {
	c := newChannel(t, serveGRPC(t), ConnectionConfig{})
	token := WithCredentials(Metadata{{"token", []byte("hush")}})
	_, err := c.Invoke(soon(t), "/test.Service/Echo", nil, token)
	var failure *Error
	if !errors.As(err, &failure) || failure.Code != 16 {
		t.Errorf("in the clear: %v", err)
	}
	if _, err = c.Open(soon(t), "/test.Service/Talk", token); !errors.As(err, &failure) || failure.Code != 16 {
		t.Errorf("a stream in the clear: %v", err)
	}
	if _, err = c.Invoke(soon(t), "/test.Service/Echo", []byte("x"), token, PlaintextCredentials()); err != nil {
		t.Error(err)
	}
}
