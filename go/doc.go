// Package trunkline gives Go programs the connections, pools and pipes that every language of a system shares.
//
// A [Conn] is a net.Conn over TCP, a Unix socket or an in-memory pipe, a [Listener] is a net.Listener, and both
// go wherever the standard library takes those: http.Server.Serve, http.Transport.DialContext, grpc's
// WithContextDialer. A [PacketConn] is a net.PacketConn for
// datagrams. A [TcpConnectionManager] limits, counts, relays and drains connections, a [UdpConnectionManager] does so with
// sessions of datagrams; a [KeyedPool] keeps
// values of yours under keys, with capacity, expiry and a close function that runs exactly once for each; a [Pool]
// lends connections, which a function of yours or the library makes, each to one caller at a time.
//
// # Lending
//
//	pool, err := trunkline.NewPool(ctx, dial, trunkline.CheckoutPoolConfig{MaxSize: 20})
//	...
//	lease, err := pool.Get(ctx) // waits in line until ctx ends, or for AcquireTimeout
//	...
//	defer lease.Release()
//
// Callers are served in the order in which they came. [Lease.Discard] closes what cannot be used any more, [Pool.Clear]
// retires all connections after a failover, [Pool.Drain] waits for the leases before a shutdown. Functions given to a
// pool run on goroutines of their own; a panic in one of them is a failure of it. [DialContext] lets an http.Transport,
// and others that dial, take connections from a pool.
//
// # Addresses
//
// [Dial] and [Listen] take a network and an address as package net does: "tcp", "tcp4" or "tcp6" with
// "host:port", "unix" with a path (or "@name" for Linux's abstract namespace), and "mem" with the name of a
// listener of this process. [DialAddr] and [ListenAddr] take both in one text, as all languages of Trunkline do:
//
//	tcp://127.0.0.1:80   tcp://[::1]:80   tcp://db.internal:5432
//	unix:/run/app.sock   unix:@app
//	mem:app
//
// # Errors
//
// Operations on connections and listeners fail as those of package net do: with a *net.OpError around net.ErrClosed,
// os.ErrDeadlineExceeded or an [*Error], which says whose fault it was and whether a retry is safe. The end of a stream
// is io.EOF itself. Use errors.Is with those, with syscall's numbers, and with the Err values of this package.
//
// # Contexts, deadlines and goroutines
//
// A context given to a function bounds that call alone. Deadlines of connections are kept in Go: they
// wake whoever waits, at once. A waiting call parks its goroutine and holds no thread: one goroutine per [Runtime]
// waits for the library, and only starting or shutting a runtime down and closing a manager wait inside C, shortly.
// Everything here may be used from any number of goroutines at once.
//
// # Closing
//
// What is opened has to be closed. A connection, listener, manager or pool that is dropped without Close is
// closed when the garbage collector finds it, and slog's default logger says so: a net under the tightrope, not a way to work.
//
// # Linking
//
// The package calls the native library through cgo and needs a C compiler. There are two ways to find the library, and
// [LinkInfo] says which was used:
//
//   - In a checkout, which is the default, it is target/release of the same checkout, where `make release` puts it.
//     CGO_LDFLAGS="-L… -Wl,-rpath,…" comes first and chooses another folder. Such a program finds the library at the same
//     place when it runs, so it is for the machine that built it.
//   - With the build tag trunkline_system it is the library that `make install` put where pkg-config finds it. Such a
//     program runs wherever the loader finds libtrunkline.so.0: /usr/local/lib after ldconfig, or LD_LIBRARY_PATH.
//
// Until the module has a home to be fetched from, a program names it with a replace line in its go.mod:
//
//	require trunkline.dev/go v0.0.0
//	replace trunkline.dev/go => /path/to/trunkline/go
//
// A library of another ABI than the header's stops the program when it starts.
package trunkline
