package trunkline

import "trunkline.dev/go/internal/native"

// PipeOption says how a pipe is made.
type PipeOption func(*pipeOptions)

type pipeOptions struct{ capacity uint64 }

// PipeCapacity sets how many bytes each direction holds between writer and reader, 1 to 2^30. Default: 65,536.
func PipeCapacity(bytes uint64) PipeOption {
	return func(o *pipeOptions) { o.capacity = bytes }
}

// Pipe makes a pipe on the default runtime; see [Runtime.Pipe].
func Pipe(options ...PipeOption) (a, b *Conn, err error) {
	rt, err := Default()
	if err != nil {
		return nil, nil, err
	}
	return rt.Pipe(options...)
}

// Pipe makes two connected ends in memory, with the semantics of a socket: buffered, with half-close, abort and
// deadlines. A pipe with a name is a [Listener] on "mem".
func (rt *Runtime) Pipe(options ...PipeOption) (a, b *Conn, err error) {
	var chosen pipeOptions
	for _, option := range options {
		option(&chosen)
	}
	first, second, failure := native.PipePair(rt.handle, chosen.capacity)
	if failure != nil {
		return nil, nil, newError(failure, native.StepConfigure)
	}
	return newConn(rt, first), newConn(rt, second), nil
}
