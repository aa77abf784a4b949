package trunkline

import (
	"sync"
	"sync/atomic"
	"time"

	"trunkline.dev/go/internal/native"
)

// direction lets one caller at a time wait for one thing that may become ready: reading, writing, accepting.
//
// The bell rings for readiness, for a deadline that passed or moved, and for a close; whoever hears it looks
// again. It may ring for nothing.
type direction struct {
	// turn is held by the caller whose turn it is, also while it waits: others come after it, in whole calls.
	turn sync.Mutex
	bell chan struct{}
	// arm asks the library for one readiness event.
	arm func() native.Status
	// armed is true while such an event is owed.
	armed atomic.Bool

	mu      sync.Mutex // guards what is below
	at      time.Time  // the deadline on the monotonic clock; zero for none
	timer   *time.Timer
	expired bool
}

func newDirection(arm func() native.Status) direction {
	return direction{bell: make(chan struct{}, 1), arm: arm}
}

// wait parks the caller, who holds the turn, until the bell rings.
func (d *direction) wait() native.Status {
	if d.armed.CompareAndSwap(false, true) {
		if status := d.arm(); status != native.OK {
			d.armed.Store(false)
			return status
		}
	}
	<-d.bell
	return native.OK
}

// ready takes the event that was asked for.
func (d *direction) ready() {
	d.armed.Store(false)
	d.ring()
}

func (d *direction) ring() {
	select {
	case d.bell <- struct{}{}:
	default:
	}
}

func (d *direction) isExpired() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expired
}

// setDeadline replaces the deadline; the zero time means none. Who waits follows the new one.
func (d *direction) setDeadline(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at, d.expired = time.Time{}, false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.expired = true
		d.ring()
		return
	}
	d.at = time.Now().Add(left)
	if d.timer == nil {
		d.timer = time.AfterFunc(left, d.expire)
	} else {
		d.timer.Reset(left)
	}
}

// expire is the timer's call, which may come late for a deadline that was moved.
func (d *direction) expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.at.IsZero() && time.Until(d.at) <= 0 {
		d.expired = true
		d.ring()
	}
}

// close lets whoever waits look again, for good.
func (d *direction) close() {
	d.setDeadline(time.Time{})
	d.ring()
}
