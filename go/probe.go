package trunkline

import (
	"encoding/json"

	"trunkline.dev/go/internal/native"
)

// ProbeVerdict is what the bytes so far say.
type ProbeVerdict int32

// The verdicts.
const (
	ProbeNeedMore ProbeVerdict = ProbeVerdict(native.ProbeNeedMore) // the beginning of something known, too short to tell
	ProbeIs       ProbeVerdict = ProbeVerdict(native.ProbeIs)       // it is the protocol that goes with it
	ProbeUnknown  ProbeVerdict = ProbeVerdict(native.ProbeUnknown)  // none of the known ones, or one with a mistake in it
)

// String is the verdict as JSON has it.
func (v ProbeVerdict) String() string {
	switch v {
	case ProbeNeedMore:
		return "need_more"
	case ProbeIs:
		return "is"
	case ProbeUnknown:
		return "unknown"
	}
	return "invalid"
}

// Probed is what a probe found.
type Probed struct {
	// Verdict does not change with more bytes, once it is not [ProbeNeedMore].
	Verdict ProbeVerdict
	// Protocol is "tls", "http1", "http2", "ssh", "socks5", "postgresql", "redis" or "mqtt" of a stream, "quic", "dns",
	// "stun" or "wireguard" of datagrams, and empty unless the verdict is [ProbeIs].
	Protocol string
	// Host is whom the client asks for, in lower case: the server name of TLS and QUIC, the host of HTTP/1.
	Host string
	// ALPN is what a client of TLS or QUIC offers to speak inside, the best first.
	ALPN []string
	// Details are all that was found, by the names that every language of Trunkline uses.
	Details map[string]any
}

// ProbeTcp looks at all bytes of a stream so far.
//
// A client whose server speaks first sends nothing to look at: stop waiting for it at a deadline of your own.
func ProbeTcp(data []byte) (Probed, error) { return probed(native.ProbeTCP(data)) }

// ProbeUdp looks at all datagrams of a flow so far, in the order in which they came; at most 16 are looked at.
func ProbeUdp(datagrams ...[]byte) (Probed, error) { return probed(native.ProbeUDP(datagrams)) }

func probed(found native.Probed, failure *native.Failure) (Probed, error) {
	if failure != nil {
		return Probed{}, newError(failure, native.StepConfigure)
	}
	result := Probed{Verdict: ProbeVerdict(found.Verdict), Protocol: found.Protocol, Host: found.Host, ALPN: found.ALPN}
	err := json.Unmarshal([]byte(found.JSON), &result.Details)
	return result, err
}
