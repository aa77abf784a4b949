package trunkline

// HttpConfig says how a [Hub] serves users who speak HTTP. The zero HttpConfig has no routes, so that nothing can be
// listened on.
type HttpConfig struct {
	// Routes say which request goes where: the first that holds for it.
	Routes []HttpRoute `json:"routes,omitzero"`
	// MaxConnections is the most connections of users at one time. Default: 10,000.
	MaxConnections uint32 `json:"max_connections,omitzero"`
	// MaxStreams is the most requests of one connection of HTTP/2 at one time. Default: 100.
	MaxStreams uint32 `json:"max_streams,omitzero"`
	// MaxHead is how many bytes the head of a request, or of a response, has at most. Default: 64 KiB. Limits: 8 KiB to 1
	// MiB.
	MaxHead uint32 `json:"max_head,omitzero"`
	// MaxFields is how many fields a head has at most. Default: 100. Limits: 1 to 1000.
	MaxFields uint32 `json:"max_fields,omitzero"`
	// HeadTimeout is the time for a head, and how long a connection may be idle. Default: 60 s.
	HeadTimeout TimeLimit `json:"head_timeout,omitzero"`
	// ResponseTimeout is the time for a service to begin its response. Default: 5 min.
	ResponseTimeout TimeLimit `json:"response_timeout,omitzero"`
}

// HttpRoute says which cluster a request goes to: what is set must all be true of it.
type HttpRoute struct {
	// Host is whom the request is for: "shop.example", or "*.shop.example" for everything below it.
	Host string `json:"host,omitzero"`
	// Path is how its path begins: "/lab" for itself and everything below it, "/lab/" for what is below it alone.
	Path string `json:"path,omitzero"`
	// Header is a field that it has.
	Header HeaderRule `json:"header,omitzero"`
	// Cluster is the cluster. Either this or ClusterFrom is set.
	Cluster string `json:"cluster,omitzero"`
	// ClusterFrom is what names the cluster.
	ClusterFrom ClusterFrom `json:"cluster_from,omitzero"`
	// Target is what the agent is to dial. Default: what the agent decides.
	Target string `json:"target,omitzero"`
	// StripPath says whether the service sees the path without Path and the cluster's segment.
	StripPath bool `json:"strip_path,omitzero"`
}

// HeaderRule is a field of a request.
type HeaderRule struct {
	// Name of the field.
	Name string `json:"name"`
	// Value, to the letter. Default: any.
	Value string `json:"value,omitzero"`
}

// ClusterFrom says what names the cluster of a request.
type ClusterFrom string

// What can.
const (
	ClusterFromHost   ClusterFrom = "host"   // what stands for the * of the route's Host
	ClusterFromPath   ClusterFrom = "path"   // the segment after the route's Path, which ends in /
	ClusterFromHeader ClusterFrom = "header" // the value of the route's Header, whose Value is not set
)

// UserConfig is somebody who uses clusters through a [Hub].
type UserConfig struct {
	// Tokens are what proves who it is: Bearer with a token, or Basic with the user's name and a token.
	Tokens []Secret `json:"tokens,omitzero"`
	// Certificates are names of certificates, any of which proves it too: a certificate's only URI, or a DNS name.
	Certificates []string `json:"certificates,omitzero"`
	// Clusters are those that it may use; "*" for all. Default: none.
	Clusters []string `json:"clusters,omitzero"`
	// MaxRequests is the most requests under way at one time. Default: 100.
	MaxRequests uint32 `json:"max_requests,omitzero"`
}

// exposed is the configuration for the library, the tokens in it.
func (c UserConfig) exposed() any {
	type plain UserConfig
	return struct {
		plain
		Tokens []string `json:"tokens,omitzero"`
	}{plain(c), exposedAll(c.Tokens)}
}

func exposedAll(secrets []Secret) []string {
	exposed := make([]string, 0, len(secrets))
	for _, secret := range secrets {
		exposed = append(exposed, secret.text)
	}
	return exposed
}

// SocksConfig says how a [Hub] serves users who speak SOCKS5. The zero SocksConfig is all defaults.
type SocksConfig struct {
	// Suffix is what the hosts end in that name a cluster: "<cluster>.<suffix>" is where the cluster's agent decides,
	// "<host>.<cluster>.<suffix>" is that host, to be dialled by the agent. Default: "tunnel".
	Suffix string `json:"suffix,omitzero"`
	// Cluster is the one whose agent is to dial every other host, and addresses. Default: none, they are refused.
	Cluster string `json:"cluster,omitzero"`
	// MaxConnections is the most connections of users at one time. Default: 10,000.
	MaxConnections uint32 `json:"max_connections,omitzero"`
	// HandshakeTimeout is the time for a user to say who it is and where it wants to go. Default: 10 s.
	HandshakeTimeout TimeLimit `json:"handshake_timeout,omitzero"`
}
