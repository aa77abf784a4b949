package trunkline

import (
	"strconv"

	"trunkline.dev/go/internal/native"
)

// Kind says whose fault a failure was. The numbers are those of the library's statuses, the same in every language.
type Kind int32

// The kinds of failure.
const (
	KindConfig      = Kind(native.InvalidArgument)  // an argument or a configuration is out of its range
	KindStale       = Kind(native.InvalidHandle)    // the object was freed
	KindClosed      = Kind(native.Closed)           // the object, or its runtime, was closed by this process
	KindTimeout     = Kind(native.Timeout)          // the deadline passed; Op says at which step
	KindCancelled   = Kind(native.Cancelled)        // the caller cancelled
	KindWouldBlock  = Kind(native.WouldBlock)       // nothing to do right now
	KindDeadlock    = Kind(native.WouldDeadlock)    // a call that waits was made on a thread of the library
	KindForked      = Kind(native.Forked)           // inherited over a fork
	KindLimit       = Kind(native.LimitExceeded)    // a limit is reached: connections, handles, open files
	KindConnect     = Kind(native.ConnectionFailed) // the destination refused, or could not be reached
	KindBind        = Kind(native.BindFailed)       // the local address could not be bound
	KindBroken      = Kind(native.Broken)           // the connection was reset, aborted or lost
	KindTLS         = Kind(native.TLS)              // TLS or identity failed
	KindProtocol    = Kind(native.Protocol)         // the peer broke the protocol
	KindRPC         = Kind(native.RPC)              // a call ended with the gRPC status in Code
	KindCallback    = Kind(native.Callback)         // a callback of the host failed
	KindUnsupported = Kind(native.Unsupported)      // this build or platform cannot do it
	KindVersion     = Kind(native.VersionMismatch)  // header and library do not fit together
	KindNative      = Kind(native.Panic)            // a bug in the library: a panic was caught
	KindMemory      = Kind(native.NoMemory)         // memory ran out
	KindUDP         = Kind(native.UDP)              // a failure that only datagrams know
	KindNotFound    = Kind(native.NotFound)         // nothing is kept under that key
)

var kindNames = map[Kind]string{
	KindConfig:      "invalid configuration",
	KindStale:       "stale handle",
	KindClosed:      "closed",
	KindTimeout:     "timed out",
	KindCancelled:   "cancelled",
	KindWouldBlock:  "would block",
	KindDeadlock:    "would deadlock",
	KindForked:      "inherited over a fork",
	KindLimit:       "limit exceeded",
	KindConnect:     "connection failed",
	KindBind:        "address could not be bound",
	KindBroken:      "connection broken",
	KindTLS:         "TLS failed",
	KindProtocol:    "peer broke the protocol",
	KindRPC:         "call failed",
	KindCallback:    "callback failed",
	KindUnsupported: "unsupported",
	KindVersion:     "versions do not fit",
	KindNative:      "bug in the native library",
	KindMemory:      "out of memory",
	KindUDP:         "datagram failed",
	KindNotFound:    "not found",
}

// String is the kind in words.
func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return "kind " + strconv.Itoa(int(k))
}
