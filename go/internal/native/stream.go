package native

// #cgo noescape tl_try_read
// #cgo nocallback tl_try_read
// #cgo noescape tl_try_write
// #cgo nocallback tl_try_write
// #cgo noescape trunkline_stream_arm
// #cgo nocallback trunkline_stream_arm
// #cgo noescape trunkline_stream_address
// #cgo nocallback trunkline_stream_address
// #cgo noescape trunkline_stream_stats
// #cgo nocallback trunkline_stream_stats
// #cgo noescape trunkline_connect_with_async
// #cgo nocallback trunkline_connect_with_async
// #include "bridge.h"
import "C"

import "unsafe"

// Interest in one direction, or in both.
const (
	Readable uint32 = C.TRUNKLINE_READABLE
	Writable uint32 = C.TRUNKLINE_WRITABLE
)

// The transports that carry a stream.
const (
	ProtocolTCP  uint32 = C.TRUNKLINE_PROTOCOL_TCP
	ProtocolUnix uint32 = C.TRUNKLINE_PROTOCOL_UNIX
	ProtocolPipe uint32 = C.TRUNKLINE_PROTOCOL_PIPE
	ProtocolTLS  uint32 = C.TRUNKLINE_PROTOCOL_TLS
	// ProtocolTunnel is a logical connection through a tunnel.
	ProtocolTunnel uint32 = C.TRUNKLINE_PROTOCOL_TUNNEL
)

// StreamStats are the counts of one stream.
type StreamStats struct {
	ID, Received, Sent, AgeNs uint64
	Protocol                  uint32
	CloseReason               int32
}

func stream(handle uint64) C.trunkline_stream_t { return C.trunkline_stream_t{h: C.uint64_t(handle)} }

// Read tries once to read into buf, which must not be empty; 0 bytes are the end of the stream.
func Read(handle uint64, buf []byte) (int, Status) {
	n := C.tl_try_read(C.uint64_t(handle), (*C.uint8_t)(unsafe.Pointer(&buf[0])), C.size_t(len(buf)))
	return outcome(int64(n))
}

// Write tries once to write from buf, which must not be empty; it may take a part.
func Write(handle uint64, buf []byte) (int, Status) {
	n := C.tl_try_write(C.uint64_t(handle), (*C.uint8_t)(unsafe.Pointer(&buf[0])), C.size_t(len(buf)))
	return outcome(int64(n))
}

func outcome(n int64) (int, Status) {
	if n < 0 {
		return 0, Status(-n)
	}
	return int(n), OK
}

// StreamArm asks for one event per direction of interest.
func StreamArm(handle uint64, interest uint32, queue, tag uint64) Status {
	return Status(C.trunkline_stream_arm(stream(handle), C.uint32_t(interest),
		C.trunkline_cq_t{h: C.uint64_t(queue)}, C.uint64_t(tag)))
}

// StreamShutdown ends the directions in how.
func StreamShutdown(handle uint64, how uint32) Status {
	return Status(C.trunkline_stream_shutdown(stream(handle), C.uint32_t(how)))
}

// StreamError says why a stream broke; nil if it did not.
func StreamError(handle uint64) *Failure {
	var object *C.trunkline_error_t
	return fail(C.trunkline_stream_error(stream(handle), &object), object)
}

// StreamAbort closes a stream with a reset.
func StreamAbort(handle uint64) { C.trunkline_stream_abort(stream(handle)) }

// StreamClose closes a stream; its counts stay readable until StreamFree.
func StreamClose(handle uint64) { C.trunkline_stream_close(stream(handle)) }

// StreamFree gives the handle up, and closes the stream if that was not done.
func StreamFree(handle uint64) { C.trunkline_stream_free(stream(handle)) }

// StreamToSocket makes a socket for what a stream carries. The descriptor is the caller's.
func StreamToSocket(handle uint64) (fd int, failure *Failure) {
	var made C.int32_t
	var object *C.trunkline_error_t
	status := C.trunkline_stream_to_socket(stream(handle), &made, &object)
	return int(made), fail(status, object)
}

// StreamAddresses are both ends as texts, empty for an end without a name.
func StreamAddresses(handle uint64) (local, peer string) {
	return streamAddress(handle, C.TRUNKLINE_LOCAL), streamAddress(handle, C.TRUNKLINE_PEER)
}

func streamAddress(handle uint64, which C.uint32_t) string {
	var text [textMax]byte
	var n C.size_t
	C.trunkline_stream_address(stream(handle), which, (*C.char)(unsafe.Pointer(&text[0])), textMax, &n)
	return string(text[:n])
}

// StreamStatsOf reads the counts of a stream.
func StreamStatsOf(handle uint64) (StreamStats, Status) {
	var c C.trunkline_stream_stats_t
	c.size = C.sizeof_trunkline_stream_stats_t
	status := Status(C.trunkline_stream_stats(stream(handle), &c))
	return StreamStats{
		ID:          uint64(c.id),
		Received:    uint64(c.bytes_received),
		Sent:        uint64(c.bytes_sent),
		AgeNs:       uint64(c.age_ns),
		Protocol:    uint32(c.protocol),
		CloseReason: int32(c.close_reason),
	}, status
}

// PipePair makes a pipe; capacity 0 means the default.
func PipePair(runtime uint64, capacity uint64) (a, b uint64, failure *Failure) {
	var options C.trunkline_pipe_options_t
	options.size = C.sizeof_trunkline_pipe_options_t
	options.capacity = C.uint64_t(capacity)
	var ends [2]C.trunkline_stream_t
	var object *C.trunkline_error_t
	status := C.trunkline_pipe_pair(C.trunkline_runtime_t{h: C.uint64_t(runtime)}, &options, &ends, &object)
	return uint64(ends[0].h), uint64(ends[1].h), fail(status, object)
}

// ConnectAsync begins to connect, secured by tls or, if that is 0, as the library does by itself; a [Connected] event
// with the tag follows if it succeeds.
func ConnectAsync(runtime, tls uint64, address string, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	text, length := chars(address)
	completion := completion(queue, tag)
	options := connectOptions(tls)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_connect_with_async(C.trunkline_runtime_t{h: C.uint64_t(runtime)}, text, length,
		&options, C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

func completion(queue, tag uint64) C.trunkline_completion_t {
	return C.trunkline_completion_t{queue: C.trunkline_cq_t{h: C.uint64_t(queue)}, tag: C.uint64_t(tag)}
}

// Cancel asks an operation to end; its event still comes.
func Cancel(op uint64) { C.trunkline_op_cancel(C.trunkline_op_t{h: C.uint64_t(op)}) }
