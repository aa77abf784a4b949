package trunkline

// UdpManagerConfig says how a [UdpConnectionManager] admits, limits and ends sessions. The zero UdpManagerConfig is all
// defaults.
//
// A session is what datagrams of one source to one of our addresses belong to. It is verified once its client has sent
// again after an answer went out to it, as one that forged its source cannot know when to do.
type UdpManagerConfig struct {
	// MaxSessions at one time, verified or not. When all places are taken, an unverified session makes room for a new one; a
	// verified one never does. Default: 2048. Limits: 1 to 1,000,000.
	MaxSessions uint32 `json:"max_sessions,omitzero"`
	// MaxUnverified is how many of them may be unverified. Above it the one that was used least recently makes room. Default:
	// 1024. Limits: 1 to 1,000,000.
	MaxUnverified uint32 `json:"max_unverified,omitzero"`
	// IdleTimeout is the time without a datagram either way after which a verified session ends. Default: 60 s. Limits: 1 ms
	// to 365 days, or never; sessions are looked at once a second.
	IdleTimeout TimeLimit `json:"idle_timeout,omitzero"`
	// UnverifiedTimeout is the same for sessions that are not verified. Default: 5 s. Limits: 1 ms to 365 days, or never.
	UnverifiedTimeout TimeLimit `json:"unverified_timeout,omitzero"`
	// AmplificationLimit is how many times the bytes that an unverified source has sent may be sent to it, as QUIC limits it
	// (RFC 9000, section 8.1). Default: 3. Limits: 1 to 65535, of which the last is as good as none. Short questions with long
	// answers, as in DNS, need about 100, and then serve forgers that much.
	AmplificationLimit uint32 `json:"amplification_limit,omitzero"`
	// EarlyDatagrams is how many wait for a session's socket while it is made. Default: 64. Limits: 1 to 65536.
	EarlyDatagrams uint32 `json:"early_datagrams,omitzero"`
	// EarlyBytes is how many bytes those may have. Default: 64 KiB. Limits: 1 KiB to 16 MiB.
	EarlyBytes uint32 `json:"early_bytes,omitzero"`
	// ConnectTimeout is the time to look a destination's name up and reach it. Default: 5 s. Limits: 1 ms to 365 days.
	ConnectTimeout TimeLimit `json:"connect_timeout,omitzero"`
	// DrainTimeout is the time that a drain gives sessions to fall silent before it closes them. Default: 30 s. Limits: zero
	// (at once) to 365 days, or never.
	DrainTimeout TimeLimit `json:"drain_timeout,omitzero"`
	// ReceivePause is the pause of receiving on a socket on which it keeps failing. Default: 100 ms. Limits: 1 ms to 365 days.
	ReceivePause TimeLimit `json:"receive_pause,omitzero"`
}
