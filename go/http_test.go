package trunkline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// onEachProtocol runs the test with a server over every transport, for HTTP/1.1 and for HTTP/2 without TLS.
func onEachProtocol(t *testing.T, handler http.Handler, test func(t *testing.T, client *http.Client)) {
	for _, name := range []string{"HTTP/1.1", "HTTP/2.0"} {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(name == "HTTP/1.1")
		protocols.SetUnencryptedHTTP2(name == "HTTP/2.0")
		for transport := range addresses(t) {
			t.Run(transport+" "+name, func(t *testing.T) {
				balanced(t)
				test(t, serving(t, addresses(t)[transport], handler, protocols))
			})
		}
	}
}

// serving is a client of a server on address.
func serving(t *testing.T, address string, handler http.Handler, protocols *http.Protocols) *http.Client {
	t.Helper()
	l := listening(t, address)
	server := &http.Server{Handler: handler, Protocols: protocols}
	served := make(chan error)
	go func() { served <- server.Serve(l) }()
	transport := &http.Transport{
		Protocols: protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialing(ctx, l.Addr())
		},
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != http.ErrServerClosed {
			t.Errorf("the server ended with %v", err)
		}
	})
	return &http.Client{Transport: transport}
}

func TestHTTPServesAndAsks(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("Grpc-Status", "0")
	})
	onEachProtocol(t, handler, func(t *testing.T, client *http.Client) {
		body := strings.Repeat("0123456789abcdef", 20_000)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				answer, err := client.Post("http://app/", "text/plain", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				defer answer.Body.Close()
				got, err := io.ReadAll(answer.Body)
				if err != nil || string(got) != body {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				if answer.Trailer.Get("Grpc-Status") != "0" {
					t.Errorf("trailer %v", answer.Trailer)
				}
				if !strings.HasSuffix(t.Name(), strings.ReplaceAll(answer.Proto, " ", "_")) {
					t.Errorf("spoke %s", answer.Proto)
				}
			})
		}
		all.Wait()
	})
}

func TestACancelledRequestFreesTheServer(t *testing.T) {
	entered, left := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	})
	onEachProtocol(t, handler, func(t *testing.T, client *http.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://app/", nil)
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error)
		go func() {
			_, err := client.Do(request)
			failed <- err
		}()
		<-entered
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		<-left
	})
}

func TestAConnectionCanBeHijacked(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if _, ok := conn.(*Conn); !ok {
			t.Errorf("hijacked a %T", conn)
		}
		_, _ = buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		buffered.Flush()
		_, _ = io.Copy(conn, buffered)
	})
	balanced(t)
	l := listening(t, "mem:hijack")
	server := &http.Server{Handler: handler}
	go server.Serve(l)
	defer server.Close()
	conn := dial(t, l.Addr())
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: app\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", answer, err)
	}
	fmt.Fprint(conn, "hello")
	conn.CloseWrite()
	if echo, err := io.ReadAll(reader); string(echo) != "hello" || err != nil {
		t.Errorf("%q, %v", echo, err)
	}
}

func TestAReverseProxyWorksOverAPipe(t *testing.T) {
	balanced(t)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	backend := serving(t, "mem:backend", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "from behind ", r.URL.Path)
	}), protocols)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "backend"})
	proxy.Transport = backend.Transport
	front := serving(t, "tcp://127.0.0.1:0", proxy, protocols)
	answer, err := front.Get("http://front/path")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); string(body) != "from behind /path" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}
