package native

// #cgo noescape tl_pool_acquire
// #cgo nocallback tl_pool_acquire
// #cgo noescape tl_pool_try
// #cgo nocallback tl_pool_try
// #cgo noescape tl_pool_release
// #cgo nocallback tl_pool_release
// #cgo noescape trunkline_pool_detach
// #cgo nocallback trunkline_pool_detach
// #include "bridge.h"
// #include "checkout.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// What the host of a pool answers besides connect and close.
const (
	PoolChecks uint32 = C.TRUNKLINE_POOL_CHECKS
	PoolResets uint32 = C.TRUNKLINE_POOL_RESETS
)

// Why a checkout pool gave a connection up, besides the reasons of keyed pools.
const (
	PoolCloseUnwanted        uint64 = C.TRUNKLINE_POOL_CLOSE_UNWANTED
	PoolCloseBroken          uint64 = C.TRUNKLINE_POOL_CLOSE_BROKEN
	PoolCloseInvalid         uint64 = C.TRUNKLINE_POOL_CLOSE_INVALID
	PoolCloseShrunk          uint64 = C.TRUNKLINE_POOL_CLOSE_SHRUNK
	PoolCloseDetached        uint64 = C.TRUNKLINE_POOL_CLOSE_DETACHED
	PoolCloseEndpointRemoved uint64 = C.TRUNKLINE_POOL_CLOSE_ENDPOINT_REMOVED
)

// What a job asks for.
const (
	JobConnect uint32 = C.TRUNKLINE_JOB_CONNECT
	JobCheck   uint32 = C.TRUNKLINE_JOB_CHECK
	JobRoute   uint32 = C.TRUNKLINE_JOB_ROUTE
	// JobCheckEndpoint asks how an endpoint is.
	JobCheckEndpoint uint32 = C.TRUNKLINE_JOB_CHECK_ENDPOINT
	JobReset         uint32 = C.TRUNKLINE_JOB_RESET
	JobClose         uint32 = C.TRUNKLINE_JOB_CLOSE
)

// DefaultDeadline is the pool's own acquire timeout, counted from the call.
const DefaultDeadline = int64(C.TRUNKLINE_DEADLINE_DEFAULT)

// Answer is how an acquire ended: with a lease and what is lent, or with a failure.
type Answer struct {
	Op      uint64 // of one that has to wait
	Tag     uint64 // of one that waited
	Lease   uint64
	Value   uint64
	Failure *Failure
}

func checkoutPool(handle uint64) C.trunkline_pool_t {
	return C.trunkline_pool_t{h: C.uint64_t(handle)}
}

// PoolNew makes a pool of connections that the host makes: jobs come as [EventJob] events with the tag.
func PoolNew(rt uint64, json string, queue, tag uint64, abilities uint32) (uint64, *Failure) {
	text, length := chars(json)
	host := C.trunkline_job_host_t{queue: C.trunkline_cq_t{h: C.uint64_t(queue)}, tag: C.uint64_t(tag)}
	var out C.trunkline_pool_t
	var object *C.trunkline_error_t
	status := C.trunkline_pool_new(C.trunkline_runtime_t{h: C.uint64_t(rt)}, text, length, &host,
		C.uint32_t(abilities), &out, &object)
	return uint64(out.h), fail(status, object)
}

// PoolOpen makes a pool of streams to addresses.
func PoolOpen(rt, tls uint64, json string, addresses []string) (uint64, *Failure) {
	var pin runtime.Pinner
	defer pin.Unpin()
	texts := pinned(&pin, addresses)
	text, length := chars(json)
	var out C.trunkline_pool_t
	var object *C.trunkline_error_t
	options := connectOptions(tls)
	status := C.trunkline_pool_open_with(C.trunkline_runtime_t{h: C.uint64_t(rt)}, text, length,
		unsafe.SliceData(texts), C.size_t(len(texts)), &options, &out, &object)
	return uint64(out.h), fail(status, object)
}

// PoolSetEndpoints has a pool of streams connect to these addresses.
func PoolSetEndpoints(handle uint64, addresses []string) *Failure {
	var pin runtime.Pinner
	defer pin.Unpin()
	texts := pinned(&pin, addresses)
	var object *C.trunkline_error_t
	status := C.trunkline_pool_set_endpoints(checkoutPool(handle), unsafe.SliceData(texts), C.size_t(len(texts)), &object)
	return fail(status, object)
}

// pinned are the texts as C sees them, for as long as pin holds them.
func pinned(pin *runtime.Pinner, all []string) []C.trunkline_str_t {
	texts := make([]C.trunkline_str_t, len(all))
	for i, text := range all {
		if text != "" {
			pin.Pin(unsafe.StringData(text))
		}
		texts[i].ptr, texts[i].len = chars(text)
	}
	return texts
}

// PoolAcquire takes a connection if one is ready. An Answer without lease and failure says that the result comes as
// an [EventLease] event with the tag.
func PoolAcquire(handle uint64, deadline int64, holder string, queue, tag uint64) Answer {
	text, length := chars(holder)
	var out C.tl_answer_t
	status := C.tl_pool_acquire(C.uint64_t(handle), C.int64_t(deadline), text, length, C.uint64_t(queue),
		C.uint64_t(tag), &out)
	return answer(status, &out)
}

// PoolTry takes a connection if one is ready; an Answer without lease says why there is none by its status alone.
func PoolTry(handle uint64, holder string) (Answer, Status) {
	text, length := chars(holder)
	var out C.tl_answer_t
	status := C.tl_pool_try(C.uint64_t(handle), text, length, &out)
	return Answer{Lease: uint64(out.lease), Value: uint64(out.value)}, Status(status)
}

// PoolRelease puts a connection back, or has it closed. If somebody of the same queue got it, that is the Answer, whose
// Tag is 0 otherwise.
func PoolRelease(handle, lease uint64, discard bool, queue uint64) (Answer, Status) {
	var flags C.uint32_t
	if discard {
		flags = C.TRUNKLINE_POOL_DISCARD
	}
	var out C.tl_answer_t
	var served C.int32_t
	status := C.tl_pool_release(C.uint64_t(handle), C.uint64_t(lease), flags, C.uint64_t(queue), &out, &served)
	if out.tag == 0 {
		return Answer{}, Status(status)
	}
	return answer(served, &out), Status(status)
}

func answer(status C.int32_t, out *C.tl_answer_t) Answer {
	a := Answer{Op: uint64(out.op), Tag: uint64(out.tag), Lease: uint64(out.lease), Value: uint64(out.value)}
	if status != C.TRUNKLINE_OK || out.error != 0 {
		a.Failure = fail(status, C.tl_error(out.error))
	}
	return a
}

// PoolDetach takes a connection out of its pool.
func PoolDetach(handle, lease uint64) (value uint64, status Status) {
	var out C.uint64_t
	got := C.trunkline_pool_detach(checkoutPool(handle), C.trunkline_lease_t{h: C.uint64_t(lease)}, &out)
	return uint64(out), Status(got)
}

// PoolResize changes the size of a pool.
func PoolResize(handle uint64, maxSize, minIdle uint32) *Failure {
	var object *C.trunkline_error_t
	return fail(C.trunkline_pool_resize(checkoutPool(handle), C.uint32_t(maxSize), C.uint32_t(minIdle), &object), object)
}

// PoolClear retires every connection.
func PoolClear(handle uint64) Status { return Status(C.trunkline_pool_clear(checkoutPool(handle))) }

// PoolCheck checks every idle connection.
func PoolCheck(handle uint64) Status { return Status(C.trunkline_pool_check(checkoutPool(handle))) }

// PoolLeases is who holds what, as JSON.
func PoolLeases(handle uint64) (json []byte, status Status) {
	var buf *C.trunkline_buf_t
	got := C.trunkline_pool_leases(checkoutPool(handle), &buf)
	return bufferText(got, buf)
}

// PoolAdvice is what the tuner of a pool advised lately, as JSON.
func PoolAdvice(handle uint64) (json []byte, status Status) {
	var buf *C.trunkline_buf_t
	got := C.trunkline_pool_advice(checkoutPool(handle), &buf)
	return bufferText(got, buf)
}

// bufferText takes the text of a buffer.
func bufferText(got C.trunkline_status_t, buf *C.trunkline_buf_t) ([]byte, Status) {
	if got != C.TRUNKLINE_OK {
		return nil, Status(got)
	}
	defer C.trunkline_buf_free(buf)
	var n C.size_t
	data := C.trunkline_buf_data(buf, &n)
	return C.GoBytes(unsafe.Pointer(data), C.int(n)), OK
}

// PoolWaitReadyAsync begins to wait for the idle connections; an event with the tag follows.
func PoolWaitReadyAsync(handle uint64, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_pool_wait_ready_async(checkoutPool(handle), C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// PoolDrainAsync begins to drain; an [EventDrained] event with the tag follows.
func PoolDrainAsync(handle uint64, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_pool_drain_async(checkoutPool(handle), C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// PoolCloseAsync closes a pool; an [EventDrained] event with the tag follows.
func PoolCloseAsync(handle uint64, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_pool_close_async(checkoutPool(handle), C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// PoolFree closes a pool, with all that is lent, and gives the handle up.
func PoolFree(handle uint64) { C.trunkline_pool_free(checkoutPool(handle)) }

// JobDone answers a job with a value.
func JobDone(job, value uint64) Status {
	return Status(C.trunkline_job_done(C.trunkline_job_t{h: C.uint64_t(job)}, C.uint64_t(value), nil))
}

// JobFailed answers a job with why it failed.
func JobFailed(job uint64, status Status, message string) {
	text, length := chars(message)
	object := C.trunkline_error_new(C.int32_t(status), text, length, nil)
	C.trunkline_job_done(C.trunkline_job_t{h: C.uint64_t(job)}, 0, object)
}
