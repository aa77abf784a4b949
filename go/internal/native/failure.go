package native

// #include "bridge.h"
import "C"

// Failure is an error object of the library as plain data.
type Failure struct {
	Status      Status
	Step        int32
	Errno       int32 // 0 if there is none
	RPCCode     int32 // -1 if there is none
	TLSFault    int32 // 0 if it was not TLS that failed
	Retryable   bool
	CircuitOpen bool // every endpoint of the pool keeps failing
	Message     string
	RPCMessage  string // what a server said with its gRPC status
	Metadata    []KV   // what a server sent with its gRPC status
	Source      string
	Destination string
	Cause       *Failure
}

// Error makes a Failure usable as the error of a caller that looks no further.
func (f *Failure) Error() string { return f.Message }

// fail is the failure of a call: nil if it succeeded. It takes the error object.
func fail(status C.trunkline_status_t, object *C.trunkline_error_t) *Failure {
	if object == nil {
		return Plain(Status(status))
	}
	defer C.trunkline_error_free(object)
	return read(object)
}

// Plain is a failure of which only the status is known; nil for OK.
func Plain(status Status) *Failure {
	if status == OK {
		return nil
	}
	return &Failure{Status: status, RPCCode: -1, Message: status.Name()}
}

func read(object *C.trunkline_error_t) *Failure {
	if object == nil {
		return nil
	}
	flags := C.trunkline_error_flags(object)
	return &Failure{
		Status:      Status(C.trunkline_error_status(object)),
		Step:        int32(C.trunkline_error_step(object)),
		Errno:       int32(C.trunkline_error_os_code(object)),
		RPCCode:     int32(C.trunkline_error_rpc_code(object)),
		TLSFault:    int32(C.trunkline_error_tls_fault(object)),
		Retryable:   flags&C.TRUNKLINE_ERR_RETRYABLE != 0,
		CircuitOpen: flags&C.TRUNKLINE_ERR_CIRCUIT_OPEN != 0,
		Message:     C.GoString(C.trunkline_error_message(object, nil)),
		RPCMessage:  C.GoString(C.trunkline_error_rpc_message(object, nil)),
		Metadata:    errorMetadata(object),
		Source:      C.GoString(C.trunkline_error_source(object, nil)),
		Destination: C.GoString(C.trunkline_error_destination(object, nil)),
		Cause:       read(C.trunkline_error_cause(object)),
	}
}
