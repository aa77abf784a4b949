package trunkline

import (
	"encoding/json"
	"log/slog"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"trunkline.dev/go/internal/native"
)

// PoolKey is what a [KeyedPool] keeps values under. Keys are equal if their bytes are.
type PoolKey interface{ ~string | ~[]byte }

// KeyedPool keeps one value under each key, with a capacity that is never exceeded and with expiry.
//
// A value that the pool gives up, for whatever reason, goes to the close function exactly once, on a goroutine of
// the pool's. Get gives out a value that stays in the pool and may be closed meanwhile: values have to bear that, as
// connections do; Remove takes it out. Any number of goroutines may use a pool at once.
type KeyedPool[K PoolKey, V any] struct {
	kept *kept[K, V]
}

// PoolCloseReason says why a pool gave a value up.
type PoolCloseReason uint32

// The reasons.
const (
	PoolCloseIdleTimeout     = PoolCloseReason(native.PoolCloseIdleTimeout)     // not used for the idle timeout
	PoolCloseLifetime        = PoolCloseReason(native.PoolCloseLifetime)        // it had reached its lifetime
	PoolCloseEvicted         = PoolCloseReason(native.PoolCloseEvicted)         // it made room in a full pool
	PoolCloseReplaced        = PoolCloseReason(native.PoolCloseReplaced)        // another value was inserted under its key
	PoolCloseDuplicate       = PoolCloseReason(native.PoolCloseDuplicate)       // it was made while another was inserted
	PoolCloseCleared         = PoolCloseReason(native.PoolCloseCleared)         // the pool was cleared
	PoolClosePoolClosed      = PoolCloseReason(native.PoolClosePoolClosed)      // the pool, or its runtime, was closed
	PoolCloseDiscarded       = PoolCloseReason(native.PoolCloseDiscarded)       // its holder said so, or lost its lease
	PoolCloseUnwanted        = PoolCloseReason(native.PoolCloseUnwanted)        // it came when nobody wanted it any more
	PoolCloseBroken          = PoolCloseReason(native.PoolCloseBroken)          // it was found broken
	PoolCloseInvalid         = PoolCloseReason(native.PoolCloseInvalid)         // it did not pass a check or a reset
	PoolCloseShrunk          = PoolCloseReason(native.PoolCloseShrunk)          // the pool was made smaller
	PoolCloseDetached        = PoolCloseReason(native.PoolCloseDetached)        // it was taken out for good, and not closed
	PoolCloseEndpointRemoved = PoolCloseReason(native.PoolCloseEndpointRemoved) // its endpoint was taken out of the pool
)

var poolCloseNames = map[PoolCloseReason]string{
	PoolCloseIdleTimeout:     "idle_timeout",
	PoolCloseLifetime:        "lifetime",
	PoolCloseEvicted:         "evicted",
	PoolCloseReplaced:        "replaced",
	PoolCloseDuplicate:       "duplicate",
	PoolCloseCleared:         "cleared",
	PoolClosePoolClosed:      "pool_closed",
	PoolCloseDiscarded:       "discarded",
	PoolCloseUnwanted:        "unwanted",
	PoolCloseBroken:          "broken",
	PoolCloseInvalid:         "invalid",
	PoolCloseShrunk:          "shrunk",
	PoolCloseDetached:        "detached",
	PoolCloseEndpointRemoved: "endpoint_removed",
}

// String is the reason in a word.
func (r PoolCloseReason) String() string {
	if name, ok := poolCloseNames[r]; ok {
		return name
	}
	return "reason " + strconv.Itoa(int(r))
}

// PoolStats are the counts of a pool; all are of one moment, but for hits and misses.
type PoolStats struct {
	Entries         uint64        // entries, those included that have expired and were not pruned
	MaxEntries      uint64        // the most entries there can be
	Hits            uint64        // gets that found a value
	Misses          uint64        // gets that found none
	Inserted        uint64        // values that the pool took over
	Taken           uint64        // values that were taken out with Remove
	Expired         uint64        // values given up because they expired
	Evicted         uint64        // values given up to make room
	Closed          uint64        // values given up for any reason: Inserted = Entries + Taken + Closed
	AverageAge      time.Duration // mean age of the entries; 0 if there is none
	Utilization     float64       // Entries / MaxEntries
	ExpirationRatio float64       // Expired / Inserted; 0 if nothing was inserted
}

// NewKeyedPool makes a pool on the default runtime. The function close, which may be nil, gets every value that the
// pool gives up; calls come one after the other. It fails with [KindConfig] for a configuration out of range.
func NewKeyedPool[K PoolKey, V any](config PoolConfig, close func(K, V, PoolCloseReason)) (*KeyedPool[K, V], error) {
	rt, err := Default()
	if err != nil {
		return nil, err
	}
	return NewKeyedPoolOn(rt, config, close)
}

// NewKeyedPoolOn is NewKeyedPool on a runtime of the caller's.
func NewKeyedPoolOn[K PoolKey, V any](rt *Runtime, config PoolConfig, close func(K, V, PoolCloseReason)) (*KeyedPool[K, V], error) {
	document, err := json.Marshal(config)
	if err != nil {
		return nil, configError(err)
	}
	k := &kept[K, V]{rt: rt, close: close, values: make(map[uint64]pair[K, V]), gone: make(chan struct{})}
	k.tag = rt.sinks.add(k)
	handle, failure := native.KeyedPoolNew(rt.handle, string(document), rt.queue.Handle(), k.tag)
	if failure != nil {
		rt.sinks.remove(k.tag)
		return nil, newError(failure, native.StepConfigure)
	}
	k.handle.Store(handle)
	if rt.stopping.Load() {
		k.shut()
	}
	p := &KeyedPool[K, V]{k}
	runtime.AddCleanup(p, func(k *kept[K, V]) {
		if k.free() {
			slog.Warn("trunkline: a pool was dropped without Close")
		}
	}, k)
	return p, nil
}

// Insert puts value under key. A value that was there is given up as [PoolCloseReplaced].
//
// It fails with [ErrLimitExceeded] if the pool is full and its policy is to reject, or if all its entries are just being
// given up to make room for others, and with [ErrPoolClosed]; the value then stays the caller's, and is not closed.
func (p *KeyedPool[K, V]) Insert(key K, value V) error {
	defer runtime.KeepAlive(p)
	return p.kept.insert(key, value)
}

// Get finds the value under key, which stays in the pool; this counts as a use of it. An expired one is not found.
func (p *KeyedPool[K, V]) Get(key K) (V, bool) {
	defer runtime.KeepAlive(p)
	id, _ := native.KeyedPoolGet(p.kept.handle.Load(), []byte(key))
	return p.kept.find(id)
}

// Remove takes the value under key out of the pool: it is the caller's again, and is not closed.
func (p *KeyedPool[K, V]) Remove(key K) (V, bool) {
	defer runtime.KeepAlive(p)
	id, _ := native.KeyedPoolRemove(p.kept.handle.Load(), []byte(key))
	found, ok := p.kept.take(id)
	p.kept.settle(ok)
	return found.value, ok
}

// Clear gives up every value that is in the pool at the time of the call, as [PoolCloseCleared].
func (p *KeyedPool[K, V]) Clear() {
	defer runtime.KeepAlive(p)
	native.KeyedPoolClear(p.kept.handle.Load())
}

// PruneExpired gives up values that have expired, of 256 that it looks at, and says how many. The pool also does so by itself.
func (p *KeyedPool[K, V]) PruneExpired() int {
	defer runtime.KeepAlive(p)
	return int(native.KeyedPoolPruneExpired(p.kept.handle.Load()))
}

// Size is how many entries there are, those included that have expired and were not pruned; 0 once it is closed.
func (p *KeyedPool[K, V]) Size() int { return int(p.Stats().Entries) }

// MaxSize is the most entries there can be; 0 once it is closed.
func (p *KeyedPool[K, V]) MaxSize() int { return int(p.Stats().MaxEntries) }

// Utilization is the part of MaxSize that Size is.
func (p *KeyedPool[K, V]) Utilization() float64 { return p.Stats().Utilization }

// ExpirationRatio is the part of all values that ended because they expired; 0 if there were none.
func (p *KeyedPool[K, V]) ExpirationRatio() float64 { return p.Stats().ExpirationRatio }

// Stats are the counts of the pool; zeroes once it is closed.
func (p *KeyedPool[K, V]) Stats() PoolStats {
	defer runtime.KeepAlive(p)
	stats, _ := native.KeyedPoolStats(p.kept.handle.Load())
	return PoolStats{
		Entries:         stats.Entries,
		MaxEntries:      stats.MaxEntries,
		Hits:            stats.Hits,
		Misses:          stats.Misses,
		Inserted:        stats.Inserted,
		Taken:           stats.Taken,
		Expired:         stats.Expired,
		Evicted:         stats.Evicted,
		Closed:          stats.Closed,
		AverageAge:      time.Duration(stats.AverageAgeNs),
		Utilization:     stats.Utilization,
		ExpirationRatio: stats.ExpirationRatio,
	}
}

// Close gives up every value, as [PoolClosePoolClosed], and returns when the close function is done with all of them,
// those included that are just being made; it must not be called from there, nor by what makes a value. Only the first call succeeds; the others fail with [ErrPoolClosed] at once.
func (p *KeyedPool[K, V]) Close() error {
	if !p.kept.free() {
		return poolError(native.Plain(native.Closed))
	}
	<-p.kept.gone
	return nil
}

func poolError(failure *native.Failure) error {
	return asPoolError(newError(failure, native.StepAcquire))
}

// kept holds the values of a pool; the native pool holds their ids. Whoever takes a value out of the map has
// to close it or give it away, so that each is closed at most once.
type kept[K PoolKey, V any] struct {
	rt     *Runtime
	tag    uint64
	handle atomic.Uint64
	close  func(K, V, PoolCloseReason)

	mu      sync.Mutex // guards what is below; never held while close runs
	last    uint64
	values  map[uint64]pair[K, V]
	leaving []leaving[K, V] // in the order in which they were given up
	closing bool            // a goroutine works on leaving
	owed    int             // values that are in the map or on their way to close, and calls that may bring one
	freed   bool
	ended   bool
	gone    chan struct{} // closed when the pool is freed and nothing is owed
}

type pair[K PoolKey, V any] struct {
	key   K
	value V
}

type leaving[K PoolKey, V any] struct {
	pair[K, V]
	reason PoolCloseReason
}

func (k *kept[K, V]) insert(key K, value V) error {
	bytes := append([]byte(nil), key...)
	id := k.add(bytes, value)
	if failure := native.KeyedPoolInsert(k.handle.Load(), bytes, id); failure != nil {
		k.takeBack(id)
		return poolError(failure)
	}
	return nil
}

// add gives a value its id.
func (k *kept[K, V]) add(key []byte, value V) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last++
	k.values[k.last] = pair[K, V]{K(key), value}
	k.owed++
	return k.last
}

// takeBack leaves a value to the caller.
func (k *kept[K, V]) takeBack(id uint64) {
	_, ok := k.take(id)
	k.settle(ok)
}

func (k *kept[K, V]) find(id uint64) (V, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found, ok := k.values[id]
	return found.value, ok
}

func (k *kept[K, V]) take(id uint64) (pair[K, V], bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found, ok := k.values[id]
	delete(k.values, id)
	return found, ok
}

// settle says that a value which was taken is owed no more.
func (k *kept[K, V]) settle(taken bool) {
	if !taken {
		return
	}
	k.mu.Lock()
	k.owed--
	k.endIfDone()
	k.mu.Unlock()
}

// endIfDone is called under the lock.
func (k *kept[K, V]) endIfDone() {
	if k.freed && k.owed == 0 && !k.ended {
		k.ended = true
		k.rt.sinks.remove(k.tag)
		close(k.gone)
	}
}

// event takes a value that the native pool gave up. The wake goroutine does not run code of the user's.
func (k *kept[K, V]) event(e native.Event) {
	if e.Kind != native.EventPoolClosed {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	found, ok := k.values[e.Handle]
	if !ok {
		return
	}
	delete(k.values, e.Handle)
	k.leaving = append(k.leaving, leaving[K, V]{found, PoolCloseReason(e.Value)})
	if !k.closing {
		k.closing = true
		go k.closeLeaving()
	}
}

// closeLeaving is the goroutine that runs the close function, as long as there is something for it.
func (k *kept[K, V]) closeLeaving() {
	for {
		k.mu.Lock()
		batch := k.leaving
		k.leaving = nil
		if len(batch) == 0 {
			k.closing = false
			k.mu.Unlock()
			return
		}
		k.mu.Unlock()
		for _, left := range batch {
			if k.close != nil {
				k.close(left.key, left.value, left.reason)
			}
			k.settle(true)
		}
	}
}

// free frees the native pool; false if that was done before.
func (k *kept[K, V]) free() bool {
	k.mu.Lock()
	first := !k.freed
	k.freed = true
	k.mu.Unlock()
	if first {
		native.KeyedPoolFree(k.handle.Load())
		k.mu.Lock()
		k.endIfDone()
		k.mu.Unlock()
	}
	return first
}

func (k *kept[K, V]) shut() { k.free() }
