package trunkline

// PoolConfig says how many values a [KeyedPool] keeps, and for how long. The zero PoolConfig is all defaults.
type PoolConfig struct {
	// MaxSize is the most entries at one time; never exceeded. Default: 1024. Limits: 1 to 10,000,000.
	MaxSize uint32 `json:"max_size,omitzero"`
	// IdleTimeout is the time since its last use after which an entry is no longer given out. Default: 300 s.
	// Limits: zero (nothing is used twice) to 365 days, or never.
	IdleTimeout TimeLimit `json:"idle_timeout,omitzero"`
	// MaxLifetime is the time since it was inserted after which an entry is no longer given out. Default: 30 min.
	// Limits: zero to 365 days, or never.
	MaxLifetime TimeLimit `json:"max_lifetime,omitzero"`
	// LifetimeJitter is the part of MaxLifetime by which chance shortens it for each entry, so that those made
	// together do not end together. Default: 0.1. Limits: 0 to 1.
	LifetimeJitter Optional[float64] `json:"lifetime_jitter,omitzero"`
	// WhenFull says what becomes of a value for a full pool. Default: [RejectWhenFull].
	WhenFull FullPolicy `json:"when_full,omitzero"`
}

// FullPolicy says what becomes of a value for a full pool. What has expired makes room with each.
type FullPolicy string

// The policies.
const (
	RejectWhenFull FullPolicy = "reject"       // the insert fails with ErrLimitExceeded
	EvictLRU       FullPolicy = "evict_lru"    // the entry that was not used for longest makes room
	EvictOldest    FullPolicy = "evict_oldest" // the entry that was inserted first makes room
	WaitWhenFull   FullPolicy = "wait"         // who can wait stands in line for a place
)
