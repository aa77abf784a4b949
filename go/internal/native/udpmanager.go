package native

// #include "bridge.h"
import "C"

import "unsafe"

// UDPManagerStats are the counts of a UDP manager.
type UDPManagerStats struct {
	Active, Verified, Unverified, Limit, Opened, Closed        uint64
	DatagramsReceived, DatagramsSent, BytesReceived, BytesSent uint64
	Refused, ReceivePauses, Dropped                            uint64
	// ClosedBy counts by close reason, DroppedBy by drop reason; both begin at 1.
	ClosedBy  [12]uint64
	DroppedBy [11]uint64
}

func udpManager(handle uint64) C.trunkline_udp_manager_t {
	return C.trunkline_udp_manager_t{h: C.uint64_t(handle)}
}

// UDPManagerNew makes a UDP manager.
func UDPManagerNew(runtime uint64, json string) (uint64, *Failure) {
	text, length := chars(json)
	var out C.trunkline_udp_manager_t
	var object *C.trunkline_error_t
	status := C.trunkline_udp_manager_new(C.trunkline_runtime_t{h: C.uint64_t(runtime)}, text, length, &out, &object)
	return uint64(out.h), fail(status, object)
}

// UDPManagerBind binds a socket to an address without a host name.
func UDPManagerBind(handle uint64, address string) (uint64, *Failure) {
	text, length := chars(address)
	var out C.trunkline_datagram_t
	var object *C.trunkline_error_t
	status := C.trunkline_udp_manager_bind(udpManager(handle), text, length, &out, &object)
	return uint64(out.h), fail(status, object)
}

// UDPManagerRelay relays what comes to listen, an address without a host name, and says where that is. An idle timeout of
// 0 is the configured one.
func UDPManagerRelay(handle uint64, listen, destination string, idleTimeout int64) (string, *Failure) {
	from, fromLength := chars(listen)
	to, toLength := chars(destination)
	var options C.trunkline_udp_relay_options_t
	options.size = C.sizeof_trunkline_udp_relay_options_t
	options.idle_timeout_ns = C.int64_t(idleTimeout)
	var bound [textMax]byte
	var n C.size_t
	var object *C.trunkline_error_t
	status := C.trunkline_udp_manager_relay(udpManager(handle), from, fromLength, to, toLength, &options,
		(*C.char)(unsafe.Pointer(&bound[0])), textMax, &n, &object)
	return string(bound[:n]), fail(status, object)
}

// UDPManagerStatsOf reads the counts.
func UDPManagerStatsOf(handle uint64) (UDPManagerStats, Status) {
	var c C.trunkline_udp_manager_stats_t
	c.size = C.sizeof_trunkline_udp_manager_stats_t
	status := Status(C.trunkline_udp_manager_stats(udpManager(handle), &c))
	return UDPManagerStats{
		Active:            uint64(c.active),
		Verified:          uint64(c.verified),
		Unverified:        uint64(c.unverified),
		Limit:             uint64(c.limit),
		Opened:            uint64(c.opened),
		Closed:            uint64(c.closed),
		DatagramsReceived: uint64(c.datagrams_received),
		DatagramsSent:     uint64(c.datagrams_sent),
		BytesReceived:     uint64(c.bytes_received),
		BytesSent:         uint64(c.bytes_sent),
		Refused:           uint64(c.refused),
		ReceivePauses:     uint64(c.receive_pauses),
		Dropped:           uint64(c.dropped),
		ClosedBy: [12]uint64{
			C.TRUNKLINE_CLOSE_LOCAL:          uint64(c.closed_local),
			C.TRUNKLINE_CLOSE_IDLE_TIMEOUT:   uint64(c.closed_idle_timeout),
			C.TRUNKLINE_CLOSE_CONNECT_FAILED: uint64(c.closed_connect_failed),
			C.TRUNKLINE_CLOSE_DRAINED:        uint64(c.closed_drained),
			C.TRUNKLINE_CLOSE_CANCELLED:      uint64(c.closed_cancelled),
			C.TRUNKLINE_CLOSE_EVICTED:        uint64(c.closed_evicted),
			C.TRUNKLINE_CLOSE_KILLED:         uint64(c.closed_killed),
		},
		DroppedBy: [11]uint64{
			0,
			uint64(c.dropped_truncated),
			uint64(c.dropped_too_long),
			uint64(c.dropped_buffer_full),
			uint64(c.dropped_session_table_full),
			uint64(c.dropped_early_queue_full),
			uint64(c.dropped_amplification),
			uint64(c.dropped_connect_failed),
			uint64(c.dropped_session_closed),
			uint64(c.dropped_draining),
			uint64(c.dropped_send_failed),
		},
	}, status
}

// UDPManagerLive is the list of the sessions that stand, as JSON.
func UDPManagerLive(handle uint64) ([]byte, *Failure) {
	var list *C.trunkline_buf_t
	var object *C.trunkline_error_t
	if failure := fail(C.trunkline_udp_manager_live(udpManager(handle), &list, &object), object); failure != nil {
		return nil, failure
	}
	return taken(list), nil
}

// UDPManagerKill ends a session.
func UDPManagerKill(handle, id uint64) *Failure {
	var object *C.trunkline_error_t
	return fail(C.trunkline_udp_manager_kill(udpManager(handle), C.uint64_t(id), &object), object)
}

// UDPManagerDrainAsync begins to drain; a [EventDrained] event with the tag follows.
func UDPManagerDrainAsync(handle uint64, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_udp_manager_drain_async(udpManager(handle), C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// UDPManagerClose closes a manager, its sessions and its sockets; its counts stay readable.
func UDPManagerClose(handle uint64) { C.trunkline_udp_manager_close(udpManager(handle)) }

// UDPManagerFree gives the handle up.
func UDPManagerFree(handle uint64) { C.trunkline_udp_manager_free(udpManager(handle)) }
