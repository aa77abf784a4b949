package trunkline

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
)

func TestAHalfClosedConnectionStillCarriesTheOtherWay(t *testing.T) {
	onEach(t, func(t *testing.T, client, server *Conn) {
		go func() {
			asked, _ := io.ReadAll(server)
			_, _ = server.Write(bytes.ToUpper(asked))
			server.Close()
		}()
		if _, err := client.Write([]byte("question")); err != nil {
			t.Fatal(err)
		}
		if err := client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(client)
		if string(answer) != "QUESTION" || err != nil {
			t.Fatalf("%q, %v", answer, err)
		}
		if err := client.CloseWrite(); err != nil {
			t.Errorf("a second CloseWrite: %v", err)
		}
		if _, err := client.Write([]byte("more")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("a write after CloseWrite: %v", err)
		}
	})
}

func TestAnAbortIsAResetForThePeer(t *testing.T) {
	onEach(t, func(t *testing.T, client, server *Conn) {
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(server, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if client.LocalAddr().Network() == "unix" {
			t.Skip("a Unix socket has no reset unless bytes were left unread")
		}
		client.Abort()
		_, err := server.Read(make([]byte, 1))
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("got %v", err)
		}
		var known *Error
		if !errors.As(err, &known) || known.Kind != KindBroken || known.Op != "read" {
			t.Errorf("got %#v", known)
		}
		if server.Close(); server.Stats().CloseReason != CloseReset {
			t.Errorf("closed because of %v", server.Stats().CloseReason)
		}
	})
}

func TestAWriteToAPeerThatReadsNoMoreIsABrokenPipe(t *testing.T) {
	balanced(t)
	a, b := pipe(t)
	if err := b.CloseRead(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a read after CloseRead: %v", err)
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("got %v", err)
	}
}

func TestCloseWakesWhoeverWaits(t *testing.T) {
	onEach(t, func(t *testing.T, client, _ *Conn) {
		const readers = 4
		failures := make(chan error, readers)
		for range readers {
			go func() {
				_, err := client.Read(make([]byte, 1))
				failures <- err
			}()
		}
		client.Close()
		for range readers {
			if err := <-failures; !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
		for name, call := range map[string]func() error{
			"read":         func() error { _, err := client.Read(make([]byte, 1)); return err },
			"empty read":   func() error { _, err := client.Read(nil); return err },
			"write":        func() error { _, err := client.Write([]byte("x")); return err },
			"close":        client.Close,
			"abort":        client.Abort,
			"close write":  client.CloseWrite,
			"close read":   client.CloseRead,
			"set deadline": func() error { return client.SetDeadline(testTime) },
		} {
			var known *net.OpError
			if err := call(); !errors.Is(err, net.ErrClosed) || !errors.As(err, &known) {
				t.Errorf("%s after Close: %v", name, err)
			}
		}
	})
}

func TestAWriteIsNeverMixedWithAnother(t *testing.T) {
	balanced(t)
	a, b := pipe(t, PipeCapacity(7))
	const writers, size = 8, 1000
	var all sync.WaitGroup
	for i := range byte(writers) {
		all.Go(func() {
			if n, err := a.Write(bytes.Repeat([]byte{i}, size)); n != size || err != nil {
				t.Errorf("wrote %d, %v", n, err)
			}
		})
	}
	go func() { all.Wait(); a.CloseWrite() }()
	got, err := io.ReadAll(b)
	if err != nil || len(got) != writers*size {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	for start := 0; start < len(got); start += size {
		if block := got[start : start+size]; bytes.Count(block, block[:1]) != size {
			t.Fatalf("the block at %d is mixed", start)
		}
	}
}

func TestCountsAreExactAlsoAfterClose(t *testing.T) {
	onEach(t, func(t *testing.T, client, server *Conn) {
		sent := bytes.Repeat([]byte("0123456789"), 100_000)
		go func() {
			_, _ = client.Write(sent)
			client.CloseWrite()
		}()
		got, err := io.ReadAll(server)
		if err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		server.CloseWrite()
		if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("read %d, %v", n, err)
		}
		client.Close()
		server.Close()
		if c := client.Stats(); c.BytesSent != uint64(len(sent)) || c.CloseReason != CloseFinished || c.Age <= 0 {
			t.Errorf("client %+v", c)
		}
		if s := server.Stats(); s.BytesReceived != uint64(len(sent)) || s.CloseReason != CloseFinished {
			t.Errorf("server %+v", s)
		}
		if client.Stats().ID == server.Stats().ID {
			t.Error("two connections have one id")
		}
	})
}

func TestFailuresNameTheirEnds(t *testing.T) {
	onEach(t, func(t *testing.T, client, _ *Conn) {
		client.SetDeadline(testTime)
		for op, call := range map[string]func([]byte) (int, error){"read": client.Read, "write": client.Write} {
			_, err := call(make([]byte, 1))
			var known *net.OpError
			if !errors.As(err, &known) {
				t.Fatalf("%T", err)
			}
			if known.Op != op || known.Net != client.LocalAddr().Network() ||
				known.Source != named(client.LocalAddr()) || known.Addr != named(client.RemoteAddr()) {
				t.Errorf("got %#v", known)
			}
		}
	})
}

func TestBothEndsAgreeOnTheirAddresses(t *testing.T) {
	balanced(t)
	client, server := connected(t, "tcp://127.0.0.1:0")
	if client.LocalAddr().String() != server.RemoteAddr().String() ||
		client.RemoteAddr().String() != server.LocalAddr().String() {
		t.Errorf("%v-%v and %v-%v", client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr())
	}
	a, b := pipe(t)
	for _, addr := range []net.Addr{a.LocalAddr(), a.RemoteAddr(), b.LocalAddr(), b.RemoteAddr()} {
		if addr != MemAddr("") || addr.Network() != "mem" {
			t.Errorf("got %#v", addr)
		}
	}
}

func TestASocketCarriesWhatAConnectionDoes(t *testing.T) {
	onEach(t, func(t *testing.T, client, server *Conn) {
		file, err := client.ToSocket()
		if err != nil {
			t.Fatal(err)
		}
		socket, err := net.FileConn(file)
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		// That one is a descriptor of its own.
		file.Close()
		if _, err := socket.Write([]byte("question")); err != nil {
			t.Fatal(err)
		}
		if err := socket.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if asked, err := io.ReadAll(server); string(asked) != "question" || err != nil {
			t.Fatalf("%q, %v", asked, err)
		}
		if _, err := client.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write beside the socket: %v", err)
		}
		if _, err := client.ToSocket(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a second socket: %v", err)
		}
		if _, err := server.Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		server.Close()
		if answer, err := io.ReadAll(socket); string(answer) != "answer" || err != nil {
			t.Fatalf("%q, %v", answer, err)
		}
	})
}
