package interop

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"golang.org/x/net/nettest"

	trunkline "trunkline.dev/go"
)

func TestPipesAreConns(t *testing.T) {
	for _, capacity := range []uint64{64, 4096, 64 << 10, 1 << 20} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				a, b, err := trunkline.Pipe(trunkline.PipeCapacity(capacity))
				if err != nil {
					return nil, nil, nil, err
				}
				return a, b, func() { a.Close(); b.Close() }, nil
			})
		})
	}
}

func TestAcceptedAndDialledStreamsAreConns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for _, address := range []string{"tcp://127.0.0.1:0", "unix:" + path, "mem:nettest"} {
		t.Run(address[:3], func(t *testing.T) {
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) { return connect(address) })
		})
	}
}

// connect is both ends of a connection over a listener on address.
func connect(address string) (dialled, accepted net.Conn, stop func(), err error) {
	ctx := context.Background()
	listener, err := trunkline.ListenAddr(ctx, address)
	if err != nil {
		return nil, nil, nil, err
	}
	defer listener.Close()
	if dialled, err = trunkline.Dial(ctx, listener.Addr().Network(), listener.Addr().String()); err != nil {
		return nil, nil, nil, err
	}
	if accepted, err = listener.Accept(); err != nil {
		return nil, nil, nil, err
	}
	return dialled, accepted, func() { dialled.Close(); accepted.Close() }, nil
}
