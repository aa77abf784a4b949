package native

// #include "bridge.h"
import "C"

// Status is the outcome of a call: 0, or one of the header's TRUNKLINE_E_*.
type Status int32

// The statuses, as the header numbers them.
const (
	OK               Status = C.TRUNKLINE_OK
	InvalidArgument  Status = C.TRUNKLINE_E_INVALID_ARGUMENT
	InvalidHandle    Status = C.TRUNKLINE_E_INVALID_HANDLE
	Closed           Status = C.TRUNKLINE_E_CLOSED
	Timeout          Status = C.TRUNKLINE_E_TIMEOUT
	Cancelled        Status = C.TRUNKLINE_E_CANCELLED
	WouldBlock       Status = C.TRUNKLINE_E_WOULD_BLOCK
	WouldDeadlock    Status = C.TRUNKLINE_E_WOULD_DEADLOCK
	Forked           Status = C.TRUNKLINE_E_FORKED
	LimitExceeded    Status = C.TRUNKLINE_E_LIMIT_EXCEEDED
	ConnectionFailed Status = C.TRUNKLINE_E_CONNECTION_FAILED
	BindFailed       Status = C.TRUNKLINE_E_BIND_FAILED
	Broken           Status = C.TRUNKLINE_E_BROKEN
	TLS              Status = C.TRUNKLINE_E_TLS
	Protocol         Status = C.TRUNKLINE_E_PROTOCOL
	RPC              Status = C.TRUNKLINE_E_RPC
	Callback         Status = C.TRUNKLINE_E_CALLBACK
	Unsupported      Status = C.TRUNKLINE_E_UNSUPPORTED
	VersionMismatch  Status = C.TRUNKLINE_E_VERSION
	Panic            Status = C.TRUNKLINE_E_PANIC
	NoMemory         Status = C.TRUNKLINE_E_NO_MEMORY
	UDP              Status = C.TRUNKLINE_E_UDP
	NotFound         Status = C.TRUNKLINE_E_NOT_FOUND
)

// Name is the status as the header writes it, without the prefix.
func (s Status) Name() string { return C.GoString(C.trunkline_status_name(C.int32_t(s))) }

// The steps at which an operation may fail.
const (
	StepConfigure int32 = C.TRUNKLINE_STEP_CONFIGURE
	StepResolve   int32 = C.TRUNKLINE_STEP_RESOLVE
	StepConnect   int32 = C.TRUNKLINE_STEP_CONNECT
	StepBind      int32 = C.TRUNKLINE_STEP_BIND
	StepAccept    int32 = C.TRUNKLINE_STEP_ACCEPT
	StepAcquire   int32 = C.TRUNKLINE_STEP_ACQUIRE
	StepRead      int32 = C.TRUNKLINE_STEP_READ
	StepWrite     int32 = C.TRUNKLINE_STEP_WRITE
	StepShutdown  int32 = C.TRUNKLINE_STEP_SHUTDOWN
	StepDrain     int32 = C.TRUNKLINE_STEP_DRAIN
	StepWait      int32 = C.TRUNKLINE_STEP_WAIT
	StepCall      int32 = C.TRUNKLINE_STEP_CALL
)
