package trunkline

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// ByteLimit is a number of bytes in a configuration that may be unset, zero or never, which are three different values.
// The zero ByteLimit is unset: it stands for the documented default. In JSON it is a number, or "never".
type ByteLimit struct {
	after uint64
	state limitState
}

// NeverBytes is the limit that no number of bytes reaches.
var NeverBytes = ByteLimit{state: limitNever}

// AfterBytes is the limit that more than n bytes reach; n may be zero.
func AfterBytes(n uint64) ByteLimit { return ByteLimit{n, limitAfter} }

// IsZero says whether the limit is unset, so that the JSON option omitzero leaves it out.
func (l ByteLimit) IsZero() bool { return l.state == limitUnset }

// IsNever says whether the limit is never reached.
func (l ByteLimit) IsNever() bool { return l.state == limitNever }

// Bytes are those that do not reach the limit yet; false if it is unset or never reached.
func (l ByteLimit) Bytes() (uint64, bool) { return l.after, l.state == limitAfter }

// String is the limit as in JSON, without quotes, or "default" if it is unset.
func (l ByteLimit) String() string {
	switch l.state {
	case limitAfter:
		return strconv.FormatUint(l.after, 10)
	case limitNever:
		return "never"
	default:
		return "default"
	}
}

// MarshalJSON writes the limit.
func (l ByteLimit) MarshalJSON() ([]byte, error) {
	switch l.state {
	case limitAfter:
		return json.Marshal(l.after)
	case limitNever:
		return json.Marshal("never")
	default:
		return nil, errors.New("trunkline: a limit that is unset has no text")
	}
}

// UnmarshalJSON reads what MarshalJSON writes; null unsets it.
func (l *ByteLimit) UnmarshalJSON(text []byte) error {
	switch string(text) {
	case "null":
		*l = ByteLimit{}
		return nil
	case `"never"`:
		*l = NeverBytes
		return nil
	}
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		return fmt.Errorf("trunkline: %s is no number of bytes: %w", text, err)
	}
	*l = AfterBytes(n)
	return nil
}
