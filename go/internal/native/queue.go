package native

// #cgo noescape trunkline_cq_wait
// #cgo nocallback trunkline_cq_wait
// #include "bridge.h"
import "C"

import (
	"errors"
	"os"
	"syscall"
	"unsafe"
)

// What an event is about.
const (
	EventConnected  uint32 = C.TRUNKLINE_EV_CONNECTED
	EventReadable   uint32 = C.TRUNKLINE_EV_READABLE
	EventWritable   uint32 = C.TRUNKLINE_EV_WRITABLE
	EventAcceptable uint32 = C.TRUNKLINE_EV_ACCEPTABLE
	EventDrained    uint32 = C.TRUNKLINE_EV_DRAINED
	EventPoolClosed uint32 = C.TRUNKLINE_EV_POOL_CLOSED
	EventJob        uint32 = C.TRUNKLINE_EV_JOB
	EventLease      uint32 = C.TRUNKLINE_EV_LEASE
	EventPoolValue  uint32 = C.TRUNKLINE_EV_POOL_VALUE
	EventState      uint32 = C.TRUNKLINE_EV_STATE
	EventReply      uint32 = C.TRUNKLINE_EV_REPLY
)

// Event is one completion; who gets it owns the object behind Handle.
type Event struct {
	Tag     uint64
	Op      uint64
	Kind    uint32
	Handle  uint64
	Value   uint64
	About   uint64
	Reply   *Reply // copied out of the library; nil where there is none
	Failure *Failure
}

// Dispose frees the object that an event carries; a job has failed then.
func (e Event) Dispose() {
	switch {
	case e.Handle == 0:
	case e.Kind == EventConnected:
		StreamFree(e.Handle)
	case e.Kind == EventJob:
		JobFailed(e.Handle, Callback, "nobody is there to do it")
	}
}

// batch is how many events cross in one call.
const batch = 256

// Queue is a completion queue and the descriptor that says when it has something.
type Queue struct {
	handle C.trunkline_cq_t
	ready  *os.File
	// In C's memory, so that cgo need not look through it on each call.
	events *[batch]C.trunkline_event_t
	look   *C.tl_reply
}

// QueueNew makes a queue that holds at most pending outstanding operations.
func QueueNew(runtime uint64, pending uint32) (*Queue, *Failure) {
	var handle C.trunkline_cq_t
	var object *C.trunkline_error_t
	status := C.trunkline_cq_new(C.trunkline_runtime_t{h: C.uint64_t(runtime)}, C.uint32_t(pending), &handle, &object)
	if status != C.TRUNKLINE_OK {
		return nil, fail(status, object)
	}
	var fd C.int32_t
	C.trunkline_cq_fd(handle, &fd)
	own, err := C.tl_dup(fd)
	if own < 0 {
		C.trunkline_cq_free(handle)
		failure := Plain(LimitExceeded)
		var errno syscall.Errno
		if errors.As(err, &errno) {
			failure.Errno = int32(errno)
		}
		return nil, failure
	}
	events := (*[batch]C.trunkline_event_t)(C.calloc(batch, C.sizeof_trunkline_event_t))
	look := (*C.tl_reply)(C.calloc(1, C.sizeof_tl_reply))
	return &Queue{handle, os.NewFile(uintptr(own), "trunkline-queue"), events, look}, nil
}

// Handle is the queue's number, for whatever completes on it.
func (q *Queue) Handle() uint64 { return uint64(q.handle.h) }

// Shutdown lets Serve end as soon as no operation is outstanding.
func (q *Queue) Shutdown() { C.trunkline_cq_shutdown(q.handle) }

// Serve hands every event to take, on the calling goroutine, until the queue is shut down and drained;
// then it frees the queue. It parks in Go's poller: only cq_wait clears the descriptor.
func (q *Queue) Serve(take func(Event)) {
	defer q.free()
	poller, err := q.ready.SyscallConn()
	if err != nil {
		panic("trunkline: the queue's descriptor cannot be polled: " + err.Error())
	}
	err = poller.Read(func(uintptr) bool {
		for {
			n, status := q.wait()
			switch status {
			case OK:
				q.dispatch(n, take)
			case WouldBlock:
				return false
			default:
				return true
			}
		}
	})
	if err != nil {
		panic("trunkline: waiting for the queue failed: " + err.Error())
	}
}

func (q *Queue) wait() (int, Status) {
	var n C.size_t
	status := C.trunkline_cq_wait(q.handle, &q.events[0], batch, 0, &n)
	return int(n), Status(status)
}

func (q *Queue) dispatch(n int, take func(Event)) {
	for i := range q.events[:n] {
		c := &q.events[i]
		take(Event{
			Tag:     uint64(c.tag),
			Op:      uint64(c.op),
			Kind:    uint32(c.kind),
			Handle:  uint64(c.handle),
			Value:   uint64(c.value),
			About:   uint64(c.about),
			Reply:   takeReply(c.object, q.look),
			Failure: fail(c.status, c.error),
		})
	}
}

func (q *Queue) free() {
	C.trunkline_cq_free(q.handle)
	C.free(unsafe.Pointer(q.events))
	C.free(unsafe.Pointer(q.look))
	q.ready.Close()
}
