package trunkline

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"

	"trunkline.dev/go/internal/native"
)

// recentFailures is how many errors of a pool's functions can be found again.
const recentFailures = 16

// failures are the last errors that functions of the user's gave. Native code carries their texts; here they
// become what they were, for errors.Is and errors.As.
type failures struct {
	limit int

	mu     sync.Mutex
	recent []failed // the last one at the end
}

type failed struct {
	text string
	err  error
}

// note keeps err and says under which text.
func (f *failures) note(err error) string {
	text := strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\x00", ""), "\uFFFD")
	if text == "" {
		text = "it failed, without a text"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, old := range f.recent {
		if old.text == text {
			f.recent = append(f.recent[:i], f.recent[i+1:]...)
			break
		}
	}
	if len(f.recent) == f.limit {
		f.recent = f.recent[1:]
	}
	f.recent = append(f.recent, failed{text, err})
	return text
}

func (f *failures) find(text string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, known := range f.recent {
		if known.text == text {
			return known.err
		}
	}
	return nil
}

func (f *failures) last() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.recent) == 0 {
		return nil
	}
	return f.recent[len(f.recent)-1].err
}

// causeOf is what lies behind a failure, with the user's own error at its end where it is known.
func (f *failures) causeOf(failure *native.Failure) error {
	if failure == nil {
		return nil
	}
	if err := f.find(failure.Message); err != nil {
		return err
	}
	next := f.causeOf(failure.Cause)
	if next == nil && failure.Errno != 0 {
		return syscall.Errno(failure.Errno)
	}
	return &cause{failure.Message, next}
}

// acquireError is why an acquire for ctx got nothing.
func (l *lender) acquireError(ctx context.Context, failure *native.Failure) error {
	if failure.Status == native.Cancelled && ctx.Err() == nil {
		failure = native.Plain(native.Closed) // by the end of the runtime
	}
	e := poolError(failure).(*Error)
	if own := l.failures.causeOf(failure.Cause); own != nil {
		e.Cause = own
	}
	switch {
	case failure.CircuitOpen:
		e.also = ErrCircuitOpen
	case e.Kind == KindLimit:
		e.also = ErrTooManyWaiters
	case e.Kind == KindTimeout && ctx.Err() != nil && context.Cause(ctx) != ctx.Err():
		e.Cause = errors.Join(context.Cause(ctx), e.Cause)
	}
	return e
}
