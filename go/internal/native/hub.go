package native

// #include "bridge.h"
import "C"

import "unsafe"

// HubStats are the counts of a hub.
type HubStats struct {
	Clusters, Links, LinksOpened, LinksRefused, Replaced, Active, Limit, Opened, Closed, Refused, BytesReceived, BytesSent uint64
}

func hub(handle uint64) C.trunkline_hub_t { return C.trunkline_hub_t{h: C.uint64_t(handle)} }

// HubNew makes a hub, secured by tls unless that is 0.
func HubNew(runtime, tls uint64, json string) (uint64, *Failure) {
	text, length := chars(json)
	options := connectOptions(tls)
	var out C.trunkline_hub_t
	var object *C.trunkline_error_t
	status := C.trunkline_hub_new_with(C.trunkline_runtime_t{h: C.uint64_t(runtime)}, text, length, &options, &out,
		&object)
	return uint64(out.h), fail(status, object)
}

// HubListen lets agents in at an address without a host name, and says where that is.
func HubListen(handle uint64, address string) (string, *Failure) {
	at, length := chars(address)
	var bound [textMax]byte
	var n C.size_t
	var object *C.trunkline_error_t
	status := C.trunkline_hub_listen(hub(handle), at, length, (*C.char)(unsafe.Pointer(&bound[0])), textMax, &n, &object)
	return string(bound[:n]), fail(status, object)
}

// HubListenHTTP serves users who speak HTTP at an address without a host name, and says where that is.
func HubListenHTTP(handle uint64, address string) (string, *Failure) {
	at, length := chars(address)
	var bound [textMax]byte
	var n C.size_t
	var object *C.trunkline_error_t
	status := C.trunkline_hub_listen_http(hub(handle), at, length, (*C.char)(unsafe.Pointer(&bound[0])), textMax, &n, &object)
	return string(bound[:n]), fail(status, object)
}

// HubListenSOCKS serves users who speak SOCKS5 at an address without a host name, and says where that is.
func HubListenSOCKS(handle uint64, address string) (string, *Failure) {
	at, length := chars(address)
	var bound [textMax]byte
	var n C.size_t
	var object *C.trunkline_error_t
	status := C.trunkline_hub_listen_socks(hub(handle), at, length, (*C.char)(unsafe.Pointer(&bound[0])), textMax, &n, &object)
	return string(bound[:n]), fail(status, object)
}

// HubForward forwards from listen, an address without a host name, and says where that is. An empty target is none.
func HubForward(handle uint64, listen, cluster, target string) (string, *Failure) {
	from, fromLength := chars(listen)
	name, nameLength := chars(cluster)
	to, toLength := chars(target)
	var bound [textMax]byte
	var n C.size_t
	var object *C.trunkline_error_t
	status := C.trunkline_hub_forward(hub(handle), from, fromLength, name, nameLength, to, toLength,
		(*C.char)(unsafe.Pointer(&bound[0])), textMax, &n, &object)
	return string(bound[:n]), fail(status, object)
}

// HubDialAsync begins to dial; a [EventConnected] event with the tag follows if it succeeds. An empty target is none.
func HubDialAsync(handle uint64, cluster, target string, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	name, nameLength := chars(cluster)
	to, toLength := chars(target)
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_hub_dial_async(hub(handle), name, nameLength, to, toLength, C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// HubStatsOf reads the counts.
func HubStatsOf(handle uint64) (HubStats, Status) {
	var c C.trunkline_hub_stats_t
	c.size = C.sizeof_trunkline_hub_stats_t
	status := Status(C.trunkline_hub_stats(hub(handle), &c))
	return HubStats{
		Clusters:      uint64(c.clusters),
		Links:         uint64(c.links),
		LinksOpened:   uint64(c.links_opened),
		LinksRefused:  uint64(c.links_refused),
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

// HubDrainAsync begins to drain; a [EventDrained] event with the tag follows.
func HubDrainAsync(handle uint64, deadline int64, queue, tag uint64) (op uint64, failure *Failure) {
	completion := completion(queue, tag)
	var out C.trunkline_op_t
	var object *C.trunkline_error_t
	status := C.trunkline_hub_drain_async(hub(handle), C.int64_t(deadline), &completion, &out, &object)
	return uint64(out.h), fail(status, object)
}

// HubClose closes a hub and all its connections; its counts stay readable.
func HubClose(handle uint64) { C.trunkline_hub_close(hub(handle)) }

// HubFree gives the handle up.
func HubFree(handle uint64) { C.trunkline_hub_free(hub(handle)) }
