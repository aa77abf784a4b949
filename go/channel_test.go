package trunkline

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"
)

// serveGRPC serves a few methods over HTTP/2 without TLS, framed by hand: the module needs no gRPC of its own.
func serveGRPC(t *testing.T) (target string) {
	t.Helper()
	return serveHTTP2(t, grpcMethod)
}

func serveHTTP2(t *testing.T, handler http.HandlerFunc) (target string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handler, Protocols: protocols}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return listener.Addr().String()
}

func grpcMethod(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message, Hint")
	finish := func(status, message string) {
		w.Header().Set("Grpc-Status", status)
		w.Header().Set("Grpc-Message", message)
	}
	switch r.URL.Path {
	case "/test.Service/Echo":
		w.Header().Set("Echo-Text", r.Header.Get("Echo-Text"))
		message, err := readMessage(r.Body)
		if err != nil {
			finish("13", err.Error())
			return
		}
		writeMessage(w, message)
		finish("0", "")
	case "/test.Service/Fail":
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusOK)
		w.Header().Set("Hint", "look elsewhere")
		finish("5", "no such thing")
	case "/test.Service/Hang":
		<-r.Context().Done()
	case "/test.Service/Talk":
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		for {
			message, err := readMessage(r.Body)
			if err != nil {
				break
			}
			writeMessage(w, append([]byte("you said "), message...))
			w.(http.Flusher).Flush()
		}
		finish("0", "")
	default:
		finish("12", "")
	}
}

func readMessage(r io.Reader) ([]byte, error) {
	var prefix [5]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint32(prefix[1:]))
	_, err := io.ReadFull(r, message)
	return message, err
}

func writeMessage(w io.Writer, message []byte) {
	var prefix [5]byte
	binary.BigEndian.PutUint32(prefix[1:], uint32(len(message)))
	_, _ = w.Write(append(prefix[:], message...))
}

func newChannel(t *testing.T, target string, config ConnectionConfig) *Channel {
	t.Helper()
	c, err := NewChannel(target, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

var noRetries = ConnectionConfig{ServiceConfig: ServiceConfig{Document: json.RawMessage(`{}`)}}

func TestAChannelCallsAndBringsMetadata(t *testing.T) {
	c := newChannel(t, serveGRPC(t), ConnectionConfig{})
	if s := c.GetState(); s != Idle {
		t.Fatalf("before the first call it is %v", s)
	}
	var header, trailer Metadata
	sent := Metadata{{"echo-text", []byte("hi")}}
	reply, err := c.Invoke(soon(t), "/test.Service/Echo", []byte("hello"), WithMetadata(sent), Header(&header), Trailer(&trailer))
	if err != nil || string(reply) != "hello" {
		t.Fatal(string(reply), err)
	}
	if got := string(header.Get("echo-text")); got != "hi" {
		t.Fatalf("the header has %q", got)
	}
	if s := c.GetState(); s != Ready {
		t.Fatalf("after it, it is %v", s)
	}
}

func TestAStatusIsAnErrorWithCodeWordsAndTrailers(t *testing.T) {
	c := newChannel(t, serveGRPC(t), ConnectionConfig{})
	_, err := c.Invoke(soon(t), "/test.Service/Fail", nil)
	var failed *Error
	if !errors.As(err, &failed) || failed.Kind != KindRPC || failed.Code != 5 || failed.Details != "no such thing" {
		t.Fatalf("%#v", err)
	}
	if got := string(failed.Trailers.Get("hint")); got != "look elsewhere" {
		t.Fatalf("the trailers have %q", got)
	}
	if failed.Op != "call" || failed.Retryable {
		t.Fatalf("%#v", failed)
	}
}

func TestAContextEndsACall(t *testing.T) {
	c := newChannel(t, serveGRPC(t), ConnectionConfig{})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := c.Invoke(ctx, "/test.Service/Hang", nil)
	var failed *Error
	if !errors.As(err, &failed) || failed.Kind != KindRPC || failed.Code != 4 {
		t.Fatalf("a deadline gave %#v", err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.Invoke(ctx, "/test.Service/Hang", nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancel gave %v", err)
	}
}

func TestStatesOfAChannelAreWaitedFor(t *testing.T) {
	c := newChannel(t, serveGRPC(t), ConnectionConfig{})
	short, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if c.WaitForStateChange(short, Idle) {
		t.Fatal("nothing changes by itself")
	}
	c.Connect()
	if !c.WaitForStateChange(soon(t), Idle) {
		t.Fatal("connecting is a change")
	}
	if err := c.WaitReady(soon(t)); err != nil {
		t.Fatal(err)
	}
	c.ResetConnectBackoff()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if s := c.GetState(); s != Shutdown || !c.WaitForStateChange(soon(t), Ready) {
		t.Fatalf("closed, it is %v", s)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	if _, err := c.Invoke(soon(t), "/test.Service/Echo", nil); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
}

func TestAChannelWithoutAServerSaysSo(t *testing.T) {
	c := newChannel(t, "mem:nobody-serves-go", noRetries)
	_, err := c.Invoke(soon(t), "/test.Service/Echo", nil)
	var failed *Error
	if !errors.As(err, &failed) || failed.Code != 14 || !failed.Retryable {
		t.Fatalf("%#v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := c.WaitReady(ctx); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	waiting, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err = c.Invoke(waiting, "/test.Service/Echo", nil, WaitForReady(true)); !errors.As(err, &failed) || failed.Code != 4 {
		t.Fatalf("%#v", err)
	}
}

func TestMessagesFlowEachWay(t *testing.T) {
	c := newChannel(t, serveGRPC(t), ConnectionConfig{})
	call, err := c.Open(soon(t), "/test.Service/Talk")
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	for _, said := range []string{"a", "b"} {
		if err := call.Send([]byte(said)); err != nil {
			t.Fatal(err)
		}
		if heard, err := call.Receive(); err != nil || string(heard) != "you said "+said {
			t.Fatal(string(heard), err)
		}
	}
	if header, err := call.Header(); err != nil || len(header) == 0 {
		t.Fatal(header, err)
	}
	call.CloseSend()
	if _, err := call.Receive(); err != io.EOF {
		t.Fatal(err)
	}
	call.Trailer()
	if err := call.Send(nil); err != io.EOF {
		t.Fatal(err)
	}
}

func TestClosingACallEndsWhatWaitsOnIt(t *testing.T) {
	c := newChannel(t, serveGRPC(t), ConnectionConfig{})
	call, err := c.Open(context.Background(), "/test.Service/Hang")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := call.Receive()
		ended <- err
	}()
	time.Sleep(10 * time.Millisecond)
	_ = call.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	if _, err := call.Receive(); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
}

func TestManyGoroutinesShareAChannel(t *testing.T) {
	c := newChannel(t, serveGRPC(t), ConnectionConfig{})
	var all sync.WaitGroup
	for g := range 50 {
		all.Go(func() {
			for n := range 20 {
				want := fmt.Appendf(nil, "%d %d", g, n)
				got, err := c.Invoke(soon(t), "/test.Service/Echo", want)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%q: %q %v", want, got, err)
				}
			}
		})
	}
	all.Wait()
}

func TestOfCallsMadeTogetherABadOneFailsAlone(t *testing.T) {
	c := newChannel(t, serveGRPC(t), ConnectionConfig{})
	var all sync.WaitGroup
	for g := range 60 {
		all.Go(func() {
			method, want := "/test.Service/Echo", fmt.Appendf(nil, "%d", g)
			if g%7 == 3 {
				method = "/test.Service/\xff"
			}
			got, err := c.Invoke(soon(t), method, want)
			if g%7 == 3 {
				var failed *Error
				if !errors.As(err, &failed) || failed.Kind != KindConfig {
					t.Errorf("a method that is no text gave %v", err)
				}
			} else if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%q: %q %v", want, got, err)
			}
		})
	}
	all.Wait()
}

func TestOfCallsMadeTogetherEachIsCancelledForItself(t *testing.T) {
	c := newChannel(t, serveGRPC(t), ConnectionConfig{})
	if err := c.WaitReady(soon(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var hanging, others sync.WaitGroup
	for g := range 40 {
		hanging.Go(func() {
			if _, err := c.Invoke(ctx, "/test.Service/Hang", nil); !errors.Is(err, context.Canceled) {
				t.Errorf("a cancel gave %v", err)
			}
		})
		others.Go(func() {
			want := fmt.Appendf(nil, "%d", g)
			if got, err := c.Invoke(soon(t), "/test.Service/Echo", want); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%q: %q %v", want, got, err)
			}
		})
	}
	others.Wait()
	cancel()
	hanging.Wait()
}

func TestWhatIsWrongWithAChannelIsNamed(t *testing.T) {
	bad := ConnectionConfig{ServiceConfig: ServiceConfig{Document: json.RawMessage(`{"methodConfig": 1}`)}}
	for target, config := range map[string]ConnectionConfig{"host:http": {}, "mem:a": bad} {
		_, err := NewChannel(target, config)
		var failed *Error
		if !errors.As(err, &failed) || failed.Kind != KindConfig {
			t.Fatalf("%s: %v", target, err)
		}
	}
}
