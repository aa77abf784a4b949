// The demo's client in Go. README.md beside it says what it does.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	trunkline "trunkline.dev/go"
)

const (
	mib        = 1 << 20
	total      = 64 * mib
	chunkSize  = 64 << 10
	streams    = 4
	roundTrips = 2000
)

type pool = trunkline.KeyedPool[string, *trunkline.Conn]

func main() {
	if err := client(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "go:", err)
		os.Exit(1)
	}
}

func client(arguments []string) error {
	switch {
	case len(arguments) == 3 && arguments[0] == "run":
		return run(arguments[1], arguments[2])
	case len(arguments) == 2 && arguments[0] == "flood":
		return flood(arguments[1])
	}
	return errors.New("usage: client run ECHO FILE | client flood SINK")
}

func dial(address string) (*trunkline.Conn, error) {
	conn, err := trunkline.DialAddr(context.Background(), address)
	if err != nil {
		return nil, err
	}
	return conn.(*trunkline.Conn), nil
}

// echoed takes a stream out of the pool, sends data, reads it back and puts the stream back.
func echoed(p *pool, i int, data, back []byte) error {
	key := fmt.Sprintf("echo-%d", i%streams)
	conn, found := p.Remove(key)
	if !found {
		return errors.New("a stream is missing")
	}
	if _, err := conn.Write(data); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, back); err != nil {
		return err
	}
	return p.Insert(key, conn)
}

func bulk(p *pool) (float64, error) {
	random, received := randomBytes(total), make([]byte, total)
	started := time.Now()
	for i := range total / chunkSize {
		from, to := i*chunkSize, (i+1)*chunkSize
		if err := echoed(p, i, random[from:to], received[from:to]); err != nil {
			return 0, err
		}
		if i%256 == 255 {
			fmt.Fprintf(os.Stderr, "go: %d of 64 MiB echoed\n", (i+1)*chunkSize/mib)
		}
	}
	seconds := time.Since(started).Seconds()
	return seconds, same(random, received, "the echo differs")
}

func measureRoundTrips(p *pool) ([]time.Duration, error) {
	ping, pong := randomBytes(64), make([]byte, 64)
	times := make([]time.Duration, 0, roundTrips)
	for i := range roundTrips {
		started := time.Now()
		if err := echoed(p, i, ping, pong); err != nil {
			return nil, err
		}
		times = append(times, time.Since(started))
		if err := same(ping, pong, "a small echo differs"); err != nil {
			return nil, err
		}
	}
	slices.Sort(times)
	return times, nil
}

func download(address string) (*trunkline.Conn, error) {
	conn, err := dial(address)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, "GET\n"); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(conn)
	var expected string
	var length int
	if _, err := fmt.Fscanf(reader, "%s %d\n", &expected, &length); err != nil {
		return nil, err
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(reader, data); err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "go: file of %d MiB checked\n", length/mib)
	if found := fmt.Sprintf("%x", sha256.Sum256(data)); found != expected {
		return nil, errors.New("the file differs")
	}
	return conn, nil
}

func throughAPipe() (float64, error) {
	near, far, err := trunkline.Pipe()
	if err != nil {
		return 0, err
	}
	defer near.Close()
	defer far.Close()
	random, received := randomBytes(total), make([]byte, total)
	started := time.Now()
	written := make(chan error, 1)
	go func() {
		_, err := near.Write(random)
		written <- errors.Join(err, near.CloseWrite())
	}()
	if _, err := io.ReadFull(far, received); err != nil {
		return 0, err
	}
	if err := <-written; err != nil {
		return 0, err
	}
	seconds := time.Since(started).Seconds()
	fmt.Fprintln(os.Stderr, "go: 64 MiB through a pipe")
	return seconds, same(random, received, "the pipe's bytes differ")
}

// totals is the client's one line of output.
type totals struct {
	Connections   int            `json:"connections"`
	BytesSent     uint64         `json:"bytes_sent"`
	BytesReceived uint64         `json:"bytes_received"`
	RelaySeconds  float64        `json:"relay_seconds"`
	PipeBytes     int            `json:"pipe_bytes"`
	PipeSeconds   float64        `json:"pipe_seconds"`
	P50           float64        `json:"p50_us"`
	P99           float64        `json:"p99_us"`
	CloseReasons  map[string]int `json:"close_reasons"`
}

func (t *totals) endInOrder(conn *trunkline.Conn) error {
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return fmt.Errorf("the peer should have ended: %d bytes, %v", n, err)
	}
	if err := conn.Close(); err != nil {
		return err
	}
	stats := conn.Stats()
	t.Connections++
	t.BytesSent += stats.BytesSent
	t.BytesReceived += stats.BytesReceived
	t.CloseReasons[stats.CloseReason.String()]++
	return nil
}

func run(echo, file string) error {
	p, err := trunkline.NewKeyedPool[string, *trunkline.Conn](trunkline.PoolConfig{}, nil)
	if err != nil {
		return err
	}
	defer p.Close()
	for i := range streams {
		conn, err := dial(echo)
		if err != nil {
			return err
		}
		if err := p.Insert(fmt.Sprintf("echo-%d", i), conn); err != nil {
			return err
		}
	}
	t := totals{PipeBytes: total, CloseReasons: map[string]int{}}
	if t.RelaySeconds, err = bulk(p); err != nil {
		return err
	}
	times, err := measureRoundTrips(p)
	if err != nil {
		return err
	}
	t.P50 = float64(times[roundTrips/2].Nanoseconds()) / 1e3
	t.P99 = float64(times[roundTrips*99/100].Nanoseconds()) / 1e3
	conn, err := download(file)
	if err != nil {
		return err
	}
	if err := t.endInOrder(conn); err != nil {
		return err
	}
	if t.PipeSeconds, err = throughAPipe(); err != nil {
		return err
	}
	for i := range streams {
		conn, _ := p.Remove(fmt.Sprintf("echo-%d", i))
		if err := t.endInOrder(conn); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(t)
}

func flood(sink string) error {
	block := make([]byte, chunkSize)
	for i := range block {
		block[i] = byte(i*31 + i>>8)
	}
	conn, err := dial(sink)
	for err == nil {
		_, err = conn.Write(block)
	}
	return err
}

func randomBytes(n int) []byte {
	data := make([]byte, n)
	rand.Read(data)
	return data
}

func same(sent, received []byte, what string) error {
	if sha256.Sum256(sent) != sha256.Sum256(received) {
		return errors.New(what)
	}
	return nil
}
