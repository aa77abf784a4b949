package trunkline

import "encoding/json"

// AgentPolicy says who serves a cluster when several agents prove its name.
type AgentPolicy string

const (
	// NewestAgent lets the one that came last serve; those before keep what they have for ReplacedGrace.
	NewestAgent AgentPolicy = "newest"
	// SharedByAgents gives each connection to the agent with the fewest.
	SharedByAgents AgentPolicy = "share"
)

// HubConfig says how a [Hub] lets agents in and reaches them. The zero HubConfig is all defaults, by which nobody is
// let in.
type HubConfig struct {
	// Agents are the tokens that prove each cluster's name; several let a token be changed without a gap.
	Agents map[string][]Secret `json:"agents,omitzero"`
	// AgentCertificates are the names of which an agent's certificate must have one to stand for each cluster: its only
	// URI, such as a SPIFFE id, or one of its DNS names. A cluster that is in Agents too needs both.
	AgentCertificates map[string][]string `json:"agent_certificates,omitzero"`
	// Carriers are those that agents may use. Default: NativeCarrier alone.
	Carriers []TunnelCarrier `json:"carriers,omitzero"`
	// AllowUnauthenticatedAgents are addresses given to [Hub.Listen] at which an agent of [PacketCarrier] may stand for a
	// cluster to which nothing is bound, neither token nor certificate: whoever can connect there may be that cluster.
	// Default: none.
	AllowUnauthenticatedAgents []string `json:"allow_unauthenticated_agents,omitzero"`
	// Policy says who serves a cluster when several agents prove its name. Default: NewestAgent.
	Policy AgentPolicy `json:"policy,omitzero"`
	// ReplacedGrace is the time that the connections of an agent that was replaced get to finish. Default: 30 s.
	ReplacedGrace TimeLimit `json:"replaced_grace,omitzero"`
	// AllowPlaintext says whether agents may come over a network in the clear. Default: false.
	AllowPlaintext bool `json:"allow_plaintext,omitzero"`
	// AllowPublicForwards says whether forwards may listen where others than this machine connect. Default: false.
	AllowPublicForwards bool `json:"allow_public_forwards,omitzero"`
	// MaxAgents is the most tunnels at one time. Default: 1024.
	MaxAgents uint32 `json:"max_agents,omitzero"`
	// MaxHellos is the most agents that have not proved their name yet. Default: 64.
	MaxHellos uint32 `json:"max_hellos,omitzero"`
	// Users say who may use which clusters by HTTP, by name.
	Users map[string]UserConfig `json:"users,omitzero"`
	// Anonymous are the clusters that may be used by HTTP without saying who one is; "*" for all.
	Anonymous []string `json:"anonymous,omitzero"`
	// HTTP is for users who speak HTTP.
	HTTP HttpConfig `json:"http,omitzero"`
	// SOCKS says how users who speak SOCKS5 are served.
	SOCKS SocksConfig `json:"socks,omitzero"`
	// MaxConnections is the most logical connections at one time. Default: 10,000.
	MaxConnections uint32 `json:"max_connections,omitzero"`
	// MaxConnectionsPerCluster is the most of them to one cluster. Default: 1000.
	MaxConnectionsPerCluster uint32 `json:"max_connections_per_cluster,omitzero"`
	// MaxPendingDials is the most dials to one cluster that have no answer yet. Default: 128.
	MaxPendingDials uint32 `json:"max_pending_dials,omitzero"`
	// DialTimeout is the time for a dial whose context has no deadline. Default: 30 s.
	DialTimeout TimeLimit `json:"dial_timeout,omitzero"`
	// AgentWait is the time that a dial waits for an agent to come while there is none. Default: zero.
	AgentWait TimeLimit `json:"agent_wait,omitzero"`
	// IdleTimeout is the silence after which a forwarded connection is closed. Default: 1 h.
	IdleTimeout TimeLimit `json:"idle_timeout,omitzero"`
	// HalfCloseTimeout is the silence for the second side to finish in after the first has. Default: 60 s.
	HalfCloseTimeout TimeLimit `json:"half_close_timeout,omitzero"`
	// BufferSize is how many bytes a forwarded connection holds for each direction. Default: 64 KiB.
	BufferSize uint32 `json:"buffer_size,omitzero"`
	// AcceptPause is the pause of accepting when the process has no file descriptor left. Default: 100 ms.
	AcceptPause TimeLimit `json:"accept_pause,omitzero"`
	// DrainTimeout is the time that a drain gives connections to finish. Default: 30 s.
	DrainTimeout TimeLimit `json:"drain_timeout,omitzero"`
	// Link is for the connections to agents.
	Link LinkConfig `json:"link,omitzero"`
	// TCP is for the sockets of agents and of clients of forwards.
	TCP TcpConfig `json:"tcp,omitzero"`
}

// document is the configuration for the library, the tokens in it.
func (c HubConfig) document() (string, error) {
	type plain HubConfig
	agents := make(map[string][]string, len(c.Agents))
	for cluster, tokens := range c.Agents {
		agents[cluster] = exposedAll(tokens)
	}
	users := make(map[string]any, len(c.Users))
	for name, user := range c.Users {
		users[name] = user.exposed()
	}
	document, err := json.Marshal(struct {
		plain
		Agents map[string][]string `json:"agents"`
		Users  map[string]any      `json:"users"`
	}{plain(c), agents, users})
	return string(document), err
}
