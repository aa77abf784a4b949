// Command pool measures a pool of Go resources, Trunkline's or puddle's, and prints its values for the table of
// `make bench-pool`, one JSON object per line: for each crowd the acquires per second, and for more than one goroutine
// the waits in microseconds.
//
//	pool trunkline|puddle ours|peer|peer_again
//
// Both run on two threads of Go, and each goroutine lets others run while it holds a resource, unless the measure says
// that it is held for no time. The native library is the one that package trunkline finds: target/release of the checkout.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/jackc/puddle/v2"

	trunkline "trunkline.dev/go"
)

// acquires of all goroutines together, in each pass.
const acquires = 200_000

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 || sides[os.Args[1]] == nil {
		log.Fatal("usage: pool trunkline|puddle ours|peer|peer_again")
	}
	runtime.GOMAXPROCS(2)
	for _, c := range crowds {
		for _, value := range c.measure(sides[os.Args[1]]) {
			value.Side = os.Args[2]
			if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
				log.Fatal(err)
			}
		}
	}
}

// sample is one value, as the bench reads it.
type sample struct {
	Measure string  `json:"measure"`
	Side    string  `json:"side"`
	Value   float64 `json:"value"`
}

// crowd is so many goroutines on so many connections.
type crowd struct {
	name                    string
	goroutines, connections int
	yields                  bool // whether others run while a connection is held
}

var crowds = []crowd{
	{"go: 1 goroutine on 10", 1, 10, false},
	{"go: 64 goroutines on 10", 64, 10, true},
	{"go: 64 goroutines on 10, held for no time", 64, 10, false},
	{"go: 1000 goroutines on 50", 1000, 50, true},
}

// pool lends a resource for the time of a call.
type pool interface {
	use(hold func()) error
	close()
}

var sides = map[string]func(connections int) (pool, error){
	"trunkline": newTrunkline,
	"puddle":    newPuddle,
}

// measure is the acquires per second, and the waits that 99 % and 99.9 % do not exceed; those come from a pass of
// their own.
func (c crowd) measure(side func(int) (pool, error)) []sample {
	p, err := side(c.connections)
	if err != nil {
		log.Fatal(err)
	}
	defer p.close()
	hold := func() {}
	if c.yields {
		hold = runtime.Gosched
	}
	turns := acquires / c.goroutines
	c.run(turns/10, func(int) error { return p.use(hold) })
	begun := time.Now()
	c.run(turns, func(int) error { return p.use(hold) })
	rate := float64(turns*c.goroutines) / time.Since(begun).Seconds()
	samples := []sample{{Measure: c.name + ": acquires", Value: rate}}
	if c.goroutines == 1 {
		return samples
	}
	waits := make([][]time.Duration, c.goroutines)
	c.run(turns, func(who int) error {
		begun := time.Now()
		return p.use(func() {
			waits[who] = append(waits[who], time.Since(begun))
			hold()
		})
	})
	all := slices.Concat(waits...)
	slices.Sort(all)
	for _, part := range []struct {
		name string
		of   float64
	}{{"p99", 0.99}, {"p99.9", 0.999}} {
		wait := all[int(float64(len(all)-1)*part.of)]
		samples = append(samples, sample{Measure: fmt.Sprintf("%s: wait %s", c.name, part.name), Value: wait.Seconds() * 1e6})
	}
	return samples
}

// run lets every goroutine of the crowd take so many turns.
func (c crowd) run(turns int, turn func(who int) error) {
	var all sync.WaitGroup
	for who := range c.goroutines {
		all.Go(func() {
			for range turns {
				if err := turn(who); err != nil {
					log.Fatal(err)
				}
			}
		})
	}
	all.Wait()
}

// resource stands for a connection.
type resource struct{ _ [64]byte }

type ours struct {
	pool *trunkline.Pool[*resource]
}

func newTrunkline(connections int) (pool, error) {
	config := trunkline.CheckoutPoolConfig{MaxSize: uint32(connections), MinIdle: uint32(connections), MaxConnecting: 50}
	dial := func(context.Context) (*resource, error) { return new(resource), nil }
	p, err := trunkline.NewPool(context.Background(), dial, config)
	if err != nil {
		return nil, err
	}
	return ours{p}, p.WaitReady(context.Background())
}

func (o ours) use(hold func()) error {
	lease, err := o.pool.Get(context.Background())
	if err != nil {
		return err
	}
	hold()
	return lease.Release()
}

func (o ours) close() { o.pool.Close() }

type theirs struct {
	pool *puddle.Pool[*resource]
}

func newPuddle(connections int) (pool, error) {
	p, err := puddle.NewPool(&puddle.Config[*resource]{
		Constructor: func(context.Context) (*resource, error) { return new(resource), nil },
		Destructor:  func(*resource) {},
		MaxSize:     int32(connections),
	})
	if err != nil {
		return nil, err
	}
	for range connections {
		if err := p.CreateResource(context.Background()); err != nil {
			return nil, err
		}
	}
	return theirs{p}, nil
}

func (t theirs) use(hold func()) error {
	resource, err := t.pool.Acquire(context.Background())
	if err != nil {
		return err
	}
	hold()
	resource.Release()
	return nil
}

func (t theirs) close() { t.pool.Close() }
