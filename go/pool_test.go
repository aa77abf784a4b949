package trunkline

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"trunkline.dev/go/internal/native"
)

// closings remembers what a pool closed.
type closings struct {
	mu   sync.Mutex
	seen []closing
}

type closing struct {
	key    string
	value  int
	reason PoolCloseReason
}

func (c *closings) close(key string, value int, reason PoolCloseReason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, closing{key, value, reason})
}

func (c *closings) expect(t *testing.T, wanted ...closing) {
	t.Helper()
	eventually(t, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if fmt.Sprint(c.seen) != fmt.Sprint(wanted) {
			return fmt.Errorf("closed %v, wanted %v", c.seen, wanted)
		}
		return nil
	})
}

func newPool(t *testing.T, config PoolConfig) (*KeyedPool[string, int], *closings) {
	t.Helper()
	balanced(t)
	seen := new(closings)
	p, err := NewKeyedPool(config, seen.close)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, seen
}

func insert(t *testing.T, p *KeyedPool[string, int], key string, value int) {
	t.Helper()
	if err := p.Insert(key, value); err != nil {
		t.Fatal(err)
	}
}

func TestAPooledValueIsFoundUntilItIsRemoved(t *testing.T) {
	p, seen := newPool(t, PoolConfig{})
	insert(t, p, "a", 1)
	if v, ok := p.Get("a"); v != 1 || !ok {
		t.Errorf("got %v, %v", v, ok)
	}
	if v, ok := p.Get("b"); v != 0 || ok {
		t.Errorf("got %v, %v", v, ok)
	}
	if v, ok := p.Remove("a"); v != 1 || !ok {
		t.Errorf("got %v, %v", v, ok)
	}
	if v, ok := p.Remove("a"); v != 0 || ok {
		t.Errorf("got %v, %v", v, ok)
	}
	stats := p.Stats()
	if stats.Hits != 1 || stats.Misses != 1 || stats.Inserted != 1 || stats.Taken != 1 || stats.Entries != 0 ||
		stats.MaxEntries != 1024 {
		t.Errorf("got %+v", stats)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	seen.expect(t)
}

func TestEveryWayOutOfAPoolEndsInOneClose(t *testing.T) {
	p, seen := newPool(t, PoolConfig{MaxSize: 2, WhenFull: EvictOldest})
	insert(t, p, "a", 1)
	insert(t, p, "a", 2)
	seen.expect(t, closing{"a", 1, PoolCloseReplaced})
	insert(t, p, "b", 3)
	insert(t, p, "c", 4)
	seen.expect(t, closing{"a", 1, PoolCloseReplaced}, closing{"a", 2, PoolCloseEvicted})
	if _, ok := p.Remove("b"); !ok {
		t.Error("b is gone")
	}
	p.Clear()
	insert(t, p, "d", 5)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	seen.expect(t, closing{"a", 1, PoolCloseReplaced}, closing{"a", 2, PoolCloseEvicted},
		closing{"c", 4, PoolCloseCleared}, closing{"d", 5, PoolClosePoolClosed})
}

func TestAFullPoolThatRejectsLeavesTheValueToItsOwner(t *testing.T) {
	p, seen := newPool(t, PoolConfig{MaxSize: 1})
	insert(t, p, "a", 1)
	if err := p.Insert("b", 2); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("got %v", err)
	}
	seen.expect(t)
	if stats := p.Stats(); stats.Entries != 1 || stats.Utilization != 1 {
		t.Errorf("got %+v", stats)
	}
}

func TestAnExpiredValueIsNotFoundButClosed(t *testing.T) {
	p, seen := newPool(t, PoolConfig{IdleTimeout: After(0)})
	insert(t, p, "a", 1)
	if v, ok := p.Get("a"); ok {
		t.Errorf("got %v", v)
	}
	p.PruneExpired()
	seen.expect(t, closing{"a", 1, PoolCloseIdleTimeout})
	if stats := p.Stats(); stats.Expired != 1 || stats.ExpirationRatio != 1 {
		t.Errorf("got %+v", stats)
	}
}

func TestAClosedPoolSaysSo(t *testing.T) {
	p, seen := newPool(t, PoolConfig{})
	insert(t, p, "a", 1)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	seen.expect(t, closing{"a", 1, PoolClosePoolClosed})
	for name, err := range map[string]error{"insert": p.Insert("b", 2), "close": p.Close()} {
		if !errors.Is(err, ErrPoolClosed) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, ok := p.Get("a"); ok {
		t.Error("a value is found in a closed pool")
	}
	if stats := p.Stats(); stats != (PoolStats{}) {
		t.Errorf("got %+v", stats)
	}
	p.Clear()
	p.PruneExpired()
	if _, ok := p.Remove("a"); ok {
		t.Error("a value is taken from a closed pool")
	}
	seen.expect(t, closing{"a", 1, PoolClosePoolClosed})
}

func TestAPoolConfigOutOfRangeNamesTheField(t *testing.T) {
	balanced(t)
	for field, config := range map[string]PoolConfig{
		"max_size":        {MaxSize: 10_000_001},
		"lifetime_jitter": {LifetimeJitter: Set(2.0)},
		"idle_timeout":    {IdleTimeout: After(-1)},
		"when_full":       {WhenFull: "explode"},
	} {
		_, err := NewKeyedPool[string, int](config, nil)
		if kindOf(err) != KindConfig || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestKeysOfBytesBelongToThePool(t *testing.T) {
	balanced(t)
	closed := make(chan string, 1)
	p, err := NewKeyedPool(PoolConfig{}, func(key []byte, _ struct{}, _ PoolCloseReason) { closed <- string(key) })
	if err != nil {
		t.Fatal(err)
	}
	key := []byte{0, 'k', 0xff}
	if err := p.Insert(key, struct{}{}); err != nil {
		t.Fatal(err)
	}
	key[1] = 'x'
	if _, ok := p.Get([]byte("\x00k\xff")); !ok {
		t.Error("the key changed in the pool")
	}
	p.Close()
	if got := <-closed; got != "\x00k\xff" {
		t.Errorf("got %q", got)
	}
}

// Whatever many goroutines do to a pool at once, each value is closed or taken exactly once.
func TestUnderContentionEveryValueLeavesExactlyOnce(t *testing.T) {
	balanced(t)
	const workers, rounds = 8, 400
	var mu sync.Mutex
	left := make(map[int]int)
	leave := func(value int) {
		mu.Lock()
		defer mu.Unlock()
		left[value]++
	}
	p, err := NewKeyedPool(PoolConfig{MaxSize: 5, WhenFull: EvictLRU}, func(_ string, value int, _ PoolCloseReason) { leave(value) })
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := range rounds {
				key := strconv.Itoa((w*7 + i) % 9)
				switch err := p.Insert(key, w*rounds+i); {
				case errors.Is(err, ErrLimitExceeded): // every entry is on its way out at this moment
					leave(w*rounds + i)
				case err != nil:
					t.Error(err)
				}
				p.Get(strconv.Itoa(i % 9))
				if i%3 == 0 {
					if value, ok := p.Remove(key); ok {
						leave(value)
					}
				}
				if i%50 == 0 {
					p.Clear()
				}
			}
		})
	}
	all.Wait()
	stats := p.Stats()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if len(left) != workers*rounds || stats.Inserted != stats.Entries+stats.Taken+stats.Closed {
		t.Errorf("%d values left, %+v", len(left), stats)
	}
	for value, times := range left {
		if times != 1 {
			t.Errorf("value %d left %d times", value, times)
		}
	}
}

func TestARuntimeThatStopsClosesItsPools(t *testing.T) {
	balanced(t)
	rt, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	seen := new(closings)
	p, err := NewKeyedPoolOn(rt, PoolConfig{}, seen.close)
	if err != nil {
		t.Fatal(err)
	}
	insert(t, p, "a", 1)
	if err := rt.Shutdown(soon(t)); err != nil {
		t.Error(err)
	}
	seen.expect(t, closing{"a", 1, PoolClosePoolClosed})
	if err := p.Insert("b", 2); !errors.Is(err, ErrPoolClosed) {
		t.Errorf("got %v", err)
	}
}

func TestAPoolThatIsDroppedIsClosed(t *testing.T) {
	logged := captureLog(t)
	balanced(t)
	seen := new(closings)
	func() {
		p, err := NewKeyedPool(PoolConfig{}, seen.close)
		if err != nil {
			t.Fatal(err)
		}
		insert(t, p, "a", 1)
	}()
	eventually(t, func() error {
		runtime.GC()
		if n := native.DebugCounts().KeyedPools; n != 0 {
			return fmt.Errorf("%d pools", n)
		}
		// It is said after the pool is gone.
		if !strings.Contains(logged(), "a pool was dropped") {
			return fmt.Errorf("logged %q", logged())
		}
		return nil
	})
	seen.expect(t, closing{"a", 1, PoolClosePoolClosed})
}

func TestAPoolOfConnectionsIsUsedAsInTheReadme(t *testing.T) {
	balanced(t)
	l := listening(t, "tcp://127.0.0.1:0")
	p, err := NewKeyedPool(PoolConfig{}, func(_ string, conn net.Conn, _ PoolCloseReason) { conn.Close() })
	if err != nil {
		t.Fatal(err)
	}
	conn, err := Dial(soon(t), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Insert("db", conn); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if err := conn.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the pool did not close it: %v", err)
	}
}
