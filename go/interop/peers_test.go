//go:build peers

package interop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trunkline.dev/go"
)

const (
	callers     = 8
	connections = 4
)

// server runs the script that starts and kills real servers; `make test-peers` names their folder.
func server(t *testing.T, arguments ...string) string {
	t.Helper()
	if os.Getenv("TRUNKLINE_PEERS") == "" {
		t.Fatal("run this with make test-peers")
	}
	script, err := filepath.Abs("../../tests/peers/server")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(script, arguments...)
	var said strings.Builder
	command.Stdout = &said
	// The server that is started keeps the pipe open.
	command.WaitDelay = 50 * time.Millisecond
	if err := command.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("%v: %v", arguments, err)
	}
	return strings.TrimSpace(said.String())
}

// incr asks a Redis server to count, over one connection.
func incr(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(conn, "INCR asked\r\n"); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(answer, ":") {
		err = fmt.Errorf("redis says %q", answer)
	}
	return err
}

// crowd is what the callers of one pool saw.
type crowd struct {
	served, broken, refused, stale atomic.Int64
	// life counts the kills of the server: a connection of an earlier one is of no use.
	life atomic.Int64
	// made has the life in which each connection was first seen.
	made sync.Map
}

// call asks once, over a connection of the pool.
func (c *crowd) call(ctx context.Context, pool *trunkline.Pool[*trunkline.Conn]) error {
	life := c.life.Load()
	lease, err := pool.Get(ctx)
	if errors.Is(err, trunkline.ErrCircuitOpen) {
		c.refused.Add(1)
		time.Sleep(5 * time.Millisecond)
		return nil
	}
	if err != nil {
		return err
	}
	first, _ := c.made.LoadOrStore(lease.Conn(), life)
	if first.(int64) < life && c.life.Load() == life {
		c.stale.Add(1)
	}
	if err := incr(lease.Conn()); err != nil {
		c.broken.Add(1)
		return lease.Discard(err)
	}
	c.served.Add(1)
	return lease.Release()
}

func (c *crowd) letServe(t *testing.T, more int64) {
	t.Helper()
	target, end := c.served.Load()+more, time.Now().Add(time.Minute)
	for c.served.Load() < target {
		if time.Now().After(end) {
			t.Fatalf("%d of %d were served within a minute", c.served.Load(), target)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestCallersAreServedAgainAfterEachKill(t *testing.T) {
	server(t, "start", "redis")
	config := trunkline.CheckoutPoolConfig{
		Name:    "redis",
		MaxSize: connections,
		Breaker: trunkline.BreakerConfig{Open: trunkline.After(200 * time.Millisecond), MaxOpen: trunkline.After(200 * time.Millisecond)},
	}
	pool, err := trunkline.OpenPool(t.Context(), []string{"tcp://127.0.0.1:" + server(t, "port", "redis")}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var seen crowd
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	var over atomic.Bool
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for !over.Load() {
				if err := seen.call(ctx, pool); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	seen.letServe(t, 500)
	for range 2 {
		server(t, "kill", "redis")
		time.Sleep(300 * time.Millisecond)
		seen.life.Add(1)
		server(t, "start", "redis")
		seen.letServe(t, 200)
	}
	over.Store(true)
	group.Wait()
	stats := pool.Stats()
	if seen.broken.Load() == 0 || seen.stale.Load() != 0 || stats.Used != 0 || stats.Waiting != 0 || stats.Idle > connections {
		t.Errorf("broken %d, stale %d, stats %+v", seen.broken.Load(), seen.stale.Load(), stats)
	}
	t.Logf("%d served, %d broken by two kills, %d refused", seen.served.Load(), seen.broken.Load(), seen.refused.Load())
}
