package native

// #cgo noescape trunkline_listener_accept
// #cgo nocallback trunkline_listener_accept
// #cgo noescape trunkline_listener_arm
// #cgo nocallback trunkline_listener_arm
// #include "bridge.h"
import "C"

import "unsafe"

func listener(handle uint64) C.trunkline_listener_t {
	return C.trunkline_listener_t{h: C.uint64_t(handle)}
}

// Listen listens on an address without a host name, for which nothing has to be looked up.
func Listen(runtime, tls uint64, address string, backlog uint32) (uint64, *Failure) {
	text, length := chars(address)
	var options C.trunkline_listen_options_t
	options.size = C.sizeof_trunkline_listen_options_t
	options.backlog = C.uint32_t(backlog)
	options.tls = C.trunkline_tls_t{h: C.uint64_t(tls)}
	var out C.trunkline_listener_t
	var object *C.trunkline_error_t
	status := C.trunkline_listen(C.trunkline_runtime_t{h: C.uint64_t(runtime)}, text, length, &options, &out, &object)
	return uint64(out.h), fail(status, object)
}

// Accept tries once to take a connection.
func Accept(handle uint64) (uint64, *Failure) {
	var out C.trunkline_stream_t
	var object *C.trunkline_error_t
	status := C.trunkline_listener_accept(listener(handle), 0, &out, &object)
	return uint64(out.h), fail(status, object)
}

// ListenerArm asks for one event.
func ListenerArm(handle, queue, tag uint64) Status {
	return Status(C.trunkline_listener_arm(listener(handle), C.trunkline_cq_t{h: C.uint64_t(queue)}, C.uint64_t(tag)))
}

// ListenerAddress is the address that is listened on.
func ListenerAddress(handle uint64) string {
	var text [textMax]byte
	var n C.size_t
	C.trunkline_listener_address(listener(handle), (*C.char)(unsafe.Pointer(&text[0])), textMax, &n)
	return string(text[:n])
}

// ListenerClose stops listening and gives the handle up.
func ListenerClose(handle uint64) { C.trunkline_listener_free(listener(handle)) }
