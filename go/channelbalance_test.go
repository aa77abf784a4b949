package trunkline

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

func ejections() (total float64) {
	for _, s := range Metrics().Samples {
		if s.Name == "trunkline_channel_ejections_total" && s.Labels["enforced"] == "yes" {
			total += s.Value
		}
	}
	return total
}

// serveBroken serves what ends every call with INTERNAL, and counts the calls.
func serveBroken(t *testing.T) (target string, calls *atomic.Int32) {
	calls = new(atomic.Int32)
	target = serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "13")
		w.WriteHeader(http.StatusOK)
	})
	return target, calls
}

func TestAServerWhoseCallsFailIsLeftOut(t *testing.T) {
	good := serveGRPC(t)
	broken, _ := serveBroken(t)
	c := newChannel(t, "tcp://"+good+",tcp://"+broken, ConnectionConfig{ServiceConfig: ServiceConfig{Document: json.RawMessage(`{
		"loadBalancingConfig": [{"outlier_detection_experimental": {
			"interval": "0.3s",
			"failurePercentageEjection": {"threshold": 50, "minimumHosts": 2, "requestVolume": 3},
			"childPolicy": [{"round_robin": {}}]
		}}]
	}`)}})
	ctx := soon(t)
	for before := ejections(); ejections() == before; {
		_, _ = c.Invoke(ctx, "/test.Service/Echo", nil)
		if ctx.Err() != nil {
			t.Fatal("it was not left out")
		}
	}
	for range 20 {
		if _, err := c.Invoke(ctx, "/test.Service/Echo", nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCallsAreKeptAwayFromAnAddressThatFailsOrHasEnough(t *testing.T) {
	code := func(c *Channel) int {
		_, err := c.Invoke(soon(t), "/test.Service/Echo", nil)
		var failed *Error
		if errors.As(err, &failed) {
			return failed.Code
		}
		return 0
	}
	broken, calls := serveBroken(t)
	fails := newChannel(t, broken, ConnectionConfig{
		Circuit:       CircuitConfig{Breaker: &BreakerConfig{ConsecutiveFailures: 2, Open: After(time.Hour), MaxOpen: After(time.Hour)}},
		ServiceConfig: noRetries.ServiceConfig,
	})
	if got := [3]int{code(fails), code(fails), code(fails)}; got != [3]int{13, 13, 14} || calls.Load() != 2 {
		t.Fatalf("calls ended with %v, and %d came to the server", got, calls.Load())
	}

	few := newChannel(t, serveGRPC(t), ConnectionConfig{Circuit: CircuitConfig{MaxCalls: 1}})
	call, err := few.Open(soon(t), "/test.Service/Talk")
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	if _, err := call.Header(); err != nil {
		t.Fatal(err)
	}
	if got := code(few); got != 14 {
		t.Fatalf("beside the only call that may be under way another ended with %d", got)
	}
	call.CloseSend()
	if _, err := call.Receive(); err != io.EOF {
		t.Fatal(err)
	}
	if got := code(few); got != 0 {
		t.Fatalf("after it another ended with %d", got)
	}
}
