package native

// #include "bridge.h"
import "C"

import (
	"runtime"
	"time"
	"unsafe"
)

// NoDeadline never comes.
const NoDeadline = int64(C.TRUNKLINE_DEADLINE_NONE)

// Deadline is the instant t on the library's clock.
func Deadline(t time.Time) int64 {
	left := time.Until(t)
	if left <= 0 {
		return 0
	}
	return int64(C.tl_now_ns()) + int64(left)
}

// RuntimeOptions say how a runtime is made; zeroes mean the library's defaults.
type RuntimeOptions struct {
	WorkerThreads uint32
	MaxHandles    uint32
	ThreadName    string
}

func (o RuntimeOptions) c(pin *runtime.Pinner) C.trunkline_runtime_options_t {
	var c C.trunkline_runtime_options_t
	c.size = C.sizeof_trunkline_runtime_options_t
	c.worker_threads = C.uint32_t(o.WorkerThreads)
	c.max_handles = C.uint32_t(o.MaxHandles)
	if o.ThreadName != "" {
		name := unsafe.StringData(o.ThreadName)
		pin.Pin(name)
		c.thread_name.ptr = (*C.char)(unsafe.Pointer(name))
		c.thread_name.len = C.size_t(len(o.ThreadName))
	}
	return c
}

// RuntimeNew makes a runtime.
func RuntimeNew(options RuntimeOptions) (uint64, *Failure) {
	var pin runtime.Pinner
	defer pin.Unpin()
	given := options.c(&pin)
	var out C.trunkline_runtime_t
	var object *C.trunkline_error_t
	status := C.trunkline_runtime_new(&given, &out, &object)
	return uint64(out.h), fail(status, object)
}

// RuntimeConfigure says how the default runtime, 0, will be made.
func RuntimeConfigure(options RuntimeOptions) *Failure {
	var pin runtime.Pinner
	defer pin.Unpin()
	given := options.c(&pin)
	var object *C.trunkline_error_t
	return fail(C.trunkline_runtime_configure(&given, &object), object)
}

// RuntimeShutdown stops a runtime and waits for its threads until the deadline.
func RuntimeShutdown(runtime uint64, deadline int64) *Failure {
	var object *C.trunkline_error_t
	status := C.trunkline_runtime_shutdown(C.trunkline_runtime_t{h: C.uint64_t(runtime)}, C.int64_t(deadline), &object)
	return fail(status, object)
}

// RuntimeFree frees a runtime that RuntimeNew made, without waiting.
func RuntimeFree(runtime uint64) {
	C.trunkline_runtime_free(C.trunkline_runtime_t{h: C.uint64_t(runtime)})
}
