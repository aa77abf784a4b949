package trunkline

import (
	"context"
	"slices"
	"sync"
	"time"

	"trunkline.dev/go/internal/native"
)

// Interceptor looks at the calls of a [Channel], on the goroutines that make them. Either function may be nil.
type Interceptor struct {
	// Begin sees a call that is about to be sent, and may add to it. An error denies the call: nothing is sent, and the
	// call fails with it. [Deny] makes one with a gRPC status.
	Begin func(ctx context.Context, call *Beginning) error
	// End sees how a call ended that was not denied by this interceptor; those that saw it last hear it first.
	End func(ctx context.Context, end Ending)
}

// Beginning is a call that is about to be sent.
type Beginning struct {
	// Method is such as "/package.Service/Method".
	Method string
	// Metadata and Credentials go with the call; see [WithMetadata] and [WithCredentials].
	Metadata, Credentials Metadata
}

// Ending is how a call ended.
type Ending struct {
	// Method is such as "/package.Service/Method".
	Method string
	// Err is nil, or what the caller got. A call with streams that was closed before its end is CANCELLED (1).
	Err error
	// Took is the time since the call began, all attempts included.
	Took time.Duration
}

// Deny is the error of a call that ends with a gRPC status and is not sent.
func Deny(code int, message string) *Error {
	return &Error{Op: stepNames[native.StepCall], Kind: KindRPC, Code: code, Details: message, message: message}
}

// Intercept has i look at every call that begins from now on, behind those that do already.
func (c *Channel) Intercept(i Interceptor) {
	o := c.owned
	o.adding.Lock()
	defer o.adding.Unlock()
	var all []Interceptor
	if before := o.interceptors.Load(); before != nil {
		all = slices.Clone(*before)
	}
	all = append(all, i)
	o.interceptors.Store(&all)
}

// row is those that look at one call; nil if nobody does.
type row struct {
	ctx    context.Context
	method string
	begun  time.Time
	passed []Interceptor
	once   sync.Once
}

// begin shows a call to the interceptors of its channel. What they add is added to terms.
func (o *channel) begin(ctx context.Context, method string, terms *callTerms) (*row, error) {
	all := o.interceptors.Load()
	if all == nil {
		return nil, nil
	}
	r := &row{ctx: ctx, method: method, begun: time.Now()}
	call := Beginning{method, metadataOf(terms.options.Metadata), metadataOf(terms.options.Credentials)}
	for i, each := range *all {
		if each.Begin != nil {
			if err := each.Begin(ctx, &call); err != nil {
				r.end(err)
				return nil, err
			}
		}
		r.passed = (*all)[:i+1]
	}
	terms.options.Metadata = pairsOf(call.Metadata)
	terms.options.Credentials = pairsOf(call.Credentials)
	return r, nil
}

// end tells those that passed the call how it ended, once.
func (r *row) end(err error) {
	if r == nil {
		return
	}
	r.once.Do(func() {
		end := Ending{r.method, err, time.Since(r.begun)}
		for _, each := range slices.Backward(r.passed) {
			if each.End != nil {
				each.End(r.ctx, end)
			}
		}
	})
}
