// Connection management on real sockets: TCP and UDP managers, a pool, metrics, errors, and a small benchmark. The
// programs beside this one do the same in Rust, C and Python, and print the same.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"time"

	trunkline "trunkline.dev/go"
)

// Round trips of one measurement, and the bytes of each.
const (
	trips = 2000
	size  = 64
)

var ctx = context.Background()

func main() {
	tcp := tcpManager()
	udp := udpManager()
	pool()
	failures()
	metrics()
	fmt.Printf("bench    TCP %.0f and UDP %.0f round trips/s of %d bytes through a relay\n", tcp, udp, size)
}

// tcpManager relays under a limit; what exceeds it is refused before anything is started.
func tcpManager() float64 {
	manager := must(trunkline.NewTcpConnectionManager(trunkline.TcpManagerConfig{MaxConnections: 2}))
	defer manager.Close()
	server := listen()
	defer server.Close()
	front := must(manager.Relay(ctx, "tcp://127.0.0.1:0", "tcp://"+server.Addr().String()))
	client := must(trunkline.Dial(ctx, "tcp", front.String()))
	started, buf := time.Now(), make([]byte, size)
	for range trips {
		must(client.Write(buf))
		must(io.ReadFull(client, buf))
	}
	rate := trips / time.Since(started).Seconds()

	second := must(manager.Dial(ctx, "tcp", server.Addr().String()))
	defer second.Close()
	_, err := manager.Dial(ctx, "tcp", server.Addr().String())
	if known := failed(err); errors.Is(err, trunkline.ErrLimitExceeded) && known.Retryable {
		fmt.Println("TCP      a third connection: limit exceeded, safe to retry")
	}
	stats := manager.Stats()
	fmt.Printf("TCP      %d bytes came and %d went\n", stats.BytesReceived, stats.BytesSent)
	client.Close()
	for manager.Stats().Active > 1 {
		time.Sleep(time.Millisecond)
	}
	soon, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	fmt.Printf("TCP      drained, %d had to be cut\n", must(manager.Drain(soon)))
	return rate
}

// udpManager has a session for each source, which is listed, verified by its second question, and killed by its number.
func udpManager() float64 {
	config := trunkline.UdpManagerConfig{MaxSessions: 10, IdleTimeout: trunkline.After(30 * time.Second)}
	manager := must(trunkline.NewUdpConnectionManager(config))
	defer manager.Close()
	server := must(trunkline.ListenPacket(ctx, "udp", "127.0.0.1:0"))
	defer server.Close()
	go answer(server)
	front := must(manager.Relay(ctx, "udp://127.0.0.1:0", "udp://"+server.LocalAddr().String(), trunkline.UdpRelayOptions{}))
	client := must(trunkline.ListenPacket(ctx, "udp", "127.0.0.1:0"))
	defer client.Close()
	started, buf := time.Now(), make([]byte, size)
	for range trips {
		must(client.WriteTo(buf, front))
		if _, _, err := client.ReadFrom(buf); err != nil {
			log.Fatal(err)
		}
	}
	rate := trips / time.Since(started).Seconds()

	session, stats := manager.Live()[0], manager.Stats()
	fmt.Printf("UDP      %d session, verified: %v\n", stats.Active, session.Verified)
	fmt.Printf("UDP      %d datagrams came, %d dropped\n", stats.DatagramsReceived, stats.Dropped)
	if err := manager.Kill(session.ID); err != nil {
		log.Fatal(err)
	}
	if failed(manager.Kill(session.ID)).Kind == trunkline.KindUDP {
		fmt.Println("UDP      killed; a second kill: no session")
	}
	return rate
}

// pool gives whoever asks for a key the one connection that was made for it.
func pool() {
	server := listen()
	defer server.Close()
	pool := must(trunkline.NewKeyedPool(trunkline.PoolConfig{}, func(_ string, conn net.Conn, _ trunkline.PoolCloseReason) {
		conn.Close()
	}))
	defer pool.Close()
	var asking sync.WaitGroup
	for range 3 {
		asking.Go(func() {
			must(pool.GetOrCreate(ctx, "db", func(ctx context.Context) (net.Conn, error) {
				return trunkline.Dial(ctx, "tcp", server.Addr().String())
			}))
		})
	}
	asking.Wait()
	fmt.Printf("pool     3 asked, %d made\n", pool.Stats().Inserted)
}

// failures say which step failed, whose fault it is, and whether to try again.
func failures() {
	listener := must(trunkline.ListenAddr(ctx, "tcp://127.0.0.1:0"))
	listener.Close()
	_, err := trunkline.Dial(ctx, "tcp", listener.Addr().String())
	refused := failed(err)
	fmt.Printf("errors   %s: %v, safe to retry: %v\n", refused.Op, refused.Kind, refused.Retryable)
	socket := must(trunkline.ListenPacket(ctx, "udp", "127.0.0.1:0"))
	defer socket.Close()
	must(socket.WriteTo([]byte("longer than its room"), socket.LocalAddr()))
	_, _, err = socket.ReadFrom(make([]byte, 4))
	cut := failed(err)
	fmt.Printf("errors   %s: datagram truncated, safe to retry: %v\n", cut.Op, cut.Retryable)
}

// metrics say of whatever was opened and is not open any more that it was closed, in every snapshot.
func metrics() {
	snapshot := trunkline.Metrics()
	count := func(name string) float64 {
		return snapshot.Total(name, "protocol", "udp", "direction", "accepted")
	}
	opened, closed := count("trunkline_connections_opened_total"), count("trunkline_connections_closed_total")
	fmt.Printf("metrics  UDP sessions opened %.0f, closed %.0f\n", opened, closed)
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// failed is the library's error in err.
func failed(err error) *trunkline.Error {
	var known *trunkline.Error
	if !errors.As(err, &known) {
		log.Fatalf("no failure of the library: %v", err)
	}
	return known
}

// listen starts a server that gives every byte back.
func listen() net.Listener {
	listener := must(trunkline.ListenAddr(ctx, "tcp://127.0.0.1:0"))
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return listener
}

// answer gives every datagram back.
func answer(socket net.PacketConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := socket.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = socket.WriteTo(buf[:n], from)
	}
}
