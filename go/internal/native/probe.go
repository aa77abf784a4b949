package native

// #include "bridge.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// The verdicts of a probe.
const (
	ProbeNeedMore int32 = C.TRUNKLINE_PROBE_NEED_MORE
	ProbeIs       int32 = C.TRUNKLINE_PROBE_IS
	ProbeUnknown  int32 = C.TRUNKLINE_PROBE_UNKNOWN
)

// Probed is what a probe found; JSON has all of it.
type Probed struct {
	Verdict              int32
	Protocol, Host, JSON string
	ALPN                 []string
}

// ProbeTCP looks at all bytes of a stream so far.
func ProbeTCP(data []byte) (Probed, *Failure) {
	var found *C.trunkline_probed_t
	var object *C.trunkline_error_t
	status := C.trunkline_probe_tcp((*C.uint8_t)(unsafe.SliceData(data)), C.size_t(len(data)), &found, &object)
	return probed(found), fail(status, object)
}

// ProbeUDP looks at all datagrams of a flow so far.
func ProbeUDP(datagrams [][]byte) (Probed, *Failure) {
	var pinner runtime.Pinner
	defer pinner.Unpin()
	views := make([]C.trunkline_bytes_t, len(datagrams))
	for i, datagram := range datagrams {
		if len(datagram) > 0 {
			pinner.Pin(&datagram[0])
			views[i].ptr = (*C.uint8_t)(unsafe.Pointer(&datagram[0]))
			views[i].len = C.size_t(len(datagram))
		}
	}
	var found *C.trunkline_probed_t
	var object *C.trunkline_error_t
	status := C.trunkline_probe_udp(unsafe.SliceData(views), C.size_t(len(views)), &found, &object)
	return probed(found), fail(status, object)
}

func probed(found *C.trunkline_probed_t) Probed {
	if found == nil {
		return Probed{}
	}
	defer C.trunkline_probed_free(found)
	result := Probed{
		Verdict:  int32(C.trunkline_probed_verdict(found)),
		Protocol: C.GoString(C.trunkline_probed_protocol(found)),
		Host:     C.GoString(C.trunkline_probed_host(found)),
		JSON:     C.GoString(C.trunkline_probed_json(found, nil)),
	}
	for i := 0; ; i++ {
		name := C.trunkline_probed_alpn(found, C.size_t(i))
		if name == nil {
			return result
		}
		result.ALPN = append(result.ALPN, C.GoString(name))
	}
}
