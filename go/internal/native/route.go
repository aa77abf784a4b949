package native

// #include "bridge.h"
import "C"

// Decisions where a connection goes.
const (
	RouteDefault = int32(C.TRUNKLINE_ROUTE_DEFAULT)
	RouteBackend = int32(C.TRUNKLINE_ROUTE_BACKEND)
	RouteAddress = int32(C.TRUNKLINE_ROUTE_ADDRESS)
	RouteRefuse  = int32(C.TRUNKLINE_ROUTE_REFUSE)
)

// TCPManagerOnRoute has questions where connections go come to queue, as [EventJob] events with the tag; a queue of 0 ends that.
func TCPManagerOnRoute(handle, queue, tag uint64) *Failure {
	var object *C.trunkline_error_t
	if queue == 0 {
		return fail(C.trunkline_tcp_manager_on_route(tcpManager(handle), nil, &object), object)
	}
	host := C.trunkline_job_host_t{queue: C.trunkline_cq_t{h: C.uint64_t(queue)}, tag: C.uint64_t(tag)}
	return fail(C.trunkline_tcp_manager_on_route(tcpManager(handle), &host, &object), object)
}

// TCPManagerOnCheck has questions how endpoints are go to queue, as [EventJob] events with the tag; a queue of 0 ends that.
func TCPManagerOnCheck(handle, queue, tag uint64) *Failure {
	var object *C.trunkline_error_t
	if queue == 0 {
		return fail(C.trunkline_tcp_manager_on_check(tcpManager(handle), nil, &object), object)
	}
	host := C.trunkline_job_host_t{queue: C.trunkline_cq_t{h: C.uint64_t(queue)}, tag: C.uint64_t(tag)}
	return fail(C.trunkline_tcp_manager_on_check(tcpManager(handle), &host, &object), object)
}

// CheckQuestion is what is known of the endpoint that a job is about, as JSON; false if nobody waits for its answer.
func CheckQuestion(job uint64) ([]byte, bool) {
	var out *C.trunkline_buf_t
	if C.trunkline_check_question(C.trunkline_job_t{h: C.uint64_t(job)}, &out, nil) != C.TRUNKLINE_OK {
		return nil, false
	}
	return taken(out), true
}

// RouteQuestion is what is known of the connection that a job is about, as JSON; false if nobody waits for its answer.
func RouteQuestion(job uint64) ([]byte, bool) {
	var out *C.trunkline_buf_t
	if C.trunkline_route_question(C.trunkline_job_t{h: C.uint64_t(job)}, &out, nil) != C.TRUNKLINE_OK {
		return nil, false
	}
	return taken(out), true
}

// RouteDecide answers a job. After [InvalidArgument] an answer is still owed.
func RouteDecide(job uint64, decision int32, to string) Status {
	text, length := chars(to)
	return Status(C.trunkline_route_decide(C.trunkline_job_t{h: C.uint64_t(job)}, C.int32_t(decision), text, length))
}
