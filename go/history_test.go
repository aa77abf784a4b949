package trunkline

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

func TestNoStateIsMissedUnseen(t *testing.T) {
	c := newChannel(t, serveGRPC(t), ConnectionConfig{StateHistory: 2})
	ctx := context.Background()
	if err := c.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	if last, err := c.WaitHistory(ctx, 1); last != 2 || err != nil {
		t.Fatalf("connecting and ready: %d, %v", last, err)
	}
	history, err := c.History(0, 100)
	if err != nil || history.Lost != 0 || len(history.Changes) != 2 {
		t.Fatalf("what has happened: %+v, %v", history, err)
	}
	if first := history.Changes[0]; first.Number != 1 || first.From != Idle || first.To != Connecting || first.Why != "" {
		t.Errorf("the first change: %+v", first)
	}
	short, end := context.WithTimeout(ctx, time.Millisecond)
	defer end()
	if _, err := c.WaitHistory(short, 2); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nothing more has happened: %v", err)
	}
	waited := make(chan uint64)
	go func() {
		last, _ := c.WaitHistory(ctx, 2)
		waited <- last
	}()
	_ = c.CloseGracefully(ctx)
	if last := <-waited; last != 3 && last != 0 {
		t.Errorf("the last change is %d", last)
	}
}

func TestAChangeSaysWhatFailed(t *testing.T) {
	c := newChannel(t, "mem:go-nobody-serves-this", ConnectionConfig{})
	c.Connect()
	if _, err := c.WaitHistory(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	history, err := c.History(1, 1)
	if err != nil || len(history.Changes) != 1 {
		t.Fatalf("what has happened: %+v, %v", history, err)
	}
	if failed := history.Changes[0]; failed.To != TransientFailure || !strings.Contains(failed.Why, "mem:go-nobody-serves-this") {
		t.Errorf("it failed: %+v", failed)
	}
	_ = c.Close()
	if _, err := c.WaitHistory(context.Background(), 2); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed channel: %v", err)
	}
}
