package trunkline

import "encoding/json"

// Secret is a text that is never printed: fmt, slog and JSON show "[redacted]".
type Secret struct{ text string }

// NewSecret is a Secret of text.
func NewSecret(text string) Secret { return Secret{text} }

// Expose is the text itself.
func (s Secret) Expose() string { return s.text }

// IsZero says whether it is unset, so that the JSON option omitzero leaves it out.
func (s Secret) IsZero() bool { return s.text == "" }

// String is "[redacted]".
func (Secret) String() string { return redacted }

// GoString is "[redacted]".
func (Secret) GoString() string { return redacted }

// MarshalText writes "[redacted]".
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LinkConfig says how the connection between an agent and its hub is run; each end has its own. The zero LinkConfig is
// all defaults.
type LinkConfig struct {
	// Window is how many bytes of one logical connection this end holds unread at most; the peer stops there, and only
	// on that connection. Default: 256 KiB. Limits: 1 KiB to 16 MiB.
	Window uint32 `json:"window,omitzero"`
	// SendBuffer is how many bytes of one logical connection wait to be sent. Default: 256 KiB. Limits: 1 KiB to 16 MiB.
	SendBuffer uint32 `json:"send_buffer,omitzero"`
	// PingInterval is the time between pings. Default: 20 s. Limits: 1 s to 365 days, or never.
	PingInterval TimeLimit `json:"ping_interval,omitzero"`
	// PingTimeout is the time for the answer, after which the connection counts as lost. Default: 10 s.
	PingTimeout TimeLimit `json:"ping_timeout,omitzero"`
	// HelloTimeout is the time for the hello. Default: 10 s.
	HelloTimeout TimeLimit `json:"hello_timeout,omitzero"`
	// MaxPacket is how many bytes of one packet this end takes; a longer one ends the tunnel. Of [PacketCarrier] alone.
	// Default: 16 MiB. Limits: 64 KiB to 1 GiB.
	MaxPacket uint32 `json:"max_packet,omitzero"`
	// AllowLegacyPeers says whether the peer may be one that speaks tunnel.v1 and none of what is added to it here. Of
	// [PacketCarrier] alone. Default: false.
	AllowLegacyPeers bool `json:"allow_legacy_peers,omitzero"`
	// StallTimeout is for how long a connection of such a peer may hold up the others of its link; then it is reset.
	// Default: 10 s.
	StallTimeout TimeLimit `json:"stall_timeout,omitzero"`
}

// TunnelCarrier says how logical connections cross the link between an agent and its hub.
type TunnelCarrier string

const (
	// NativeCarrier is HTTP/2 with the roles reversed: each connection is a stream of it.
	NativeCarrier TunnelCarrier = "native"
	// PacketCarrier is the tunnel.v1 protocol: one call of gRPC carries the packets of all. What there is between the ends
	// may be anything that passes gRPC on, and the other end may be another program's.
	PacketCarrier TunnelCarrier = "packet"
)

// AgentConfig says how an [Agent] reaches its hubs, and what it lets them reach. What is zero has its default; Cluster and
// Hubs are required.
type AgentConfig struct {
	// Cluster is the name that the agent stands for: 1 to 128 letters, digits, '-', '_' and '.'.
	Cluster string `json:"cluster"`
	// Token is what proves the name: 16 to 1024 bytes. A client certificate can do so instead.
	Token Secret `json:"token,omitzero"`
	// Hubs are addresses such as "tcp://127.0.0.1:7000"; each gets a tunnel of its own.
	Hubs []string `json:"hubs"`
	// Carrier is how connections cross the link. A hub that does not take it is an error, and no other is tried. Default:
	// NativeCarrier.
	Carrier TunnelCarrier `json:"carrier,omitzero"`
	// Links is the number of transport connections to each hub. Default: 1. Limits: 1 to 16.
	Links uint32 `json:"links,omitzero"`
	// AllowPlaintext says whether the token and the traffic may cross a network in the clear. Default: false: then a
	// hub at a tcp:// address must be on loopback.
	AllowPlaintext bool `json:"allow_plaintext,omitzero"`
	// MaxConnections is the most logical connections at one time. Default: 1000. Limits: 1 to 1,000,000.
	MaxConnections uint32 `json:"max_connections,omitzero"`
	// Backlog is how many logical connections wait to be accepted. Default: 128. Limits: 1 to 65535.
	Backlog uint32 `json:"backlog,omitzero"`
	// Forward is where connections without a target go. Default: to [Agent.Listener].
	Forward string `json:"forward,omitzero"`
	// UseMemoryComm says whether connections without a target reach [Agent.Listener] by a pipe. Default: false: they go
	// over a Unix socket of the agent's own if MemoryComm is given, and else come as they are.
	UseMemoryComm bool `json:"use_memory_comm,omitzero"`
	// MemoryComm says how the pipe or the socket is set up. Default: neither, unless UseMemoryComm is set. Not together
	// with Forward.
	MemoryComm *MemoryCommConfig `json:"memory_comm,omitzero"`
	// Targets are what else the hubs may have dialled, such as "tcp://10.0.0.0/8:443", "tcp://*.internal:*" or
	// "unix:/run/app.sock". Default: nothing. Loopback, link-local and metadata addresses are reached only by a network
	// of their own, whatever a name leads to.
	Targets []string `json:"targets,omitzero"`
	// MaxPendingDials is how many targets are dialled at one time. Default: 64. Limits: 1 to 1,000,000.
	MaxPendingDials uint32 `json:"max_pending_dials,omitzero"`
	// IdleTimeout is the silence after which a connection that is forwarded, or comes by MemoryComm, is closed.
	// Default: 1 h.
	IdleTimeout TimeLimit `json:"idle_timeout,omitzero"`
	// HalfCloseTimeout is the silence for its second side to finish in after the first has. Default: 60 s.
	HalfCloseTimeout TimeLimit `json:"half_close_timeout,omitzero"`
	// BufferSize is how many bytes such a connection holds for each direction. Default: 64 KiB.
	BufferSize uint32 `json:"buffer_size,omitzero"`
	// Backoff says how the delay between attempts to reach a hub grows.
	Backoff BackoffConfig `json:"backoff,omitzero"`
	// HealthyAfter is how long a tunnel must have stood for its end to be no failure. Default: 30 s.
	HealthyAfter TimeLimit `json:"healthy_after,omitzero"`
	// DrainTimeout is the time that a drain gives connections to finish. Default: 30 s.
	DrainTimeout TimeLimit `json:"drain_timeout,omitzero"`
	// Link is the connection to the hub.
	Link LinkConfig `json:"link,omitzero"`
	// TCP is for sockets to hubs and targets; its ConnectTimeout bounds each dial of a target.
	TCP TcpConfig `json:"tcp,omitzero"`
}

// MemoryCommConfig says how connections reach an agent's listener where they do not come as they are. The zero
// MemoryCommConfig is all defaults.
type MemoryCommConfig struct {
	// BufferSize is how many bytes each direction of a pipe holds. Default: 64 KiB. Limits: 1 byte to 1 GiB.
	BufferSize uint32 `json:"buffer_size,omitzero"`
	// MaxConnections is the most connections by pipes at one time; the next go over the socket. Default: 1000. Limits:
	// 1 to 1,000,000.
	MaxConnections uint32 `json:"max_connections,omitzero"`
	// EnableMetrics says whether the metrics tell the two ways apart. Default: false; [Agent.MemoryCommStats] does so
	// always.
	EnableMetrics bool `json:"enable_metrics,omitzero"`
	// SocketDirectory is where the socket's private directory is made. Default: /tmp. Limits: an absolute path of at most
	// 64 bytes.
	SocketDirectory string `json:"socket_directory,omitzero"`
}

// document is the configuration for the library, the token in it.
func (c AgentConfig) document() (string, error) {
	type plain AgentConfig
	document, err := json.Marshal(struct {
		plain
		Hubs  []string `json:"hubs,omitzero"`
		Token string   `json:"token,omitempty"`
	}{plain(c), c.Hubs, c.Token.text})
	return string(document), err
}
