package trunkline

import (
	"errors"
	"fmt"
	"time"
)

// TimeLimit is a duration in a configuration that may be unset, zero or never, which are three different values.
// The zero TimeLimit is unset: it stands for the documented default. In JSON it is a text such as "1s", "500ms",
// "2h" or "never".
type TimeLimit struct {
	after time.Duration
	state limitState
}

type limitState uint8

const (
	limitUnset limitState = iota
	limitAfter
	limitNever
)

// Never is the limit that is never reached.
var Never = TimeLimit{state: limitNever}

// After is the limit that is reached after d, which may be zero.
func After(d time.Duration) TimeLimit { return TimeLimit{d, limitAfter} }

// IsZero says whether the limit is unset, so that the JSON option omitzero leaves it out.
func (l TimeLimit) IsZero() bool { return l.state == limitUnset }

// IsNever says whether the limit is never reached.
func (l TimeLimit) IsNever() bool { return l.state == limitNever }

// Duration is when the limit is reached; false if it is unset or never is.
func (l TimeLimit) Duration() (time.Duration, bool) { return l.after, l.state == limitAfter }

// String is the limit as in JSON, or "default" if it is unset.
func (l TimeLimit) String() string {
	switch l.state {
	case limitAfter:
		return durationText(l.after)
	case limitNever:
		return "never"
	default:
		return "default"
	}
}

// MarshalText writes the limit for JSON.
func (l TimeLimit) MarshalText() ([]byte, error) {
	if l.IsZero() {
		return nil, errors.New("trunkline: a limit that is unset has no text")
	}
	return []byte(l.String()), nil
}

// UnmarshalText reads what MarshalText writes, and whatever time.ParseDuration takes.
func (l *TimeLimit) UnmarshalText(text []byte) error {
	if string(text) == "never" {
		*l = Never
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("trunkline: %q is no limit: %w", text, err)
	}
	*l = After(d)
	return nil
}

var durationUnits = []struct {
	unit time.Duration
	name string
}{
	{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"},
	{time.Millisecond, "ms"}, {time.Microsecond, "us"}, {time.Nanosecond, "ns"},
}

// durationText is one number with the largest unit that divides it, which every language of Trunkline reads.
func durationText(d time.Duration) string {
	for _, u := range durationUnits {
		if d != 0 && d%u.unit == 0 {
			return fmt.Sprintf("%d%s", d/u.unit, u.name)
		}
	}
	return "0s"
}
