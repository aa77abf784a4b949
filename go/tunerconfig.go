package trunkline

import (
	"encoding/json"
	"time"

	"trunkline.dev/go/internal/native"
)

// TunerConfig says when a [Pool] should be larger or smaller, and whether it may change by itself. The zero TunerConfig
// is all defaults.
type TunerConfig struct {
	// Mode says what becomes of advice. Default: [TunerObserve].
	Mode TunerMode `json:"mode,omitzero"`
	// Interval is the time that one sample covers. Default: 10 s. Limits: 1 ms to 1 day.
	Interval TimeLimit `json:"interval,omitzero"`
	// TargetWait is the wait for a connection that 95 of 100 callers should stay within. Default: 10 ms. Limits: zero to
	// 365 days.
	TargetWait TimeLimit `json:"target_wait,omitzero"`
	// GrowAfter so many samples in a row with longer waits and every connection in use. Default: 3. Limits: 1 to 10,000.
	GrowAfter uint32 `json:"grow_after,omitzero"`
	// YieldAfter so many samples in a row with a slowing backend and every connection in use. Default: 2. Limits: 1 to 10,000.
	YieldAfter uint32 `json:"yield_after,omitzero"`
	// ShrinkAfter so many samples in a row in which less than half was ever in use. Default: 30. Limits: 1 to 10,000.
	ShrinkAfter uint32 `json:"shrink_after,omitzero"`
	// Gradient: the backend is slowing if its usual latency is less than this part of its latest. Default: 0.9. Limits:
	// 0.1 to 1.
	Gradient float64 `json:"gradient,omitzero"`
	// CoolDown is the time after advice in which there is no other. Default: 60 s. Limits: zero to 365 days.
	CoolDown TimeLimit `json:"cool_down,omitzero"`
	// MinSize is the size below which the pool is never advised to go. Default: 1. Limits: 1 to MaxSize.
	MinSize uint32 `json:"min_size,omitzero"`
	// MaxSize is the size above which the pool is never advised to go. Default: 50. Limits: 1 to 1,000,000.
	MaxSize uint32 `json:"max_size,omitzero"`
}

// TunerMode says what becomes of a tuner's advice.
type TunerMode string

// The modes.
const (
	TunerOff     TunerMode = "off"     // there is none
	TunerObserve TunerMode = "observe" // it is given with its reason, and changes nothing
	TunerApply   TunerMode = "apply"   // it changes the size of the pool
)

// PoolAdvice is what a tuner said.
type PoolAdvice struct {
	MaxSize uint32    // the size that the pool should have
	Applied bool      // whether it was given that size
	At      time.Time // when the tuner said so
	Text    string    // the reason, and the figures that it follows from
}

func poolAdvice(pool uint64, now time.Time) []PoolAdvice {
	document, status := native.PoolAdvice(pool)
	if status != native.OK {
		return nil
	}
	var rows []struct {
		To      uint32
		Applied bool
		Ago     TimeLimit
		Text    string
	}
	if json.Unmarshal(document, &rows) != nil {
		return nil
	}
	advice := make([]PoolAdvice, len(rows))
	for i, row := range rows {
		ago, _ := row.Ago.Duration()
		advice[i] = PoolAdvice{row.To, row.Applied, now.Add(-ago), row.Text}
	}
	return advice
}
