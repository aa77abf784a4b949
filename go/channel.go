package trunkline

import (
	"context"
	"encoding/json"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"

	"trunkline.dev/go/internal/native"
)

// State says whether a [Channel] can carry calls.
type State int32

// The states of a channel.
const (
	Idle             State = 0 // there is no connection, and nobody asked for one
	Connecting       State = 1 // a connection is being made
	Ready            State = 2 // calls can be sent
	TransientFailure State = 3 // the last attempt failed; the next one waits for its time
	Shutdown         State = 4 // it was closed, for good
)

var stateNames = [...]string{"idle", "connecting", "ready", "transient failure", "shutdown"}

// String is the state in words.
func (s State) String() string {
	if s >= 0 && int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown state"
}

// Metadata are names in lower case and their values, in order; under names that end in "-bin", values are any bytes.
type Metadata []Pair

// Pair is one piece of [Metadata].
type Pair struct {
	Name  string
	Value []byte
}

// Get is the first value under a name; nil if there is none.
func (m Metadata) Get(name string) []byte {
	for _, pair := range m {
		if pair.Name == name {
			return pair.Value
		}
	}
	return nil
}

func metadataOf(pairs []native.KV) Metadata {
	var m Metadata
	for _, kv := range pairs {
		m = append(m, Pair{kv.Key, kv.Value})
	}
	return m
}

func pairsOf(m Metadata) []native.KV {
	var pairs []native.KV
	for _, pair := range m {
		pairs = append(pairs, native.KV{Key: pair.Name, Value: pair.Value})
	}
	return pairs
}

// Channel is one logical gRPC server, over as many connections as its configuration allows. It connects when it is
// first called, again whenever a connection is lost, and rests when nobody calls. Any number of goroutines may use it.
type Channel struct {
	owned *channel
}

// channel is what a [Channel] names.
type channel struct {
	rt     *Runtime
	id     uint64
	handle uint64
	closed atomic.Bool
	calls  together

	resolver *resolver // nil unless the program has one

	// Replaced as a whole, under adding.
	interceptors atomic.Pointer[[]Interceptor]
	adding       sync.Mutex
}

// CallOption changes how one call is made.
type CallOption func(*callTerms)

type callTerms struct {
	options native.CallOptions
	initial *Metadata
	trailer *Metadata
}

// WithMetadata sends m with the call.
func WithMetadata(m Metadata) CallOption {
	return func(t *callTerms) { t.options.Metadata = append(t.options.Metadata, pairsOf(m)...) }
}

// WithCredentials sends m with the call, over TLS alone: without it the call fails with UNAUTHENTICATED (16).
func WithCredentials(m Metadata) CallOption {
	return func(t *callTerms) { t.options.Credentials = append(t.options.Credentials, pairsOf(m)...) }
}

// PlaintextCredentials lets credentials be sent in the clear, too.
func PlaintextCredentials() CallOption {
	return func(t *callTerms) { t.options.Flags |= native.CallPlaintextCredentials }
}

// WaitForReady says whether the call waits while no address works, instead of failing. Without it the service config decides.
func WaitForReady(wait bool) CallOption {
	return func(t *callTerms) {
		t.options.Flags &^= native.CallWaitForReady | native.CallFailFast
		if wait {
			t.options.Flags |= native.CallWaitForReady
		} else {
			t.options.Flags |= native.CallFailFast
		}
	}
}

// Gzip compresses the messages to the server.
func Gzip() CallOption {
	return func(t *callTerms) { t.options.Flags |= native.CallGzip }
}

// MaxReply is the largest message of the answer, in bytes; it cannot exceed the channel's limit.
func MaxReply(bytes uint32) CallOption {
	return func(t *callTerms) { t.options.MaxReply = bytes }
}

// Header stores what came before the messages of an answer in m.
func Header(m *Metadata) CallOption { return func(t *callTerms) { t.initial = m } }

// Trailer stores what came behind the messages of an answer in m.
func Trailer(m *Metadata) CallOption { return func(t *callTerms) { t.trailer = m } }

func termsOf(ctx context.Context, options []CallOption) callTerms {
	terms := callTerms{options: native.CallOptions{Deadline: deadlineOf(ctx)}}
	for _, option := range options {
		option(&terms)
	}
	return terms
}

// NewChannel makes a channel on the default runtime; see [Runtime.NewChannel].
func NewChannel(target string, config ConnectionConfig, options ...ChannelOption) (*Channel, error) {
	rt, err := Default()
	if err != nil {
		return nil, err
	}
	return rt.NewChannel(target, config, options...)
}

// NewChannel makes a channel; nothing is connected yet. The target is such as "dns:api.internal:443",
// "ipv4:10.0.0.1:80,10.0.0.2:80", "unix:/run/app.sock", "mem:app", "file:/etc/app/servers" with an address in each line,
// or a list such as "tcp://a:1,mem:b". To
// "tls://a:1,tls://b:1" it is secured, by whom the system trusts; see [Tls.NewChannel] for all others.
// It fails with [KindConfig] for what is no target and a configuration out of range.
func (rt *Runtime) NewChannel(target string, config ConnectionConfig, options ...ChannelOption) (*Channel, error) {
	return rt.newChannel(target, config, 0, options)
}

func (rt *Runtime) newChannel(target string, config ConnectionConfig, tls uint64, options []ChannelOption) (*Channel, error) {
	logging, err := takeLogging(&config)
	if err != nil {
		return nil, err
	}
	document, err := json.Marshal(config)
	if err != nil {
		return nil, configError(err)
	}
	var terms channelTerms
	for _, option := range options {
		option(&terms)
	}
	owned, queue := &channel{rt: rt}, uint64(0)
	if logging != nil {
		owned.interceptors.Store(&[]Interceptor{logCalls(target, *logging)})
	}
	if terms.resolve != nil {
		owned.resolver, queue = newResolver(terms.resolve), rt.queue.Handle()
	}
	// Known before the first question comes.
	owned.id = rt.sinks.add(owned)
	handle, failure := native.ChannelNew(rt.handle, tls, target, string(document), queue, owned.id)
	if failure != nil {
		owned.forget()
		return nil, newError(failure, native.StepConfigure)
	}
	owned.handle = handle
	if rt.stopping.Load() {
		owned.shut()
	}
	c := &Channel{owned}
	runtime.AddCleanup(c, func(owned *channel) {
		if owned.abandon() {
			slog.Warn("trunkline: a channel was dropped without Close")
		}
	}, owned)
	return c, nil
}

// GetState is the state now.
func (c *Channel) GetState() State {
	defer runtime.KeepAlive(c)
	state, status := native.ChannelState(c.owned.handle)
	if status != native.OK {
		return Shutdown
	}
	return State(state)
}

// Connect begins to connect, if nothing stands or is under way. It does not wait.
func (c *Channel) Connect() {
	defer runtime.KeepAlive(c)
	native.ChannelConnect(c.owned.handle)
}

// ResetConnectBackoff tries at once what would have waited after a failure: the network is known to be back.
func (c *Channel) ResetConnectBackoff() {
	defer runtime.KeepAlive(c)
	native.ChannelResetConnectBackoff(c.owned.handle)
}

// WaitForStateChange waits until the state is another than last, and says whether it is; false once ctx has ended. States
// that were left again meanwhile are not seen.
func (c *Channel) WaitForStateChange(ctx context.Context, last State) bool {
	defer runtime.KeepAlive(c)
	if c.owned.closed.Load() {
		return last != Shutdown
	}
	_, err := c.owned.rt.await(ctx, native.StepWait, func(deadline int64, queue, tag uint64) (uint64, *native.Failure) {
		return native.ChannelWaitForStateChangeAsync(c.owned.handle, int32(last), deadline, queue, tag)
	})
	return err == nil
}

// WaitReady connects, and waits until calls can be sent. The error says for each address why it does not work.
func (c *Channel) WaitReady(ctx context.Context) error {
	defer runtime.KeepAlive(c)
	_, err := c.owned.rt.await(ctx, native.StepConnect, func(deadline int64, queue, tag uint64) (uint64, *native.Failure) {
		return native.ChannelWaitReadyAsync(c.owned.handle, deadline, queue, tag)
	})
	return plain(err)
}

// Invoke calls a method such as "/package.Service/Method" with one message and waits for one. The deadline of ctx
// covers all attempts.
//
// It fails with [KindRPC] and the gRPC status in Code, which is 4 once the deadline has passed, with context.Canceled, and
// with net.ErrClosed once the channel is closed.
func (c *Channel) Invoke(ctx context.Context, method string, request []byte, options ...CallOption) ([]byte, error) {
	defer runtime.KeepAlive(c)
	terms := termsOf(ctx, options)
	r, denied := c.owned.begin(ctx, method, &terms)
	if denied != nil {
		return nil, denied
	}
	reply, err := c.invoke(ctx, method, request, terms)
	r.end(plain(err))
	return reply, plain(err)
}

func (c *Channel) invoke(ctx context.Context, method string, request []byte, terms callTerms) ([]byte, *Error) {
	e, err := c.owned.call(ctx, native.CallRequest{Method: method, Message: request, Options: terms.options})
	if err != nil {
		if terms.trailer != nil {
			*terms.trailer = err.Trailers
		}
		return nil, err
	}
	if terms.initial != nil {
		*terms.initial = metadataOf(e.Reply.Initial)
	}
	if terms.trailer != nil {
		*terms.trailer = metadataOf(e.Reply.Trailing)
	}
	return e.Reply.Message, nil
}

// CloseGracefully takes no new calls, lets those under way finish until ctx ends, ends the rest, and returns when every
// descriptor is gone.
func (c *Channel) CloseGracefully(ctx context.Context) error {
	defer runtime.KeepAlive(c)
	return c.owned.close(ctx)
}

// Close ends every call and connection. Only the first call succeeds; the others fail with net.ErrClosed.
func (c *Channel) Close() error {
	ended, end := context.WithDeadline(context.Background(), longAgo)
	defer end()
	return c.CloseGracefully(ended)
}

// event takes a question where the target is, on the wake goroutine. A channel's other events go to operations of their own.
func (o *channel) event(e native.Event) {
	if o.resolver == nil {
		e.Dispose()
		return
	}
	o.resolver.take(e)
}

// forget lets go of who answers questions.
func (o *channel) forget() {
	o.rt.sinks.remove(o.id)
	if o.resolver != nil {
		o.resolver.cancel()
	}
}

func (o *channel) close(ctx context.Context) error {
	if !o.closed.CompareAndSwap(false, true) {
		return &Error{Op: stepNames[native.StepShutdown], Kind: KindClosed}
	}
	deadline := deadlineOf(ctx)
	// The wait for the end is not cut short: at the deadline, or when ctx ends before, what is left is ended.
	done := make(operation, 1)
	tag := o.rt.sinks.add(done)
	defer o.rt.sinks.remove(tag)
	if _, failure := native.ChannelCloseAsync(o.handle, deadline, o.rt.queue.Handle(), tag); failure == nil {
		o.finish(ctx, done)
	}
	native.ChannelFree(o.handle)
	o.forget()
	return nil
}

func (o *channel) finish(ctx context.Context, done operation) {
	select {
	case e := <-done:
		e.Dispose()
		return
	case <-ctx.Done():
	}
	again := make(operation, 1)
	tag := o.rt.sinks.add(again)
	defer o.rt.sinks.remove(tag)
	if _, failure := native.ChannelCloseAsync(o.handle, 0, o.rt.queue.Handle(), tag); failure == nil {
		e := <-again
		e.Dispose()
	}
	e := <-done
	e.Dispose()
}

func (o *channel) shut() { o.abandon() }

// abandon lets go of a channel that nobody can reach any more; calls under way finish.
func (o *channel) abandon() bool {
	if !o.closed.CompareAndSwap(false, true) {
		return false
	}
	native.ChannelFree(o.handle)
	o.forget()
	return true
}

func plain(err *Error) error {
	if err == nil {
		return nil
	}
	return err
}
