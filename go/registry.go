package trunkline

import (
	"sync"
	"sync/atomic"

	"trunkline.dev/go/internal/native"
)

// sink takes the events of one id. It is called on the wake goroutine and must not wait.
type sink interface {
	event(native.Event)
}

// registry says who an event is for. Native code knows ids only: an event for an id that is not there any
// more is disposed of.
type registry struct {
	line   *line // has ids of its own
	last   atomic.Uint64
	shards [64]shard
}

type shard struct {
	mu    sync.Mutex
	sinks map[uint64]sink
}

func (r *registry) shard(id uint64) *shard { return &r.shards[id%uint64(len(r.shards))] }

// add gives s an id that was never used before.
func (r *registry) add(s sink) uint64 {
	id := r.last.Add(1)
	r.put(id, s)
	return id
}

func (r *registry) put(id uint64, s sink) {
	shard := r.shard(id)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.sinks == nil {
		shard.sinks = make(map[uint64]sink)
	}
	shard.sinks[id] = s
}

func (r *registry) remove(id uint64) {
	shard := r.shard(id)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	delete(shard.sinks, id)
}

func (r *registry) dispatch(e native.Event) {
	if e.Tag&ofWaiters != 0 {
		r.line.event(e)
		return
	}
	shard := r.shard(e.Tag)
	shard.mu.Lock()
	found := shard.sinks[e.Tag]
	shard.mu.Unlock()
	if found == nil {
		e.Dispose()
		return
	}
	found.event(e)
}

// all is every sink at this moment.
func (r *registry) all() []sink {
	var found []sink
	for i := range r.shards {
		shard := &r.shards[i]
		shard.mu.Lock()
		for _, s := range shard.sinks {
			found = append(found, s)
		}
		shard.mu.Unlock()
	}
	return found
}
