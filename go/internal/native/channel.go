package native

// #cgo noescape trunkline_channel_call_async
// #cgo nocallback trunkline_channel_call_async
// #cgo noescape trunkline_channel_call_many_async
// #cgo nocallback trunkline_channel_call_many_async
// #cgo noescape tl_look
// #cgo nocallback tl_look
// #include "bridge.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// KV is one piece of metadata.
type KV struct {
	Key   string
	Value []byte
}

// Reply is an answer, copied out of the library.
type Reply struct {
	Message  []byte
	Initial  []KV
	Trailing []KV
}

// CallOptions say how a call is made.
type CallOptions struct {
	Deadline int64
	Metadata []KV
	Flags    uint32
	MaxReply uint32
	// Credentials are never sent without TLS, unless Flags ask for it.
	Credentials []KV
}

// How a call is made.
const (
	CallWaitForReady uint32 = C.TRUNKLINE_CALL_WAIT_FOR_READY
	CallFailFast     uint32 = C.TRUNKLINE_CALL_FAIL_FAST
	CallGzip         uint32 = C.TRUNKLINE_CALL_GZIP
	CallDeflate      uint32 = C.TRUNKLINE_CALL_DEFLATE

	CallPlaintextCredentials uint32 = C.TRUNKLINE_CALL_PLAINTEXT_CREDENTIALS
)

func channel(handle uint64) C.trunkline_channel_t {
	return C.trunkline_channel_t{h: C.uint64_t(handle)}
}

func call(handle uint64) C.trunkline_call_t {
	return C.trunkline_call_t{h: C.uint64_t(handle)}
}

// ChannelNew makes a channel, secured by tls unless that is 0. Questions where the target is go to queue, as [EventJob] events
// with the tag, unless that is 0.
func ChannelNew(runtime, tls uint64, target, json string, queue, tag uint64) (uint64, *Failure) {
	text, length := chars(target)
	document, documentLength := chars(json)
	var out C.trunkline_channel_t
	var object *C.trunkline_error_t
	options, rt := connectOptions(tls), C.trunkline_runtime_t{h: C.uint64_t(runtime)}
	if queue == 0 {
		status := C.trunkline_channel_new_with(rt, text, length, document, documentLength, &options, &out, &object)
		return uint64(out.h), fail(status, object)
	}
	host := C.trunkline_job_host_t{queue: C.trunkline_cq_t{h: C.uint64_t(queue)}, tag: C.uint64_t(tag)}
	status := C.trunkline_channel_new_resolved(rt, text, length, document, documentLength, &options, &host, &out, &object)
	return uint64(out.h), fail(status, object)
}

// ChannelPushAddresses says where a target is.
func ChannelPushAddresses(handle uint64, addresses string) *Failure {
	var object *C.trunkline_error_t
	text, length := chars(addresses)
	return fail(C.trunkline_channel_push_addresses(channel(handle), text, length, &object), object)
}

// ResolveQuestion is what is asked about a target, as JSON; false if nobody waits for the answer.
func ResolveQuestion(job uint64) ([]byte, bool) {
	var out *C.trunkline_buf_t
	if C.trunkline_resolve_question(C.trunkline_job_t{h: C.uint64_t(job)}, &out, nil) != C.TRUNKLINE_OK {
		return nil, false
	}
	return taken(out), true
}

// ResolveAnswer answers a job. After [InvalidArgument] an answer is still owed.
func ResolveAnswer(job uint64, addresses string) Status {
	text, length := chars(addresses)
	return Status(C.trunkline_resolve_answer(C.trunkline_job_t{h: C.uint64_t(job)}, text, length))
}

// ChannelConnect begins to connect.
func ChannelConnect(handle uint64) { C.trunkline_channel_connect(channel(handle)) }

// ChannelResetConnectBackoff tries at once what would have waited.
func ChannelResetConnectBackoff(handle uint64) {
	C.trunkline_channel_reset_connect_backoff(channel(handle))
}

// ChannelState is the state now.
func ChannelState(handle uint64) (int32, Status) {
	var state C.int32_t
	status := Status(C.trunkline_channel_state(channel(handle), 0, &state))
	return int32(state), status
}

// ChannelInspect is what the channel looks like now, as JSON.
func ChannelInspect(handle uint64) ([]byte, *Failure) {
	var json *C.trunkline_buf_t
	var object *C.trunkline_error_t
	if failure := fail(C.trunkline_channel_inspect(channel(handle), &json, &object), object); failure != nil {
		return nil, failure
	}
	return taken(json), nil
}

// ChannelHistory is a page of the changes of the channel's state, as JSON.
func ChannelHistory(handle, after uint64, max int) ([]byte, *Failure) {
	var json *C.trunkline_buf_t
	var object *C.trunkline_error_t
	status := C.trunkline_channel_history(channel(handle), C.uint64_t(after), C.size_t(max), &json, &object)
	if failure := fail(status, object); failure != nil {
		return nil, failure
	}
	return taken(json), nil
}

// ChannelWaitHistoryAsync begins to wait for a change of the state with a number above after.
func ChannelWaitHistoryAsync(handle, after uint64, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_channel_wait_history_async(channel(handle), C.uint64_t(after), C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// ChannelWaitForStateChangeAsync begins to wait for another state; a [EventState] event follows.
func ChannelWaitForStateChangeAsync(handle uint64, last int32, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_channel_wait_for_state_change_async(channel(handle), C.int32_t(last), C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// ChannelWaitReadyAsync begins to connect and wait.
func ChannelWaitReadyAsync(handle uint64, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_channel_wait_ready_async(channel(handle), C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// CallRequest is a call of one message.
type CallRequest struct {
	Method  string
	Message []byte
	Options CallOptions
	Tag     uint64
}

// ChannelCallAsync begins a call of one message; a [EventReply] event follows.
func ChannelCallAsync(handle uint64, request CallRequest, queue uint64) (op uint64, failure *Failure) {
	text, length := chars(request.Method)
	completion := completion(queue, request.Tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	var owned memory
	defer owned.free()
	status := C.trunkline_channel_call_async(channel(handle), text, length,
		(*C.uint8_t)(unsafe.SliceData(request.Message)), C.size_t(len(request.Message)), owned.terms(request.Options),
		&completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// ChannelCallMany begins several calls at once, each of which ends in an event of its own; ops gets what cancels each. If
// it fails, none has begun.
func ChannelCallMany(handle uint64, requests []*CallRequest, queue uint64, ops []uint64) *Failure {
	completion := completion(queue, 0)
	var object *C.trunkline_error_t
	var owned memory
	defer owned.free()
	var pins runtime.Pinner
	defer pins.Unpin()
	count := len(requests)
	all := (*C.trunkline_call_request_t)(owned.zeroed(count, C.sizeof_trunkline_call_request_t))
	for i := range unsafe.Slice(all, count) {
		given, request := requests[i], &unsafe.Slice(all, count)[i]
		pins.Pin(unsafe.StringData(given.Method))
		pins.Pin(unsafe.SliceData(given.Message))
		request.method.ptr, request.method.len = chars(given.Method)
		request.message.ptr = (*C.uint8_t)(unsafe.SliceData(given.Message))
		request.message.len = C.size_t(len(given.Message))
		request.options = owned.terms(given.Options)
		request.tag = C.uint64_t(given.Tag)
	}
	status := C.trunkline_channel_call_many_async(channel(handle), all, C.size_t(count), &completion,
		(*C.trunkline_op_t)(unsafe.Pointer(unsafe.SliceData(ops[:count]))), &object)
	return fail(status, object)
}

// ChannelOpen begins a call with streams.
func ChannelOpen(handle uint64, method string, options CallOptions) (uint64, *Failure) {
	text, length := chars(method)
	var out C.trunkline_call_t
	var object *C.trunkline_error_t
	var owned memory
	defer owned.free()
	status := C.trunkline_channel_open(channel(handle), text, length, owned.terms(options), &out, &object)
	return uint64(out.h), fail(status, object)
}

// ChannelCloseAsync begins to close; an event follows once every descriptor is gone.
func ChannelCloseAsync(handle uint64, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_channel_close_async(channel(handle), C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// ChannelFree gives the handle up; calls under way finish.
func ChannelFree(handle uint64) { C.trunkline_channel_free(channel(handle)) }

// CallSendAsync begins to send one message.
func CallSendAsync(handle uint64, message []byte, queue, tag uint64) (op uint64, failure *Failure) {
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_call_send_async(call(handle), (*C.uint8_t)(unsafe.SliceData(message)), C.size_t(len(message)), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// CallFinishSending says that no more messages follow.
func CallFinishSending(handle uint64) { C.trunkline_call_finish_sending(call(handle)) }

// CallReceiveAsync begins to wait for a message; a [EventReply] event follows, without a reply at the end.
func CallReceiveAsync(handle uint64, queue, tag uint64) (op uint64, failure *Failure) {
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_call_receive_async(call(handle), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// CallInitialAsync begins to wait for the first metadata; a [EventReply] event follows.
func CallInitialAsync(handle uint64, queue, tag uint64) (op uint64, failure *Failure) {
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_call_initial_async(call(handle), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// CallTrailing is the last metadata, once the end was received.
func CallTrailing(handle uint64) []KV {
	var reply *C.trunkline_reply_t
	var object *C.trunkline_error_t
	status := C.trunkline_call_trailing(call(handle), &reply, &object)
	fail(status, object)
	if reply == nil {
		return nil
	}
	var owned memory
	defer owned.free()
	return takeReply(unsafe.Pointer(reply), (*C.tl_reply)(owned.zeroed(1, C.sizeof_tl_reply))).Trailing
}

// CallCancel gives the call up.
func CallCancel(handle uint64) { C.trunkline_call_cancel(call(handle)) }

// CallFree gives the call and its handle up.
func CallFree(handle uint64) { C.trunkline_call_free(call(handle)) }

// memory is C's memory for the length of a call: cgo must not pass Go memory that points to Go memory.
type memory []unsafe.Pointer

func (m *memory) zeroed(count int, size C.size_t) unsafe.Pointer {
	room := C.calloc(C.size_t(count), size)
	*m = append(*m, room)
	return room
}

func (m *memory) free() {
	for _, room := range *m {
		C.free(room)
	}
}

// terms are options as C reads them; nil for the defaults.
func (m *memory) terms(options CallOptions) *C.trunkline_call_options_t {
	if options.isDefault() {
		return nil
	}
	terms := (*C.trunkline_call_options_t)(m.zeroed(1, C.sizeof_trunkline_call_options_t))
	terms.size = C.sizeof_trunkline_call_options_t
	terms.deadline_ns = C.int64_t(options.Deadline)
	terms.flags = C.uint32_t(options.Flags)
	terms.max_reply = C.uint32_t(options.MaxReply)
	terms.metadata, terms.metadata_len = m.pairs(options.Metadata)
	terms.credentials, terms.credentials_len = m.pairs(options.Credentials)
	return terms
}

func (o CallOptions) isDefault() bool {
	return o.Deadline == NoDeadline && o.Flags == 0 && o.MaxReply == 0 && len(o.Metadata) == 0 && len(o.Credentials) == 0
}

func (m *memory) pairs(kvs []KV) (*C.trunkline_kv_t, C.size_t) {
	if len(kvs) == 0 {
		return nil, 0
	}
	first := (*C.trunkline_kv_t)(m.zeroed(len(kvs), C.sizeof_trunkline_kv_t))
	pairs := unsafe.Slice(first, len(kvs))
	for i, kv := range kvs {
		key, value := C.CString(kv.Key), C.CBytes(kv.Value)
		*m = append(*m, unsafe.Pointer(key), value)
		pairs[i].key = C.trunkline_str_t{ptr: key, len: C.size_t(len(kv.Key))}
		pairs[i].value = C.trunkline_bytes_t{ptr: (*C.uint8_t)(value), len: C.size_t(len(kv.Value))}
	}
	return first, C.size_t(len(kvs))
}

// takeReply copies a reply and frees it. The look is in C's memory, so that cgo need not look through it.
func takeReply(object unsafe.Pointer, look *C.tl_reply) *Reply {
	if object == nil {
		return nil
	}
	reply := (*C.trunkline_reply_t)(object)
	C.tl_look(reply, look)
	taken := &Reply{
		Message:  C.GoBytes(unsafe.Pointer(look.data), C.int(look.len)),
		Initial:  replyMetadata(reply, C.TRUNKLINE_METADATA_INITIAL, look.first[:look.initial]),
		Trailing: replyMetadata(reply, C.TRUNKLINE_METADATA_TRAILING, look.last[:look.trailing]),
	}
	C.trunkline_reply_free(reply)
	return taken
}

// replyMetadata copies the pieces that were seen already, and those behind them.
func replyMetadata(reply *C.trunkline_reply_t, which C.uint32_t, seen []C.trunkline_kv_t) []KV {
	if len(seen) == 0 {
		return nil
	}
	all := make([]KV, 0, len(seen))
	for _, kv := range seen {
		all = append(all, pair(kv))
	}
	if len(seen) < C.TL_PIECES {
		return all
	}
	for i := C.size_t(len(seen)); ; i++ {
		var kv C.trunkline_kv_t
		if C.trunkline_reply_metadata(reply, which, i, &kv) != C.TRUNKLINE_OK {
			return all
		}
		all = append(all, pair(kv))
	}
}

func errorMetadata(object *C.trunkline_error_t) []KV {
	if C.trunkline_error_rpc_code(object) < 0 {
		return nil
	}
	var all []KV
	for i := C.size_t(0); ; i++ {
		var kv C.trunkline_kv_t
		if C.trunkline_error_metadata(object, i, &kv) != C.TRUNKLINE_OK {
			return all
		}
		all = append(all, pair(kv))
	}
}

func pair(kv C.trunkline_kv_t) KV {
	return KV{
		Key:   C.GoStringN(kv.key.ptr, C.int(kv.key.len)),
		Value: C.GoBytes(unsafe.Pointer(kv.value.ptr), C.int(kv.value.len)),
	}
}
