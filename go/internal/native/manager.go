package native

// #include "bridge.h"
import "C"

import "unsafe"

// TCPManagerStats are the counts of a TCP manager.
type TCPManagerStats struct {
	Active, Waiting, Limit, Opened, Closed, Accepted, Dialled, BytesReceived, BytesSent, BytesSpliced, AcceptPauses uint64
	// ClosedBy counts by close reason: 1 to 15, as in stream stats.
	ClosedBy [16]uint64
}

func tcpManager(handle uint64) C.trunkline_tcp_manager_t {
	return C.trunkline_tcp_manager_t{h: C.uint64_t(handle)}
}

// TCPManagerNew makes a TCP manager, secured by tls unless that is 0.
func TCPManagerNew(runtime, tls uint64, json string) (uint64, *Failure) {
	text, length := chars(json)
	options := connectOptions(tls)
	var out C.trunkline_tcp_manager_t
	var object *C.trunkline_error_t
	status := C.trunkline_tcp_manager_new_with(C.trunkline_runtime_t{h: C.uint64_t(runtime)}, text, length,
		&options, &out, &object)
	return uint64(out.h), fail(status, object)
}

// TCPManagerConnectAsync begins to connect; a [EventConnected] event with the tag follows if it succeeds.
func TCPManagerConnectAsync(handle uint64, address string, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	text, length := chars(address)
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_tcp_manager_connect_async(tcpManager(handle), text, length, C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// TCPManagerListen listens on an address without a host name.
func TCPManagerListen(handle uint64, address string) (uint64, *Failure) {
	text, length := chars(address)
	var out C.trunkline_listener_t
	var object *C.trunkline_error_t
	status := C.trunkline_tcp_manager_listen(tcpManager(handle), text, length, &out, &object)
	return uint64(out.h), fail(status, object)
}

// TCPManagerRelay relays what is accepted on listen, an address without a host name, and says where that is.
func TCPManagerRelay(handle uint64, listen, destination string) (string, *Failure) {
	from, fromLength := chars(listen)
	to, toLength := chars(destination)
	var bound [textMax]byte
	var n C.size_t
	var object *C.trunkline_error_t
	status := C.trunkline_tcp_manager_relay(tcpManager(handle), from, fromLength, to, toLength,
		(*C.char)(unsafe.Pointer(&bound[0])), textMax, &n, &object)
	return string(bound[:n]), fail(status, object)
}

// TCPManagerStart listens where the document says; the addresses by name, as JSON.
func TCPManagerStart(handle uint64) (string, *Failure) {
	var bound *C.trunkline_buf_t
	var object *C.trunkline_error_t
	status := C.trunkline_tcp_manager_start(tcpManager(handle), &bound, &object)
	if bound == nil {
		return "", fail(status, object)
	}
	return string(taken(bound)), fail(status, object)
}

// TCPManagerReconfigure goes by another document from now on.
func TCPManagerReconfigure(handle uint64, json string) *Failure {
	text, length := chars(json)
	var object *C.trunkline_error_t
	return fail(C.trunkline_tcp_manager_reconfigure(tcpManager(handle), text, length, &object), object)
}

// TCPManagerLive is a page of the connections that stand, as JSON.
func TCPManagerLive(handle, after uint64, max int) ([]byte, *Failure) {
	var list *C.trunkline_buf_t
	var object *C.trunkline_error_t
	status := C.trunkline_tcp_manager_live(tcpManager(handle), C.uint64_t(after), C.size_t(max), &list, &object)
	if failure := fail(status, object); failure != nil {
		return nil, failure
	}
	return taken(list), nil
}

// TCPManagerEndpoints are the endpoints of every backend, as JSON.
func TCPManagerEndpoints(handle uint64) ([]byte, *Failure) {
	var list *C.trunkline_buf_t
	var object *C.trunkline_error_t
	if failure := fail(C.trunkline_tcp_manager_endpoints(tcpManager(handle), &list, &object), object); failure != nil {
		return nil, failure
	}
	return taken(list), nil
}

// TCPManagerInspect is a connection that stands, as JSON.
func TCPManagerInspect(handle, id uint64) ([]byte, *Failure) {
	var one *C.trunkline_buf_t
	var object *C.trunkline_error_t
	if failure := fail(C.trunkline_tcp_manager_inspect(tcpManager(handle), C.uint64_t(id), &one, &object), object); failure != nil {
		return nil, failure
	}
	return taken(one), nil
}

// TCPManagerKill ends a connection.
func TCPManagerKill(handle, id uint64) *Failure {
	var object *C.trunkline_error_t
	return fail(C.trunkline_tcp_manager_kill(tcpManager(handle), C.uint64_t(id), &object), object)
}

// taken is the content of a buffer, which is freed.
func taken(buf *C.trunkline_buf_t) []byte {
	defer C.trunkline_buf_free(buf)
	var n C.size_t
	data := C.trunkline_buf_data(buf, &n)
	return C.GoBytes(unsafe.Pointer(data), C.int(n))
}

// TCPManagerStatsOf reads the counts.
func TCPManagerStatsOf(handle uint64) (TCPManagerStats, Status) {
	var c C.trunkline_tcp_manager_stats_t
	c.size = C.sizeof_trunkline_tcp_manager_stats_t
	status := Status(C.trunkline_tcp_manager_stats(tcpManager(handle), &c))
	return TCPManagerStats{
		Active:        uint64(c.active),
		Waiting:       uint64(c.waiting),
		Limit:         uint64(c.limit),
		Opened:        uint64(c.opened),
		Closed:        uint64(c.closed),
		Accepted:      uint64(c.accepted),
		Dialled:       uint64(c.dialled),
		BytesReceived: uint64(c.bytes_received),
		BytesSent:     uint64(c.bytes_sent),
		BytesSpliced:  uint64(c.bytes_spliced),
		AcceptPauses:  uint64(c.accept_pauses),
		ClosedBy: [16]uint64{
			0,
			uint64(c.closed_finished),
			uint64(c.closed_local),
			uint64(c.closed_reset),
			uint64(c.closed_idle_timeout),
			uint64(c.closed_half_close_timeout),
			uint64(c.closed_connect_failed),
			uint64(c.closed_drained),
			uint64(c.closed_cancelled),
			uint64(c.closed_evicted),
			uint64(c.closed_refused),
			uint64(c.closed_killed),
			uint64(c.closed_max_duration),
			uint64(c.closed_source_limit),
			uint64(c.closed_backend_full),
			uint64(c.closed_queue_timeout),
		},
	}, status
}

// TCPManagerDrainAsync begins to drain; a [EventDrained] event with the tag follows.
func TCPManagerDrainAsync(handle uint64, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_tcp_manager_drain_async(tcpManager(handle), C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// TCPManagerClose closes a manager and all its connections; its counts stay readable.
func TCPManagerClose(handle uint64) { C.trunkline_tcp_manager_close(tcpManager(handle)) }

// TCPManagerFree gives the handle up.
func TCPManagerFree(handle uint64) { C.trunkline_tcp_manager_free(tcpManager(handle)) }
