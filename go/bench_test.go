package trunkline

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"trunkline.dev/go/internal/native"
)

// What one try costs: a call through cgo, and the look-up of the handle.
func BenchmarkTryReadOfNothing(b *testing.B) {
	near, _ := pipe(b)
	buf := make([]byte, 16)
	for b.Loop() {
		if _, status := native.Read(near.stream.handle, buf); status != native.WouldBlock {
			b.Fatal(status.Name())
		}
	}
}

// A byte there and back, each way with a wake, beside what package net has.
func BenchmarkPingPong(b *testing.B) {
	for name, connect := range map[string]func(b *testing.B) (near, far net.Conn){
		"pipe":         func(b *testing.B) (near, far net.Conn) { return asConns(pipe(b)) },
		"net.Pipe":     func(*testing.B) (near, far net.Conn) { return net.Pipe() },
		"tcp":          func(b *testing.B) (near, far net.Conn) { return asConns(connected(b, "tcp://127.0.0.1:0")) },
		"package net":  func(b *testing.B) (near, far net.Conn) { return netPair(b, "tcp", "127.0.0.1:0") },
		"unix":         func(b *testing.B) (near, far net.Conn) { return asConns(connected(b, addresses(b)["unix"])) },
		"package unix": func(b *testing.B) (near, far net.Conn) { return netPair(b, "unix", addresses(b)["unix"][5:]) },
	} {
		b.Run(name, func(b *testing.B) {
			near, far := connect(b)
			go func() { _, _ = io.CopyBuffer(struct{ io.Writer }{far}, struct{ io.Reader }{far}, make([]byte, 64)) }()
			buf := make([]byte, 1)
			for b.Loop() {
				if _, err := near.Write(buf); err != nil {
					b.Fatal(err)
				}
				if _, err := near.Read(buf); err != nil {
					b.Fatal(err)
				}
			}
			near.Close()
			far.Close()
		})
	}
}

// 32 KiB writes one way.
func BenchmarkStream(b *testing.B) {
	for name, connect := range map[string]func(b *testing.B) (near, far net.Conn){
		"pipe":        func(b *testing.B) (near, far net.Conn) { return asConns(pipe(b)) },
		"net.Pipe":    func(*testing.B) (near, far net.Conn) { return net.Pipe() },
		"tcp":         func(b *testing.B) (near, far net.Conn) { return asConns(connected(b, "tcp://127.0.0.1:0")) },
		"package net": func(b *testing.B) (near, far net.Conn) { return netPair(b, "tcp", "127.0.0.1:0") },
	} {
		b.Run(name, func(b *testing.B) {
			near, far := connect(b)
			chunk := make([]byte, 32<<10)
			b.SetBytes(int64(len(chunk)))
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{far}, make([]byte, len(chunk)))
			}()
			for b.Loop() {
				if _, err := near.Write(chunk); err != nil {
					b.Fatal(err)
				}
			}
			near.Close()
			<-done
			far.Close()
		})
	}
}

// How long readers take to wake when many wait: each iteration is one byte through every pipe.
func BenchmarkWake(b *testing.B) {
	for _, readers := range []int{1, 64, 1000} {
		b.Run(fmt.Sprint(readers), func(b *testing.B) {
			near := make([]*Conn, readers)
			var woken, ended sync.WaitGroup
			for i := range near {
				a, far := pipe(b)
				near[i] = a
				ended.Go(func() {
					buf := make([]byte, 1)
					for {
						if _, err := far.Read(buf); err != nil {
							return
						}
						woken.Done()
					}
				})
			}
			buf := make([]byte, 1)
			for b.Loop() {
				woken.Add(readers)
				for _, c := range near {
					if _, err := c.Write(buf); err != nil {
						b.Fatal(err)
					}
				}
				woken.Wait()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(readers), "ns/wake")
			for _, c := range near {
				c.Close()
			}
			ended.Wait()
		})
	}
}

func asConns(near, far *Conn) (net.Conn, net.Conn) { return near, far }

func netPair(b *testing.B, network, address string) (near, far net.Conn) {
	b.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial(network, l.Addr().String()); err != nil {
		b.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		b.Fatal(err)
	}
	return near, far
}
