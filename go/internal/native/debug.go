package native

// #include "bridge.h"
import "C"

// Counts are the live objects of the process, by type.
type Counts struct {
	Runtimes, Queues, Operations, Streams, Listeners, KeyedPools, TCPManagers, Jobs, Pools, Datagrams, UDPManagers, TLS, Channels, Calls, Agents, Hubs, MemoryProxies uint64
}

// DebugCounts counts the live objects; it walks the whole table.
func DebugCounts() Counts {
	var c C.trunkline_debug_counts_t
	c.size = C.sizeof_trunkline_debug_counts_t
	C.trunkline_debug_counts(&c)
	return Counts{
		Runtimes:      uint64(c.runtimes),
		Queues:        uint64(c.queues),
		Operations:    uint64(c.operations),
		Streams:       uint64(c.streams),
		Listeners:     uint64(c.listeners),
		KeyedPools:    uint64(c.keyed_pools),
		TCPManagers:   uint64(c.tcp_managers),
		Jobs:          uint64(c.jobs),
		Pools:         uint64(c.pools),
		Datagrams:     uint64(c.datagrams),
		UDPManagers:   uint64(c.udp_managers),
		TLS:           uint64(c.tls),
		Channels:      uint64(c.channels),
		Calls:         uint64(c.calls),
		Agents:        uint64(c.agents),
		Hubs:          uint64(c.hubs),
		MemoryProxies: uint64(c.memory_proxies),
	}
}

// DebugFail fails with the status that is asked for; Panic really panics inside the library.
func DebugFail(status Status) *Failure {
	var object *C.trunkline_error_t
	return fail(C.trunkline_debug_fail(C.int32_t(status), &object), object)
}
