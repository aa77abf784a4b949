package trunkline

import "encoding/json"

// MemoryProxyConfig says how a [MemoryProxy] serves what comes to its listeners, and where it passes requests on to. The zero
// MemoryProxyConfig has no routes: nothing is passed on that [MemoryProxyHooks] do not route.
type MemoryProxyConfig struct {
	// Routes say which request goes where: the first that holds for it.
	Routes []ProxyRoute `json:"routes,omitzero"`
	// Routing is what decides where no route holds, and where a router leaves it to the configuration.
	Routing ProxyRouting `json:"routing,omitzero"`
	// TrustForwarded says whether what a client says of whom it speaks for is true, as it is where only a hub's front
	// connects: then Forwarded and X-Forwarded-* pass as they come. Default: false: they are taken out, and set to what is
	// known here. Impersonate-* and the like are taken out in any case.
	TrustForwarded bool `json:"trust_forwarded,omitzero"`
	// MaxConnections is the most connections at one time; the next wait in the backlogs. Default: 1000.
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
	// HandshakeTimeout is the time for a TLS handshake. Default: 10 s.
	HandshakeTimeout TimeLimit `json:"handshake_timeout,omitzero"`
	// HookTimeout is the time for an answer of a hook. Default: 10 s.
	HookTimeout TimeLimit `json:"hook_timeout,omitzero"`
	// MaxPendingHooks is how many questions to each hook have no answer yet; what is above is refused. Default: 1024.
	MaxPendingHooks uint32 `json:"max_pending_hooks,omitzero"`
	// ResponseTimeout is the time for a service to begin its response. Default: 5 min.
	ResponseTimeout TimeLimit `json:"response_timeout,omitzero"`
	// IdleTimeout is the time between two pieces of a body, and the silence after an upgrade. Default: 1 h.
	IdleTimeout TimeLimit `json:"idle_timeout,omitzero"`
	// HalfCloseTimeout is the time for the second side of what was upgraded to finish. Default: 60 s.
	HalfCloseTimeout TimeLimit `json:"half_close_timeout,omitzero"`
	// BufferSize is how many bytes what was upgraded holds for each direction. Default: 64 KiB. Limits: 1 KiB to 16 MiB.
	BufferSize uint32 `json:"buffer_size,omitzero"`
	// AcceptPause is the pause of accepting while no descriptor is left. Default: 100 ms.
	AcceptPause TimeLimit `json:"accept_pause,omitzero"`
	// DrainTimeout is the time that a drain gives requests to be answered. Default: 30 s.
	DrainTimeout TimeLimit `json:"drain_timeout,omitzero"`
	// TCP is for sockets to services; its ConnectTimeout bounds each dial.
	TCP TcpConfig `json:"tcp,omitzero"`
}

// ProxyRoute says where a request goes: what is set must all be true of it.
type ProxyRoute struct {
	// Host is whom the request is for: "shop.example", or "*.shop.example" for everything below it.
	Host string `json:"host,omitzero"`
	// Path is how its path begins: "/lab" for itself and everything below it, "/lab/" for what is below it alone.
	Path string `json:"path,omitzero"`
	// Header is a field that it has.
	Header HeaderRule `json:"header,omitzero"`
	// Target is the address of the service.
	Target string `json:"target"`
	// StripPath says whether the service sees the path without Path.
	StripPath bool `json:"strip_path,omitzero"`
}

// ProxyRouting says what decides where no route holds.
type ProxyRouting string

const (
	// RoutingByRoutes is nothing: there is no such service (404).
	RoutingByRoutes ProxyRouting = "routes"
	// RoutingByKubernetes is the paths of a Kubernetes cluster, of which the first segment names the cluster and is left out:
	// /<cluster>/api/v1/namespaces/<namespace>/services/https:<service>:<port>/proxy-service/<path> goes to
	// <service>.<namespace>.svc, anything else to kubernetes.default.svc, both over TLS.
	RoutingByKubernetes ProxyRouting = "kubernetes"
)

func (c MemoryProxyConfig) document() (string, error) {
	text, err := json.Marshal(c)
	return string(text), err
}
