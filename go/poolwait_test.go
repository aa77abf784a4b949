package trunkline

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trunkline.dev/go/internal/native"
)

// constant makes a value, whatever the context.
func constant(value int) func(context.Context) (int, error) {
	return func(context.Context) (int, error) { return value, nil }
}

// waiting waits until so many calls wait in the library.
func waiting(t *testing.T, calls uint64) {
	t.Helper()
	eventually(t, func() error {
		if n := native.DebugCounts().Operations; n != calls {
			return fmt.Errorf("%d calls wait, wanted %d", n, calls)
		}
		return nil
	})
}

type answer struct {
	value int
	err   error
}

func getOrCreate(ctx context.Context, p *KeyedPool[string, int], key string, create func(context.Context) (int, error)) <-chan answer {
	got := make(chan answer, 1)
	go func() {
		value, err := p.GetOrCreate(ctx, key, create)
		got <- answer{value, err}
	}()
	return got
}

func TestAValueThatIsNotThereIsMadeOnce(t *testing.T) {
	p, seen := newPool(t, PoolConfig{})
	var made atomic.Int64
	goOn := make(chan struct{})
	create := func(context.Context) (int, error) {
		<-goOn
		return int(made.Add(1)), nil
	}
	first := getOrCreate(soon(t), p, "a", create)
	eventually(t, func() error {
		if native.DebugCounts().Jobs != 1 {
			return errors.New("no job")
		}
		return nil
	})
	second, third := getOrCreate(soon(t), p, "a", create), getOrCreate(soon(t), p, "a", create)
	waiting(t, 2)
	close(goOn)
	for _, got := range []<-chan answer{first, second, third} {
		if a := <-got; a != (answer{1, nil}) {
			t.Errorf("got %+v", a)
		}
	}
	if value, err := p.GetOrCreate(soon(t), "a", create); value != 1 || err != nil {
		t.Errorf("got %v, %v", value, err)
	}
	if p.Size() != 1 || p.MaxSize() != 1024 || p.Utilization() != 1.0/1024 || p.ExpirationRatio() != 0 {
		t.Errorf("got %+v", p.Stats())
	}
	seen.expect(t)
}

func TestAMakerThatFailsPanicsOrIsCancelledHandsItsTurnOn(t *testing.T) {
	p, seen := newPool(t, PoolConfig{})
	failure := errors.New("no luck")
	ctx, cancel := context.WithCancel(soon(t))
	makers := map[string]func(context.Context) (int, error){
		"fails":  func(context.Context) (int, error) { return 0, failure },
		"panics": func(context.Context) (int, error) { panic(failure) },
		"cancelled": func(ctx context.Context) (int, error) {
			cancel()
			<-ctx.Done()
			return 0, context.Cause(ctx)
		},
	}
	for name, create := range makers {
		goOn := make(chan struct{})
		ended := make(chan error, 1)
		go func() {
			defer func() {
				if caught := recover(); caught != nil {
					ended <- caught.(error)
				}
			}()
			_, err := p.GetOrCreate(ctx, name, func(ctx context.Context) (int, error) {
				<-goOn
				return create(ctx)
			})
			ended <- err
		}()
		eventually(t, func() error {
			if native.DebugCounts().Jobs != 1 {
				return errors.New("no job")
			}
			return nil
		})
		next := getOrCreate(soon(t), p, name, constant(7))
		waiting(t, 1)
		close(goOn)
		wanted := failure
		if name == "cancelled" {
			wanted = context.Canceled
		}
		if err := <-ended; !errors.Is(err, wanted) {
			t.Errorf("%s: %v", name, err)
		}
		if a := <-next; a != (answer{7, nil}) {
			t.Errorf("%s: got %+v", name, a)
		}
		ctx, cancel = context.WithCancel(soon(t))
	}
	cancel()
	seen.expect(t)
}

func TestACallThatIsCancelledWhileItWaitsStrandsNobody(t *testing.T) {
	p, _ := newPool(t, PoolConfig{})
	goOn := make(chan struct{})
	first := getOrCreate(soon(t), p, "a", func(context.Context) (int, error) {
		<-goOn
		return 0, errors.New("no luck")
	})
	eventually(t, func() error {
		if native.DebugCounts().Jobs != 1 {
			return errors.New("no job")
		}
		return nil
	})
	ctx, cancel := context.WithCancel(soon(t))
	second := getOrCreate(ctx, p, "a", constant(2))
	waiting(t, 1)
	third := getOrCreate(soon(t), p, "a", constant(3))
	waiting(t, 2)
	cancel()
	if a := <-second; !errors.Is(a.err, context.Canceled) {
		t.Errorf("got %+v", a)
	}
	close(goOn)
	<-first
	if a := <-third; a != (answer{3, nil}) {
		t.Errorf("got %+v", a)
	}
	if _, err := p.GetOrCreate(ctx, "b", constant(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsMadeTooLateIsClosed(t *testing.T) {
	p, seen := newPool(t, PoolConfig{})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	value, err := p.GetOrCreate(ctx, "a", func(context.Context) (int, error) {
		// The next one has the turn once this one's time is over.
		return p.GetOrCreate(soon(t), "b", func(ctx context.Context) (int, error) {
			if _, err := p.GetOrCreate(ctx, "a", constant(2)); err != nil {
				t.Error(err)
			}
			return 1, nil
		})
	})
	if value != 0 || !errors.Is(err, ErrPoolTimeout) {
		t.Errorf("got %v, %v", value, err)
	}
	seen.expect(t, closing{"a", 1, PoolCloseUnwanted})
	if v, _ := p.Get("a"); v != 2 {
		t.Errorf("got %v", v)
	}
}

func TestAValueInsertedMeanwhileStays(t *testing.T) {
	p, seen := newPool(t, PoolConfig{})
	value, err := p.GetOrCreate(soon(t), "a", func(context.Context) (int, error) {
		insert(t, p, "a", 1)
		return 2, nil
	})
	if value != 1 || err != nil {
		t.Errorf("got %v, %v", value, err)
	}
	seen.expect(t, closing{"a", 2, PoolCloseDuplicate})
}

func TestACloseWaitsForWhatIsBeingMade(t *testing.T) {
	p, seen := newPool(t, PoolConfig{})
	goOn := make(chan struct{})
	first := getOrCreate(soon(t), p, "a", func(context.Context) (int, error) {
		<-goOn
		return 1, nil
	})
	eventually(t, func() error {
		if native.DebugCounts().Jobs != 1 {
			return errors.New("no job")
		}
		return nil
	})
	second := getOrCreate(soon(t), p, "a", constant(2))
	waiting(t, 1)
	closed := make(chan error)
	go func() { closed <- p.Close() }()
	if a := <-second; !errors.Is(a.err, ErrPoolClosed) {
		t.Errorf("got %+v", a)
	}
	select {
	case err := <-closed:
		t.Errorf("closed while a value is made: %v", err)
	default:
	}
	close(goOn)
	if a := <-first; !errors.Is(a.err, ErrPoolClosed) {
		t.Errorf("got %+v", a)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	seen.expect(t, closing{"a", 1, PoolClosePoolClosed})
	if _, err := p.GetOrCreate(soon(t), "a", constant(2)); !errors.Is(err, ErrPoolClosed) {
		t.Errorf("got %v", err)
	}
}

func TestAFullPoolLetsItsCallersWait(t *testing.T) {
	p, seen := newPool(t, PoolConfig{MaxSize: 1, WhenFull: WaitWhenFull})
	if err := p.InsertWait(soon(t), "a", 1, TimeLimit{}); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"insert": p.Insert("b", 2), "for": p.InsertFor("b", 2, Never)} {
		if !errors.Is(err, ErrLimitExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := p.InsertWait(short, "b", 2, TimeLimit{}); !errors.Is(err, ErrPoolTimeout) {
		t.Errorf("got %v", err)
	}
	inserted := make(chan error)
	go func() { inserted <- p.InsertWait(soon(t), "b", 3, TimeLimit{}) }()
	waiting(t, 1)
	p.Remove("a")
	if err := <-inserted; err != nil {
		t.Error(err)
	}
	made := getOrCreate(soon(t), p, "c", constant(4))
	waiting(t, 1)
	p.Remove("b")
	if a := <-made; a != (answer{4, nil}) {
		t.Errorf("got %+v", a)
	}
	go func() { inserted <- p.InsertWait(soon(t), "d", 5, TimeLimit{}) }()
	waiting(t, 1)
	p.Close()
	if err := <-inserted; !errors.Is(err, ErrPoolClosed) {
		t.Errorf("got %v", err)
	}
	seen.expect(t, closing{"c", 4, PoolClosePoolClosed})
}

func TestAValueMayHaveALifetimeOfItsOwn(t *testing.T) {
	p, seen := newPool(t, PoolConfig{})
	if err := errors.Join(p.InsertFor("a", 1, After(0)), p.InsertFor("b", 2, Never), p.InsertFor("c", 3, After(time.Hour))); err != nil {
		t.Fatal(err)
	}
	if err := p.InsertFor("d", 4, After(-1)); kindOf(err) != KindConfig {
		t.Errorf("got %v", err)
	}
	for key, there := range map[string]bool{"a": false, "b": true, "c": true} {
		if _, ok := p.Get(key); ok != there {
			t.Errorf("%s: %v", key, ok)
		}
	}
	seen.expect(t, closing{"a", 1, PoolCloseLifetime})
}

// Whatever many goroutines make, cancel and fail, there is one maker for a key and each value ends once.
func TestUnderContentionOneMakesForEachKey(t *testing.T) {
	balanced(t)
	const workers, rounds, keys = 8, 150, 4
	var closed, made atomic.Int64
	var atWork [keys]atomic.Int32
	p, err := NewKeyedPool(PoolConfig{MaxSize: 3, WhenFull: EvictLRU}, func(string, int, PoolCloseReason) { closed.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := range rounds {
				key := (w + i) % keys
				ctx, cancel := context.WithCancel(context.Background())
				if i%7 == 0 {
					go cancel()
				}
				_, err := p.GetOrCreate(ctx, strconv.Itoa(key), func(context.Context) (int, error) {
					if atWork[key].Add(1) != 1 {
						t.Error("two makers for one key")
					}
					defer atWork[key].Add(-1)
					if i%5 == 0 {
						return 0, errors.New("no luck")
					}
					return int(made.Add(1)), nil
				})
				if err != nil && kindOf(err) != 0 && !errors.Is(err, ErrLimitExceeded) && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	all.Wait()
	if p.Size() > 3 {
		t.Errorf("%d entries", p.Size())
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if closed.Load() != made.Load() {
		t.Errorf("made %d, closed %d", made.Load(), closed.Load())
	}
}
