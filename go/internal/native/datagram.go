package native

// #cgo noescape trunkline_datagram_send_to
// #cgo nocallback trunkline_datagram_send_to
// #cgo noescape trunkline_datagram_recv_from
// #cgo nocallback trunkline_datagram_recv_from
// #cgo noescape trunkline_datagram_recv_many
// #cgo nocallback trunkline_datagram_recv_many
// #cgo noescape trunkline_datagram_arm
// #cgo nocallback trunkline_datagram_arm
// #include "bridge.h"
import "C"

import (
	"net/netip"
	"runtime"
	"strconv"
	"unsafe"
)

// Received is one datagram as it was received: Len bytes of it, which had WholeLen.
type Received struct {
	Len, WholeLen int
	Source, To    netip.AddrPort // To is invalid where the system does not say
}

// DatagramStats are the counts of one datagram socket.
type DatagramStats struct {
	Received, Sent, Truncated uint64
}

func datagram(handle uint64) C.trunkline_datagram_t {
	return C.trunkline_datagram_t{h: C.uint64_t(handle)}
}

// DatagramBind binds a datagram socket to an address without a host name.
func DatagramBind(runtime uint64, address string) (uint64, *Failure) {
	text, length := chars(address)
	var out C.trunkline_datagram_t
	var object *C.trunkline_error_t
	status := C.trunkline_datagram_bind(C.trunkline_runtime_t{h: C.uint64_t(runtime)}, text, length, &out, &object)
	return uint64(out.h), fail(status, object)
}

// SendTo tries once to send a datagram. It leaves from the address from, unless that is invalid. The zone of an address
// is a number.
func SendTo(handle uint64, data []byte, to netip.AddrPort, from netip.Addr) *Failure {
	target, source := crossing(to), crossing(netip.AddrPortFrom(from, 0))
	var object *C.trunkline_error_t
	status := C.trunkline_datagram_send_to(datagram(handle), (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(data))),
		C.size_t(len(data)), &target, &source, 0, &object)
	return fail(status, object)
}

// RecvFrom tries once to receive a datagram. One that is longer than buf is a failure of status [UDP], whose source is
// in the failure.
func RecvFrom(handle uint64, buf []byte) (Received, *Failure) {
	var received C.trunkline_received_t
	var object *C.trunkline_error_t
	status := C.trunkline_datagram_recv_from(datagram(handle), (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(buf))),
		C.size_t(len(buf)), 0, &received, &object)
	return told(&received), fail(status, object)
}

// RecvMany tries once to receive datagrams, each into one of bufs, of which there is at least one.
func RecvMany(handle uint64, bufs [][]byte, received []Received) (int, *Failure) {
	var pinner runtime.Pinner
	defer pinner.Unpin()
	rooms := make([]C.trunkline_room_t, len(bufs))
	for i, buf := range bufs {
		if len(buf) > 0 {
			pinner.Pin(&buf[0])
			rooms[i] = C.trunkline_room_t{ptr: (*C.uint8_t)(unsafe.Pointer(&buf[0])), len: C.size_t(len(buf))}
		}
	}
	crossed := make([]C.trunkline_received_t, len(bufs))
	var n C.size_t
	var object *C.trunkline_error_t
	status := C.trunkline_datagram_recv_many(datagram(handle), &rooms[0], &crossed[0], C.size_t(len(bufs)), 0, &n, &object)
	for i := range int(n) {
		received[i] = told(&crossed[i])
	}
	return int(n), fail(status, object)
}

func told(received *C.trunkline_received_t) Received {
	return Received{int(received.len), int(received.whole_len), crossed(&received.source), crossed(&received.to)}
}

func crossing(address netip.AddrPort) (c C.trunkline_socket_address_t) {
	ip := address.Addr()
	switch {
	case ip.Is4():
		c.family = C.TRUNKLINE_FAMILY_IPV4
		for i, b := range ip.As4() {
			c.ip[i] = C.uint8_t(b)
		}
	case ip.Is6():
		c.family = C.TRUNKLINE_FAMILY_IPV6
		for i, b := range ip.As16() {
			c.ip[i] = C.uint8_t(b)
		}
		zone, _ := strconv.ParseUint(ip.Zone(), 10, 32)
		c.scope = C.uint32_t(zone)
	}
	c.port = C.uint16_t(address.Port())
	return c
}

func crossed(c *C.trunkline_socket_address_t) netip.AddrPort {
	var ip netip.Addr
	bytes := *(*[16]byte)(unsafe.Pointer(&c.ip))
	switch c.family {
	case C.TRUNKLINE_FAMILY_IPV4:
		ip = netip.AddrFrom4([4]byte(bytes[:4]))
	case C.TRUNKLINE_FAMILY_IPV6:
		ip = netip.AddrFrom16(bytes)
		if c.scope != 0 {
			ip = ip.WithZone(strconv.Itoa(int(c.scope)))
		}
	}
	return netip.AddrPortFrom(ip, uint16(c.port))
}

// DatagramArm asks for one event per direction of interest.
func DatagramArm(handle uint64, interest uint32, queue, tag uint64) Status {
	return Status(C.trunkline_datagram_arm(datagram(handle), C.uint32_t(interest),
		C.trunkline_cq_t{h: C.uint64_t(queue)}, C.uint64_t(tag)))
}

// DatagramAddress is the address that a socket is bound to.
func DatagramAddress(handle uint64) netip.AddrPort {
	var c C.trunkline_socket_address_t
	C.trunkline_datagram_socket_address(datagram(handle), &c)
	return crossed(&c)
}

// DatagramStatsOf reads the counts.
func DatagramStatsOf(handle uint64) (DatagramStats, Status) {
	var c C.trunkline_datagram_stats_t
	c.size = C.sizeof_trunkline_datagram_stats_t
	status := Status(C.trunkline_datagram_stats(datagram(handle), &c))
	return DatagramStats{uint64(c.datagrams_received), uint64(c.datagrams_sent), uint64(c.truncated)}, status
}

// DatagramClose closes a socket; its counts stay readable.
func DatagramClose(handle uint64) { C.trunkline_datagram_close(datagram(handle)) }

// DatagramFree gives the handle up.
func DatagramFree(handle uint64) { C.trunkline_datagram_free(datagram(handle)) }
