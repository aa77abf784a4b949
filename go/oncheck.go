package trunkline

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"time"

	"trunkline.dev/go/internal/native"
)

// CheckQuestion is an endpoint that is to be checked.
type CheckQuestion struct {
	Backend string `json:"backend"` // the name of its backend
	Address string `json:"address"` // where it is, such as "tcp://10.0.0.1:443"
	Host    string `json:"host"`    // the name that led there; empty where its address was given
}

// maxChecking is how many check functions of a manager run at once.
const maxChecking = 1024

// OnCheck has look say how each endpoint is of the backends whose Check is a callback, from now on; nil ends that. It is
// asked once at a time for each endpoint. Each call has a goroutine of its own, at most 1024 at once, and a context that ends
// when the time for the answer is over, or when look is replaced or the manager closed.
//
// An error, or a panic, is the reason why the endpoint fails. Where there is no answer within the Timeout of [HealthConfig],
// or an error comes after the context has ended, [CallbackCheckConfig] says what that means. The metric
// trunkline_check_callback_total counts what came of each. It fails with [KindClosed] once the manager drains.
func (m *TcpConnectionManager) OnCheck(look func(context.Context, CheckQuestion) error) error {
	defer runtime.KeepAlive(m)
	return m.managed.onCheck(look)
}

// checker answers the questions how endpoints are.
type checker struct {
	look    func(context.Context, CheckQuestion) error
	ctx     context.Context
	cancel  context.CancelFunc
	running chan struct{} // a place for each call
}

func newChecker(look func(context.Context, CheckQuestion) error) *checker {
	c := &checker{look: look, running: make(chan struct{}, maxChecking)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

func (g *managed) onCheck(look func(context.Context, CheckQuestion) error) error {
	g.asking.Lock()
	defer g.asking.Unlock()
	var next *checker
	queue := uint64(0)
	if look != nil {
		next, queue = newChecker(look), g.rt.queue.Handle()
	}
	// Known before the first question comes. One that was asked of the last is answered by the next.
	last := g.checker.Swap(next)
	failure := native.TCPManagerOnCheck(g.handle, queue, g.id)
	if last != nil {
		last.cancel()
	}
	if failure != nil {
		g.endChecker()
		return newError(failure, native.StepConfigure)
	}
	return nil
}

func (g *managed) endChecker() {
	if last := g.checker.Swap(nil); last != nil {
		last.cancel()
	}
}

func (c *checker) take(job uint64) {
	select {
	case c.running <- struct{}{}:
		go c.answer(job)
	default:
		native.JobFailed(job, native.LimitExceeded, "too many check functions run")
	}
}

func (c *checker) answer(job uint64) {
	defer func() { <-c.running }()
	question, ok := native.CheckQuestion(job)
	if !ok {
		return // nobody waits any more
	}
	var asked struct {
		CheckQuestion
		Timeout time.Duration `json:"timeout_ns"`
	}
	err := json.Unmarshal(question, &asked)
	if err != nil {
		native.JobFailed(job, native.Callback, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx, asked.Timeout)
	defer cancel()
	err = errors.New("the check function ended its goroutine")
	defer func() { found(job, ctx, err) }()
	defer rescue("check", &err)
	err = c.look(ctx, asked.CheckQuestion)
}

func found(job uint64, ctx context.Context, err error) {
	switch {
	case err == nil:
		native.JobDone(job, 0)
	case ctx.Err() != nil:
		native.JobFailed(job, native.Cancelled, err.Error()) // it says nothing about the endpoint
	default:
		native.JobFailed(job, native.ConnectionFailed, err.Error())
	}
}
