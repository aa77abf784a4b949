package trunkline

import (
	"crypto/tls"
	"net"
	"reflect"
	"testing"
)

// clientHello is what Go's own TLS says first.
func clientHello(t *testing.T, config *tls.Config) []byte {
	t.Helper()
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(near, config).Handshake()
	}()
	hello := make([]byte, 1<<14)
	n, err := far.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	_ = far.Close()
	<-done
	return hello[:n]
}

func TestAHelloOfGoIsToldWithItsLastByte(t *testing.T) {
	hello := clientHello(t, &tls.Config{ServerName: "Shop.example", NextProtos: []string{"h2", "http/1.1"}})
	for length := range hello {
		found, err := ProbeTcp(hello[:length])
		if err != nil || found.Verdict != ProbeNeedMore {
			t.Fatalf("at %d: %v, %v", length, found, err)
		}
	}
	found, err := ProbeTcp(append(hello, 0x17, 3, 3))
	expected := Probed{
		Verdict:  ProbeIs,
		Protocol: "tls",
		Host:     "shop.example",
		ALPN:     []string{"h2", "http/1.1"},
		Details: map[string]any{
			"verdict": "is", "protocol": "tls", "server_name": "shop.example",
			"alpn": []any{"h2", "http/1.1"}, "ech": false,
		},
	}
	if err != nil || !reflect.DeepEqual(found, expected) {
		t.Fatalf("%v, %v", found, err)
	}
}

func TestEachProtocolOfAStreamHasItsName(t *testing.T) {
	for data, expected := range map[string]Probed{
		"":                                   {Verdict: ProbeNeedMore},
		"GET / HTTP/1.1\r\nHost: A.b:80\r\n": {Verdict: ProbeIs, Protocol: "http1", Host: "a.b"},
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":   {Verdict: ProbeIs, Protocol: "http2"},
		"SSH-2.0-OpenSSH_9.2\r\n":            {Verdict: ProbeIs, Protocol: "ssh"},
		"\x05\x01\x00":                       {Verdict: ProbeIs, Protocol: "socks5"},
		"\x00\x00\x00\x08\x04\xd2\x16\x2f":   {Verdict: ProbeIs, Protocol: "postgresql"},
		"*1\r\n$4\r\nPING\r\n":               {Verdict: ProbeIs, Protocol: "redis"},
		"\x10\x0c\x00\x04MQTT\x04":           {Verdict: ProbeIs, Protocol: "mqtt"},
		"EHLO mail.example\r\n":              {Verdict: ProbeUnknown},
	} {
		found, err := ProbeTcp([]byte(data))
		if found.Details["verdict"] != expected.Verdict.String() {
			t.Errorf("%q: %v", data, found)
		}
		found.Details = nil
		if err != nil || !reflect.DeepEqual(found, expected) {
			t.Errorf("%q: %v, %v", data, found, err)
		}
	}
}

func TestDatagramsAreTold(t *testing.T) {
	query := []byte("\x07\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01A\x02ex\x00\x00\x1c\x00\x01")
	found, err := ProbeUdp(query)
	if err != nil || found.Protocol != "dns" || found.Details["name"] != "a.ex" {
		t.Errorf("%v, %v", found, err)
	}
	for _, datagrams := range [][][]byte{nil, {{}}, {query[:20], nil, query}} {
		found, err := ProbeUdp(datagrams...)
		if err != nil || found.Verdict == ProbeIs {
			t.Errorf("%v: %v, %v", datagrams, found, err)
		}
	}
}

func FuzzProbe(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n"), 7)
	f.Add([]byte("\x16\x03\x01\x00\x04\x01\x00\x00\x00"), 3)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		if cut < 0 || cut > len(data) {
			return
		}
		part, err := ProbeTcp(data[:cut])
		if err != nil {
			t.Fatal(err)
		}
		whole, err := ProbeTcp(data)
		if err != nil || part.Verdict != ProbeNeedMore && !reflect.DeepEqual(part, whole) {
			t.Fatalf("first %v, then %v, %v", part, whole, err)
		}
		if _, err := ProbeUdp(data[:cut], data[cut:]); err != nil {
			t.Fatal(err)
		}
	})
}
