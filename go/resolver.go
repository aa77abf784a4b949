package trunkline

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"time"

	"trunkline.dev/go/internal/native"
)

// ResolveQuestion is what a resolver is asked.
type ResolveQuestion struct {
	Target string `json:"target"` // the channel's, as it was given
	Number uint64 `json:"number"` // 1 for the first question about it, and one more for each that follows
}

// ChannelOption changes how a channel is made.
type ChannelOption func(*channelTerms)

type channelTerms struct {
	resolve func(context.Context, ResolveQuestion) ([]string, error)
}

// ResolvedBy has resolve say which addresses the target has, such as "tcp://10.0.0.1:443"; the target may be any text then.
// It is called on a goroutine of its own when the channel leaves idle, and again when addresses do not work: once at a time,
// at most every MinInterval of [ResolverConfig], with a context that ends with its Timeout or the channel.
//
// An error, a panic, no answer in time, and an answer that cannot be used change nothing: Inspect, the log and UNAVAILABLE
// say why, and it is called again after a while. Calls are for what stands behind "scheme:" and "//…/" in the target, such
// as "web:80" of "zone://ns/web:80", and for "localhost" if that is no host; with TLS that host is also whom each server must
// prove to be.
func ResolvedBy(resolve func(context.Context, ResolveQuestion) ([]string, error)) ChannelOption {
	return func(t *channelTerms) { t.resolve = resolve }
}

// PushAddresses says where the target of a channel is that has a resolver, without being asked: as if it had answered.
// Addresses that stay keep their connections; calls on those that go finish. While the channel is idle it changes nothing: the
// resolver is asked when it is next called.
//
// It fails with [KindConfig] for what is no address and a channel without a resolver, with [KindConnect] for addresses that a
// resolver may not answer, and with net.ErrClosed once the channel is closed.
func (c *Channel) PushAddresses(addresses ...string) error {
	defer runtime.KeepAlive(c)
	if failure := native.ChannelPushAddresses(c.owned.handle, strings.Join(addresses, ",")); failure != nil {
		return newError(failure, native.StepResolve)
	}
	return nil
}

// maxResolving is how many calls of a channel's resolver run at once: one, and those that took too long.
const maxResolving = 16

// resolver answers the questions where a channel's target is.
type resolver struct {
	resolve func(context.Context, ResolveQuestion) ([]string, error)
	ctx     context.Context
	cancel  context.CancelFunc
	running chan struct{} // a place for each call
}

func newResolver(resolve func(context.Context, ResolveQuestion) ([]string, error)) *resolver {
	r := &resolver{resolve: resolve, running: make(chan struct{}, maxResolving)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// take takes a question, on the wake goroutine.
func (r *resolver) take(e native.Event) {
	if e.Kind != native.EventJob {
		e.Dispose()
		return
	}
	select {
	case r.running <- struct{}{}:
		go r.answer(e.Handle)
	default:
		native.JobFailed(e.Handle, native.Callback, "too many calls of the resolver run")
	}
}

func (r *resolver) answer(job uint64) {
	defer func() { <-r.running }()
	question, ok := native.ResolveQuestion(job)
	if !ok {
		return // nobody waits any more
	}
	var asked struct {
		ResolveQuestion
		Timeout time.Duration `json:"timeout_ns"`
	}
	var said []string
	err := json.Unmarshal(question, &asked)
	if err == nil {
		err = errors.New("the resolver ended its goroutine")
		defer func() { resolved(job, said, err) }()
		ctx, cancel := context.WithTimeout(r.ctx, asked.Timeout)
		defer cancel()
		defer rescue("resolver", &err)
		said, err = r.resolve(ctx, asked.ResolveQuestion)
		return
	}
	resolved(job, nil, err)
}

func resolved(job uint64, said []string, err error) {
	text := strings.Join(said, ",")
	if err == nil && native.ResolveAnswer(job, text) != native.InvalidArgument {
		return
	}
	message := "no addresses: " + text
	if err != nil {
		message = err.Error()
	}
	native.JobFailed(job, native.Callback, message)
}
