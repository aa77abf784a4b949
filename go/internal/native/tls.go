package native

// #include "bridge.h"
import "C"

import "unsafe"

// Whose fault it is that TLS failed.
const (
	TLSFaultPeerCertificate int32 = C.TRUNKLINE_TLS_FAULT_PEER_CERTIFICATE
	TLSFaultNameMismatch    int32 = C.TRUNKLINE_TLS_FAULT_NAME_MISMATCH
	TLSFaultOwnCertificate  int32 = C.TRUNKLINE_TLS_FAULT_OWN_CERTIFICATE
	TLSFaultProtocol        int32 = C.TRUNKLINE_TLS_FAULT_PROTOCOL
)

// NeverExpires is what [TLSExpiresIn] says where there is no certificate.
const NeverExpires = int64(C.TRUNKLINE_NEVER)

// TLSSession is what a handshake has shown; texts that are not there are empty.
type TLSSession struct {
	Version, ALPN, ServerName, PeerURI string
	PeerCertificates                   [][]byte
}

func tls(handle uint64) C.trunkline_tls_t { return C.trunkline_tls_t{h: C.uint64_t(handle)} }

func connectOptions(handle uint64) C.trunkline_connect_options_t {
	var options C.trunkline_connect_options_t
	options.size = C.sizeof_trunkline_connect_options_t
	options.tls = tls(handle)
	return options
}

// TLSNew reads a TLS configuration and its files; it waits for those.
func TLSNew(runtime uint64, json string) (uint64, *Failure) {
	text, length := chars(json)
	var out C.trunkline_tls_t
	var object *C.trunkline_error_t
	status := C.trunkline_tls_new(C.trunkline_runtime_t{h: C.uint64_t(runtime)}, text, length, &out, &object)
	return uint64(out.h), fail(status, object)
}

// TLSReload reads the files now; it waits for those.
func TLSReload(handle uint64) *Failure {
	var object *C.trunkline_error_t
	return fail(C.trunkline_tls_reload(tls(handle), &object), object)
}

// TLSExpiresIn is how many nanoseconds the first certificate has left.
func TLSExpiresIn(handle uint64) (int64, *Failure) {
	var ns C.int64_t
	status := Status(C.trunkline_tls_expires_in(tls(handle), &ns))
	return int64(ns), Plain(status)
}

// TLSFree gives the handle up.
func TLSFree(handle uint64) { C.trunkline_tls_free(tls(handle)) }

// StreamTLS is what the handshake of a stream has shown; nil for a stream without TLS.
func StreamTLS(handle uint64) *TLSSession {
	var object *C.trunkline_tls_session_t
	C.trunkline_stream_tls(stream(handle), &object)
	if object == nil {
		return nil
	}
	defer C.trunkline_tls_session_free(object)
	session := &TLSSession{
		Version:    C.GoString(C.trunkline_tls_session_version(object, nil)),
		ALPN:       C.GoString(C.trunkline_tls_session_alpn(object, nil)),
		ServerName: C.GoString(C.trunkline_tls_session_server_name(object, nil)),
		PeerURI:    C.GoString(C.trunkline_tls_session_peer_uri(object, nil)),
	}
	for i := C.size_t(0); ; i++ {
		var length C.size_t
		der := C.trunkline_tls_session_peer_certificate(object, i, &length)
		if der == nil {
			return session
		}
		session.PeerCertificates = append(session.PeerCertificates, C.GoBytes(unsafe.Pointer(der), C.int(length)))
	}
}
