package trunkline

import (
	"sync"
	"sync/atomic"
)

// table finds the connections of a host by their numbers, without a lock.
//
// A number is a place, and how often the place was taken: that of a connection that is gone is never another's.
type table[C any] struct {
	places atomic.Pointer[[]atomic.Pointer[entry[C]]]

	mu   sync.Mutex // held by whoever writes to places
	free []uint32
	turn uint64
}

func (t *table[C]) find(number uint64) *entry[C] {
	places := t.places.Load()
	if places == nil {
		return nil
	}
	place := uint32(number)
	if uint64(place) >= uint64(len(*places)) {
		return nil
	}
	if e := (*places)[place].Load(); e != nil && e.number == number {
		return e
	}
	return nil
}

// put gives e its number, which is not 0.
func (t *table[C]) put(e *entry[C]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.free) == 0 {
		t.grow()
	}
	last := len(t.free) - 1
	place := t.free[last]
	t.free = t.free[:last]
	t.turn++
	e.number = t.turn<<32 | uint64(place)
	(*t.places.Load())[place].Store(e)
}

func (t *table[C]) grow() {
	var old []atomic.Pointer[entry[C]]
	if places := t.places.Load(); places != nil {
		old = *places
	}
	grown := make([]atomic.Pointer[entry[C]], max(8, 2*len(old)))
	for i := range old {
		grown[i].Store(old[i].Load())
	}
	for place := len(grown) - 1; place >= len(old); place-- {
		t.free = append(t.free, uint32(place))
	}
	t.places.Store(&grown)
}

// remove takes an entry out; nil if it is not there any more.
func (t *table[C]) remove(number uint64) *entry[C] {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.find(number)
	if e != nil {
		place := uint32(number)
		(*t.places.Load())[place].Store(nil)
		t.free = append(t.free, place)
	}
	return e
}
