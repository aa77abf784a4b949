package trunkline

import (
	"context"
	"strings"
	"testing"
)

func TestAChannelShowsItsCallsItsAddressesAndTheirConnections(t *testing.T) {
	target := "mem:go-nobody-serves-this,tcp://" + serveGRPC(t)
	c := newChannel(t, target, ConnectionConfig{ServiceConfig: ServiceConfig{Document: []byte("{}")}})
	inspect := func() LiveChannel {
		t.Helper()
		shown, err := c.Inspect()
		if err != nil {
			t.Fatal(err)
		}
		return shown
	}
	if before := inspect(); before.State != Idle || before.Target != target || before.LastCallAge != nil || len(before.Addresses) != 0 {
		t.Fatalf("before its first call: %+v", before)
	}
	ctx := context.Background()
	if _, err := c.Invoke(ctx, "/test.Service/Echo", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Invoke(ctx, "/test.Service/Fail", nil); err == nil {
		t.Fatal("it must fail")
	}
	shown := inspect()
	if shown.State != Ready || shown.CallsStarted != 2 || shown.CallsSucceeded != 1 || shown.CallsFailed != 1 || shown.LastCallAge == nil {
		t.Errorf("its calls: %+v", shown)
	}
	if shown.Pool.Hits != 1 || shown.Pool.Misses != 1 || shown.Pool.Created != 1 {
		t.Errorf("its pool: %+v", shown.Pool)
	}
	if len(shown.Addresses) != 2 {
		t.Fatalf("its addresses: %+v", shown.Addresses)
	}
	nobody, good := shown.Addresses[0], shown.Addresses[1]
	if nobody.Address != "mem:go-nobody-serves-this" || !strings.HasPrefix(nobody.LastError, "connect to mem:go-nobody-serves-this: ") {
		t.Errorf("an address where nobody is: %+v", nobody)
	}
	if good.State != Ready || good.CallsStarted != 2 || good.LastError != "" || len(good.Connections) != 1 {
		t.Fatalf("the address that works: %+v", good)
	}
	one := good.Connections[0]
	if one.CallsStarted != 2 || one.CallsSucceeded != 1 || one.CallsFailed != 1 || one.CallsActive != 0 || one.Security != nil || one.Retired != "" {
		t.Errorf("its connection: %+v", one)
	}
	if one.Remote != good.Address || one.Local == "" || one.BytesSent == 0 || one.BytesReceived == 0 || one.ID == 0 {
		t.Errorf("its connection: %+v", one)
	}
}
