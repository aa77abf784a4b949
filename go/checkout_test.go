package trunkline

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trunkline.dev/go/internal/native"
)

// thing is a resource of the tests'.
type thing struct {
	number int
	bad    atomic.Bool
	closed atomic.Int32
	reason PoolCloseReason
}

// maker makes things, and remembers them.
type maker struct {
	mu    sync.Mutex
	made  []*thing
	fails error
}

func (m *maker) dial(context.Context) (*thing, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails != nil {
		return nil, m.fails
	}
	t := &thing{number: len(m.made) + 1}
	m.made = append(m.made, t)
	return t, nil
}

func (m *maker) end(_ context.Context, t *thing, reason PoolCloseReason) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t.reason = reason
	t.closed.Add(1)
}

// reasons is why each thing was closed, in the order in which they were made; empty for those that are not.
func (m *maker) reasons() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := make([]string, len(m.made))
	for i, t := range m.made {
		if t.closed.Load() > 0 {
			found[i] = t.reason.String()
		}
	}
	return found
}

func (m *maker) expect(t *testing.T, wanted ...string) {
	t.Helper()
	eventually(t, func() error {
		if got := m.reasons(); fmt.Sprint(got) != fmt.Sprint(wanted) {
			return fmt.Errorf("closed %q, wanted %q", got, wanted)
		}
		return nil
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, made := range m.made {
		if n := made.closed.Load(); n > 1 {
			t.Errorf("thing %d was closed %d times", made.number, n)
		}
	}
}

// pooled is a pool of things that is closed with the test, after which nothing may be left.
func pooled(t testing.TB, config CheckoutPoolConfig, options ...PoolOption[*thing]) (*Pool[*thing], *maker) {
	t.Helper()
	balanced(t)
	m := new(maker)
	p := poolOf(t, m.dial, config, append([]PoolOption[*thing]{WithClose(m.end)}, options...)...)
	return p, m
}

func poolOf[C any](t testing.TB, dial func(context.Context) (C, error), config CheckoutPoolConfig, options ...PoolOption[C]) *Pool[C] {
	t.Helper()
	p, err := NewPool(t.Context(), dial, config, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func get[C any](t testing.TB, p *Pool[C]) *Lease[C] {
	t.Helper()
	l, err := p.Get(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func release[C any](t testing.TB, leases ...*Lease[C]) {
	t.Helper()
	for _, l := range leases {
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	}
}

// lined waits until so many callers are in line.
func lined[C any](t testing.TB, p *Pool[C], callers uint64) {
	t.Helper()
	eventually(t, func() error {
		if n := p.Stats().Waiting; n != callers {
			return fmt.Errorf("%d callers wait, wanted %d", n, callers)
		}
		return nil
	})
}

func TestAConnectionIsLentAgainAfterItsRelease(t *testing.T) {
	p, m := pooled(t, CheckoutPoolConfig{})
	first := get(t, p)
	conn := first.Conn()
	release(t, first)
	second := get(t, p)
	if second.Conn() != conn {
		t.Error("another connection was dialled")
	}
	if first.Conn() != nil {
		t.Error("a lease that ended still shows its connection")
	}
	stats := p.Stats()
	if stats.Created != 1 || stats.Used != 1 || stats.Acquired != 2 || stats.Hits != 1 || stats.MaxSize != 10 {
		t.Errorf("got %+v", stats)
	}
	release(t, second)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	m.expect(t, "pool_closed")
}

func TestASecondReleaseIsAnErrorAndHarmsNobody(t *testing.T) {
	p, m := pooled(t, CheckoutPoolConfig{MaxSize: 1})
	first := get(t, p)
	release(t, first)
	second := get(t, p)
	for name, again := range map[string]func() error{
		"release": first.Release,
		"discard": func() error { return first.Discard(errors.New("odd")) },
		"detach":  func() error { _, err := first.Detach(); return err },
	} {
		if err := again(); !errors.Is(err, ErrReleased) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if second.Conn() == nil || p.Stats().Used != 1 {
		t.Error("the second lease is gone")
	}
	release(t, second)
	m.expect(t, "")
}

func TestADiscardedConnectionIsClosedAndReplaced(t *testing.T) {
	p, m := pooled(t, CheckoutPoolConfig{MaxSize: 1})
	if err := get(t, p).Discard(errors.New("garbled")); err != nil {
		t.Error(err)
	}
	l := get(t, p)
	if n := l.Conn().number; n != 2 {
		t.Errorf("got connection %d", n)
	}
	release(t, l)
	m.expect(t, "discarded", "")
}

func TestADetachedConnectionIsTheCallers(t *testing.T) {
	p, m := pooled(t, CheckoutPoolConfig{MaxSize: 1})
	l := get(t, p)
	conn, err := l.Detach()
	if err != nil || conn.number != 1 {
		t.Fatalf("%v, %v", conn, err)
	}
	release(t, get(t, p))
	p.Close()
	m.expect(t, "", "pool_closed")
	if by := p.Stats().ClosedBy; by[PoolCloseDetached] != 1 {
		t.Errorf("got %v", by)
	}
}

func TestATimeoutSaysTheNumbersAndWhoHoldsOne(t *testing.T) {
	p, _ := pooled(t, CheckoutPoolConfig{Name: "orders", MaxSize: 1, Places: Set(true)})
	l := get(t, p)
	defer l.Release()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := p.Get(ctx)
	for _, wanted := range []error{ErrPoolTimeout, os.ErrDeadlineExceeded, context.DeadlineExceeded} {
		if !errors.Is(err, wanted) {
			t.Errorf("%v is not %v", err, wanted)
		}
	}
	for _, wanted := range []string{`"orders"`, "1 of 1 in use", "checkout_test.go:"} {
		if !strings.Contains(err.Error(), wanted) {
			t.Errorf("%q does not say %q", err, wanted)
		}
	}
	if held := p.Leases(); len(held) != 1 || !strings.Contains(held[0].Holder, "checkout_test.go:") || held[0].Held <= 0 {
		t.Errorf("got %+v", held)
	}
}

func TestWithoutADeadlineThePoolsOwnHolds(t *testing.T) {
	p, _ := pooled(t, CheckoutPoolConfig{MaxSize: 1, AcquireTimeout: After(10 * time.Millisecond)})
	l := get(t, p)
	defer l.Release()
	if _, err := p.Get(context.Background()); !errors.Is(err, ErrPoolTimeout) {
		t.Errorf("got %v", err)
	}
	if n := p.Stats().Timeouts; n != 1 {
		t.Errorf("%d timeouts", n)
	}
}

func TestACancelledCallerSaysWhy(t *testing.T) {
	p, _ := pooled(t, CheckoutPoolConfig{MaxSize: 1})
	l := get(t, p)
	defer l.Release()
	why := errors.New("the user left")
	ctx, cancel := context.WithCancelCause(t.Context())
	got := make(chan error)
	go func() { _, err := p.Get(ctx); got <- err }()
	lined(t, p, 1)
	cancel(why)
	if err := <-got; !errors.Is(err, context.Canceled) || !errors.Is(err, why) || errors.Is(err, ErrPoolTimeout) {
		t.Errorf("got %v", err)
	}
	if _, err := p.Get(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	lined(t, p, 0)
}

func TestCallersAreServedInTheOrderInWhichTheyCame(t *testing.T) {
	p, _ := pooled(t, CheckoutPoolConfig{MaxSize: 1})
	l := get(t, p)
	var mu sync.Mutex
	var order []int
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			l := get(t, p)
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
			release(t, l)
		})
		lined(t, p, uint64(i+1))
	}
	release(t, l)
	all.Wait()
	for i, who := range order {
		if i != who {
			t.Fatalf("served %v", order)
		}
	}
	if n := p.Stats().HandedOver; n != 11 { // the first one too: it waited for its connection to be dialled
		t.Errorf("%d were handed over", n)
	}
}

func TestOneCallerTooManyIsRefusedAtOnce(t *testing.T) {
	p, _ := pooled(t, CheckoutPoolConfig{MaxSize: 1, MaxWaiters: 1})
	l := get(t, p)
	waits := make(chan error)
	go func() {
		l, err := p.Get(soon(t))
		if err == nil {
			err = l.Release()
		}
		waits <- err
	}()
	lined(t, p, 1)
	_, err := p.Get(soon(t))
	if !errors.Is(err, ErrTooManyWaiters) || !errors.Is(err, ErrLimitExceeded) || errors.Is(err, ErrCircuitOpen) {
		t.Errorf("got %v", err)
	}
	release(t, l)
	if err := <-waits; err != nil {
		t.Error(err)
	}
}

type dialFailure struct{ port int }

func (d *dialFailure) Error() string { return fmt.Sprintf("port %d is shut", d.port) }

func TestTheFailureOfDialIsFoundInTheErrorOfGet(t *testing.T) {
	p, m := pooled(t, CheckoutPoolConfig{AcquireTimeout: After(30 * time.Millisecond)})
	m.fails = fmt.Errorf("no database: %w", &dialFailure{5432})
	_, err := p.Get(context.Background())
	var failure *dialFailure
	if !errors.Is(err, ErrPoolTimeout) || !errors.As(err, &failure) || failure.port != 5432 {
		t.Errorf("got %v", err)
	}
	if strings.Count(err.Error(), "port 5432 is shut") != 1 {
		t.Errorf("got %q", err)
	}
}

func TestWhenNoEndpointWorksCallersAreRefusedAtOnce(t *testing.T) {
	p, m := pooled(t, CheckoutPoolConfig{
		Backoff: BackoffConfig{BaseDelay: After(time.Millisecond), MaxDelay: After(time.Millisecond)},
		Breaker: BreakerConfig{ConsecutiveFailures: 2, Open: After(time.Hour), MaxOpen: After(time.Hour)},
	})
	m.fails = &dialFailure{1}
	_, err := p.Get(soon(t))
	var failure *dialFailure
	if !errors.Is(err, ErrCircuitOpen) || errors.Is(err, ErrTooManyWaiters) || !errors.As(err, &failure) {
		t.Errorf("got %v", err)
	}
}

func TestAPanicInDialIsAFailureToConnect(t *testing.T) {
	logged := captureLog(t)
	balanced(t)
	boom := &dialFailure{9}
	for name, dial := range map[string]func(context.Context) (*thing, error){
		"an error": func(context.Context) (*thing, error) { panic(boom) },
		"a text":   func(context.Context) (*thing, error) { panic("boom") },
		"its end":  func(context.Context) (*thing, error) { runtime.Goexit(); return nil, nil },
	} {
		p := poolOf(t, dial, CheckoutPoolConfig{AcquireTimeout: After(20 * time.Millisecond)})
		_, err := p.Get(context.Background())
		if !errors.Is(err, ErrPoolTimeout) || !errors.As(err, &boom) && name == "an error" {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(err.Error(), "dial ended") && !strings.Contains(err.Error(), "dial panicked") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !strings.Contains(logged(), "checkout_test.go") {
		t.Error("the log does not say where")
	}
}

func TestWhatFailsItsCheckIsNotLent(t *testing.T) {
	check := func(_ context.Context, c *thing) error {
		if c.bad.Load() {
			return errors.New("stale")
		}
		return nil
	}
	p, m := pooled(t, CheckoutPoolConfig{CheckAfter: After(0)}, WithCheck(check))
	l := get(t, p)
	l.Conn().bad.Store(true)
	release(t, l)
	l = get(t, p)
	if n := l.Conn().number; n != 2 {
		t.Errorf("got connection %d", n)
	}
	release(t, l)
	m.expect(t, "invalid", "")
	if n := p.Stats().Invalid; n != 1 {
		t.Errorf("%d failed", n)
	}
}

func TestWhatComesBackIsResetAndAPanicClosesIt(t *testing.T) {
	captureLog(t)
	var resets atomic.Int32
	reset := func(_ context.Context, c *thing) error {
		if resets.Add(1); c.bad.Load() {
			panic("cannot reset")
		}
		return nil
	}
	p, m := pooled(t, CheckoutPoolConfig{MaxSize: 1}, WithReset(reset))
	release(t, get(t, p))
	l := get(t, p)
	if n := l.Conn().number; n != 1 || resets.Load() != 1 {
		t.Errorf("got connection %d after %d resets", n, resets.Load())
	}
	l.Conn().bad.Store(true)
	release(t, l)
	release(t, get(t, p))
	m.expect(t, "invalid", "")
}

func TestClosersAreClosedWithoutBeingAsked(t *testing.T) {
	balanced(t)
	near, far := net.Pipe()
	defer far.Close()
	p := poolOf(t, func(context.Context) (net.Conn, error) { return near, nil }, CheckoutPoolConfig{})
	release(t, get(t, p))
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := near.Write([]byte{1}); err == nil {
		t.Error("it is open")
	}
}

func TestDialKnowsTheValuesOfTheContextAndEndsWithThePool(t *testing.T) {
	balanced(t)
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	dialling := make(chan any, 1)
	p, err := NewPool(ctx, func(ctx context.Context) (*thing, error) {
		dialling <- ctx.Value(key{})
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}, CheckoutPoolConfig{ConnectTimeout: After(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	cancel() // bounds only the call
	got := make(chan error)
	go func() { _, err := p.Get(soon(t)); got <- err }()
	if value := <-dialling; value != "value" {
		t.Errorf("got %v", value)
	}
	p.Close()
	if err := <-got; !errors.Is(err, ErrPoolClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := NewPool(ctx, new(maker).dial, CheckoutPoolConfig{}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func TestAClosedCheckoutPoolSaysSoAndTakesItsLeasesBack(t *testing.T) {
	p, m := pooled(t, CheckoutPoolConfig{MaxSize: 2})
	idle, lent := get(t, p), get(t, p)
	release(t, idle)
	waits := make(chan error)
	go func() {
		for {
			l, err := p.Get(soon(t))
			if err != nil {
				waits <- err
				return
			}
			defer l.Release()
		}
	}()
	lined(t, p, 1)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waits; !errors.Is(err, ErrPoolClosed) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("who waited got %v", err)
	}
	for name, err := range map[string]error{
		"get":    func() error { _, err := p.Get(soon(t)); return err }(),
		"close":  p.Close(),
		"resize": p.Resize(3, 0),
		"wait":   p.WaitReady(soon(t)),
	} {
		if !errors.Is(err, ErrPoolClosed) && name != "resize" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if lent.Conn() == nil {
		t.Error("the lease ended with the pool")
	}
	release(t, lent)
	m.expect(t, "pool_closed", "pool_closed")
	eventually(t, func() error {
		if s := p.Stats(); s.Used != 0 || s.Closed != 2 || p.Leases() != nil {
			return fmt.Errorf("got %+v", s)
		}
		return nil
	})
}

func TestADrainWaitsForItsLeases(t *testing.T) {
	p, m := pooled(t, CheckoutPoolConfig{})
	l := get(t, p)
	drained := make(chan error)
	go func() { drained <- p.Drain(soon(t)) }()
	eventually(t, func() error {
		l, err := p.Get(soon(t))
		if err == nil {
			l.Release()
			return errors.New("a pool that drains lends")
		}
		return nil
	})
	select {
	case err := <-drained:
		t.Errorf("it did not wait: %v", err)
	default:
	}
	release(t, l)
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	for _, reason := range m.reasons() {
		if reason != "pool_closed" {
			t.Errorf("got %q", reason)
		}
	}
}

func TestADrainThatIsLateSaysHowManyAreLeft(t *testing.T) {
	p, m := pooled(t, CheckoutPoolConfig{})
	l := get(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.Drain(ctx); !errors.Is(err, ErrPoolTimeout) || !strings.Contains(err.Error(), "1 of its connections") {
		t.Errorf("got %v", err)
	}
	release(t, l)
	m.expect(t, "pool_closed")
}

func TestClearRetiresWhatWasDialledBefore(t *testing.T) {
	p, m := pooled(t, CheckoutPoolConfig{MaxSize: 2})
	idle, lent := get(t, p), get(t, p)
	release(t, idle)
	p.Clear()
	release(t, lent)
	l := get(t, p)
	if n := l.Conn().number; n != 3 {
		t.Errorf("got connection %d", n)
	}
	release(t, l)
	m.expect(t, "cleared", "cleared", "")
	if n := p.Stats().Epoch; n != 1 {
		t.Errorf("epoch %d", n)
	}
}

func TestResizeServesThoseWhoNowFit(t *testing.T) {
	p, _ := pooled(t, CheckoutPoolConfig{MaxSize: 1})
	first := get(t, p)
	second := make(chan *Lease[*thing])
	go func() {
		l, err := p.Get(soon(t))
		if err != nil {
			t.Error(err)
		}
		second <- l
	}()
	lined(t, p, 1)
	if err := p.Resize(2, 0); err != nil {
		t.Error(err)
	}
	release(t, first, <-second)
	if err := p.Resize(0, 0); kindOf(err) != KindConfig || !strings.Contains(err.Error(), "max_size") {
		t.Errorf("got %v", err)
	}
}

func TestWaitReadyWaitsForTheIdleOnes(t *testing.T) {
	p, m := pooled(t, CheckoutPoolConfig{MinIdle: 3})
	if err := p.WaitReady(soon(t)); err != nil {
		t.Error(err)
	}
	if n := p.Stats().Idle; n != 3 {
		t.Errorf("%d idle", n)
	}
	m.expect(t, "", "", "")

	failing := poolOf(t, func(context.Context) (*thing, error) { return nil, &dialFailure{7} }, CheckoutPoolConfig{MinIdle: 1})
	eventually(t, func() error {
		if failing.Stats().CreateFailed == 0 {
			return errors.New("it did not fail yet")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	var failure *dialFailure
	if err := failing.WaitReady(ctx); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &failure) {
		t.Errorf("got %v", err)
	}
}

func TestACheckoutPoolConfigOutOfRangeNamesTheField(t *testing.T) {
	balanced(t)
	for field, config := range map[string]CheckoutPoolConfig{
		"max_size":        {MaxSize: 1_000_001},
		"min_idle":        {MinIdle: 11},
		"lifetime_jitter": {LifetimeJitter: Set(2.0)},
		"connect_timeout": {ConnectTimeout: After(0)},
		"idle_order":      {IdleOrder: "random"},
		"multiplier":      {Breaker: BreakerConfig{Multiplier: 0.5}},
	} {
		_, err := NewPool(t.Context(), new(maker).dial, config)
		if kindOf(err) != KindConfig || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := NewPool[*thing](t.Context(), nil, CheckoutPoolConfig{}); kindOf(err) != KindConfig {
		t.Errorf("without dial: %v", err)
	}
}

func TestALeaseThatIsLostHasItsConnectionClosed(t *testing.T) {
	logged := captureLog(t)
	p, m := pooled(t, CheckoutPoolConfig{Name: "loose", MaxSize: 1})
	release(t, get(t, p))
	func() { get(t, p) }()
	collected := make(chan *Lease[*thing])
	go func() { collected <- get(t, p) }()
	lined(t, p, 1)
	eventually(t, func() error {
		runtime.GC()
		if p.Stats().Waiting != 0 {
			return errors.New("the lease is not found")
		}
		return nil
	})
	release(t, <-collected)
	m.expect(t, "discarded", "")
	if !strings.Contains(logged(), "dropped without Release") || !strings.Contains(logged(), "pool=loose") {
		t.Errorf("logged %q", logged())
	}
}

func TestALeaseThatWasReleasedIsNotFoundLost(t *testing.T) {
	logged := captureLog(t)
	p, m := pooled(t, CheckoutPoolConfig{})
	for range 100 {
		release(t, get(t, p))
		runtime.GC()
	}
	get(t, p).Discard(nil)
	conn, _ := get(t, p).Detach()
	runtime.GC()
	runtime.GC()
	m.expect(t, "discarded", "")
	if logged() != "" {
		t.Errorf("logged %q", logged())
	}
	_ = conn
}

func TestACheckoutPoolThatIsDroppedIsClosed(t *testing.T) {
	logged := captureLog(t)
	balanced(t)
	m := new(maker)
	func() {
		p, err := NewPool(context.Background(), m.dial, CheckoutPoolConfig{}, WithClose(m.end))
		if err != nil {
			t.Fatal(err)
		}
		release(t, get(t, p))
	}()
	eventually(t, func() error {
		runtime.GC()
		if m.reasons()[0] == "" {
			return errors.New("it is open")
		}
		return nil
	})
	m.expect(t, "pool_closed")
	if !strings.Contains(logged(), "a pool was dropped") {
		t.Errorf("logged %q", logged())
	}
}

func TestALeaseKeepsItsPool(t *testing.T) {
	logged := captureLog(t)
	balanced(t)
	m := new(maker)
	l := func() *Lease[*thing] {
		p, err := NewPool(context.Background(), m.dial, CheckoutPoolConfig{}, WithClose(m.end))
		if err != nil {
			t.Fatal(err)
		}
		return get(t, p)
	}()
	for range 3 {
		runtime.GC()
	}
	m.expect(t, "")
	if l.Conn().number != 1 || logged() != "" {
		t.Errorf("logged %q", logged())
	}
	p := l.pool
	release(t, l)
	p.Close()
}

func TestARuntimeThatStopsEndsItsCheckoutPools(t *testing.T) {
	balanced(t)
	rt, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	m := new(maker)
	p, err := NewPoolOn(rt, t.Context(), m.dial, CheckoutPoolConfig{MaxSize: 2}, WithClose(m.end))
	if err != nil {
		t.Fatal(err)
	}
	lent, idle := get(t, p), get(t, p)
	release(t, idle)
	const callers = 50
	got := make(chan error, callers+1)
	for range callers + 1 {
		go func() {
			l, err := p.Get(soon(t))
			if err == nil {
				<-t.Context().Done()
				runtime.KeepAlive(l)
			}
			got <- err
		}()
	}
	lined(t, p, callers)
	if err := rt.Shutdown(soon(t)); err != nil {
		t.Error(err)
	}
	for range callers {
		if err := <-got; !errors.Is(err, ErrPoolClosed) {
			t.Errorf("who waited got %v", err)
		}
	}
	m.expect(t, "pool_closed", "pool_closed")
	if err := lent.Release(); !errors.Is(err, ErrPoolClosed) {
		t.Errorf("a late release: %v", err)
	}
	if _, err := p.Get(soon(t)); !errors.Is(err, ErrPoolClosed) {
		t.Errorf("a late get: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("a late close: %v", err)
	}
}

// Each of many callers is cancelled while connections go round: nobody is stranded, and nothing is lost.
func TestAStormOfCancelsLosesNothing(t *testing.T) {
	p, m := pooled(t, CheckoutPoolConfig{MaxSize: 4})
	const callers, rounds = 64, 60
	before := native.DebugCounts()
	var all sync.WaitGroup
	var served, left atomic.Int64
	for i := range callers {
		all.Go(func() {
			for r := range rounds {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Duration((i*7+r*13)%300)*time.Microsecond, cancel)
				l, err := p.Get(ctx)
				switch {
				case err == nil:
					served.Add(1)
					if r%5 == 0 {
						runtime.Gosched()
					}
					if err := l.Release(); err != nil {
						t.Error(err)
					}
				case errors.Is(err, context.Canceled):
					left.Add(1)
				default:
					t.Error(err)
				}
				cancel()
			}
		})
	}
	all.Wait()
	eventually(t, func() error {
		if s := p.Stats(); s.Used != 0 || s.Waiting != 0 || s.Created > 4 {
			return fmt.Errorf("got %+v", s)
		}
		if now := native.DebugCounts(); now.Operations != before.Operations {
			return fmt.Errorf("%d operations", now.Operations)
		}
		return nil
	})
	if served.Load()+left.Load() != callers*rounds {
		t.Errorf("%d served, %d left", served.Load(), left.Load())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.made) > 4 {
		t.Errorf("%d connections", len(m.made))
	}
}

// Callers who share a context all give up at once, while connections come back: those in line behind them are served.
func TestAContextThatManyWaitUnderFreesThemAll(t *testing.T) {
	p, _ := pooled(t, CheckoutPoolConfig{MaxSize: 2})
	first, second := get(t, p), get(t, p)
	const callers, others = 2_000, 20
	ctx, cancel := context.WithCancel(t.Context())
	var gaveUp, served sync.WaitGroup
	for range callers {
		gaveUp.Go(func() {
			l, err := p.Get(ctx)
			if err == nil {
				err = l.Release()
			} else if errors.Is(err, context.Canceled) {
				err = nil
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	lined(t, p, callers)
	for range others {
		served.Go(func() { release(t, get(t, p)) })
	}
	lined(t, p, callers+others)
	go cancel()
	release(t, first)
	gaveUp.Wait()
	release(t, second)
	served.Wait()
	if s := p.Stats(); s.Used != 0 || s.Waiting != 0 || s.Created != 2 {
		t.Errorf("got %+v", s)
	}
}

// No connection has two holders, whatever callers do with their leases.
func TestUnderContentionAConnectionHasOneHolder(t *testing.T) {
	p, m := pooled(t, CheckoutPoolConfig{MaxSize: 5})
	holders := make(map[*thing]*atomic.Int32)
	var mu sync.Mutex
	of := func(c *thing) *atomic.Int32 {
		mu.Lock()
		defer mu.Unlock()
		if holders[c] == nil {
			holders[c] = new(atomic.Int32)
		}
		return holders[c]
	}
	var all sync.WaitGroup
	var detached atomic.Int32
	for w := range 16 {
		all.Go(func() {
			for i := range 200 {
				l := get(t, p)
				n := of(l.Conn())
				if n.Add(1) != 1 {
					t.Error("two holders")
				}
				if i%3 == 0 {
					runtime.Gosched()
				}
				n.Add(-1)
				var err error
				switch {
				case i%50 == 0:
					err = l.Discard(nil)
				case i%77 == 0:
					_, err = l.Detach()
					detached.Add(1)
				default:
					err = l.Release()
				}
				if err != nil {
					t.Error(err)
				}
				if w == 0 && i%90 == 0 {
					p.Clear()
				}
			}
		})
	}
	all.Wait()
	s := p.Stats()
	if s.Created-s.Closed != s.Idle+s.Used+s.Validating+s.Closing || s.Used != 0 {
		t.Errorf("got %+v", s)
	}
	p.Close()
	eventually(t, func() error {
		open := 0
		for _, reason := range m.reasons() {
			if reason == "" {
				open++
			}
		}
		if int32(open) != detached.Load() {
			return fmt.Errorf("%d are open, %d were detached", open, detached.Load())
		}
		return nil
	})
}

func TestTenThousandCallersInLineHoldNoThreads(t *testing.T) {
	p, _ := pooled(t, CheckoutPoolConfig{MaxSize: 2, AcquireTimeout: Never})
	const callers = 10_000
	// A call into C that the machine interrupts costs a thread, which Go then keeps: a few, however many wait.
	bound := runtime.GOMAXPROCS(0) + 64
	first, second := get(t, p), get(t, p)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			l, err := p.Get(context.Background())
			if err != nil {
				t.Error(err)
				return
			}
			release(t, l)
		})
	}
	lined(t, p, callers)
	if n := threads(t); n >= bound {
		t.Errorf("%d threads while %d callers wait, the bound is %d", n, callers, bound)
	}
	release(t, first, second)
	all.Wait()
	if n := threads(t); n >= bound {
		t.Errorf("%d threads afterwards, the bound is %d", n, bound)
	}
}

func TestEveryFieldOfACheckoutPoolConfigIsKnown(t *testing.T) {
	second := After(time.Second)
	pooled(t, CheckoutPoolConfig{
		Name: "all", MaxSize: 2, MinIdle: 1, MaxWaiters: 3, AcquireTimeout: Never, ConnectTimeout: second,
		MaxConnecting: 1, IdleTimeout: second, MaxLifetime: second, LifetimeJitter: Set(0.0), CheckAfter: second,
		CheckTimeout: second, Keepalive: second, CloseTimeout: second, IdleOrder: FIFO, LeakAfter: second,
		Backoff: BackoffConfig{BaseDelay: second, Multiplier: 2, Jitter: Set(0.0), MaxDelay: second},
		Breaker: BreakerConfig{
			Bucket: second, Buckets: 2, FailureRatio: 0.1, MinCalls: 1, ConsecutiveFailures: 1, Open: second,
			Multiplier: 1, MaxOpen: second, Jitter: Set(0.0), Probes: 1, ProbeDeadline: second,
		},
		Tuner: TunerConfig{
			Mode: TunerApply, Interval: second, TargetWait: second, GrowAfter: 1, YieldAfter: 1, ShrinkAfter: 1,
			Gradient: 0.5, CoolDown: second, MinSize: 1, MaxSize: 2,
		},
		Places: Set(true),
	})
}

func TestTryGetNeitherWaitsNorDials(t *testing.T) {
	p, m := pooled(t, CheckoutPoolConfig{MaxSize: 1, Places: Set(true)})
	if _, ok := p.TryGet(); ok || len(m.reasons()) > 0 {
		t.Fatal("it dialled")
	}
	release(t, get(t, p))
	l, ok := p.TryGet()
	if !ok || l.Conn().number != 1 || !strings.Contains(p.Leases()[0].Holder, "checkout_test.go:") {
		t.Fatalf("%+v, %v", l, ok)
	}
	if _, ok := p.TryGet(); ok {
		t.Error("lent twice")
	}
	release(t, l)
	p.Close()
	if _, ok := p.TryGet(); ok {
		t.Error("lent by a closed pool")
	}
}

func TestTheTunerSaysWhyItWouldGrow(t *testing.T) {
	tuner := TunerConfig{Interval: After(time.Millisecond), TargetWait: After(0), GrowAfter: 1, Gradient: 0.1, MaxSize: 2}
	p, _ := pooled(t, CheckoutPoolConfig{MaxSize: 1, Tuner: tuner})
	if advice := p.Advice(); len(advice) > 0 {
		t.Fatalf("%+v before anybody came", advice)
	}
	begun := time.Now()
	over := make(chan struct{})
	var crowd sync.WaitGroup
	for range 4 {
		crowd.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					release(t, get(t, p))
				}
			}
		})
	}
	eventually(t, func() error {
		if len(p.Advice()) == 0 {
			return errors.New("no advice")
		}
		return nil
	})
	close(over)
	crowd.Wait()
	advice := p.Advice()[0]
	if advice.MaxSize != 2 || advice.Applied || !strings.Contains(advice.Text, "grow from 1 to 2") {
		t.Errorf("got %+v", advice)
	}
	if advice.At.Before(begun) || advice.At.After(time.Now()) {
		t.Errorf("said at %v", advice.At)
	}
	if size := p.Stats().MaxSize; size != 1 {
		t.Errorf("it has %d by now", size)
	}
}
