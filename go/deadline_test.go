package trunkline

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// testTime has passed since long.
var testTime = time.Unix(1, 0)

func TestDeadlines(t *testing.T) {
	type step func(t *testing.T, c *Conn) error
	read := func(_ *testing.T, c *Conn) error { _, err := c.Read(make([]byte, 1)); return err }
	write := func(_ *testing.T, c *Conn) error {
		for {
			if _, err := c.Write(make([]byte, 1<<20)); err != nil {
				return err
			}
		}
	}
	// whileWaiting moves the deadline once the call has begun to wait.
	whileWaiting := func(call step, d func(*Conn) *direction, set func(*Conn)) step {
		return func(t *testing.T, c *Conn) error {
			result := make(chan error)
			go func() { result <- call(t, c) }()
			eventually(t, func() error {
				if !d(c).armed.Load() {
					return errors.New("the call does not wait")
				}
				return nil
			})
			set(c)
			return <-result
		}
	}
	in := func(c *Conn) *direction { return &c.stream.in }
	out := func(c *Conn) *direction { return &c.stream.out }

	for name, call := range map[string]step{
		"a read with a past deadline": func(t *testing.T, c *Conn) error {
			c.SetReadDeadline(testTime)
			return read(t, c)
		},
		"a read with a past deadline and bytes that wait": func(t *testing.T, c *Conn) error {
			c.SetDeadline(testTime)
			return read(t, c)
		},
		"a read of nothing with a past deadline": func(t *testing.T, c *Conn) error {
			c.SetReadDeadline(testTime)
			_, err := c.Read(nil)
			return err
		},
		"a read whose deadline comes": func(t *testing.T, c *Conn) error {
			c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			return read(t, c)
		},
		"a read that waits when its deadline is set to the past": whileWaiting(read, in, func(c *Conn) {
			c.SetReadDeadline(testTime)
		}),
		"a read that waits when its deadline is set to soon": whileWaiting(read, in, func(c *Conn) {
			c.SetDeadline(time.Now().Add(10 * time.Millisecond))
		}),
		"a read that waits when its far deadline is moved near": func(t *testing.T, c *Conn) error {
			c.SetReadDeadline(time.Now().Add(time.Hour))
			return whileWaiting(read, in, func(c *Conn) { c.SetReadDeadline(testTime) })(t, c)
		},
		"a write with a past deadline": func(t *testing.T, c *Conn) error {
			c.SetWriteDeadline(testTime)
			return write(t, c)
		},
		"a write whose deadline comes": func(t *testing.T, c *Conn) error {
			c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
			return write(t, c)
		},
		"a write that waits when its deadline is set to the past": whileWaiting(write, out, func(c *Conn) {
			c.SetWriteDeadline(testTime)
		}),
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, c, _ *Conn) {
				err := call(t, c)
				var known net.Error
				if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &known) || !known.Timeout() {
					t.Fatalf("got %v", err)
				}
			})
		})
	}
}

func TestADeadlineThatIsLiftedHarmsNothing(t *testing.T) {
	onEach(t, func(t *testing.T, c, peer *Conn) {
		c.SetDeadline(testTime)
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		c.SetDeadline(time.Time{})
		go func() { _, _ = io.Copy(peer, peer) }()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAReadDeadlineDoesNotStopWrites(t *testing.T) {
	onEach(t, func(t *testing.T, c, _ *Conn) {
		c.SetReadDeadline(testTime)
		if _, err := c.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		c.SetReadDeadline(time.Time{})
		c.SetWriteDeadline(testTime)
		if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestAWriteThatRunsOutOfTimeSaysHowMuchItWrote(t *testing.T) {
	balanced(t)
	a, b := pipe(t, PipeCapacity(100))
	a.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	n, err := a.Write(make([]byte, 1000))
	if n != 100 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("wrote %d, %v", n, err)
	}
	a.Close()
	if got, err := io.ReadAll(b); len(got) != n || err != nil {
		t.Errorf("read %d, %v", len(got), err)
	}
}

func TestAcceptKeepsItsDeadline(t *testing.T) {
	balanced(t)
	for name, address := range addresses(t) {
		t.Run(name, func(t *testing.T) {
			l := listening(t, address)
			for _, at := range []time.Time{testTime, time.Now().Add(10 * time.Millisecond)} {
				l.SetDeadline(at)
				if _, err := l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %v", err)
				}
			}
			l.SetDeadline(time.Time{})
			dial(t, l.Addr())
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			l.Close()
			if err := l.SetDeadline(testTime); !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v", err)
			}
		})
	}
}
