package trunkline

import (
	"context"
	"testing"
)

func TestAttemptsOfAChannelAreCountedUnderTheNamesOfOpenTelemetry(t *testing.T) {
	target := serveGRPC(t)
	c := newChannel(t, target, ConnectionConfig{OpenTelemetry: true})
	if _, err := c.Invoke(context.Background(), "/test.Service/Echo", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Invoke(context.Background(), "/test.Service/Fail", nil); err == nil {
		t.Fatal("it must fail")
	}
	count := func(name, label, value string) (total float64) {
		for _, s := range Metrics().Samples {
			if s.Name == name && s.Labels["grpc_target"] == target && s.Labels[label] == value {
				total += s.Value
			}
		}
		return total
	}
	for _, method := range []string{"test.Service/Echo", "test.Service/Fail"} {
		if started := count("grpc_client_attempt_started_total", "grpc_method", method); started != 1 {
			t.Errorf("%s: %v attempts", method, started)
		}
	}
	if made := count("grpc_subchannel_connection_attempts_succeeded_total", "grpc_target", target); made != 1 {
		t.Errorf("%v connections", made)
	}
}
