package trunkline

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"trunkline.dev/go/internal/native"
)

// Tls is a [TlsConfig] with its files read: whatever is made by its methods is secured by it. Any number of goroutines
// may use it at once.
//
// The files are looked at every ReloadInterval and read anew when they changed; a bad or expired one replaces nothing.
// New handshakes use what was read last, connections that stand keep what they began with.
type Tls struct {
	rt      *Runtime
	handle  uint64
	closed  *atomic.Bool
	cleanup runtime.Cleanup
}

// NewTls puts a TLS configuration to use on the default runtime; see [Runtime.NewTls].
func NewTls(config TlsConfig) (*Tls, error) {
	rt, err := Default()
	if err != nil {
		return nil, err
	}
	return rt.NewTls(config)
}

// NewTls puts a TLS configuration to use. It reads the files that the configuration names.
//
// It fails with [KindConfig] for a configuration out of range and for a file that cannot be read, and with [KindTLS]
// for a certificate that has expired or does not go with its key.
func (rt *Runtime) NewTls(config TlsConfig) (*Tls, error) {
	document, err := config.document()
	if err != nil {
		return nil, configError(err)
	}
	handle, failure := native.TLSNew(rt.handle, document)
	if failure != nil {
		return nil, newError(failure, native.StepConfigure)
	}
	t := &Tls{rt: rt, handle: handle, closed: new(atomic.Bool)}
	t.cleanup = runtime.AddCleanup(t, func(handle uint64) {
		slog.Warn("trunkline: a TLS configuration was dropped without Close")
		native.TLSFree(handle)
	}, handle)
	return t, nil
}

// Reload reads the files now; new handshakes use what they hold. After an error, as of [Runtime.NewTls], what was in use
// stays in use.
func (t *Tls) Reload() error {
	defer runtime.KeepAlive(t)
	if failure := native.TLSReload(t.handle); failure != nil {
		return newError(failure, native.StepConfigure)
	}
	return nil
}

// ExpiresIn is the time until the first of our own certificates expires, zero once it has; false if there is none, or
// the configuration is closed.
func (t *Tls) ExpiresIn() (time.Duration, bool) {
	defer runtime.KeepAlive(t)
	ns, failure := native.TLSExpiresIn(t.handle)
	return time.Duration(ns), failure == nil && ns != native.NeverExpires
}

// Close ends the watching of the files once nobody uses them any more: what was made with it goes on as it is. Only the
// first call succeeds.
func (t *Tls) Close() error {
	if !t.closed.CompareAndSwap(false, true) {
		return net.ErrClosed
	}
	t.cleanup.Stop()
	native.TLSFree(t.handle)
	return nil
}

// Dial connects as [Runtime.Dial] does; network "tls" is secured. The server's certificate must be for the address's host,
// unless the configuration names another.
//
// Beyond what Runtime.Dial says, it fails with [KindTLS], and [Error.TlsFault] says whose fault it is. A server that
// refuses our certificate may be heard of only by the first Read.
func (t *Tls) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	defer runtime.KeepAlive(t)
	return t.rt.dial(ctx, network, address, t.connect)
}

// DialAddr connects to an address such as "tls://db.internal:5432", as Dial does.
func (t *Tls) DialAddr(ctx context.Context, address string) (net.Conn, error) {
	defer runtime.KeepAlive(t)
	return t.rt.dialAddr(ctx, address, t.connect)
}

// Listen listens as [Runtime.Listen] does; network "tls" is secured. Handshakes are taken as connections come, beside
// each other, and [Listener.Accept] gives those that went well.
func (t *Tls) Listen(ctx context.Context, network, address string) (*Listener, error) {
	defer runtime.KeepAlive(t)
	return t.rt.listen(ctx, network, address, t.bind)
}

// ListenAddr listens on an address such as "tls://0.0.0.0:443", as Listen does.
func (t *Tls) ListenAddr(ctx context.Context, address string) (*Listener, error) {
	network, rest, err := splitAddress(address)
	if err != nil {
		return nil, listenError("", textAddr{"", address}, err)
	}
	return t.Listen(ctx, network, rest)
}

// NewTcpConnectionManager makes a manager whose connections, listeners and relays of network "tls" are secured.
func (t *Tls) NewTcpConnectionManager(config TcpManagerConfig) (*TcpConnectionManager, error) {
	defer runtime.KeepAlive(t)
	return t.rt.newManager(config, t.handle)
}

// NewAgent makes an agent as [NewAgent] does; its hubs and targets of network "tls" are secured. Its client certificate can
// be what proves the cluster's name.
func (t *Tls) NewAgent(config AgentConfig) (*Agent, error) {
	defer runtime.KeepAlive(t)
	return t.rt.newAgent(config, t.handle)
}

// NewHub makes a hub as [NewHub] does; what it listens on of network "tls" is secured.
func (t *Tls) NewHub(config HubConfig) (*Hub, error) {
	defer runtime.KeepAlive(t)
	return t.rt.newHub(config, t.handle)
}

// NewMemoryProxy makes a memory proxy as [NewMemoryProxy] does, which is who t says to clients of TLS, and trusts whom t trusts
// at tls:// addresses.
func (t *Tls) NewMemoryProxy(config MemoryProxyConfig, hooks MemoryProxyHooks) (*MemoryProxy, error) {
	defer runtime.KeepAlive(t)
	return t.rt.newMemoryProxy(config, hooks, t.handle)
}

// OpenPool makes a pool of connections as [OpenPoolOn] does; those to tls:// addresses are secured.
func (t *Tls) OpenPool(ctx context.Context, targets []string, config CheckoutPoolConfig) (*Pool[*Conn], error) {
	defer runtime.KeepAlive(t)
	return openPool(t.rt, ctx, targets, config, t.handle)
}

// NewChannel makes a channel as [Runtime.NewChannel] does, with every connection secured. The server must agree to speak
// HTTP/2 (ALPN h2), and its certificate must be for the configured ServerName, else for the name that was looked up or the
// host that the target names ("localhost" behind "unix:" and "mem:").
func (t *Tls) NewChannel(target string, config ConnectionConfig, options ...ChannelOption) (*Channel, error) {
	defer runtime.KeepAlive(t)
	return t.rt.newChannel(target, config, t.handle, options)
}

func (t *Tls) connect(address string, deadline int64, queue, tag uint64) (uint64, *native.Failure) {
	return native.ConnectAsync(t.rt.handle, t.handle, address, deadline, queue, tag)
}

func (t *Tls) bind(address string) (uint64, *native.Failure) {
	return native.Listen(t.rt.handle, t.handle, address, 0)
}

// TlsSession is who the peer of a connection is, and what was agreed with it.
type TlsSession struct {
	// Version is "TLSv1.3" or "TLSv1.2".
	Version string
	// Alpn is the application protocol that both agreed on; empty if there is none.
	Alpn string
	// ServerName is what the client asked for; empty if it asked for none, as with an IP address.
	ServerName string
	// PeerUri is the first URI that the peer's certificate is for, such as a SPIFFE id; empty if there is none.
	PeerUri string
	// PeerCertificates are those that the peer showed, in DER, its own first, for [crypto/x509.ParseCertificate].
	PeerCertificates [][]byte
}

func sessionOf(handle uint64) *TlsSession {
	found := native.StreamTLS(handle)
	if found == nil {
		return nil
	}
	return &TlsSession{found.Version, found.ALPN, found.ServerName, found.PeerURI, found.PeerCertificates}
}

// TlsFault says whose fault it is that TLS failed; 0 if it did not. The numbers are the same in every language.
type TlsFault int32

// The faults.
const (
	FaultPeerCertificate = TlsFault(native.TLSFaultPeerCertificate) // the peer's certificate is missing, expired or not trusted
	FaultNameMismatch    = TlsFault(native.TLSFaultNameMismatch)    // the peer's certificate is good, and for another name
	FaultOwnCertificate  = TlsFault(native.TLSFaultOwnCertificate)  // ours is expired, not that of its key, or refused
	FaultProtocol        = TlsFault(native.TLSFaultProtocol)        // nothing in common, or the peer does not speak TLS
)

// String is the fault as logs name it; "none" for 0.
func (f TlsFault) String() string {
	switch f {
	case FaultPeerCertificate:
		return "peer_certificate"
	case FaultNameMismatch:
		return "name_mismatch"
	case FaultOwnCertificate:
		return "own_certificate"
	case FaultProtocol:
		return "protocol"
	default:
		return "none"
	}
}
