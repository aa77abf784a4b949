package trunkline

import (
	"encoding/json"
	"runtime"
	"time"

	"trunkline.dev/go/internal/native"
)

// LiveEndpoint is an endpoint of a backend, as it was seen at one moment.
type LiveEndpoint struct {
	Backend         string          // the name of its backend
	Address         string          // where it is, such as "tcp://10.0.0.1:443"
	Host            string          // the name that led there; empty where its address was given
	State           EndpointState   // whether it gets connections, and else what keeps them away
	StateAge        time.Duration   // since when it is in this state
	Reason          *EndpointReason // why it is unhealthy, ejected, or its breaker is not closed; nil in every other state
	Remaining       time.Duration   // until it may be in use again, or has its whole weight; 0 where that is not known
	Active          uint64          // connections and attempts to connect that stand
	Weight          uint32          // as it is configured
	EffectiveWeight float64         // what the policy goes by now; 0 where it gets nothing
}

// EndpointState says whether an endpoint gets connections, and else what keeps them away: the first of these that holds.
type EndpointState string

// The states.
const (
	EndpointUnhealthy       EndpointState = "unhealthy"         // it fails its checks
	EndpointEjected         EndpointState = "ejected"           // it failed more than the others, and is left out for a while
	EndpointBreakerOpen     EndpointState = "breaker_open"      // it kept failing, and is not tried for a while
	EndpointBreakerHalfOpen EndpointState = "breaker_half_open" // it kept failing, and is tried with a few connections
	EndpointDrained         EndpointState = "drained"           // it has weight 0
	EndpointSlowStart       EndpointState = "slow_start"        // it is new or healthy again, and has a part of its weight
	EndpointHealthy         EndpointState = "healthy"           // it passes its checks
	EndpointUnchecked       EndpointState = "unchecked"         // no check has said anything, and nothing speaks against it
)

// EndpointReason says why an endpoint gets no connections.
type EndpointReason struct {
	// Kind is "check" for its last check that failed, "connect" for the last connection that was not made, or "ejection" for
	// what it did beside the others.
	Kind string `json:"kind"`
	// Step that failed: of a check "resolve", "connect", "tls", "request", "response", "status", "body" or "callback"; of a
	// connection that which failed; of an ejection the rule.
	Step string `json:"step"`
	// Text in words, with causes.
	Text string `json:"text"`
}

// liveEndpoint is an endpoint as the library writes it.
type liveEndpoint struct {
	Backend         string          `json:"backend"`
	Address         string          `json:"address"`
	Host            string          `json:"host"`
	State           EndpointState   `json:"state"`
	StateAgeNs      int64           `json:"state_age_ns"`
	Reason          *EndpointReason `json:"reason"`
	RemainingNs     int64           `json:"remaining_ns"`
	Active          uint64          `json:"active"`
	Weight          uint32          `json:"weight"`
	EffectiveWeight float64         `json:"effective_weight"`
}

// Endpoints are those of every backend, as they are now: by the names of the backends, and in the order in which they are
// configured; those of a name are its addresses.
func (m *TcpConnectionManager) Endpoints() ([]LiveEndpoint, error) {
	defer runtime.KeepAlive(m)
	text, failure := native.TCPManagerEndpoints(m.managed.handle)
	if failure != nil {
		return nil, newError(failure, native.StepConfigure)
	}
	var list []liveEndpoint
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, configError(err)
	}
	endpoints := make([]LiveEndpoint, len(list))
	for i, one := range list {
		endpoints[i] = LiveEndpoint{
			Backend:         one.Backend,
			Address:         one.Address,
			Host:            one.Host,
			State:           one.State,
			StateAge:        time.Duration(one.StateAgeNs),
			Reason:          one.Reason,
			Remaining:       time.Duration(one.RemainingNs),
			Active:          one.Active,
			Weight:          one.Weight,
			EffectiveWeight: one.EffectiveWeight,
		}
	}
	return endpoints, nil
}
