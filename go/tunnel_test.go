package trunkline

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var theToken = NewSecret("a token that is long enough")

func newHub(t *testing.T, config HubConfig) *Hub {
	t.Helper()
	return newHubOf(t, NewHub, config)
}

func newHubOf(t *testing.T, create func(HubConfig) (*Hub, error), config HubConfig) *Hub {
	t.Helper()
	balanced(t)
	if config.AgentCertificates == nil {
		config.Agents = map[string][]Secret{"c1": {theToken}}
	}
	h, err := create(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func newAgent(t *testing.T, h *Hub, address string, config AgentConfig) *Agent {
	t.Helper()
	return newAgentOf(t, NewAgent, h, address, config)
}

func newAgentOf(t *testing.T, create func(AgentConfig) (*Agent, error), h *Hub, address string, config AgentConfig) *Agent {
	t.Helper()
	config.Cluster, config.Token, config.Hubs = "c1", theToken, []string{hubAt(t, h, address)}
	a, err := create(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if err := a.WaitReady(soon(t)); err != nil {
		t.Fatal(err)
	}
	return a
}

// hubAt lets agents in at an address, and says at which.
func hubAt(t *testing.T, h *Hub, address string) string {
	t.Helper()
	at, err := h.Listen(soon(t), address)
	if err != nil {
		t.Fatal(err)
	}
	scheme, rest, _ := strings.Cut(address, ":")
	if strings.HasPrefix(rest, "//") {
		scheme += "://"
	} else {
		scheme += ":"
	}
	return scheme + at.String()
}

func agentListener(t *testing.T, a *Agent) *Listener {
	t.Helper()
	l, err := a.Listener()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dialCluster(t *testing.T, h *Hub) *Conn {
	t.Helper()
	conn, err := h.DialContext(soon(t), "c1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*Conn)
}

func TestHTTPServesBehindATunnel(t *testing.T) {
	for network, address := range addresses(t) {
		t.Run(network, func(t *testing.T) {
			by := bothSides(t)
			h := newHubOf(t, by.NewHub, HubConfig{})
			a := newAgentOf(t, by.NewAgent, h, address, AgentConfig{})
			l := agentListener(t, a)
			body := make([]byte, 1<<20)
			_, _ = rand.Read(body)
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got, err := io.ReadAll(r.Body)
				if err != nil || !bytes.Equal(got, body) {
					http.Error(w, "it came out otherwise", http.StatusBadRequest)
					return
				}
				fmt.Fprintf(w, "%s for %s", got[:0], r.Host)
			})}
			go server.Serve(l)
			defer server.Close()
			transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return h.DialContext(ctx, "c1")
			}}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: patience}
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					response, err := client.Post("http://service.c1/", "", bytes.NewReader(body))
					if err != nil {
						t.Error(err)
						return
					}
					defer response.Body.Close()
					said, _ := io.ReadAll(response.Body)
					if string(said) != " for service.c1" || response.StatusCode != http.StatusOK {
						t.Errorf("got %d, %s", response.StatusCode, said)
					}
				})
			}
			all.Wait()
		})
	}
}

func TestBothEndsOfATunnelHaveAddressesAndCount(t *testing.T) {
	h := newHub(t, HubConfig{})
	a := newAgent(t, h, "tcp://127.0.0.1:0", AgentConfig{})
	l := agentListener(t, a)
	if l.Addr() != TunnelAddr("c1") || l.Addr().Network() != "tunnel" {
		t.Errorf("the listener is at %v", l.Addr())
	}
	user := dialCluster(t, h)
	served, err := l.AcceptConn()
	if err != nil {
		t.Fatal(err)
	}
	if user.RemoteAddr() != TunnelAddr("c1") || served.LocalAddr() != TunnelAddr("c1") {
		t.Errorf("the ends are %v and %v", user.RemoteAddr(), served.LocalAddr())
	}
	_, _ = user.Write([]byte("question"))
	_ = user.CloseWrite()
	if got, err := io.ReadAll(served); string(got) != "question" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	_, _ = served.Write([]byte("answer"))
	served.Close()
	if got, err := io.ReadAll(user); string(got) != "answer" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	user.Close()
	eventually(t, func() error {
		if stats := a.Stats(); stats.Closed != 1 || stats.BytesReceived != 8 || stats.BytesSent != 6 {
			return fmt.Errorf("the agent counts %+v", stats)
		}
		if stats := h.Stats(); stats.Active != 0 || stats.Opened != 1 || stats.Links != 1 || stats.Clusters != 1 {
			return fmt.Errorf("the hub counts %+v", stats)
		}
		return nil
	})
}

func TestHTTPServesBehindATunnelOfPackets(t *testing.T) {
	h := newHub(t, HubConfig{Carriers: []TunnelCarrier{PacketCarrier}})
	a := newAgent(t, h, "tcp://127.0.0.1:0", AgentConfig{Carrier: PacketCarrier, Link: LinkConfig{MaxPacket: 64 << 10}})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})}
	go server.Serve(agentListener(t, a))
	defer server.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return h.DialContext(ctx, "c1")
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	body := make([]byte, 1<<20)
	_, _ = rand.Read(body)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			response, err := client.Post("http://service.c1/", "", bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if got, err := io.ReadAll(response.Body); err != nil || !bytes.Equal(got, body) {
				t.Errorf("it came out otherwise, %v", err)
			}
		})
	}
	all.Wait()
}

func TestAnAgentOfAnotherCarrierIsNotLetInAndHearsWhy(t *testing.T) {
	h := newHub(t, HubConfig{Carriers: []TunnelCarrier{PacketCarrier}})
	at := hubAt(t, h, "mem:"+t.Name())
	a, err := NewAgent(AgentConfig{Cluster: "c1", Token: theToken, Hubs: []string{at}, Carrier: NativeCarrier})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	eventually(t, func() error {
		if a.Stats().LinksFailed == 0 {
			return errors.New("no attempt failed")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := a.WaitReady(ctx); err == nil || !strings.Contains(err.Error(), "takes no agents of the native carrier") {
		t.Errorf("got %v", err)
	}
	if stats := h.Stats(); stats.LinksOpened != 0 {
		t.Errorf("got %+v", stats)
	}
}

func TestAForwardAndATargetLeadToWhatTheAgentAllows(t *testing.T) {
	h := newHub(t, HubConfig{})
	app, other := listening(t, "mem:"+t.Name()+"-app"), listening(t, "mem:"+t.Name()+"-other")
	targets := []string{"mem:" + other.Addr().String()}
	a := newAgent(t, h, "mem:"+t.Name(), AgentConfig{Forward: "mem:" + app.Addr().String(), Targets: targets})
	front, err := h.Forward(soon(t), "tcp://127.0.0.1:0", "c1", "")
	if err != nil {
		t.Fatal(err)
	}
	client := dial(t, front)
	server, err := app.AcceptConn()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_, _ = client.Write([]byte("through"))
	got := make([]byte, 7)
	if _, err := io.ReadFull(server, got); string(got) != "through" {
		t.Errorf("got %q, %v", got, err)
	}
	listed, err := h.DialTarget(soon(t), "c1", targets[0])
	if err != nil {
		t.Fatal(err)
	}
	listed.Close()
	var known *Error
	_, err = h.DialTarget(soon(t), "c1", "mem:not-listed")
	if !errors.As(err, &known) || known.Kind != KindConfig || !strings.Contains(err.Error(), "does not allow") {
		t.Errorf("got %v", err)
	}
	if _, err = h.Forward(soon(t), "tcp://0.0.0.0:0", "c1", ""); !errors.As(err, &known) || known.Kind != KindConfig {
		t.Errorf("got %v", err)
	}
	if _, err = a.Listener(); !errors.As(err, &known) || known.Kind != KindConfig {
		t.Errorf("got %v", err)
	}
}

func TestWhoDoesNotProveItsNameIsNotLetInAndHearsWhy(t *testing.T) {
	h := newHub(t, HubConfig{})
	at, err := h.Listen(soon(t), "mem:"+t.Name())
	if err != nil {
		t.Fatal(err)
	}
	config := AgentConfig{Cluster: "c1", Token: NewSecret("another token, long enough"), Hubs: []string{"mem:" + at.String()}}
	a, err := NewAgent(config)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	eventually(t, func() error {
		if a.Stats().LinksFailed == 0 {
			return errors.New("no attempt failed")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := a.WaitReady(ctx); !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	_, err = h.DialContext(soon(t), "c1")
	var known *Error
	if !errors.As(err, &known) || known.Kind != KindConnect || !known.Retryable {
		t.Errorf("got %v", err)
	}
	if h.Stats().Links != 0 || h.Stats().LinksRefused == 0 {
		t.Errorf("got %+v", h.Stats())
	}
}

func TestAnAgentIsKnownByItsCertificate(t *testing.T) {
	const name = "spiffe://example.test/agents/c1"
	hubs, agents := newAuthority(t), newAuthority(t)
	shown := agents.issue(t, func(c *x509.Certificate) { c.URIs = []*url.URL{uri(t, name)} }).texts()
	side := TlsServerConfig{Certificate: hubs.issue(t, nil).texts(), ClientAuth: ClientAuthOptional, ClientRoots: PemText(agents.pem)}
	byHub := newTls(t, TlsConfig{Server: &side})
	known := newTls(t, TlsConfig{Client: &TlsClientConfig{Roots: PemText(hubs.pem), Certificate: &shown}})
	unknown := newTls(t, TlsConfig{Client: &TlsClientConfig{Roots: PemText(hubs.pem)}})
	h := newHubOf(t, byHub.NewHub, HubConfig{AgentCertificates: map[string][]string{"c1": {name}, "c2": {"c2.test"}}})
	newAgentOf(t, known.NewAgent, h, "tls://127.0.0.1:0", AgentConfig{})
	dialCluster(t, h)

	at := hubAt(t, h, "tls://127.0.0.1:0")
	inTheClear := "tcp" + strings.TrimPrefix(at, "tls")
	for _, c := range []struct {
		create       func(AgentConfig) (*Agent, error)
		cluster, hub string
		says         string
	}{
		{unknown.NewAgent, "c1", at, "has not proved"},
		{known.NewAgent, "c2", at, "has not proved"},
		{NewAgent, "c1", at, "certificate"},
		{NewAgent, "c1", inTheClear, "a tls:// address is needed"},
	} {
		a, err := c.create(AgentConfig{Cluster: c.cluster, Token: theToken, Hubs: []string{c.hub}})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			if err := a.WaitReady(ctx); err == nil || !strings.Contains(err.Error(), c.says) {
				return fmt.Errorf("%s at %s: got %v", c.cluster, c.hub, err)
			}
			return nil
		})
		a.Close()
	}
	if stats := h.Stats(); stats.LinksOpened != 1 {
		t.Errorf("got %+v", stats)
	}
}

func TestUsersOfHTTPAreServedByRoutes(t *testing.T) {
	a := newAuthority(t)
	by := newTls(t, TlsConfig{Server: &TlsServerConfig{Certificate: a.issue(t, nil).texts()}})
	h := newHubOf(t, by.NewHub, HubConfig{
		Users: map[string]UserConfig{"alice": {Tokens: []Secret{theToken}, Clusters: []string{"c1"}}},
		HTTP: HttpConfig{Routes: []HttpRoute{
			{Path: "/lab", Cluster: "c1", StripPath: true},
			{Header: HeaderRule{Name: "X-Cluster"}, ClusterFrom: ClusterFromHeader},
		}},
	})
	served := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, "%s %s %q %s", r.RequestURI, r.Header.Get("X-Forwarded-User"), r.Header.Get("Authorization"), body)
	})}
	go served.Serve(agentListener(t, newAgent(t, h, "mem:"+t.Name(), AgentConfig{})))
	defer served.Close()
	for _, scheme := range []string{"http", "https"} {
		network := map[string]string{"http": "tcp", "https": "tls"}[scheme]
		at, err := h.ListenHTTP(soon(t), network+"://127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool()}, ForceAttemptHTTP2: true}
		client := &http.Client{Transport: transport, Timeout: patience}
		ask := func(path, cluster, token string) (int, string) {
			request, _ := http.NewRequestWithContext(t.Context(), "PUT", scheme+"://"+at.String()+path, strings.NewReader("body"))
			request.Header.Set("X-Cluster", cluster)
			if token != "" {
				request.SetBasicAuth("alice", token)
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if want := map[string]int{"http": 1, "https": 2}[scheme]; response.ProtoMajor != want {
				t.Errorf("%s speaks %s", scheme, response.Proto)
			}
			body, _ := io.ReadAll(response.Body)
			return response.StatusCode, string(body)
		}
		for _, c := range []struct {
			path, cluster, token string
			status               int
			says                 string
		}{
			{"/lab/a?b", "", theToken.Expose(), 202, `/a?b alice "" body`},
			{"/x", "c1", theToken.Expose(), 202, `/x alice "" body`},
			{"/x", "c2", theToken.Expose(), 403, "may not use this cluster"},
			{"/x", "", theToken.Expose(), 404, "no route"},
			{"/lab", "", "another token, long enough", 401, "does not know who asks"},
			{"/lab", "", "", 401, "does not know who asks"},
		} {
			if status, said := ask(c.path, c.cluster, c.token); status != c.status || !strings.Contains(said, c.says) {
				t.Errorf("%s %+v: got %d, %s", scheme, c, status, said)
			}
		}
		transport.CloseIdleConnections()
	}
	bare, err := NewHub(HubConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	var known *Error
	if _, err := bare.ListenHTTP(soon(t), "mem:none"); !errors.As(err, &known) || known.Kind != KindConfig {
		t.Errorf("got %v", err)
	}
}

func TestTokensAreNeverShown(t *testing.T) {
	agent := AgentConfig{Cluster: "c1", Token: theToken}
	hub := HubConfig{
		Agents: map[string][]Secret{"c1": {theToken}},
		Users:  map[string]UserConfig{"alice": {Tokens: []Secret{theToken}}},
	}
	agentJSON, _ := json.Marshal(agent)
	hubJSON, _ := json.Marshal(hub)
	shown := fmt.Sprintf("%v %+v %#v %s %v %+v %#v %s", agent, agent, agent, agentJSON, hub, hub, hub, hubJSON)
	if strings.Contains(shown, theToken.Expose()) {
		t.Error(shown)
	}
	_, err := NewHub(HubConfig{Agents: map[string][]Secret{"c1": {NewSecret("short-secret")}}})
	if err == nil || strings.Contains(err.Error(), "short-secret") {
		t.Errorf("got %v", err)
	}
}

func TestLimitsOfATunnelHoldAndTheirPlacesComeBack(t *testing.T) {
	h := newHub(t, HubConfig{MaxConnections: 1})
	newAgent(t, h, "mem:"+t.Name(), AgentConfig{})
	held := dialCluster(t, h)
	if _, err := h.DialContext(soon(t), "c1"); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("got %v", err)
	}
	held.Close()
	dialCluster(t, h)
}

func TestAContextEndsADialAndNothingIsLeft(t *testing.T) {
	h := newHub(t, HubConfig{AgentWait: Never})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := h.DialContext(ctx, "c1")
		failed <- err
	}()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	newAgent(t, h, "mem:"+t.Name(), AgentConfig{})
	dialCluster(t, h)
	if stats := h.Stats(); stats.Opened != 1 {
		t.Errorf("got %+v", stats)
	}
}

func TestADrainOfATunnelLetsFinishAndThenCuts(t *testing.T) {
	h := newHub(t, HubConfig{})
	a := newAgent(t, h, "mem:"+t.Name(), AgentConfig{})
	l := agentListener(t, a)
	user := dialCluster(t, h)
	served, err := l.AcceptConn()
	if err != nil {
		t.Fatal(err)
	}
	drained := make(chan error)
	go func() {
		cut, err := a.Drain(soon(t))
		if cut != 0 {
			err = fmt.Errorf("%d were cut", cut)
		}
		drained <- err
	}()
	_, _ = user.Write([]byte("in flight"))
	user.Close()
	if got, err := io.ReadAll(served); string(got) != "in flight" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	served.Close()
	if err := <-drained; err != nil {
		t.Error(err)
	}
	newAgent(t, h, "mem:"+t.Name()+"2", AgentConfig{})
	left := dialCluster(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if cut, err := h.Drain(ctx); cut != 1 || err != nil {
		t.Errorf("%d were cut, %v", cut, err)
	}
	if _, err := left.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := h.DialContext(soon(t), "c1"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestOneListenerOfAnAgentAtATime(t *testing.T) {
	h := newHub(t, HubConfig{})
	a := newAgent(t, h, "mem:"+t.Name(), AgentConfig{})
	first := agentListener(t, a)
	if _, err := a.Listener(); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
	first.Close()
	agentListener(t, a)
}

func TestAHostIsReachedByMemoryOrOverASocket(t *testing.T) {
	h := newHub(t, HubConfig{})
	a := newAgent(t, h, "mem:"+t.Name(), AgentConfig{MemoryComm: &MemoryCommConfig{BufferSize: 4096}})
	l := agentListener(t, a)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})}
	go server.Serve(l)
	defer server.Close()
	for n, share := range []float64{0, 1, 0.5, 0.5} {
		if n > 0 {
			if err := a.UseMemoryComm(share); err != nil {
				t.Fatal(err)
			}
		}
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return h.DialContext(ctx, "c1")
		}}
		client := &http.Client{Transport: transport, Timeout: patience}
		for range 3 {
			response, err := client.Post("http://service.c1/", "", strings.NewReader("there and back"))
			if err != nil {
				t.Fatal(err)
			}
			said, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if string(said) != "there and back" {
				t.Errorf("got %q", said)
			}
		}
		transport.CloseIdleConnections()
	}
	eventually(t, func() error {
		stats := a.MemoryCommStats()
		if stats.Memory.Active != 0 || stats.Memory.Opened != 1 || stats.Socket.Closed != 3 || stats.MemoryShare != 0.5 {
			return fmt.Errorf("the ways count %+v", stats)
		}
		return nil
	})
	var known *Error
	if err := a.UseMemoryComm(1.5); !errors.As(err, &known) || known.Kind != KindConfig {
		t.Errorf("got %v", err)
	}
	plain := newAgent(t, h, "mem:"+t.Name()+"2", AgentConfig{})
	if err := plain.UseMemoryComm(1); !errors.As(err, &known) || known.Kind != KindConfig {
		t.Errorf("got %v", err)
	}
	last := a.MemoryCommStats()
	a.Close()
	if stats := a.MemoryCommStats(); stats.Memory.Opened != last.Memory.Opened {
		t.Errorf("after Close it counts %+v", stats)
	}
}

func TestWhatMemoryCannotTakeGoesOverTheSocket(t *testing.T) {
	h := newHub(t, HubConfig{})
	a := newAgent(t, h, "mem:"+t.Name(), AgentConfig{
		UseMemoryComm: true,
		MemoryComm:    &MemoryCommConfig{MaxConnections: 1},
	})
	l := agentListener(t, a)
	for range 2 {
		user := dialCluster(t, h)
		served, err := l.AcceptConn()
		if err != nil {
			t.Fatal(err)
		}
		defer served.Close()
		_, _ = user.Write([]byte("x"))
		if _, err := io.ReadFull(served, make([]byte, 1)); err != nil {
			t.Error(err)
		}
	}
	if stats := a.MemoryCommStats(); stats.Memory.Active != 1 || stats.Memory.Failed != 1 || stats.Socket.Fallbacks != 1 {
		t.Errorf("the ways count %+v", stats)
	}
}

func TestUsersOfSOCKSAreConnectedWhereTheyAskTo(t *testing.T) {
	h := newHubOf(t, NewHub, HubConfig{
		Users: map[string]UserConfig{"alice": {Tokens: []Secret{theToken}, Clusters: []string{"c1"}}},
		SOCKS: SocksConfig{Suffix: "hub", HandshakeTimeout: After(time.Hour)},
	})
	listener := agentListener(t, newAgent(t, h, "mem:"+t.Name(), AgentConfig{}))
	at, err := h.ListenSOCKS(soon(t), "tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for host, reply := range map[string]byte{"c1.hub": 0, "c2.hub": 2} {
		user := dial(t, at)
		token := theToken.Expose()
		said := "\x05\x01\x02\x01\x05alice" + string(rune(len(token))) + token + "\x05\x01\x00\x03" + string(rune(len(host))) + host + "\x00\x50"
		if _, err := io.WriteString(user, said); err != nil {
			t.Fatal(err)
		}
		heard := make([]byte, 14)
		if _, err := io.ReadFull(user, heard); err != nil {
			t.Fatal(err)
		}
		if want := "\x05\x02\x01\x00\x05" + string(rune(reply)) + "\x00\x01\x00\x00\x00\x00\x00\x00"; string(heard) != want {
			t.Errorf("%s: %q", host, heard)
		}
		if reply != 0 {
			continue
		}
		served, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer served.Close()
		if _, err := io.WriteString(served, "late"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(user, heard[:4]); string(heard[:4]) != "late" {
			t.Errorf("%q %v", heard[:4], err)
		}
	}
	if _, err := h.ListenSOCKS(soon(t), "tcp://0.0.0.0:0"); err == nil {
		t.Error("it listens in reach of others")
	}
}
