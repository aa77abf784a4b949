package trunkline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

func TestTenThousandBlockedReadsHoldNoThreads(t *testing.T) {
	balanced(t)
	const readers = 10_000
	bound := threadBound(t)
	type ends struct{ near, far *Conn }
	pipes := make([]ends, readers)
	var all sync.WaitGroup
	for i := range pipes {
		a, b, err := Pipe(PipeCapacity(16))
		if err != nil {
			t.Fatal(err)
		}
		pipes[i] = ends{a, b}
		all.Go(func() {
			got := make([]byte, 4)
			if _, err := io.ReadFull(b, got); err != nil || string(got) != "wake" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	eventually(t, func() error {
		for _, p := range pipes {
			if !p.far.stream.in.armed.Load() {
				return errors.New("not every read waits")
			}
		}
		return nil
	})
	if n := threads(t); n >= bound {
		t.Errorf("%d threads while %d reads wait, the bound is %d", n, readers, bound)
	}
	for _, p := range pipes {
		if _, err := p.near.Write([]byte("wake")); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
	if n := threads(t); n >= bound {
		t.Errorf("%d threads afterwards, the bound is %d", n, bound)
	}
	for _, p := range pipes {
		p.near.Close()
		p.far.Close()
	}
}

// threadBound is how many threads a process may have that parks its waiters. Those of earlier tests never end.
func threadBound(t *testing.T) int {
	t.Helper()
	return max(runtime.GOMAXPROCS(0)+16, threads(t)+4)
}

// threads is how many threads the process has, those of the library included.
func threads(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("the system does not tell the number of threads")
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("Threads:")); ok {
			n, err := strconv.Atoi(string(bytes.TrimSpace(rest)))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal(fmt.Errorf("no number of threads in %q", status))
	return 0
}
