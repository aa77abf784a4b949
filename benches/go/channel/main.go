// Command channel measures calls of one message from Go, by Trunkline's channel or by grpc-go, and prints its values for
// the table of `make bench-channel`, one JSON object per line: calls per second by one goroutine and by many.
//
//	channel HOST:PORT trunkline|grpc-go ours|peer|peer_again
//
// The messages are bytes for both: nothing is encoded or decoded. Each has one connection, which stands before the clock
// starts, and one thread of Go, for the clients have one core.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log"
	"os"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"

	trunkline "trunkline.dev/go"
)

const echo = "/bench.Bytes/Echo"

var message = make([]byte, 64)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 || sides[os.Args[2]] == nil {
		log.Fatal("usage: channel HOST:PORT trunkline|grpc-go ours|peer|peer_again")
	}
	runtime.GOMAXPROCS(1)
	for _, crowd := range []struct {
		measure           string
		goroutines, calls int
	}{
		{"go: unary 64 B, 64 goroutines", 64, 40_000},
		{"go: unary 64 B, a goroutine", 1, 5_000},
	} {
		value := sample{crowd.measure, os.Args[3], rate(sides[os.Args[2]], os.Args[1], crowd.goroutines, crowd.calls)}
		if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
			log.Fatal(err)
		}
	}
}

// sample is one value, as the bench reads it.
type sample struct {
	Measure string  `json:"measure"`
	Side    string  `json:"side"`
	Value   float64 `json:"value"`
}

// client sends one message and gets the same back.
type client interface {
	call(ctx context.Context, message []byte) ([]byte, error)
	close()
}

var sides = map[string]func(target string) (client, error){
	"trunkline": newTrunkline,
	"grpc-go":   newGRPC,
}

// rate is the calls per second of so many goroutines together.
func rate(side func(string) (client, error), target string, goroutines, calls int) float64 {
	c, err := side(target)
	if err != nil {
		log.Fatal(err)
	}
	defer c.close()
	run(c, goroutines, calls/10/goroutines+1)
	begun := time.Now()
	run(c, goroutines, calls/goroutines)
	return float64(calls/goroutines*goroutines) / time.Since(begun).Seconds()
}

func run(c client, goroutines, each int) {
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for range each {
				got, err := c.call(context.Background(), message)
				if err != nil || !bytes.Equal(got, message) {
					log.Fatal("it does not come back whole: ", err)
				}
			}
		})
	}
	all.Wait()
}

type ours struct{ channel *trunkline.Channel }

func newTrunkline(target string) (client, error) {
	c, err := trunkline.NewChannel(target, trunkline.ConnectionConfig{})
	if err != nil {
		return nil, err
	}
	return ours{c}, c.WaitReady(context.Background())
}

func (o ours) call(ctx context.Context, message []byte) ([]byte, error) {
	return o.channel.Invoke(ctx, echo, message)
}

func (o ours) close() { o.channel.Close() }

type theirs struct{ connection *grpc.ClientConn }

func newGRPC(target string) (client, error) {
	c, err := grpc.NewClient("passthrough:///"+target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(plain{})))
	if err != nil {
		return nil, err
	}
	c.Connect()
	for s := c.GetState(); s != connectivity.Ready; s = c.GetState() {
		c.WaitForStateChange(context.Background(), s)
	}
	return theirs{c}, nil
}

func (t theirs) call(ctx context.Context, message []byte) ([]byte, error) {
	var reply []byte
	err := t.connection.Invoke(ctx, echo, &message, &reply)
	return reply, err
}

func (t theirs) close() { t.connection.Close() }

// plain passes bytes as they are.
type plain struct{}

func (plain) Name() string { return "plain" }

func (plain) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (plain) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
