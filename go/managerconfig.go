package trunkline

// TcpManagerConfig says how a [TcpConnectionManager] limits, relays and drains, and what it serves when it is started. The zero TcpManagerConfig is all defaults.
type TcpManagerConfig struct {
	// MaxConnections at one time, accepted and dialled together; those above wait in the listener's backlog. A relayed
	// one counts once. Default: 1024. Limits: 1 to 1,000,000.
	MaxConnections uint32 `json:"max_connections,omitzero"`
	// PerSource says how many of them those of one network may have.
	PerSource PerSourceConfig `json:"per_source,omitzero"`
	// IdleTimeout is the time without a byte either way after which a relayed connection is closed. Default: 1 h.
	// Limits: 1 ms to 365 days, or never.
	IdleTimeout TimeLimit `json:"idle_timeout,omitzero"`
	// HalfCloseTimeout is the time without a byte for the second side to finish after the first has. Default: 60 s.
	// Limits: zero (both end with the first) to 365 days, or never.
	HalfCloseTimeout TimeLimit `json:"half_close_timeout,omitzero"`
	// MaxDuration is the time that a connection is relayed at most, whatever moves. Default: 365 days. Limits: 1 ms to
	// 365 days, or never.
	MaxDuration TimeLimit `json:"max_duration,omitzero"`
	// BufferSize is how many bytes a relay holds for each direction at most. Default: 64 KiB. Limits: 1 KiB to 16 MiB.
	BufferSize uint32 `json:"buffer_size,omitzero"`
	// Splice says when a relay lets the kernel move its bytes instead of copying them.
	Splice SpliceConfig `json:"splice,omitzero"`
	// Bandwidth says how fast it carries the bytes of one connection.
	Bandwidth BandwidthConfig `json:"bandwidth,omitzero"`
	// DrainTimeout is the time that a drain gives connections to finish before it closes them. Default: 30 s.
	// Limits: zero (at once) to 365 days, or never.
	DrainTimeout TimeLimit `json:"drain_timeout,omitzero"`
	// DrainSpread is the last part of a drain, in which what still stands is closed one after the other, those first that
	// have been silent for longest, so that clients do not all come back somewhere else at one time. Default: a third of the
	// time that the drain has. Limits: zero (all at the end) to 365 days.
	DrainSpread TimeLimit `json:"drain_spread,omitzero"`
	// AcceptPause is the pause of accepting when the process has no file descriptor or no memory left. Default: 100 ms.
	// Limits: 1 ms to 365 days.
	AcceptPause TimeLimit `json:"accept_pause,omitzero"`
	// TCP says how connections are made and what their sockets are told.
	TCP TcpConfig `json:"tcp,omitzero"`
	// Listeners are where it listens once it is started, by name. Default: nowhere.
	Listeners map[string]ListenerConfig `json:"listeners,omitzero"`
	// Routes say which backend a connection goes to: that of the first one that holds.
	Routes []RouteConfig `json:"routes,omitzero"`
	// RouteCallback says how the program is asked before the routes, where it has said [TcpConnectionManager.OnRoute].
	RouteCallback RouteCallbackConfig `json:"route_callback,omitzero"`
	// DefaultBackend is that of what no route takes. Default: such a connection is reset.
	DefaultBackend string `json:"default_backend,omitzero"`
	// Backends are where connections are passed on to, by name.
	Backends map[string]BackendConfig `json:"backends,omitzero"`
}

// PerSourceConfig says how many connections those of one network may have with a manager at one time. It counts what is
// relayed, by the address of the client: as a proxy in front announced it where one did. Who is on a Unix socket or a pipe is
// not counted.
type PerSourceConfig struct {
	// MaxConnections of one network at one time; those above are reset. Default: as many as the manager lets in. Limits:
	// 1 to 1,000,000.
	MaxConnections uint32 `json:"max_connections,omitzero"`
	// IPv4Prefix is how many leading bits of an IPv4 address make a network. Default: 32. Limits: 0 to 32.
	IPv4Prefix Optional[uint8] `json:"ipv4_prefix,omitzero"`
	// IPv6Prefix is the same of an IPv6 address. Default: 64. Limits: 0 to 128.
	IPv6Prefix Optional[uint8] `json:"ipv6_prefix,omitzero"`
	// MaxNetworks are counted at one time: those with a connection. Default: 65,536. Limits: 1 to 1,000,000.
	MaxNetworks uint32 `json:"max_networks,omitzero"`
	// WhenFull says what becomes of those of a further network. Default: [SourcesRefuse].
	WhenFull SourcesFull `json:"when_full,omitzero"`
}

// SourcesFull says what becomes of a connection from a network that there is no more room to count.
type SourcesFull string

// What becomes of it.
const (
	SourcesRefuse SourcesFull = "refuse" // it is reset
	SourcesAdmit  SourcesFull = "admit"  // it comes in and is not counted
)

// BandwidthConfig says how fast a relay carries the bytes of one connection, each way on its own. What comes faster waits in
// the sender: nothing is dropped.
type BandwidthConfig struct {
	// ToServer is how many bytes per second go from the client to its server. Default: never limited. Limits: 1 to 2^53,
	// or never.
	ToServer ByteLimit `json:"to_server,omitzero"`
	// ToClient is how many bytes per second go from the server to its client. Default: never limited. Limits: 1 to 2^53,
	// or never.
	ToClient ByteLimit `json:"to_client,omitzero"`
	// Burst is how many bytes pass at once after a silence, each way. Default: 64 KiB. Limits: 1 byte to 1 GiB.
	Burst uint32 `json:"burst,omitzero"`
}

// SpliceConfig says when a relay lets the kernel move bytes from socket to socket instead of copying them: only between
// plain TCP and Unix sockets, and on Linux.
type SpliceConfig struct {
	// After is how many bytes a direction has to carry, without a second of silence, before it is spliced. Default: 1 MiB.
	// Limits: zero (after the first read) to 2^53, or never.
	After ByteLimit `json:"after,omitzero"`
	// MaxPipes at one time; each direction that is spliced takes one, of two descriptors. Default: 256. Limits: 1 to
	// 1,000,000.
	MaxPipes uint32 `json:"max_pipes,omitzero"`
	// PipeSize is how many bytes a pipe holds at most. Default: 256 KiB. Limits: 4 KiB to 1 MiB.
	PipeSize uint32 `json:"pipe_size,omitzero"`
}

// TcpConfig says how TCP connections are made and what their sockets are told.
type TcpConfig struct {
	// NoDelay says whether small writes leave at once (TCP_NODELAY). Default: true.
	NoDelay Optional[bool] `json:"nodelay,omitzero"`
	// Keepalive says when the kernel asks a silent peer whether it is still there.
	Keepalive TcpKeepalive `json:"keepalive,omitzero"`
	// UserTimeout is how long sent bytes may stay unacknowledged before the connection is cut (TCP_USER_TIMEOUT; Linux).
	// Default: 5 min. Limits: 1 ms to 24 days, or never.
	UserTimeout TimeLimit `json:"user_timeout,omitzero"`
	// ConnectTimeout is the time to reach any of a destination's addresses, resolving included, where no deadline is
	// given. Default: 5 s. Limits: 1 ms to 365 days.
	ConnectTimeout TimeLimit `json:"connect_timeout,omitzero"`
	// AttemptStagger is the time that an address has to itself before the next one is tried beside it (RFC 8305).
	// Default: 250 ms. Limits: zero (all at once) to 365 days.
	AttemptStagger TimeLimit `json:"attempt_stagger,omitzero"`
	// Backlog is how many connections the kernel completes and holds before they are accepted. Default: 1024, of which
	// Linux grants at most net.core.somaxconn. Limits: 1 to 65535.
	Backlog uint32 `json:"backlog,omitzero"`
}

// TcpKeepalive says when the kernel asks a silent peer whether it is still there. Whole seconds; parts are rounded up.
type TcpKeepalive struct {
	// Idle is the silence after which the first probe is sent. Default: 60 s. Limits: 1 s to 32767 s, or never.
	Idle TimeLimit `json:"idle,omitzero"`
	// Interval is the time between probes. Default: 10 s. Limits: 1 s to 32767 s.
	Interval TimeLimit `json:"interval,omitzero"`
	// Count is how many probes without an answer cut the connection. Default: 6. Limits: 1 to 127.
	Count uint32 `json:"count,omitzero"`
}
