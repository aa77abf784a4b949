package trunkline

import (
	"encoding/json"
	"runtime"
	"strings"
	"time"

	"trunkline.dev/go/internal/native"
)

// LiveChannel is a [Channel], as it was seen at one moment. What is not known, or does not apply, is empty or nil.
type LiveChannel struct {
	Target         string           // as it was given
	State          State            // what is told of it
	StateAge       time.Duration    // how long it has been told
	CallsStarted   uint64           // calls that began
	CallsSucceeded uint64           // those that ended with OK
	CallsFailed    uint64           // those that ended with another status, or were given up
	CallsQueued    int              // those that wait for a connection
	LastCallAge    *time.Duration   // how long ago the last one began
	LookupError    string           // why the last look-up of its addresses failed, until one succeeds
	NextLookup     *time.Duration   // in how long they are looked up again, if that is wanted
	Addresses      []LiveAddress    // in the order of their use; behind them those that are left and still carry calls
	Pool           ChannelPoolStats // what its connections were good for
}

// LiveAddress is one address of a channel. Its calls are attempts.
type LiveAddress struct {
	Address        string
	State          State            // whether it can carry calls; [Shutdown] for one that is left and still does
	Ejected        bool             // whether it gets none because more of them failed than of the others'
	CallsStarted   uint64           // calls that went there since it is known
	CallsSucceeded uint64           // those that ended with OK
	CallsFailed    uint64           // those that ended with another status, were given up or could not be sent
	LastCallAge    *time.Duration   // how long ago the last one began
	LastError      string           // why its last attempt to connect or its last connection failed, until an attempt succeeds
	NextAttempt    *time.Duration   // in how long the next attempt may begin, while a failure is waited out
	Connections    []LiveConnection // those that stand, in the order in which they were made
}

// LiveConnection is one connection of a channel. Its calls are attempts, each a stream of HTTP/2.
type LiveConnection struct {
	ID             uint64         // its number, the same as in events and errors
	Local          string         // our end
	Remote         string         // the server's end
	Security       *LiveSecurity  // how it is secured; nil if it is not
	Age            time.Duration  // since it stands
	LastCallAge    *time.Duration // how long ago the last call began on it
	CallsStarted   uint64         // calls that went on it
	CallsSucceeded uint64         // those that ended with OK
	CallsFailed    uint64         // those that ended with another status, were given up or could not be sent
	CallsActive    uint64         // those that are under way
	CallsLimit     uint32         // calls that it takes at once, as its server says
	KeepalivesSent uint64         // keepalive pings
	BytesReceived  uint64         // from the server, HTTP/2 and TLS included
	BytesSent      uint64         // to the server, HTTP/2 and TLS included
	Retired        RetireReason   // why it takes no new calls, and ends when those under way have
}

// LiveSecurity is how a connection is secured.
type LiveSecurity struct {
	Version    string `json:"version"`     // "TLSv1.3" or "TLSv1.2"
	ServerName string `json:"server_name"` // the name that the server was asked for, and has proved
	PeerURI    string `json:"peer_uri"`    // the first URI that the server's certificate is for, such as a SPIFFE id
}

// ChannelPoolStats say what the connections of a channel were good for.
type ChannelPoolStats struct {
	Hits    uint64                  `json:"hits"`    // attempts of calls that found a place on a connection at once
	Misses  uint64                  `json:"misses"`  // attempts that had to wait for one
	Created uint64                  `json:"created"` // connections that stood
	Closed  map[RetireReason]uint64 `json:"closed"`  // connections that ended
}

// RetireReason says why a connection of a channel takes no new calls.
type RetireReason string

// The reasons.
const (
	RetiredIdle       RetireReason = "idle"       // nobody called for the idle timeout
	RetiredClosed     RetireReason = "closed"     // the channel was closed or dropped
	RetiredUnlisted   RetireReason = "unlisted"   // its address is no longer one of the channel's
	RetiredSurplus    RetireReason = "surplus"    // another address had answered, or nobody waited for it any more
	RetiredGoAway     RetireReason = "goaway"     // its server said GOAWAY
	RetiredUnanswered RetireReason = "unanswered" // its server did not answer a keepalive ping
	RetiredLost       RetireReason = "lost"       // its server or the network ended it
)

// liveChannel is a channel as the library writes it.
type liveChannel struct {
	Target         string           `json:"target"`
	State          string           `json:"state"`
	StateAge       time.Duration    `json:"state_age_ns"`
	CallsStarted   uint64           `json:"calls_started"`
	CallsSucceeded uint64           `json:"calls_succeeded"`
	CallsFailed    uint64           `json:"calls_failed"`
	CallsQueued    int              `json:"calls_queued"`
	LastCallAge    *time.Duration   `json:"last_call_age_ns"`
	LookupError    string           `json:"lookup_error"`
	NextLookup     *time.Duration   `json:"next_lookup_ns"`
	Addresses      []liveAddress    `json:"addresses"`
	Pool           ChannelPoolStats `json:"pool"`
}

type liveAddress struct {
	Address        string           `json:"address"`
	State          string           `json:"state"`
	Ejected        bool             `json:"ejected"`
	CallsStarted   uint64           `json:"calls_started"`
	CallsSucceeded uint64           `json:"calls_succeeded"`
	CallsFailed    uint64           `json:"calls_failed"`
	LastCallAge    *time.Duration   `json:"last_call_age_ns"`
	LastError      string           `json:"last_error"`
	NextAttempt    *time.Duration   `json:"next_attempt_ns"`
	Connections    []liveConnection `json:"connections"`
}

type liveConnection struct {
	ID             uint64         `json:"id"`
	Local          string         `json:"local"`
	Remote         string         `json:"remote"`
	Security       *LiveSecurity  `json:"security"`
	Age            time.Duration  `json:"age_ns"`
	LastCallAge    *time.Duration `json:"last_call_age_ns"`
	CallsStarted   uint64         `json:"calls_started"`
	CallsSucceeded uint64         `json:"calls_succeeded"`
	CallsFailed    uint64         `json:"calls_failed"`
	CallsActive    uint64         `json:"calls_active"`
	CallsLimit     uint32         `json:"calls_limit"`
	KeepalivesSent uint64         `json:"keepalives_sent"`
	BytesReceived  uint64         `json:"bytes_received"`
	BytesSent      uint64         `json:"bytes_sent"`
	Retired        RetireReason   `json:"retired"`
}

// stateOf is the state of a name in a document.
func stateOf(name string) State {
	for state, known := range stateNames {
		if strings.ReplaceAll(known, " ", "_") == name {
			return State(state)
		}
	}
	return Shutdown
}

func (one liveChannel) told() LiveChannel {
	told := LiveChannel{
		Target:         one.Target,
		State:          stateOf(one.State),
		StateAge:       one.StateAge,
		CallsStarted:   one.CallsStarted,
		CallsSucceeded: one.CallsSucceeded,
		CallsFailed:    one.CallsFailed,
		CallsQueued:    one.CallsQueued,
		LastCallAge:    one.LastCallAge,
		LookupError:    one.LookupError,
		NextLookup:     one.NextLookup,
		Pool:           one.Pool,
	}
	for _, address := range one.Addresses {
		told.Addresses = append(told.Addresses, address.told())
	}
	return told
}

func (one liveAddress) told() LiveAddress {
	told := LiveAddress{
		Address:        one.Address,
		State:          stateOf(one.State),
		Ejected:        one.Ejected,
		CallsStarted:   one.CallsStarted,
		CallsSucceeded: one.CallsSucceeded,
		CallsFailed:    one.CallsFailed,
		LastCallAge:    one.LastCallAge,
		LastError:      one.LastError,
		NextAttempt:    one.NextAttempt,
	}
	for _, connection := range one.Connections {
		told.Connections = append(told.Connections, LiveConnection(connection))
	}
	return told
}

// Inspect is what the channel looks like now: its calls, its addresses and the connections to each.
func (c *Channel) Inspect() (LiveChannel, error) {
	defer runtime.KeepAlive(c)
	text, failure := native.ChannelInspect(c.owned.handle)
	if failure != nil {
		return LiveChannel{}, newError(failure, native.StepConfigure)
	}
	var one liveChannel
	if err := json.Unmarshal(text, &one); err != nil {
		return LiveChannel{}, configError(err)
	}
	return one.told(), nil
}
