package trunkline

import "encoding/json"

// Optional is a value in a configuration for which zero or false has a meaning of its own. The zero Optional is
// unset: it stands for the documented default.
type Optional[T any] struct {
	value T
	set   bool
}

// Set is an Optional that holds value.
func Set[T any](value T) Optional[T] { return Optional[T]{value, true} }

// Get is the value; false if it is unset.
func (o Optional[T]) Get() (T, bool) { return o.value, o.set }

// IsZero says whether it is unset, so that the JSON option omitzero leaves it out.
func (o Optional[T]) IsZero() bool { return !o.set }

// MarshalJSON writes the value, or null if it is unset.
func (o Optional[T]) MarshalJSON() ([]byte, error) {
	if !o.set {
		return []byte("null"), nil
	}
	return json.Marshal(o.value)
}

// UnmarshalJSON reads a value; null unsets it.
func (o *Optional[T]) UnmarshalJSON(text []byte) error {
	*o = Optional[T]{}
	if string(text) == "null" {
		return nil
	}
	o.set = true
	return json.Unmarshal(text, &o.value)
}
