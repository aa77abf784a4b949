package trunkline

// ListenerConfig says where a manager listens, and what it asks of those who connect there.
type ListenerConfig struct {
	// Address is what is listened on; port 0 means a free port. Must be set.
	Address string `json:"address"`
	// MaxConnections that came in here at one time; those above wait in the backlog. Default: as many as the manager lets
	// in. Limits: 1 to 1,000,000.
	MaxConnections uint32 `json:"max_connections,omitzero"`
	// ProxyProtocol says whether a proxy in front says for whom it speaks.
	ProxyProtocol AcceptProxyConfig `json:"proxy_protocol,omitzero"`
	// Probe says how long and how much is waited for to tell what a client speaks.
	Probe ProbeConfig `json:"probe,omitzero"`
	// DefaultBackend is that of what no route takes. Default: that of the manager.
	DefaultBackend string `json:"default_backend,omitzero"`
}

// AcceptProxyConfig says whether a proxy in front says for whom it speaks, by the PROXY protocol of either version.
type AcceptProxyConfig struct {
	// Mode is [ProxyOff] by default.
	Mode AcceptProxy `json:"mode,omitzero"`
	// Trusted are networks that are believed, such as "10.0.0.0/8"; Unix sockets and pipes always are. Default: none, so
	// that a header from anywhere is refused.
	Trusted []string `json:"trusted,omitzero"`
	// Timeout for a whole header. Default: 3 s. Limits: 1 ms to 365 days.
	Timeout TimeLimit `json:"timeout,omitzero"`
}

// AcceptProxy says whether a listener takes a PROXY header.
type AcceptProxy string

// The ways to take a PROXY header.
const (
	ProxyOff      AcceptProxy = "off"      // none is looked for
	ProxyOptional AcceptProxy = "optional" // one from a trusted source counts, and none is needed
	ProxyRequired AcceptProxy = "required" // every connection comes from a trusted source and starts with one
)

// ProbeConfig says how long and how much is waited for to tell what a client speaks.
type ProbeConfig struct {
	// Timeout in all; a client that waits for its server to speak waits this long first. Default: 200 ms. Limits: 1 ms to
	// 365 days.
	Timeout TimeLimit `json:"timeout,omitzero"`
	// MaxBytes that are read ahead. Default: 16 KiB. Limits: 64 bytes to 1 MiB.
	MaxBytes uint32 `json:"max_bytes,omitzero"`
}

// RouteConfig says which backend a connection goes to: what is set must all be true of it.
type RouteConfig struct {
	// Listener is the name of the one that it came in by.
	Listener string `json:"listener,omitzero"`
	// Protocol is what it speaks, by the names of [ProbeTcp].
	Protocol string `json:"protocol,omitzero"`
	// Host is whom it asks for: "shop.example", or "*.shop.example" for everything below it.
	Host string `json:"host,omitzero"`
	// ALPN is a protocol that a client of TLS offers to speak inside.
	ALPN string `json:"alpn,omitzero"`
	// Source is where it comes from, as a proxy in front announced it where one did: "10.0.0.0/8".
	Source string `json:"source,omitzero"`
	// Backend is the name of the backend. Must be set.
	Backend string `json:"backend"`
}

// RouteCallbackConfig says how the program is asked where connections go, where it has said [TcpConnectionManager.OnRoute].
// Whenever there is no answer, the routes decide.
type RouteCallbackConfig struct {
	// Timeout for an answer. Default: 1 s. Limits: 1 ms to 365 days.
	Timeout TimeLimit `json:"timeout,omitzero"`
	// MaxPending connections it is asked about at one time; of those above it is not asked. Default: 1024. Limits: 1 to
	// 1,000,000.
	MaxPending uint32 `json:"max_pending,omitzero"`
	// Probe says whether the first bytes of every connection are looked at before it is asked, also where no route needs
	// them. Default: true. A client that waits for its server to speak then waits for the listener's Probe.Timeout first.
	Probe Optional[bool] `json:"probe,omitzero"`
}

// BackendConfig says where connections are passed on to: endpoints that stand in for each other.
type BackendConfig struct {
	// Endpoints, 1 to 10,000.
	Endpoints []EndpointConfig `json:"endpoints"`
	// MaxConnections to all of them together at one time; those above wait in line. Default: as many as the manager lets
	// in. Limits: 1 to 1,000,000.
	MaxConnections uint32 `json:"max_connections,omitzero"`
	// Queue says who may wait for a place, and for how long.
	Queue QueueConfig `json:"queue,omitzero"`
	// Balance says which of them gets the next connection.
	Balance BalanceConfig `json:"balance,omitzero"`
	// Breaker says when one that fails is not tried for a while.
	Breaker BreakerConfig `json:"breaker,omitzero"`
	// Outlier says when one that fails more than the others is left out.
	Outlier OutlierConfig `json:"outlier,omitzero"`
	// Health says how and how often each is checked, to see that it is there. Default: it is not.
	Health *HealthConfig `json:"health,omitzero"`
	// MaxAttempts are the endpoints that are tried for one connection. Default: 3. Limits: 1 to 100.
	MaxAttempts uint32 `json:"max_attempts,omitzero"`
	// AttemptTimeout is the time after which one that does not answer is given up for the next. Default: 2 s.
	AttemptTimeout TimeLimit `json:"attempt_timeout,omitzero"`
	// SendProxyProtocol says whether they are told for whom the manager speaks. Default: [SendProxyOff].
	SendProxyProtocol SendProxy `json:"send_proxy_protocol,omitzero"`
	// Resolve says how the names among the endpoints are looked up; each of their addresses is an endpoint.
	Resolve ResolveConfig `json:"resolve,omitzero"`
	// RemovedTimeout is the time that connections have to finish whose endpoint is no longer one; then they are closed as
	// [CloseDrained]. Default: never, they stay. Limits: zero to 365 days, or never.
	RemovedTimeout TimeLimit `json:"removed_timeout,omitzero"`
}

// ResolveConfig says how long the addresses of a name are used, and what happens while it cannot be resolved.
type ResolveConfig struct {
	// MinTTL is the time that an answer is used at least. Default: 30 s. Limits: 1 ms to MaxTTL. The system's resolver tells
	// no TTL: names are looked up this often.
	MinTTL TimeLimit `json:"min_ttl,omitzero"`
	// MaxTTL is the time that an answer is used at most. Default: 1 h. Limits: 1 ms to 365 days.
	MaxTTL TimeLimit `json:"max_ttl,omitzero"`
	// StaleWhileLookup is the time since it expired for which an answer is used while a look-up runs. Default: 30 s.
	StaleWhileLookup TimeLimit `json:"stale_while_lookup,omitzero"`
	// StaleIfError is the time since it expired for which an answer is used while look-ups fail. Default: 1 h.
	StaleIfError TimeLimit `json:"stale_if_error,omitzero"`
	// Timeout after which a look-up that told nothing has failed. Default: 5 s. Limits: 1 ms to 365 days.
	Timeout TimeLimit `json:"timeout,omitzero"`
	// Retry says how long to wait between look-ups that fail. Default: 1.6 s after the first, and more after each, to 30 s.
	Retry *BackoffConfig `json:"retry,omitzero"`
}

// QueueConfig says who may wait while a backend has as many connections as it may, and for how long. Places are given in the
// order in which connections came.
type QueueConfig struct {
	// MaxWaiting connections wait at one time; who comes when so many do is reset. Default: 1024. Limits: 0 (nobody waits)
	// to 1,000,000.
	MaxWaiting Optional[uint32] `json:"max_waiting,omitzero"`
	// Timeout of a wait, before any attempt to connect. Default: 5 s. Limits: 1 ms to 365 days, or never.
	Timeout TimeLimit `json:"timeout,omitzero"`
}

// SendProxy says whether and how endpoints are told for whom a manager speaks, by the PROXY protocol.
type SendProxy string

// The ways to tell.
const (
	SendProxyOff SendProxy = "off" // they are not told
	SendProxyV1  SendProxy = "v1"  // by a line of text
	SendProxyV2  SendProxy = "v2"  // in binary, with a checksum
)

// EndpointConfig is an endpoint of a backend.
type EndpointConfig struct {
	// Address is where it is.
	Address string `json:"address"`
	// Weight is its share of the connections. Default: 1. Limits: 0 (no new ones) to 1,000,000.
	Weight Optional[uint32] `json:"weight,omitzero"`
}

// BalanceConfig says which endpoint gets the next connection.
type BalanceConfig struct {
	// Policy is "p2c" by default, or "round_robin", "weighted", "least_connections", "ring_hash", "maglev". By key the
	// source's IP address is the key.
	Policy string `json:"policy,omitzero"`
	// PanicThreshold is the part of the endpoints that must be healthy for health to count. Default: 0.5. Limits: 0 to 1.
	PanicThreshold Optional[float64] `json:"panic_threshold,omitzero"`
	// Ewma says how the time that connecting takes is estimated, for "p2c".
	Ewma EwmaConfig `json:"ewma,omitzero"`
	// SlowStart says how an endpoint that is new or healthy again comes to its share.
	SlowStart SlowStartConfig `json:"slow_start,omitzero"`
	// RingPoints of the heaviest endpoint. Default: 160. Limits: 1 to 4096.
	RingPoints uint32 `json:"ring_points,omitzero"`
	// MaglevSize is the number of places in the table, a prime. Default: 65537. Limits: 251 to 5,000,011.
	MaglevSize uint32 `json:"maglev_size,omitzero"`
	// HashSeed is what hashes start from. Default: 0.
	HashSeed uint64 `json:"hash_seed,omitzero"`
}

// EwmaConfig says how the latency of an endpoint is estimated.
type EwmaConfig struct {
	// Decay is the time in which an estimate falls to 37 %. Default: 10 s.
	Decay TimeLimit `json:"decay,omitzero"`
	// FailurePenalty is added after a failure; it shrinks evenly and is gone after Decay. Default: 5 s.
	FailurePenalty TimeLimit `json:"failure_penalty,omitzero"`
	// Cold is the estimate where nothing was measured, of the peers either. Default: 30 ms.
	Cold TimeLimit `json:"cold,omitzero"`
	// Floor is the latency that an estimate counts as, at least: below it only the number of connections makes a
	// difference. Default: 1 ms.
	Floor TimeLimit `json:"floor,omitzero"`
}

// SlowStartConfig says how an endpoint that is new or healthy again comes to its share.
type SlowStartConfig struct {
	// Window is the time until it has its whole weight. Default: zero, at once.
	Window TimeLimit `json:"window,omitzero"`
	// Floor is the part of its weight that it has at least. Default: 0.1. Limits: 0.001 to 1.
	Floor float64 `json:"floor,omitzero"`
	// Aggression of 1 grows evenly, more is faster at first. Default: 1. Limits: 0.1 to 10.
	Aggression float64 `json:"aggression,omitzero"`
}

// OutlierConfig says when an endpoint that fails more than its peers is left out for a while.
type OutlierConfig struct {
	// Interval from one sweep to the next. Default: 10 s. Limits: 1 ms to 1 day.
	Interval TimeLimit `json:"interval,omitzero"`
	// BaseEjection is the time that an endpoint is left out at first. Default: 30 s.
	BaseEjection TimeLimit `json:"base_ejection,omitzero"`
	// MaxEjection is the ceiling of that time. Default: 300 s.
	MaxEjection TimeLimit `json:"max_ejection,omitzero"`
	// MaxEjectionPercent may be left out at one time. Default: 10. Limits: 0 to 100.
	MaxEjectionPercent Optional[uint32] `json:"max_ejection_percent,omitzero"`
	// AllowOne says whether one may be although the percentage allows none. Default: true.
	AllowOne Optional[bool] `json:"allow_one,omitzero"`
	// SuccessRate leaves those out that are far below the mean.
	SuccessRate SuccessRateConfig `json:"success_rate,omitzero"`
	// FailurePercentage leaves those out of whose calls too many failed.
	FailurePercentage FailurePercentageConfig `json:"failure_percentage,omitzero"`
}

// SuccessRateConfig leaves those out whose success rate is far below the mean of all.
type SuccessRateConfig struct {
	// StdevFactor is thousandths of the standard deviation below the mean. Default: 1900.
	StdevFactor Optional[uint32] `json:"stdev_factor,omitzero"`
	// Enforcement is the chance in percent that a finding has consequences. Default: 100.
	Enforcement Optional[uint32] `json:"enforcement,omitzero"`
	// MinimumHosts with enough calls, below which there is no mean. Default: 5.
	MinimumHosts uint32 `json:"minimum_hosts,omitzero"`
	// RequestVolume is how many calls in an interval are enough. Default: 100.
	RequestVolume uint32 `json:"request_volume,omitzero"`
}

// FailurePercentageConfig leaves those out of whose calls too many failed.
type FailurePercentageConfig struct {
	// Threshold is the percentage of failures above which an endpoint is left out. Default: 85.
	Threshold Optional[uint32] `json:"threshold,omitzero"`
	// Enforcement is the chance in percent that a finding has consequences. Default: 100.
	Enforcement Optional[uint32] `json:"enforcement,omitzero"`
	// MinimumHosts with enough calls, below which nothing is done. Default: 5.
	MinimumHosts uint32 `json:"minimum_hosts,omitzero"`
	// RequestVolume is how many calls in an interval are enough. Default: 50.
	RequestVolume uint32 `json:"request_volume,omitzero"`
}

// HealthConfig says how an endpoint is checked, and how often.
type HealthConfig struct {
	// Check is what a check is. Default: it takes a connection, by TLS where its address says so.
	Check *EndpointCheck `json:"check,omitzero"`
	// Interval from the start of one check to the next. Default: 10 s. Limits: 1 ms to 365 days.
	Interval TimeLimit `json:"interval,omitzero"`
	// Jitter is the part of it that chance adds or takes away. Default: 0.2. Limits: 0 to 1.
	Jitter Optional[float64] `json:"jitter,omitzero"`
	// Rise is how many checks in a row must pass before it is healthy. Default: 2.
	Rise uint32 `json:"rise,omitzero"`
	// Fall is how many checks in a row must fail before it is not. Default: 3.
	Fall uint32 `json:"fall,omitzero"`
	// Timeout after which a check has failed. Default: 2 s.
	Timeout TimeLimit `json:"timeout,omitzero"`
}

// EndpointCheck is what a check of an endpoint is: exactly one of these.
type EndpointCheck struct {
	// TLS is a handshake, by the manager's TLS, also where its address does not say so.
	TLS *TlsCheckConfig `json:"tls,omitzero"`
	// HTTP is a request of HTTP/1.1.
	HTTP *HttpCheckConfig `json:"http,omitzero"`
	// Callback is a question to the function of [TcpConnectionManager.OnCheck].
	Callback *CallbackCheckConfig `json:"callback,omitzero"`
}

// TlsCheckConfig is a handshake of TLS with an endpoint.
type TlsCheckConfig struct {
	// ServerName is asked for, and its certificate must be for it, unless the TLS configuration has one. Default: the host of
	// its address. Must be set for a Unix socket or a pipe.
	ServerName string `json:"server_name,omitzero"`
}

// HttpCheckConfig is a request to an endpoint, and the answer that is a good one.
type HttpCheckConfig struct {
	// Method of the request. Default: GET.
	Method string `json:"method,omitzero"`
	// Path on the server, with a query if one is needed. Default: /.
	Path string `json:"path,omitzero"`
	// Host of the request. Default: that of its address, and localhost on a Unix socket or a pipe.
	Host string `json:"host,omitzero"`
	// Headers are further fields of the request. Default: none. Limits: at most 32.
	Headers map[string]string `json:"headers,omitzero"`
	// TLS is the handshake before it, where its address does not say TLS. Default: none.
	TLS *TlsCheckConfig `json:"tls,omitzero"`
	// Expect are the statuses that are good, such as "200" or "200-299". Default: "200-399". Limits: 1 to 16.
	Expect []string `json:"expect,omitzero"`
	// Contains is text that the body must contain. Default: the body is not read. Limits: at most 1024 bytes.
	Contains string `json:"contains,omitzero"`
	// MaxHead is the bytes of the head of the answer; a longer one fails. Default: 8 KiB. Limits: 8 KiB to 1 MiB.
	MaxHead uint32 `json:"max_head,omitzero"`
	// MaxBody is the bytes of the body that are looked through. Default: 64 KiB. Limits: 1 to 1 MiB.
	MaxBody uint32 `json:"max_body,omitzero"`
}

// CallbackCheckConfig is a question to the program.
type CallbackCheckConfig struct {
	// NoAnswer says what it means that there is no answer. Default: [NoAnswerFail].
	NoAnswer NoAnswer `json:"no_answer,omitzero"`
}

// NoAnswer says what it means that the program does not say how an endpoint is.
type NoAnswer string

// What it means.
const (
	NoAnswerFail NoAnswer = "fail" // the check has failed
	NoAnswerPass NoAnswer = "pass" // it has passed
	NoAnswerKeep NoAnswer = "keep" // neither: the endpoint stays what it is
)
