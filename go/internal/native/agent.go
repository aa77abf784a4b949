package native

// #include "bridge.h"
import "C"

// AgentStats are the counts of an agent.
type AgentStats struct {
	Links, LinksOpened, LinksFailed, Replaced, Active, Limit, Opened, Closed, Refused, BytesReceived, BytesSent uint64
}

// CommPathStats are the counts of one way between an agent and its listener.
type CommPathStats struct {
	Active, Opened, Closed, Fallbacks, Failed, BytesReceived, BytesSent uint64
}

func agent(handle uint64) C.trunkline_agent_t { return C.trunkline_agent_t{h: C.uint64_t(handle)} }

// AgentNew makes an agent, which begins to connect, secured by tls unless that is 0.
func AgentNew(runtime, tls uint64, json string) (uint64, *Failure) {
	text, length := chars(json)
	options := connectOptions(tls)
	var out C.trunkline_agent_t
	var object *C.trunkline_error_t
	status := C.trunkline_agent_new_with(C.trunkline_runtime_t{h: C.uint64_t(runtime)}, text, length, &options, &out,
		&object)
	return uint64(out.h), fail(status, object)
}

// AgentWaitReadyAsync begins to wait for a tunnel; an event with the tag follows.
func AgentWaitReadyAsync(handle uint64, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_agent_wait_ready_async(agent(handle), C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// AgentListener is the listener of connections without a target.
func AgentListener(handle uint64) (uint64, *Failure) {
	var out C.trunkline_listener_t
	var object *C.trunkline_error_t
	status := C.trunkline_agent_listener(agent(handle), &out, &object)
	return uint64(out.h), fail(status, object)
}

// AgentStatsOf reads the counts.
func AgentStatsOf(handle uint64) (AgentStats, Status) {
	var c C.trunkline_agent_stats_t
	c.size = C.sizeof_trunkline_agent_stats_t
	status := Status(C.trunkline_agent_stats(agent(handle), &c))
	return AgentStats{
		Links:         uint64(c.links),
		LinksOpened:   uint64(c.links_opened),
		LinksFailed:   uint64(c.links_failed),
		Replaced:      uint64(c.replaced),
		Active:        uint64(c.active),
		Limit:         uint64(c.limit),
		Opened:        uint64(c.opened),
		Closed:        uint64(c.closed),
		Refused:       uint64(c.refused),
		BytesReceived: uint64(c.bytes_received),
		BytesSent:     uint64(c.bytes_sent),
	}, status
}

// AgentUseMemoryComm lets a share of the connections to come go by a pipe.
func AgentUseMemoryComm(handle uint64, share float64) *Failure {
	var object *C.trunkline_error_t
	status := C.trunkline_agent_use_memory_comm(agent(handle), C.double(share), &object)
	return fail(status, object)
}

// AgentMemoryCommStats reads the counts of both ways to the listener, and the share of memory.
func AgentMemoryCommStats(handle uint64) (share float64, memory, socket CommPathStats) {
	var c C.trunkline_memory_comm_stats_t
	c.size = C.sizeof_trunkline_memory_comm_stats_t
	C.trunkline_agent_memory_comm_stats(agent(handle), &c)
	memory = CommPathStats{
		Active:        uint64(c.memory_active),
		Opened:        uint64(c.memory_opened),
		Closed:        uint64(c.memory_closed),
		Fallbacks:     uint64(c.memory_fallbacks),
		Failed:        uint64(c.memory_failed),
		BytesReceived: uint64(c.memory_bytes_received),
		BytesSent:     uint64(c.memory_bytes_sent),
	}
	socket = CommPathStats{
		Active:        uint64(c.socket_active),
		Opened:        uint64(c.socket_opened),
		Closed:        uint64(c.socket_closed),
		Fallbacks:     uint64(c.socket_fallbacks),
		Failed:        uint64(c.socket_failed),
		BytesReceived: uint64(c.socket_bytes_received),
		BytesSent:     uint64(c.socket_bytes_sent),
	}
	return float64(c.memory_share), memory, socket
}

// AgentDrainAsync begins to drain; a [EventDrained] event with the tag follows.
func AgentDrainAsync(handle uint64, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_agent_drain_async(agent(handle), C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// AgentClose closes an agent and all its connections; its counts stay readable.
func AgentClose(handle uint64) { C.trunkline_agent_close(agent(handle)) }

// AgentFree gives the handle up.
func AgentFree(handle uint64) { C.trunkline_agent_free(agent(handle)) }
