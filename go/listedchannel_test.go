package trunkline

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// say puts another file in the place of one, as a whole.
func say(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestCallsFollowTheAddressesInAFileAndABadOneChangesNothing(t *testing.T) {
	one, other := "tcp://"+serveGRPC(t), "tcp://"+serveGRPC(t)
	listed := filepath.Join(t.TempDir(), "servers")
	say(t, listed, one+" # for now\n")
	c := newChannel(t, "file:"+listed, ConnectionConfig{ServiceConfig: ServiceConfig{Document: []byte("{}")}})
	invoke := func() {
		t.Helper()
		if _, err := c.Invoke(context.Background(), "/test.Service/Echo", nil); err != nil {
			t.Fatal(err)
		}
	}
	until := func(what string, holds func(LiveChannel) bool) {
		t.Helper()
		for started := time.Now(); ; time.Sleep(time.Millisecond) {
			shown, err := c.Inspect()
			if err != nil {
				t.Fatal(err)
			}
			if holds(shown) {
				return
			}
			if time.Since(started) > time.Minute {
				t.Fatalf("%s: %+v", what, shown)
			}
		}
	}
	at := func(address string) func(LiveChannel) bool {
		return func(shown LiveChannel) bool {
			return len(shown.Addresses) == 1 && shown.Addresses[0].Address == address && len(shown.Addresses[0].Connections) == 1
		}
	}
	invoke()
	until("the first", at(one))
	say(t, listed, other+"\nnonsense\n")
	until("a bad file", func(shown LiveChannel) bool { return strings.Contains(shown.LookupError, "line 2") && at(one)(shown) })
	invoke()
	say(t, listed, other+"\n")
	until("the other", func(shown LiveChannel) bool { return shown.LookupError == "" && at(other)(shown) })
	invoke()
}

func TestHowOftenANameIsLookedUpHasARange(t *testing.T) {
	_, err := NewChannel("dns:localhost:1", ConnectionConfig{LookupInterval: After(29 * time.Second)})
	var failed *Error
	if !errors.As(err, &failed) || failed.Kind != KindConfig || !strings.Contains(err.Error(), "lookup_interval") {
		t.Errorf("29 s is too often: %v", err)
	}
}
