package trunkline

import (
	"encoding/json"

	"trunkline.dev/go/internal/native"
)

// Profile names a set of figures for [ConnectionConfig].
type Profile string

// The profiles.
const (
	Production     Profile = "production"      // general services: patient, one connection; the default
	Development    Profile = "development"     // fails and recovers fast, for people who wait at a screen
	HighThroughput Profile = "high_throughput" // many or large messages over connections that stay
)

// ConnectionConfig says how a logical connection to one peer is made, kept alive, retried and given up.
//
// Start from [Preset] and change what you must, or leave fields unset: they stand for the figures of [Production].
// In JSON it has the form that every language of Trunkline reads.
type ConnectionConfig struct {
	// ConnectTimeout is the least time that each attempt to connect is given, resolving and handshakes included; a
	// longer backoff delay extends it. Default: 30 s (development 5 s, high throughput 10 s). Limits: 1 ms to 365 days.
	ConnectTimeout TimeLimit `json:"connect_timeout,omitzero"`
	// Backoff says how the delay between attempts grows.
	Backoff BackoffConfig `json:"backoff,omitzero"`
	// Keepalive says when to ask a silent peer whether it is still there.
	Keepalive KeepaliveParams `json:"keepalive,omitzero"`
	// IdleTimeout is the time without a call after which the connection is given up, to be made again by the next
	// call. Default: 30 min (development 5 min, high throughput never). Limits: zero to 365 days, or never.
	IdleTimeout TimeLimit `json:"idle_timeout,omitzero"`
	// MaxMessageSize is the largest message either way, in bytes, after decompression. Default: 4 MiB (high throughput
	// 16 MiB). Limits: 1 to 2^31 - 1.
	MaxMessageSize uint32 `json:"max_message_size,omitzero"`
	// MaxQueuedCalls are the calls that may wait for a connection at one time. Default: 10,000. Limits: 0 to 1,000,000.
	MaxQueuedCalls Optional[uint32] `json:"max_queued_calls,omitzero"`
	// RetryBufferSize is how many bytes of a call's request are kept, to be sent again. Default: 256 KiB. Limits: 0 to 1 GiB.
	RetryBufferSize Optional[uint32] `json:"retry_buffer_size,omitzero"`
	// LookupInterval is the time after which a name is looked up again although its addresses work. Default: never. Limits:
	// 30 s to 365 days, or never.
	LookupInterval TimeLimit `json:"lookup_interval,omitzero"`
	// Resolver says how the program's own resolver is asked, where a channel has one; see [ResolvedBy].
	Resolver ResolverConfig `json:"resolver,omitzero"`
	// StateHistory is how many changes of a channel's state are kept, the latest. Default: 64. Limits: 1 to 10,000.
	StateHistory uint32 `json:"state_history,omitzero"`
	// Pooling says whether calls are spread over several connections to the same peer.
	Pooling PoolingConfig `json:"pooling,omitzero"`
	// OpenTelemetry says whether calls and attempts are counted by method under the names that gRPC gives them for
	// OpenTelemetry, as grpc_client_* and grpc_subchannel_*. Default: false.
	OpenTelemetry bool `json:"opentelemetry,omitzero"`
	// Circuit says when calls are kept away from an address. Default: never.
	Circuit CircuitConfig `json:"circuit,omitzero"`
	// Interceptors are there already. Default: none.
	Interceptors InterceptorsConfig `json:"interceptors,omitzero"`
	// ServiceConfig says what happens to calls.
	ServiceConfig ServiceConfig `json:"service_config,omitzero"`
}

// BackoffConfig says how the delay between the starts of two attempts grows.
type BackoffConfig struct {
	// BaseDelay is the delay after the first failure; not jittered. Default: 1 s (development 500 ms). Limits: 1 ms to MaxDelay.
	BaseDelay TimeLimit `json:"base_delay,omitzero"`
	// Multiplier is what each further failure multiplies the delay by. Default: 1.6. Limits: 1 to 10.
	Multiplier float64 `json:"multiplier,omitzero"`
	// Jitter is the part of a delay that chance adds or takes away, so that clients of one server do not return in step.
	// Default: 0.2. Limits: 0 to 1.
	Jitter Optional[float64] `json:"jitter,omitzero"`
	// MaxDelay is the ceiling before jitter. Default: 120 s (development 10 s). Limits: BaseDelay to 365 days.
	MaxDelay TimeLimit `json:"max_delay,omitzero"`
}

// KeepaliveParams say when to ask a silent peer whether it is still there.
type KeepaliveParams struct {
	// Time is the time since the last byte from the peer after which a ping is sent. Default: 10 s (high throughput
	// 30 s). Limits: 10 s to 365 days, or never. Servers of gRPC allow one ping in 5 min unless told otherwise.
	Time TimeLimit `json:"time,omitzero"`
	// Timeout is the time for the answer, after which the connection counts as lost. Default: 5 s (high throughput
	// 10 s). Limits: 1 ms to 365 days.
	Timeout TimeLimit `json:"timeout,omitzero"`
	// PermitWithoutStream says whether to ping while no call is open. Default: true.
	PermitWithoutStream Optional[bool] `json:"permit_without_stream,omitzero"`
}

// PoolingConfig says whether calls are spread over several connections to the same peer.
type PoolingConfig struct {
	// Enabled is false by default, one connection (high throughput true).
	Enabled Optional[bool] `json:"enabled,omitzero"`
	// Size is the most connections, if enabled. Default: 5 (high throughput 10). Limits: 1 to 100.
	Size uint32 `json:"size,omitzero"`
}

// CircuitConfig says when calls are kept away from an address that has enough of them, or that fails. A call goes to another
// address where there is one; where there is none it ends with UNAVAILABLE (14) at once.
type CircuitConfig struct {
	// MaxCalls are the calls under way at an address at one time. Default: no limit.
	MaxCalls uint32 `json:"max_calls,omitzero"`
	// Breaker says when an address whose calls fail gets none. Default: never.
	Breaker *BreakerConfig `json:"breaker,omitzero"`
}

// ResolverConfig says how the program's own resolver is asked: one question at a time, after a failure later each time.
type ResolverConfig struct {
	// Timeout is the time for an answer. Default: 30 s. Limits: 1 ms to 365 days.
	Timeout TimeLimit `json:"timeout,omitzero"`
	// MinInterval is the time from an answer until the program is asked again, because addresses do not work. Default: 1 s.
	// Limits: 1 ms to 365 days.
	MinInterval TimeLimit `json:"min_interval,omitzero"`
	// MaxAddresses is how many an answer has at most; one with more is refused. Default: 1000. Limits: 1 to 10,000.
	MaxAddresses uint32 `json:"max_addresses,omitzero"`
}

// InterceptorsConfig says which interceptors are asked for that are there already. Those of [Channel.Intercept] see a call
// before them, but behind the logging.
type InterceptorsConfig struct {
	// Caller says how calls say who makes them. Default: not at all.
	Caller *CallerConfig `json:"caller,omitzero"`
	// Logging says how calls are logged, by [slog.Default]. Default: not at all.
	Logging *CallLogConfig `json:"logging,omitzero"`
	// Metrics says whether calls are counted by method, as trunkline_channel_method_*; those of more than 128 methods together.
	Metrics bool `json:"metrics,omitzero"`
}

// CallerConfig says how calls say who makes them, and on whose behalf: in metadata, which is a claim and no proof.
//
// A program that makes a call while it serves another hands the metadata on whose names begin with Prefix. Then
// original-caller and request-id stay, and the program's name is put at the end of call-chain. A call of a program that is
// in the chain already, or whose chain is too long, is not sent and ends with FAILED_PRECONDITION (9).
type CallerConfig struct {
	// Name is that of this program, as service-name says it. Must be given: 1 to 256 printable characters without ">".
	Name string `json:"name"`
	// TrustDomain is as trust-domain says it. Default: it is not said.
	TrustDomain string `json:"trust_domain,omitzero"`
	// Prefix is what the names of the metadata begin with. Default: "x-trunkline-".
	Prefix string `json:"prefix,omitzero"`
	// MaxDepth is the most names in a chain. Default: 10. Limits: 1 to 100.
	MaxDepth uint32 `json:"max_depth,omitzero"`
}

// CallLogConfig says how calls are logged, each with its method: at Debug as it begins, with the names of its metadata; as it
// ends, at Info if that was without an error and in time, at Warn if it was slow or failed. Neither messages nor credentials are
// ever logged.
type CallLogConfig struct {
	// Slow is the time after which a call was slow. Default: 500 ms. Limits: 1 ms to 365 days, or never.
	Slow TimeLimit `json:"slow,omitzero"`
	// Skip are methods that are not logged. Default: Check and Watch of gRPC's health service. Limits: at most 1000.
	Skip []string `json:"skip,omitzero"`
	// ShowMetadata are names of metadata whose values are logged; those of all others are "redacted". Default: none.
	// Limits: at most 100, in lower case.
	ShowMetadata []string `json:"show_metadata,omitzero"`
}

// ServiceConfig says what happens to calls.
type ServiceConfig struct {
	// RetryPolicy says when a failed call is tried again. Without effect where there is a Document.
	RetryPolicy RetryPolicy `json:"retry_policy,omitzero"`
	// Document is gRPC's service config in its JSON form: timeouts, retries, hedging and more by method, throttling,
	// balancing. Default: none.
	Document json.RawMessage `json:"document,omitempty"`
}

// RetryPolicy says when a failed call is tried again.
type RetryPolicy struct {
	// MaxAttempts are all attempts, the first included. Default: 5 (other presets 3). Limits: 1 to 5.
	MaxAttempts uint32 `json:"max_attempts,omitzero"`
	// InitialBackoff is the wait before the second attempt. Default: 1 s (development 500 ms, high throughput 2 s).
	// Limits: 1 ms to MaxBackoff.
	InitialBackoff TimeLimit `json:"initial_backoff,omitzero"`
	// MaxBackoff is the longest wait, before chance. Default: 30 s (development 5 s, high throughput 60 s).
	// Limits: 1 ms to 365 days.
	MaxBackoff TimeLimit `json:"max_backoff,omitzero"`
	// BackoffMultiplier is what each attempt multiplies the wait by. Default: 2 (development 1.5). Limits: 1 to 10.
	BackoffMultiplier float64 `json:"backoff_multiplier,omitzero"`
	// RetryableStatusCodes are the answers that are tried again, by gRPC's names. Default: UNAVAILABLE,
	// DEADLINE_EXCEEDED and ABORTED (development the first, high throughput the first two). Limits: at least one, without OK.
	RetryableStatusCodes []string `json:"retryable_status_codes,omitzero"`
}

// Preset is a configuration with every field set to the figures of p. It fails with [KindConfig] for an unknown name.
func Preset(p Profile) (ConnectionConfig, error) {
	return decoded(native.ConfigPreset(string(p)))
}

// FromEnv is the preset that the environment variable ENVIRONMENT names: development, production or high-throughput;
// production if it is not set or says anything else.
func FromEnv() (ConnectionConfig, error) {
	return decoded(native.ConfigFromEnv())
}

// FromJSON reads a document and checks it: what it leaves out is filled in, from the preset that its key "preset"
// names or else from [Production]. It fails with [KindConfig], and names the field and the allowed range.
func FromJSON(document []byte) (ConnectionConfig, error) {
	return decoded(native.ConfigFromJSON(string(document)))
}

// Validate checks the whole configuration; it fails with [KindConfig], and names the field and the allowed range.
func (c ConnectionConfig) Validate() error {
	_, err := c.Complete()
	return err
}

// Complete is the configuration with every field set, checked as by Validate.
func (c ConnectionConfig) Complete() (ConnectionConfig, error) {
	document, err := json.Marshal(c)
	if err != nil {
		return ConnectionConfig{}, configError(err)
	}
	return FromJSON(document)
}

func decoded(document string, failure *native.Failure) (ConnectionConfig, error) {
	if failure != nil {
		return ConnectionConfig{}, newError(failure, native.StepConfigure)
	}
	var c ConnectionConfig
	if err := json.Unmarshal([]byte(document), &c); err != nil {
		return ConnectionConfig{}, configError(err)
	}
	return c, nil
}
