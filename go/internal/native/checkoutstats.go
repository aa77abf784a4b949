package native

// #cgo noescape trunkline_pool_stats
// #cgo nocallback trunkline_pool_stats
// #cgo noescape trunkline_pool_take_stats
// #cgo nocallback trunkline_pool_take_stats
// #include "bridge.h"
import "C"

// CheckoutStats are the counts of a checkout pool.
type CheckoutStats struct {
	MaxSize, MinIdle                                                 uint64
	Idle, Used, Validating, Connecting, Closing, Waiting             uint64
	Created, CreateFailed, Closed                                    uint64
	Acquired, Hits, HandedOver, Timeouts, Cancelled, Refused         uint64
	Invalid, Relieved, Leaks, Epoch, PeakUsed, UseTimeNs, WaitTimeNs uint64
	// ClosedBy counts by close reason.
	ClosedBy map[uint64]uint64
}

// CheckoutStatsOf reads the counts of a pool; with take, the peak starts anew.
func CheckoutStatsOf(handle uint64, take bool) (CheckoutStats, Status) {
	var c C.trunkline_pool_stats_t
	c.size = C.sizeof_trunkline_pool_stats_t
	var status C.int32_t
	if take {
		status = C.trunkline_pool_take_stats(checkoutPool(handle), &c)
	} else {
		status = C.trunkline_pool_stats(checkoutPool(handle), &c)
	}
	return CheckoutStats{
		MaxSize:      uint64(c.max_size),
		MinIdle:      uint64(c.min_idle),
		Idle:         uint64(c.idle),
		Used:         uint64(c.used),
		Validating:   uint64(c.validating),
		Connecting:   uint64(c.connecting),
		Closing:      uint64(c.closing),
		Waiting:      uint64(c.waiting),
		Created:      uint64(c.created),
		CreateFailed: uint64(c.create_failed),
		Closed:       uint64(c.closed),
		Acquired:     uint64(c.acquired),
		Hits:         uint64(c.hits),
		HandedOver:   uint64(c.handed_over),
		Timeouts:     uint64(c.timeouts),
		Cancelled:    uint64(c.cancelled),
		Refused:      uint64(c.refused),
		Invalid:      uint64(c.invalid),
		Relieved:     uint64(c.relieved),
		Leaks:        uint64(c.leaks),
		Epoch:        uint64(c.epoch),
		PeakUsed:     uint64(c.peak_used),
		UseTimeNs:    uint64(c.use_time_ns),
		WaitTimeNs:   uint64(c.wait_time_ns),
		ClosedBy: map[uint64]uint64{
			PoolCloseIdleTimeout:     uint64(c.closed_idle_timeout),
			PoolCloseLifetime:        uint64(c.closed_lifetime),
			PoolCloseDiscarded:       uint64(c.closed_discarded),
			PoolCloseCleared:         uint64(c.closed_cleared),
			PoolClosePoolClosed:      uint64(c.closed_pool_closed),
			PoolCloseBroken:          uint64(c.closed_broken),
			PoolCloseInvalid:         uint64(c.closed_invalid),
			PoolCloseShrunk:          uint64(c.closed_shrunk),
			PoolCloseDetached:        uint64(c.closed_detached),
			PoolCloseEndpointRemoved: uint64(c.closed_endpoint_removed),
		},
	}, Status(status)
}
