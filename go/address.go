package trunkline

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"trunkline.dev/go/internal/native"
)

// MemAddr is the name of an in-memory listener, or empty for the end of a pipe that has none.
type MemAddr string

// Network is "mem".
func (MemAddr) Network() string { return "mem" }

// String is the name, as [Dial] takes it.
func (a MemAddr) String() string { return string(a) }

// parseAddr is an address of the library as package net has it. Texts come from the library: an empty one is
// the end without a name, and protocol says of what.
func parseAddr(text string, protocol uint32) net.Addr {
	if rest, ok := cutTCP(text); ok {
		if parsed, err := netip.ParseAddrPort(rest); err == nil {
			return net.TCPAddrFromAddrPort(parsed)
		}
	}
	if rest, ok := strings.CutPrefix(text, "udp://"); ok {
		if parsed, err := netip.ParseAddrPort(rest); err == nil {
			return net.UDPAddrFromAddrPort(parsed)
		}
	}
	if rest, ok := strings.CutPrefix(text, "mem:"); ok {
		return MemAddr(rest)
	}
	if rest, ok := strings.CutPrefix(text, "tunnel:"); ok {
		return TunnelAddr(rest)
	}
	rest, isUnix := strings.CutPrefix(text, "unix:")
	switch {
	case isUnix || protocol == native.ProtocolUnix:
		return &net.UnixAddr{Name: rest, Net: "unix"}
	case protocol == native.ProtocolTCP || protocol == native.ProtocolTLS:
		return &net.TCPAddr{}
	case protocol == native.ProtocolTunnel:
		return TunnelAddr("")
	default:
		return MemAddr("")
	}
}

// cutTCP is what follows the scheme of an address over TCP, with TLS or without.
func cutTCP(address string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(address, "tls://"); ok {
		return rest, true
	}
	return strings.CutPrefix(address, "tcp://")
}

// protocolOf is the transport that an address names; 0 if it names none.
func protocolOf(address string) uint32 {
	switch scheme, _, _ := strings.Cut(address, ":"); scheme {
	case "tcp":
		return native.ProtocolTCP
	case "tls":
		return native.ProtocolTLS
	case "unix":
		return native.ProtocolUnix
	case "mem":
		return native.ProtocolPipe
	default:
		return 0
	}
}

// networkOf is the network of an address, as net.OpError names it; empty for what is no address.
func networkOf(address string) string {
	if protocolOf(address) == 0 {
		return ""
	}
	scheme, _, _ := strings.Cut(address, ":")
	return scheme
}

// splitAddress is the network and the address of the one text.
func splitAddress(address string) (network, rest string, err error) {
	for prefix, network := range map[string]string{"tcp://": "tcp", "tls://": "tls", "unix:": "unix", "mem:": "mem"} {
		if rest, ok := strings.CutPrefix(address, prefix); ok {
			return network, rest, nil
		}
	}
	return "", "", badAddress(&net.AddrError{
		Err:  "expected tcp://host:port, tls://host:port, unix:/path, unix:@name or mem:name",
		Addr: address,
	})
}

// parseTarget is an address that a caller gave, for errors: a host name stays as it is.
func parseTarget(address string) net.Addr {
	if rest, ok := cutTCP(address); ok {
		if _, err := netip.ParseAddrPort(rest); err != nil {
			return textAddr{networkOf(address), rest}
		}
	}
	if rest, ok := strings.CutPrefix(address, "udp://"); ok {
		if _, err := netip.ParseAddrPort(rest); err != nil {
			return textAddr{"udp", rest}
		}
		return parseAddr(address, 0)
	}
	if protocolOf(address) == 0 {
		return textAddr{"", address}
	}
	return parseAddr(address, protocolOf(address))
}

// named is the address, or nil for that of an end without a name, which net.OpError leaves out then.
func named(address net.Addr) net.Addr {
	if address.String() == "" {
		return nil
	}
	return address
}

// textAddr is an address that was not looked up.
type textAddr struct{ network, text string }

func (a textAddr) Network() string { return a.network }
func (a textAddr) String() string  { return a.text }

// dialTargets is what to dial for a network and an address: several only where package net would look a
// name up for one family; all other names are looked up by the library.
func dialTargets(ctx context.Context, network, address string) ([]string, error) {
	return targets(ctx, network, address, func(host string) ([]netip.Addr, string, error) {
		switch {
		case host == "" && network == "tcp6":
			return []netip.Addr{netip.IPv6Loopback()}, "", nil
		case host == "":
			return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, "", nil
		case network == "tcp" || network == "tls":
			return nil, host, nil
		default:
			found, err := lookUp(ctx, network, host)
			return found, "", err
		}
	})
}

// listenTargets is what to listen on, in order of preference. Names are looked up here: the library would wait for it.
func listenTargets(ctx context.Context, network, address string) ([]string, error) {
	return targets(ctx, network, address, listenHost(ctx, network))
}

// listenHost says what a host that is no literal stands for where it is listened on.
func listenHost(ctx context.Context, network string) func(host string) ([]netip.Addr, string, error) {
	return func(host string) ([]netip.Addr, string, error) {
		switch {
		case host == "" && strings.HasSuffix(network, "4"):
			return []netip.Addr{netip.IPv4Unspecified()}, "", nil
		case host == "" && strings.HasSuffix(network, "6"):
			return []netip.Addr{netip.IPv6Unspecified()}, "", nil
		case host == "":
			return []netip.Addr{netip.IPv6Unspecified(), netip.IPv4Unspecified()}, "", nil
		}
		found, err := lookUp(ctx, network, host)
		if err != nil {
			return nil, "", err
		}
		for _, ip := range found {
			if ip.Is4() {
				return []netip.Addr{ip}, "", nil
			}
		}
		return found[:1], "", nil
	}
}

// targets writes network and address as the library does; find says what a host that is no literal stands for.
func targets(
	ctx context.Context,
	network, address string,
	find func(host string) (literals []netip.Addr, name string, err error),
) ([]string, error) {
	switch network {
	case "unix":
		return []string{"unix:" + address}, nil
	case "mem":
		return []string{"mem:" + address}, nil
	case "tcp", "tcp4", "tcp6", "tls":
		return ipTargets(ctx, network, address, find)
	default:
		return nil, badAddress(net.UnknownNetworkError(network))
	}
}

// ipTargets does so for a network of IP.
func ipTargets(
	ctx context.Context,
	network, address string,
	find func(host string) (literals []netip.Addr, name string, err error),
) ([]string, error) {
	scheme := network[:3] + "://"
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, badAddress(err)
	}
	port, err := net.DefaultResolver.LookupPort(ctx, strings.Replace(network, "tls", "tcp", 1), service)
	if err != nil {
		return nil, badAddress(err)
	}
	var literals []netip.Addr
	var name string
	if literal, err := netip.ParseAddr(host); err == nil {
		literals, err = oneOf(network, literal)
		if err != nil {
			return nil, badAddress(err)
		}
	} else if literals, name, err = find(host); err != nil {
		return nil, err
	}
	if name != "" {
		return []string{scheme + net.JoinHostPort(name, strconv.Itoa(port))}, nil
	}
	found := make([]string, len(literals))
	for i, ip := range literals {
		found[i] = scheme + netip.AddrPortFrom(ip, uint16(port)).String()
	}
	return found, nil
}

// oneOf checks the family of a literal, and writes its zone as the number that the library takes.
func oneOf(network string, ip netip.Addr) ([]netip.Addr, error) {
	if ip.Is4In6() {
		ip = ip.Unmap()
	}
	if strings.HasSuffix(network, "4") && !ip.Is4() || strings.HasSuffix(network, "6") && !ip.Is6() {
		return nil, &net.AddrError{Err: "no address of network " + network, Addr: ip.String()}
	}
	if zone := ip.Zone(); zone != "" {
		if link, err := net.InterfaceByName(zone); err == nil {
			ip = ip.WithZone(strconv.Itoa(link.Index))
		}
	}
	return []netip.Addr{ip}, nil
}

func lookUp(ctx context.Context, network, host string) ([]netip.Addr, error) {
	family := "ip" + network[3:]
	found, err := net.DefaultResolver.LookupNetIP(ctx, family, host)
	if err != nil {
		if ctx.Err() != nil {
			return nil, contextError(ctx, native.StepResolve)
		}
		return nil, &Error{Op: stepNames[native.StepResolve], Kind: KindConnect, Retryable: true, Cause: err}
	}
	if len(found) == 0 {
		err := &net.DNSError{Err: "no suitable address", Name: host, IsNotFound: true}
		return nil, &Error{Op: stepNames[native.StepResolve], Kind: KindConnect, Retryable: true, Cause: err}
	}
	for i, ip := range found {
		found[i] = ip.Unmap()
	}
	return found, nil
}

func badAddress(err error) error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return configError(err)
}
