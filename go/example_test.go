package trunkline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	trunkline "trunkline.dev/go"
)

// One manager limits, relays and counts; a pool keeps connections for use again.
func Example() {
	ctx := context.Background()
	manager, err := trunkline.NewTcpConnectionManager(trunkline.TcpManagerConfig{MaxConnections: 100})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	echo, err := trunkline.ListenAddr(ctx, "tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer echo.Close()
	go serveEcho(echo)
	relay, err := manager.Relay(ctx, "tcp://127.0.0.1:0", "tcp://"+echo.Addr().String())
	if err != nil {
		log.Fatal(err)
	}

	pool, err := trunkline.NewKeyedPool(trunkline.PoolConfig{},
		func(_ string, conn net.Conn, _ trunkline.PoolCloseReason) { conn.Close() })
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	conn, err := trunkline.Dial(ctx, "tcp", relay.String())
	if err != nil {
		log.Fatal(err)
	}
	if err := pool.Insert("echo", conn); err != nil {
		log.Fatal(err)
	}

	if conn, ok := pool.Get("echo"); ok {
		answer := make([]byte, 5)
		_, _ = conn.Write([]byte("hello"))
		_, _ = io.ReadFull(conn, answer)
		fmt.Printf("%s over %d connection\n", answer, manager.Stats().Active)
	}
	// Output: hello over 1 connection
}

func serveEcho(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		}()
	}
}

// A web server and its client, without a socket.
func ExampleListen() {
	listener, err := trunkline.Listen(context.Background(), "mem", "app")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "served from memory")
	})}
	go server.Serve(listener)
	defer server.Close()

	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return trunkline.DialAddr(ctx, "mem:app")
		},
	}}
	answer, err := client.Get("http://app/")
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(os.Stdout, answer.Body)
	// Output: served from memory
}

func ExampleDial() {
	listener, err := trunkline.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := trunkline.Dial(ctx, "tcp", listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Println(conn.RemoteAddr().String() == listener.Addr().String())
	// Output: true
}

func ExamplePipe() {
	a, b, err := trunkline.Pipe(trunkline.PipeCapacity(1024))
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	_, _ = a.Write([]byte("said before the end"))
	_ = a.CloseWrite()
	all, err := io.ReadAll(b)
	fmt.Printf("%s, %v\n", all, err)
	// Output: said before the end, <nil>
}

func ExampleError() {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	closed.Close()
	_, err = trunkline.Dial(context.Background(), "tcp", closed.Addr().String())
	fmt.Println(errors.Is(err, syscall.ECONNREFUSED))
	var known *trunkline.Error
	if errors.As(err, &known) {
		fmt.Println(known.Op, known.Kind, "retry:", known.Retryable)
	}
	// Output:
	// true
	// connect connection failed retry: true
}

func ExampleKeyedPool() {
	pool, err := trunkline.NewKeyedPool(
		trunkline.PoolConfig{MaxSize: 1, WhenFull: trunkline.EvictLRU, IdleTimeout: trunkline.Never},
		func(key string, value int, reason trunkline.PoolCloseReason) { fmt.Println(key, value, reason) },
	)
	if err != nil {
		log.Fatal(err)
	}
	_ = pool.Insert("first", 1)
	_ = pool.Insert("second", 2)
	_ = pool.Close()
	// Output:
	// first 1 evicted
	// second 2 pool_closed
}

func ExampleStart() {
	rt, err := trunkline.Start(trunkline.WithWorkers(1), trunkline.WithThreadName("background"))
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	fmt.Println(rt.Shutdown(ctx))
	// Output: <nil>
}

func ExampleConnectionConfig() {
	config, err := trunkline.Preset(trunkline.Development)
	if err != nil {
		log.Fatal(err)
	}
	config.IdleTimeout = trunkline.Never
	config.Backoff.Jitter = trunkline.Set(2.0)
	fmt.Println(config.ConnectTimeout, config.Validate())
	// Output: 5s backoff.jitter: must be within 0 and 1, is 2
}

// Whatever a function dials is lent to one caller at a time.
func ExampleNewPool() {
	ctx := context.Background()
	pool, err := trunkline.NewPool(ctx, dialSession, trunkline.CheckoutPoolConfig{Name: "sessions", MaxSize: 4},
		trunkline.WithCheck(func(ctx context.Context, s *session) error { return s.ping(ctx) }),
		trunkline.WithClose(func(_ context.Context, s *session, reason trunkline.PoolCloseReason) {
			fmt.Println("closed:", reason)
		}))
	if err != nil {
		log.Fatal(err)
	}
	lease, err := pool.Get(ctx)
	if err != nil {
		log.Fatal(err) // ErrPoolTimeout, with the numbers
	}
	if err := lease.Conn().ask("hello"); err != nil {
		lease.Discard(err)
	} else {
		lease.Release()
	}
	pool.Close()
	// Output:
	// hello
	// closed: pool_closed
}

type session struct{}

func dialSession(context.Context) (*session, error) { return new(session), nil }

func (*session) ping(context.Context) error { return nil }

func (*session) ask(text string) error {
	fmt.Println(text)
	return nil
}

// An http.Transport takes its connections from a pool.
func ExampleDialContext() {
	backend, err := trunkline.ListenAddr(context.Background(), "tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })}
	go server.Serve(backend)
	defer server.Close()

	pool, err := trunkline.OpenPool(context.Background(), []string{"tcp://" + backend.Addr().String()},
		trunkline.CheckoutPoolConfig{MaxSize: 4, MinIdle: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	transport := &http.Transport{DialContext: trunkline.DialContext(pool)}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get("http://backend/")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	fmt.Printf("%s, %v, %d lent\n", text, err, pool.Stats().Used)
	// Output: hello, <nil>, 1 lent
}
