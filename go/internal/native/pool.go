package native

// #cgo noescape trunkline_keyed_pool_insert
// #cgo nocallback trunkline_keyed_pool_insert
// #cgo noescape trunkline_keyed_pool_get
// #cgo nocallback trunkline_keyed_pool_get
// #cgo noescape trunkline_keyed_pool_remove
// #cgo nocallback trunkline_keyed_pool_remove
// #cgo noescape trunkline_keyed_pool_get_or_create
// #cgo nocallback trunkline_keyed_pool_get_or_create
// #cgo noescape trunkline_keyed_pool_fill
// #cgo nocallback trunkline_keyed_pool_fill
// #cgo noescape trunkline_keyed_pool_insert_wait
// #cgo nocallback trunkline_keyed_pool_insert_wait
// #cgo noescape trunkline_keyed_pool_stats
// #cgo nocallback trunkline_keyed_pool_stats
// #include "bridge.h"
import "C"

import "unsafe"

// Why a keyed pool gave a value up.
const (
	PoolCloseIdleTimeout uint64 = C.TRUNKLINE_POOL_CLOSE_IDLE_TIMEOUT
	PoolCloseLifetime    uint64 = C.TRUNKLINE_POOL_CLOSE_LIFETIME
	PoolCloseEvicted     uint64 = C.TRUNKLINE_POOL_CLOSE_EVICTED
	PoolCloseReplaced    uint64 = C.TRUNKLINE_POOL_CLOSE_REPLACED
	PoolCloseDuplicate   uint64 = C.TRUNKLINE_POOL_CLOSE_DUPLICATE
	PoolCloseDiscarded   uint64 = C.TRUNKLINE_POOL_CLOSE_DISCARDED
	PoolCloseCleared     uint64 = C.TRUNKLINE_POOL_CLOSE_CLEARED
	PoolClosePoolClosed  uint64 = C.TRUNKLINE_POOL_CLOSE_POOL_CLOSED
)

// PoolStats are the counts of a keyed pool.
type PoolStats struct {
	Entries, MaxEntries, Hits, Misses, Inserted, Taken, Expired, Evicted, Closed uint64
	AverageAgeNs                                                                 int64
	Utilization, ExpirationRatio                                                 float64
}

func keyedPool(handle uint64) C.trunkline_keyed_pool_t {
	return C.trunkline_keyed_pool_t{h: C.uint64_t(handle)}
}

func bytesOf(key []byte) (*C.uint8_t, C.size_t) {
	return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(key))), C.size_t(len(key))
}

// KeyedPoolNew makes a pool that sends a [EventPoolClosed] event with the tag for each value that it gives up.
func KeyedPoolNew(runtime uint64, json string, queue, tag uint64) (uint64, *Failure) {
	text, length := chars(json)
	closer := C.trunkline_pool_closer_t{queue: C.trunkline_cq_t{h: C.uint64_t(queue)}, tag: C.uint64_t(tag)}
	var out C.trunkline_keyed_pool_t
	var object *C.trunkline_error_t
	status := C.trunkline_keyed_pool_new(C.trunkline_runtime_t{h: C.uint64_t(runtime)}, text, length, &closer, &out, &object)
	return uint64(out.h), fail(status, object)
}

// KeyedPoolInsert puts a value under a key.
func KeyedPoolInsert(handle uint64, key []byte, value uint64) *Failure {
	text, length := bytesOf(key)
	var object *C.trunkline_error_t
	return fail(C.trunkline_keyed_pool_insert(keyedPool(handle), text, length, C.uint64_t(value), &object), object)
}

// KeyedPoolInsertFor puts a value with a lifetime of its own under a key; it tries once.
func KeyedPoolInsertFor(handle uint64, key []byte, value uint64, lifetime int64) *Failure {
	text, length := bytesOf(key)
	var object *C.trunkline_error_t
	status := C.trunkline_keyed_pool_insert_wait(keyedPool(handle), text, length, C.uint64_t(value),
		C.int64_t(lifetime), 0, &object)
	return fail(status, object)
}

// KeyedPoolInsertAsync does the same, but waits for a place; an event with the tag follows.
func KeyedPoolInsertAsync(handle uint64, key []byte, value uint64, lifetime, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	text, length := bytesOf(key)
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_keyed_pool_insert_async(keyedPool(handle), text, length, C.uint64_t(value),
		C.int64_t(lifetime), C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// KeyedPoolAsk finds the value under a key, or gives the job to make it by a deadline; it tries once.
func KeyedPoolAsk(handle uint64, key []byte, makeDeadline int64) (value, job uint64, failure *Failure) {
	text, length := bytesOf(key)
	var found C.uint64_t
	var out C.trunkline_job_t
	var object *C.trunkline_error_t
	status := C.trunkline_keyed_pool_get_or_create(keyedPool(handle), text, length, 0, C.int64_t(makeDeadline),
		&found, &out, &object)
	return uint64(found), uint64(out.h), fail(status, object)
}

// KeyedPoolAskAsync does the same, but waits; a [EventPoolValue] or [EventJob] event with the tag follows.
func KeyedPoolAskAsync(handle uint64, key []byte, deadline, makeDeadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	text, length := bytesOf(key)
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_keyed_pool_get_or_create_async(keyedPool(handle), text, length, C.int64_t(deadline),
		C.int64_t(makeDeadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// KeyedPoolFill answers a job with a value, and says which one is under the key.
func KeyedPoolFill(job, value uint64) (kept uint64, failure *Failure) {
	var out C.uint64_t
	var object *C.trunkline_error_t
	status := C.trunkline_keyed_pool_fill(C.trunkline_job_t{h: C.uint64_t(job)}, C.uint64_t(value), &out, &object)
	return uint64(out), fail(status, object)
}

// KeyedPoolGet finds the value under a key.
func KeyedPoolGet(handle uint64, key []byte) (uint64, Status) {
	text, length := bytesOf(key)
	var value C.uint64_t
	status := C.trunkline_keyed_pool_get(keyedPool(handle), text, length, &value)
	return uint64(value), Status(status)
}

// KeyedPoolRemove takes the value under a key out.
func KeyedPoolRemove(handle uint64, key []byte) (uint64, Status) {
	text, length := bytesOf(key)
	var value C.uint64_t
	status := C.trunkline_keyed_pool_remove(keyedPool(handle), text, length, &value)
	return uint64(value), Status(status)
}

// KeyedPoolClear gives every value up.
func KeyedPoolClear(handle uint64) { C.trunkline_keyed_pool_clear(keyedPool(handle)) }

// KeyedPoolPruneExpired gives up values that have expired, and says how many.
func KeyedPoolPruneExpired(handle uint64) uint64 {
	var count C.uint64_t
	C.trunkline_keyed_pool_prune_expired(keyedPool(handle), &count)
	return uint64(count)
}

// KeyedPoolStats reads the counts of a pool.
func KeyedPoolStats(handle uint64) (PoolStats, Status) {
	var c C.trunkline_keyed_pool_stats_t
	c.size = C.sizeof_trunkline_keyed_pool_stats_t
	status := Status(C.trunkline_keyed_pool_stats(keyedPool(handle), &c))
	return PoolStats{
		Entries:         uint64(c.entries),
		MaxEntries:      uint64(c.max_entries),
		Hits:            uint64(c.hits),
		Misses:          uint64(c.misses),
		Inserted:        uint64(c.inserted),
		Taken:           uint64(c.taken),
		Expired:         uint64(c.expired),
		Evicted:         uint64(c.evicted),
		Closed:          uint64(c.closed),
		AverageAgeNs:    int64(c.average_age_ns),
		Utilization:     float64(c.utilization),
		ExpirationRatio: float64(c.expiration_ratio),
	}, status
}

// KeyedPoolFree gives every value up, and the handle.
func KeyedPoolFree(handle uint64) { C.trunkline_keyed_pool_free(keyedPool(handle)) }
