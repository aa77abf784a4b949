package trunkline

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
)

// What a server says of its health, by gRPC's numbers.
const (
	healthServing    byte = 1
	healthNotServing byte = 2
)

// moody serves what [grpcMethod] does, and says of its health what comes in by the channel that it returns.
func moody(t *testing.T) (target string, mood chan<- byte) {
	said := make(chan byte)
	target = serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/grpc.health.v1.Health/Watch" {
			grpcMethod(w, r)
			return
		}
		if asked, err := readMessage(r.Body); err != nil || string(asked) != "\n\x0ctest.Service" {
			t.Errorf("asked was %q, %v", asked, err)
		}
		w.Header().Set("Content-Type", "application/grpc")
		for {
			select {
			case <-r.Context().Done():
				return
			case status := <-said:
				writeMessage(w, []byte{0x08, status})
				w.(http.Flusher).Flush()
			}
		}
	})
	return target, said
}

func TestCallsGoToAServerWhileItSaysThatItServes(t *testing.T) {
	target, mood := moody(t)
	c := newChannel(t, target, ConnectionConfig{ServiceConfig: ServiceConfig{Document: json.RawMessage(`{
		"loadBalancingConfig": [{"round_robin": {}}],
		"healthCheckConfig": {"serviceName": "test.Service"}
	}`)}})
	c.Connect()
	mood <- healthNotServing
	for s := Connecting; s != TransientFailure; s = c.GetState() {
		if !c.WaitForStateChange(soon(t), s) {
			t.Fatalf("it stays %v", s)
		}
	}
	_, err := c.Invoke(soon(t), "/test.Service/Echo", nil)
	var failed *Error
	if !errors.As(err, &failed) || failed.Code != 14 || !strings.Contains(failed.Details, "NOT_SERVING") {
		t.Fatalf("%#v", err)
	}
	mood <- healthServing
	if err := c.WaitReady(soon(t)); err != nil {
		t.Fatal(err)
	}
	if reply, err := c.Invoke(soon(t), "/test.Service/Echo", []byte("x")); err != nil || string(reply) != "x" {
		t.Fatal(string(reply), err)
	}
}
