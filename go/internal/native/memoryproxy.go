package native

// #include "bridge.h"
import "C"

// What a memory proxy asks its host.
const (
	JobProxyRoute       = uint32(C.TRUNKLINE_JOB_PROXY_ROUTE)
	JobProxyProcess     = uint32(C.TRUNKLINE_JOB_PROXY_PROCESS)
	JobProxyCertificate = uint32(C.TRUNKLINE_JOB_PROXY_CERTIFICATE)
)

// Hooks of a memory proxy.
const (
	HookRoute       = uint32(C.TRUNKLINE_HOOK_ROUTE)
	HookProcess     = uint32(C.TRUNKLINE_HOOK_PROCESS)
	HookCertificate = uint32(C.TRUNKLINE_HOOK_CERTIFICATE)
)

// MemoryProxyStats are the counts of a memory proxy.
type MemoryProxyStats struct {
	Active, Limit, Opened, Closed, Requests, Denied, Upgraded, HandshakesFailed, HooksFailed, BytesReceived, BytesSent uint64
}

func memoryProxy(handle uint64) C.trunkline_memory_proxy_t {
	return C.trunkline_memory_proxy_t{h: C.uint64_t(handle)}
}

// MemoryProxyNew makes a memory proxy, secured by tls unless that is 0. Questions to its hooks go to queue, as [EventJob] events
// with the tag.
func MemoryProxyNew(runtime, tls uint64, json string, hooks uint32, queue, tag uint64) (uint64, *Failure) {
	text, length := chars(json)
	options := connectOptions(tls)
	var out C.trunkline_memory_proxy_t
	var object *C.trunkline_error_t
	rt := C.trunkline_runtime_t{h: C.uint64_t(runtime)}
	if hooks == 0 {
		status := C.trunkline_memory_proxy_new(rt, text, length, &options, nil, 0, &out, &object)
		return uint64(out.h), fail(status, object)
	}
	host := C.trunkline_job_host_t{queue: C.trunkline_cq_t{h: C.uint64_t(queue)}, tag: C.uint64_t(tag)}
	status := C.trunkline_memory_proxy_new(rt, text, length, &options, &host, C.uint32_t(hooks), &out, &object)
	return uint64(out.h), fail(status, object)
}

// MemoryProxyServe serves what comes to a listener.
func MemoryProxyServe(handle, listener uint64) *Failure {
	var object *C.trunkline_error_t
	at := C.trunkline_listener_t{h: C.uint64_t(listener)}
	return fail(C.trunkline_memory_proxy_serve(memoryProxy(handle), at, &object), object)
}

// MemoryProxyQuestion is what is known of what a job is about, as JSON; false if nobody waits for its answer.
func MemoryProxyQuestion(job uint64) ([]byte, bool) {
	var out *C.trunkline_buf_t
	if C.trunkline_memory_proxy_question(C.trunkline_job_t{h: C.uint64_t(job)}, &out, nil) != C.TRUNKLINE_OK {
		return nil, false
	}
	return taken(out), true
}

// MemoryProxyAnswer answers a job. After [InvalidArgument] an answer is still owed.
func MemoryProxyAnswer(job uint64, json string) *Failure {
	text, length := chars(json)
	var object *C.trunkline_error_t
	return fail(C.trunkline_memory_proxy_answer(C.trunkline_job_t{h: C.uint64_t(job)}, text, length, &object), object)
}

// MemoryProxyStatsOf reads the counts.
func MemoryProxyStatsOf(handle uint64) (MemoryProxyStats, Status) {
	var c C.trunkline_memory_proxy_stats_t
	c.size = C.sizeof_trunkline_memory_proxy_stats_t
	status := Status(C.trunkline_memory_proxy_stats(memoryProxy(handle), &c))
	return MemoryProxyStats{
		Active:           uint64(c.active),
		Limit:            uint64(c.limit),
		Opened:           uint64(c.opened),
		Closed:           uint64(c.closed),
		Requests:         uint64(c.requests),
		Denied:           uint64(c.denied),
		Upgraded:         uint64(c.upgraded),
		HandshakesFailed: uint64(c.handshakes_failed),
		HooksFailed:      uint64(c.hooks_failed),
		BytesReceived:    uint64(c.bytes_received),
		BytesSent:        uint64(c.bytes_sent),
	}, status
}

// MemoryProxyDrainAsync begins to drain; a [EventDrained] event with the tag follows.
func MemoryProxyDrainAsync(handle uint64, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_memory_proxy_drain_async(memoryProxy(handle), C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// MemoryProxyClose closes a memory proxy and its connections; its counts stay readable.
func MemoryProxyClose(handle uint64) { C.trunkline_memory_proxy_close(memoryProxy(handle)) }

// MemoryProxyFree gives the handle up.
func MemoryProxyFree(handle uint64) { C.trunkline_memory_proxy_free(memoryProxy(handle)) }
