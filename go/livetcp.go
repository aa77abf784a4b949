package trunkline

import (
	"encoding/json"
	"runtime"
	"time"

	"trunkline.dev/go/internal/native"
)

// LiveTcpConnection is a connection that stands, as it was seen at one moment. What is not known, or does not apply, is
// empty.
type LiveTcpConnection struct {
	ID            uint64        // for [TcpConnectionManager.Kill]
	Source        string        // who asked for it, as a proxy in front announced it where one did
	Local         string        // our end of it
	Destination   string        // where its bytes go, such as "tcp://10.0.0.1:443", once that is reached
	Backend       string        // the one that the routes chose for it
	Protocol      string        // what its first bytes speak, where they were looked at and it could be told
	State         LiveState     // who has it
	Age           time.Duration // since it began
	Idle          time.Duration // how long no byte has moved either way, while it is relayed
	BytesReceived uint64        // from its peer, the client of one that is relayed
	BytesSent     uint64        // to its peer
}

// LiveState says who has a connection that stands.
type LiveState string

// Who has it.
const (
	LiveHeld     LiveState = "held"     // the program, which accepted it or dialled it
	LiveReaching LiveState = "reaching" // the manager, on the way to its destination
	LiveWaiting  LiveState = "waiting"  // the manager, in line for a place of its backend
	LiveRelaying LiveState = "relaying" // the manager, which relays it
)

// liveTCP is a connection as the library writes it.
type liveTCP struct {
	ID            uint64    `json:"id"`
	Source        string    `json:"source"`
	Local         string    `json:"local"`
	Destination   string    `json:"destination"`
	Backend       string    `json:"backend"`
	Protocol      string    `json:"protocol"`
	State         LiveState `json:"state"`
	AgeNs         int64     `json:"age_ns"`
	IdleNs        int64     `json:"idle_ns"`
	BytesReceived uint64    `json:"bytes_received"`
	BytesSent     uint64    `json:"bytes_sent"`
}

func (one liveTCP) told() LiveTcpConnection {
	return LiveTcpConnection{
		ID:            one.ID,
		Source:        one.Source,
		Local:         one.Local,
		Destination:   one.Destination,
		Backend:       one.Backend,
		Protocol:      one.Protocol,
		State:         one.State,
		Age:           time.Duration(one.AgeNs),
		Idle:          time.Duration(one.IdleNs),
		BytesReceived: one.BytesReceived,
		BytesSent:     one.BytesSent,
	}
}

// Live is the connections that stand and have a number above after, in the order in which they began: as many as most says,
// 1 to 10,000. A shorter list is the last; the ID of the last in it, for after, begins the next.
func (m *TcpConnectionManager) Live(after uint64, most int) ([]LiveTcpConnection, error) {
	defer runtime.KeepAlive(m)
	text, failure := native.TCPManagerLive(m.managed.handle, after, most)
	if failure != nil {
		return nil, newError(failure, native.StepConfigure)
	}
	var list []liveTCP
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, configError(err)
	}
	live := make([]LiveTcpConnection, len(list))
	for i, one := range list {
		live[i] = one.told()
	}
	return live, nil
}

// Inspect is the connection with this number. It fails with [KindNotFound] if none that stands has it.
func (m *TcpConnectionManager) Inspect(id uint64) (LiveTcpConnection, error) {
	defer runtime.KeepAlive(m)
	text, failure := native.TCPManagerInspect(m.managed.handle, id)
	if failure != nil {
		return LiveTcpConnection{}, newError(failure, native.StepShutdown)
	}
	var one liveTCP
	if err := json.Unmarshal(text, &one); err != nil {
		return LiveTcpConnection{}, configError(err)
	}
	return one.told(), nil
}

// Kill ends the connection with this number as [CloseKilled], on both sides where it is relayed: then soon after the call.
// It fails with [KindNotFound] if none that stands has it.
func (m *TcpConnectionManager) Kill(id uint64) error {
	defer runtime.KeepAlive(m)
	if failure := native.TCPManagerKill(m.managed.handle, id); failure != nil {
		return newError(failure, native.StepShutdown)
	}
	return nil
}
