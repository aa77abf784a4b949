package trunkline

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"runtime"
	"strings"
	"testing"
	"time"

	"trunkline.dev/go/internal/native"
)

// serviceAt answers each request with its path and one of its fields.
func serviceAt(t *testing.T, address string) {
	t.Helper()
	l := listening(t, address)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "echo" {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
			_, _ = io.Copy(conn, conn)
			return
		}
		_, _ = io.WriteString(w, address+" "+r.Host+" "+r.URL.String()+" "+strings.Join(r.Header["X-Who"], ","))
	})}
	go server.Serve(l)
	t.Cleanup(func() { _ = server.Close() })
}

// clientOf is an HTTP client whose connections all go to one address.
func clientOf(t *testing.T, address string, config *tls.Config) *http.Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return DialAddr(ctx, address)
		},
		TLSClientConfig:   config,
		ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// replied is the status and the body of what is answered to a request.
func replied(t *testing.T, client *http.Client, url string, header ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func says(t *testing.T, status int, body string) func(int, string) {
	t.Helper()
	return func(gotStatus int, got string) {
		t.Helper()
		if gotStatus != status || !strings.Contains(got, body) {
			t.Errorf("%d %q, expected %d %q", gotStatus, got, status, body)
		}
	}
}

func TestAMemoryProxyPassesRequestsOnAndItsHooksSayHow(t *testing.T) {
	serviceAt(t, "mem:go-proxied-a")
	serviceAt(t, "mem:go-proxied-b")
	proxy, err := NewMemoryProxy(MemoryProxyConfig{
		HookTimeout: After(time.Hour),
		Routes:      []ProxyRoute{{Path: "/a", Target: "mem:go-proxied-a", StripPath: true}},
	}, MemoryProxyHooks{
		Router: func(ctx context.Context, r *ProxyRequest) (ProxyTarget, error) {
			if _, ok := ctx.Deadline(); !ok || r.Method != "GET" || r.Host != "x" || r.Connection == 0 || r.IsSecured {
				t.Errorf("%+v", r)
			}
			switch r.Path {
			case "/b":
				return ProxyTarget{Address: "mem:go-proxied-b", Path: "/seen?by=b", Host: "other"}, nil
			case "/gone":
				return ProxyTarget{}, &ProxyRefusal{Status: http.StatusGone, Text: "not any more"}
			case "/fails":
				return ProxyTarget{}, errors.New("the function of a test")
			case "/panics":
				panic("the function of a test")
			case "/exits":
				runtime.Goexit()
			case "/wrong":
				return ProxyTarget{Address: "nowhere"}, nil
			}
			return ProxyTarget{}, nil
		},
		RequestProcessor: func(_ context.Context, r *ProxyRequest, target ProxyTarget) (FieldChanges, error) {
			if !strings.HasPrefix(target.Address, "mem:go-proxied-") {
				t.Errorf("%+v", target)
			}
			switch r.Header.Get("X-Ask") {
			case "deny":
				return FieldChanges{}, &ProxyRefusal{Status: http.StatusForbidden, Text: "not you"}
			case "fixed":
				return FieldChanges{Set: http.Header{"Content-Length": {"5"}}}, nil
			}
			return FieldChanges{Remove: []string{"x-who"}, Set: http.Header{"X-Who": {"alice", "b\xe9"}}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	if err := proxy.Serve(listening(t, "mem:go-proxy")); err != nil {
		t.Fatal(err)
	}
	client := clientOf(t, "mem:go-proxy", nil)
	says(t, 200, "mem:go-proxied-a x /1 alice,b\xe9")(replied(t, client, "http://x/a/1", "X-Who", "mallory"))
	says(t, 200, "mem:go-proxied-b other /seen?by=b alice")(replied(t, client, "http://x/b"))
	says(t, 404, "no route")(replied(t, client, "http://x/none"))
	says(t, 410, "not any more")(replied(t, client, "http://x/gone"))
	says(t, 403, "not you")(replied(t, client, "http://x/a", "X-Ask", "deny"))
	for _, path := range []string{"/fails", "/panics", "/exits", "/wrong"} {
		says(t, 500, "did not answer")(replied(t, client, "http://x"+path))
	}
	says(t, 500, "did not answer")(replied(t, client, "http://x/a", "X-Ask", "fixed"))
	stats := proxy.Stats()
	if stats.Requests != 10 || stats.Denied != 8 || stats.HooksFailed != 5 || stats.Opened != stats.Active+stats.Closed {
		t.Errorf("%+v", stats)
	}
}

func TestAHookOfAMemoryProxyThatHangsIsNotWaitedFor(t *testing.T) {
	ended := make(chan error, 1)
	tell := func(err error) {
		select {
		case ended <- err:
		default:
		}
	}
	proxy, err := NewMemoryProxy(MemoryProxyConfig{HookTimeout: After(time.Millisecond)}, MemoryProxyHooks{
		Router: func(ctx context.Context, _ *ProxyRequest) (ProxyTarget, error) {
			<-ctx.Done()
			tell(ctx.Err())
			return ProxyTarget{}, ctx.Err()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	if err := proxy.Serve(listening(t, "mem:go-proxy")); err != nil {
		t.Fatal(err)
	}
	client := clientOf(t, "mem:go-proxy", nil)
	for {
		// The library's clock or the context's: whichever is first.
		status, _ := replied(t, client, "http://x/")
		if status != http.StatusGatewayTimeout && status != http.StatusInternalServerError {
			t.Error(status)
		}
		select {
		case err := <-ended:
			if err == nil {
				t.Error("its context never ended")
			}
			return
		default: // A question may be over before it is asked.
		}
	}
}

func TestAMemoryProxyOfAnAgentServesUsersAndUpgrades(t *testing.T) {
	serviceAt(t, "mem:go-proxied-a")
	hub, err := NewHub(HubConfig{
		Agents:    map[string][]Secret{"c1": {NewSecret("a token that is long enough")}},
		Anonymous: []string{"c1"},
		HTTP:      HttpConfig{Routes: []HttpRoute{{Cluster: "c1"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	at, err := hub.Listen(t.Context(), "mem:go-proxy-hub")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hub.ListenHTTP(t.Context(), "mem:go-proxy-front"); err != nil {
		t.Fatal(err)
	}
	agent, err := NewAgent(AgentConfig{
		Cluster: "c1", Token: NewSecret("a token that is long enough"), Hubs: []string{"mem:" + at.String()}, UseMemoryComm: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	if err := agent.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy, err := NewMemoryProxy(MemoryProxyConfig{Routes: []ProxyRoute{{Target: "mem:go-proxied-a"}}}, MemoryProxyHooks{})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	listener, err := agent.Listener()
	if err != nil {
		t.Fatal(err)
	}
	if err := proxy.Serve(listener); err != nil {
		t.Fatal(err)
	}
	// Nobody but the proxy keeps the listener.
	runtime.GC()
	says(t, 200, "mem:go-proxied-a x /y")(replied(t, clientOf(t, "mem:go-proxy-front", nil), "http://x/y"))

	user, err := DialAddr(t.Context(), "mem:go-proxy-front")
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	if _, err := io.WriteString(user, "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(user)
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		dump, _ := httputil.DumpResponse(response, true)
		t.Fatalf("%v %s", err, dump)
	}
	if _, err := io.WriteString(user, "no HTTP any more\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := reader.ReadString('\n'); line != "no HTTP any more\n" {
		t.Error(line, err)
	}
	if agent.MemoryCommStats().Memory.Opened == 0 {
		t.Error("nothing went by memory")
	}
	runtime.KeepAlive(agent)
}

func TestACertificateProviderShowsEachNameItsOwn(t *testing.T) {
	serviceAt(t, "mem:go-proxied-a")
	authority := newAuthority(t)
	own := authority.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"a.test"} })
	proxy, err := NewMemoryProxy(MemoryProxyConfig{Routes: []ProxyRoute{{Target: "mem:go-proxied-a"}}}, MemoryProxyHooks{
		CertificateProvider: func(_ context.Context, hello *ProxyHello) (*TlsCertificate, error) {
			if hello.ServerName != "a.test" {
				return nil, errors.New("no such name")
			}
			return &TlsCertificate{Chain: PemText(own.chain), Key: PemText(own.key)}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	if err := proxy.Serve(listening(t, "mem:go-proxy")); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(authority.pem))
	client := clientOf(t, "mem:go-proxy", &tls.Config{RootCAs: roots})
	says(t, 200, "mem:go-proxied-a a.test /y")(replied(t, client, "https://a.test/y"))
	if _, err := client.Get("https://b.test/"); err == nil {
		t.Error("a name without a certificate was served")
	}
	if stats := proxy.Stats(); stats.HandshakesFailed != 1 || stats.HooksFailed != 1 {
		t.Errorf("%+v", stats)
	}
}

func TestAMemoryProxyThatIsClosedOrDroppedLeavesNothing(t *testing.T) {
	before := native.DebugCounts()
	proxy, err := NewMemoryProxy(MemoryProxyConfig{}, MemoryProxyHooks{})
	if err != nil {
		t.Fatal(err)
	}
	listener := listening(t, "mem:go-proxy")
	if err := proxy.Serve(listener); err != nil {
		t.Fatal(err)
	}
	says(t, 404, "no route")(replied(t, clientOf(t, "mem:go-proxy", nil), "http://x/y"))
	if cut, err := proxy.Drain(t.Context()); err != nil || cut != 0 {
		t.Error(cut, err)
	}
	if err := proxy.Serve(listener); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if err := proxy.Close(); err != nil {
		t.Error(err)
	}
	if err := proxy.Close(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if proxy.Stats().Denied != 1 {
		t.Errorf("%+v", proxy.Stats())
	}
	func() {
		dropped, err := NewMemoryProxy(MemoryProxyConfig{}, MemoryProxyHooks{})
		if err != nil {
			t.Fatal(err)
		}
		dropped.Stats()
	}()
	for native.DebugCounts().MemoryProxies != before.MemoryProxies {
		runtime.GC()
		runtime.Gosched()
	}
	var failure *Error
	if _, err := NewMemoryProxy(MemoryProxyConfig{MaxHead: 1}, MemoryProxyHooks{}); !errors.As(err, &failure) || failure.Kind != KindConfig {
		t.Error(err)
	}
}
