package trunkline

import (
	"strconv"
	"time"
)

// ConnStats are the counts of one connection.
type ConnStats struct {
	// ID numbers the connection; it is unique in the process and the same in the library's log records.
	ID uint64
	// BytesReceived were read from the peer.
	BytesReceived uint64
	// BytesSent were written to the peer.
	BytesSent uint64
	// Age is the time since the connection stood.
	Age time.Duration
	// CloseReason is 0 while the connection is open.
	CloseReason CloseReason
}

// CloseReason says why a connection ended.
type CloseReason int32

// The reasons.
const (
	CloseFinished         CloseReason = 1  // both sides had said all they wanted to
	CloseLocal            CloseReason = 2  // closed by this program while it could still have been used
	CloseReset            CloseReason = 3  // the peer reset it, or the network broke it
	CloseIdleTimeout      CloseReason = 4  // no byte moved for the idle timeout
	CloseHalfCloseTimeout CloseReason = 5  // one side had finished and the other stayed silent
	CloseConnectFailed    CloseReason = 6  // the destination could not be reached
	CloseDrained          CloseReason = 7  // a drain reached its deadline first
	CloseCancelled        CloseReason = 8  // its owner went away
	CloseEvicted          CloseReason = 9  // it made room for another one
	CloseRefused          CloseReason = 10 // turned away before it reached a backend: no route, or no good PROXY header
	CloseKilled           CloseReason = 11 // ended by its number, by this program
	CloseMaxDuration      CloseReason = 12 // it had lasted for the maximum that was configured
	CloseSourceLimit      CloseReason = 13 // its source had as many connections as it may, or could not be counted
	CloseBackendFull      CloseReason = 14 // its backend had as many connections as it may, and no room in its line
	CloseQueueTimeout     CloseReason = 15 // it had waited for a place of its backend for as long as it may
)

var closeReasonNames = [...]string{"open", "finished", "local", "reset", "idle_timeout",
	"half_close_timeout", "connect_failed", "drained", "cancelled", "evicted", "refused", "killed", "max_duration",
	"source_limit", "backend_full", "queue_timeout"}

// String is the reason as metrics name it; "open" for 0.
func (r CloseReason) String() string {
	if r >= 0 && int(r) < len(closeReasonNames) {
		return closeReasonNames[r]
	}
	return "reason " + strconv.Itoa(int(r))
}
