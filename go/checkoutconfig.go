package trunkline

// CheckoutPoolConfig says how many connections a [Pool] lends, for how long they live, and how it makes them. The
// zero CheckoutPoolConfig is all defaults.
type CheckoutPoolConfig struct {
	// Name is what errors, logs and metrics call the pool. Default: "default". Limits: 1 to 64 bytes.
	Name string `json:"name,omitzero"`
	// MaxSize is the most connections at one time, those included that are being dialled, checked or closed; never
	// exceeded. Default: 10. Limits: 1 to 1,000,000.
	MaxSize uint32 `json:"max_size,omitzero"`
	// MinIdle is how many stand ready besides those that are lent, as far as MaxSize allows. Default: 0.
	MinIdle uint32 `json:"min_idle,omitzero"`
	// MaxWaiters is the most callers that wait at one time; one more is refused with [ErrTooManyWaiters]. Default: no
	// limit but AcquireTimeout.
	MaxWaiters uint32 `json:"max_waiters,omitzero"`
	// AcquireTimeout is the time of a Get whose context has no deadline. Default: 30 s. Limits: zero (only what stands
	// ready) to 365 days, or never.
	AcquireTimeout TimeLimit `json:"acquire_timeout,omitzero"`
	// ConnectTimeout is the time of one attempt to connect. Default: 5 s. Limits: 1 ms to 365 days.
	ConnectTimeout TimeLimit `json:"connect_timeout,omitzero"`
	// MaxConnecting is how many attempts to connect there are at one time, to each endpoint. Default: 2. Limits: 1 to 1000.
	MaxConnecting uint32 `json:"max_connecting,omitzero"`
	// IdleTimeout is the time without use after which a connection is closed. Default: 10 min. Limits: zero (nothing is
	// used twice) to 365 days, or never.
	IdleTimeout TimeLimit `json:"idle_timeout,omitzero"`
	// MaxLifetime is the age from which a connection is not lent any more. Default: 30 min. Limits: zero to 365 days, or
	// never.
	MaxLifetime TimeLimit `json:"max_lifetime,omitzero"`
	// LifetimeJitter is the part of MaxLifetime by which chance shortens it for each connection. Default: 0.1. Limits: 0 to 1.
	LifetimeJitter Optional[float64] `json:"lifetime_jitter,omitzero"`
	// CheckAfter is the time without use after which a connection is checked before it is lent. Default: 500 ms. Limits:
	// zero (always) to 365 days, or never.
	CheckAfter TimeLimit `json:"check_after,omitzero"`
	// CheckTimeout is the time of one check or reset; what takes longer has failed. Default: 5 s. Limits: 1 ms to 365 days.
	CheckTimeout TimeLimit `json:"check_timeout,omitzero"`
	// Keepalive is the time without use after which an idle connection is checked in the background. Default: 2 min.
	// Limits: 1 ms to 365 days, or never.
	Keepalive TimeLimit `json:"keepalive,omitzero"`
	// CloseTimeout is the time of one close; after it the connection no longer counts. Default: 5 s. Limits: 1 ms to 365 days.
	CloseTimeout TimeLimit `json:"close_timeout,omitzero"`
	// IdleOrder says which idle connection is lent first. Default: [LIFO].
	IdleOrder IdleOrder `json:"idle_order,omitzero"`
	// LeakAfter is the time for which a lease may be held before it is reported as leaked. Default: never. Limits: 1 ms to
	// 365 days, or never.
	LeakAfter TimeLimit `json:"leak_after,omitzero"`
	// Backoff says how long to wait before dialling again what failed. Default: 100 ms, growing by 1.6 up to 30 s, ±20 %.
	// In one that is given, fields that are unset stand for the defaults of [BackoffConfig].
	Backoff BackoffConfig `json:"backoff,omitzero"`
	// Breaker says when to stop trying an endpoint that keeps failing: Get then fails with [ErrCircuitOpen] instead of
	// waiting, once no connection is left.
	Breaker BreakerConfig `json:"breaker,omitzero"`
	// Tuner says whether and when to advise another MaxSize, and whether to follow. The advice goes to the log of the library, and
	// to [Pool.Advice].
	Tuner TunerConfig `json:"tuner,omitzero"`
	// Places says whether Get notes the place in the program that called it, for errors, [Pool.Leases] and reports of leaks.
	// It costs each Get about a microsecond. Default: only if LeakAfter is set.
	Places Optional[bool] `json:"-"`
}

// IdleOrder says which idle connection is lent first.
type IdleOrder string

// The orders.
const (
	LIFO IdleOrder = "lifo" // the one used last: those in excess grow old and are closed
	FIFO IdleOrder = "fifo" // the one not used for longest: the pool never shrinks under load
)

// BreakerConfig says when a circuit breaker opens, for how long, and how carefully it closes again. The zero BreakerConfig
// is all defaults.
type BreakerConfig struct {
	// Bucket is the time that one bucket of the window counts. Default: 1 s. Limits: 1 ms to 1 h.
	Bucket TimeLimit `json:"bucket,omitzero"`
	// Buckets of the window. Default: 10. Limits: 1 to 100.
	Buckets uint32 `json:"buckets,omitzero"`
	// FailureRatio is the part of the window's calls that must have failed. Default: 0.5. Limits: 0.01 to 1.
	FailureRatio float64 `json:"failure_ratio,omitzero"`
	// MinCalls are the calls of the window below which their ratio says nothing. Default: 20. Limits: 1 to 1,000,000.
	MinCalls uint32 `json:"min_calls,omitzero"`
	// ConsecutiveFailures in a row open it. Default: 7. Limits: 1 to 1,000,000.
	ConsecutiveFailures uint32 `json:"consecutive_failures,omitzero"`
	// Open is the time that it stays open at first, before jitter. Default: 5 s. Limits: 1 ms to MaxOpen.
	Open TimeLimit `json:"open,omitzero"`
	// Multiplier is what each further opening multiplies that time by. Default: 2. Limits: 1 to 10.
	Multiplier float64 `json:"multiplier,omitzero"`
	// MaxOpen is the ceiling of that time before jitter. Default: 60 s. Limits: Open to 365 days.
	MaxOpen TimeLimit `json:"max_open,omitzero"`
	// Jitter is the part of that time that chance adds or takes away. Default: 0.2. Limits: 0 to 1.
	Jitter Optional[float64] `json:"jitter,omitzero"`
	// Probes are the calls that are let through at one time when it was open long enough, and the successes among them
	// that close it. Default: 3. Limits: 1 to 100.
	Probes uint32 `json:"probes,omitzero"`
	// ProbeDeadline is the time after which a probe that told no outcome frees its place. Default: 30 s. Limits: 1 ms to
	// 365 days.
	ProbeDeadline TimeLimit `json:"probe_deadline,omitzero"`
}
