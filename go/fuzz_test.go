package trunkline

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"

	"trunkline.dev/go/internal/native"
)

// What is read as an address is written as the same one, whatever it was.
func FuzzAddress(f *testing.F) {
	for _, network := range []string{"tcp", "tcp4", "tcp6", "unix", "mem", "udp"} {
		for _, address := range []string{"127.0.0.1:80", "[::1]:0", "[fe80::1%lo]:1", ":443", "host:1", "/run/s", "@a", "", "a b", "1.2.3.4:http", "[::ffff:1.2.3.4]:5"} {
			f.Add(network, address)
		}
	}
	offline, cancel := context.WithCancel(context.Background())
	cancel() // names are not looked up
	f.Fuzz(func(t *testing.T, network, address string) {
		for _, targets := range []func(context.Context, string, string) ([]string, error){dialTargets, listenTargets} {
			found, err := targets(offline, network, address)
			if err != nil {
				if kindOf(err) == 0 {
					t.Errorf("%q %q: %#v has no kind", network, address, err)
				}
				continue
			}
			for _, target := range found {
				if splitNetwork, rest, err := splitAddress(target); err != nil || !strings.HasPrefix(network, splitNetwork) {
					t.Errorf("%q %q became %q: %q, %v", network, address, target, rest, err)
				}
				parsed := parseTarget(target)
				if _, isName := parsed.(textAddr); isName {
					continue
				}
				again, err := dialTargets(offline, parsed.Network(), parsed.String())
				if err != nil || len(again) != 1 || again[0] != target {
					t.Errorf("%q %q became %q and then %q, %v", network, address, target, again, err)
				}
			}
		}
	})
}

// A pipe does what its model does, whatever the order of operations.
func FuzzPipe(f *testing.F) {
	f.Add(uint8(1), []byte{opWrite, 3, opRead, 1, opRead, 9, opCloseWrite, 0, opRead, 1})
	f.Add(uint8(7), []byte{opWrite, 255, opRead, 3, opCloseRead, 0, opWrite, 1, opRead, 1})
	f.Add(uint8(64), []byte{opWrite, 60, opWrite, 60, opAbortWriter, 0, opRead, 9, opWrite, 1})
	f.Add(uint8(9), []byte{opWrite, 5, opAbortReader, 0, opWrite, 9, opRead, 1})
	f.Add(uint8(30), []byte{opWrite, 5, opCloseReader, 0, opWrite, 9, opRead, 1})
	f.Add(uint8(30), []byte{opWrite, 5, opCloseWriter, 0, opRead, 2, opRead, 9, opRead, 1, opWrite, 1})
	f.Fuzz(checkPipe)
}

func TestRandomOperationsOnAPipeAgreeWithItsModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		operations := make([]byte, 2*random.IntN(60))
		for i := range operations {
			operations[i] = byte(random.Uint32())
			if i%2 == 0 && random.IntN(8) > 0 {
				operations[i] = byte(random.IntN(2)) // mostly writes and reads
			}
		}
		checkPipe(t, uint8(random.Uint32()), operations)
	}
}

// checkPipe does to a pipe and to its model what operations say, pairs of a kind and a size.
func checkPipe(t *testing.T, capacity uint8, operations []byte) {
	if capacity == 0 {
		capacity = 1
	}
	before := native.DebugCounts().Streams
	writer, reader, err := Pipe(PipeCapacity(uint64(capacity)))
	if err != nil {
		t.Fatal(err)
	}
	model := pipeModel{capacity: int(capacity)}
	next := byte(0)
	for ; len(operations) >= 2; operations = operations[2:] {
		op, size := operations[0]%opCount, int(operations[1])
		switch op {
		case opWrite:
			chunk := make([]byte, size)
			for i := range chunk {
				chunk[i] = next + byte(i)
			}
			n, failure := try(writer, chunk, native.Write)
			wantN, want := model.write(chunk)
			if n != wantN || !errors.Is(failure, want) {
				t.Fatalf("wrote %d, %v; the model %d, %v", n, failure, wantN, want)
			}
			next += byte(n)
		case opRead:
			chunk := make([]byte, size)
			n, failure := try(reader, chunk, native.Read)
			wanted, want := model.read(size)
			if !bytes.Equal(chunk[:n], wanted) || !errors.Is(failure, want) {
				t.Fatalf("read %v, %v; the model %v, %v", chunk[:n], failure, wanted, want)
			}
		case opCloseWrite:
			_ = writer.CloseWrite()
			model.finished = true
		case opCloseRead:
			_ = reader.CloseRead()
			model.refuse()
		case opCloseWriter:
			writer.Close()
			model.closeWriter()
		case opCloseReader:
			reader.Close()
			model.closeReader()
		case opAbortWriter:
			writer.Abort()
			model.abortWriter()
		case opAbortReader:
			reader.Abort()
			model.abortReader()
		}
	}
	writer.Close()
	reader.Close()
	if now := native.DebugCounts().Streams; now != before {
		t.Fatalf("%d streams, %d before", now, before)
	}
}

const (
	opWrite byte = iota
	opRead
	opCloseWrite
	opCloseRead
	opCloseWriter
	opCloseReader
	opAbortWriter
	opAbortReader
	opCount
)

var errWouldBlock = errors.New("would block")

// try is one attempt without waiting, with the errors of the Conn.
func try(c *Conn, chunk []byte, call func(uint64, []byte) (int, native.Status)) (int, error) {
	if c.stream.closed.Load() {
		return 0, net.ErrClosed
	}
	if len(chunk) == 0 {
		return 0, nil
	}
	n, status := call(c.stream.handle, chunk)
	switch {
	case status == native.WouldBlock:
		return 0, errWouldBlock
	case status != native.OK:
		return 0, c.stream.failure(status, native.StepWrite)
	case n == 0:
		return 0, io.EOF
	default:
		return n, nil
	}
}

// pipeModel is one direction of a pipe on paper.
type pipeModel struct {
	capacity                       int
	held                           []byte
	finished, refused              bool
	writerClosed, readerClosed     bool
	resetForWriter, resetForReader bool
	broken                         error // what the writer was told first
}

func (m *pipeModel) write(chunk []byte) (int, error) {
	switch {
	case m.writerClosed:
		return 0, net.ErrClosed
	case len(chunk) == 0:
		return 0, nil
	case m.broken != nil && (m.resetForWriter || m.finished || m.refused):
		return 0, m.broken // a stream tells what broke it first
	case m.resetForWriter:
		m.broken = syscall.ECONNRESET
		return 0, m.broken
	case m.finished:
		return 0, syscall.EPIPE // nothing is broken by a write after one's own half-close
	case m.refused:
		m.broken = syscall.EPIPE
		return 0, m.broken
	}
	n := min(len(chunk), m.capacity-len(m.held))
	m.held = append(m.held, chunk[:n]...)
	if n == 0 {
		return 0, errWouldBlock
	}
	return n, nil
}

func (m *pipeModel) read(size int) ([]byte, error) {
	switch {
	case m.readerClosed:
		return nil, net.ErrClosed
	case size == 0:
		return nil, nil
	case m.resetForReader:
		return nil, syscall.ECONNRESET
	case len(m.held) > 0:
		n := min(size, len(m.held))
		taken := m.held[:n]
		m.held = m.held[n:]
		return taken, nil
	case m.finished || m.refused:
		return nil, io.EOF
	default:
		return nil, errWouldBlock
	}
}

func (m *pipeModel) refuse() {
	m.refused, m.held = true, nil
}

func (m *pipeModel) closeWriter() {
	m.writerClosed, m.finished = true, true
}

func (m *pipeModel) closeReader() {
	if m.readerClosed {
		return
	}
	m.readerClosed = true
	m.refuse()
}

func (m *pipeModel) abortWriter() {
	if m.writerClosed {
		return
	}
	m.writerClosed, m.held = true, nil
	m.resetForReader = true
}

func (m *pipeModel) abortReader() {
	if m.readerClosed {
		return
	}
	m.readerClosed, m.held = true, nil
	m.resetForWriter = true
}
