package trunkline

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"trunkline.dev/go/internal/native"
)

// MemoryProxyHooks are what the program says of the requests of a [MemoryProxy]; nil is as the configuration says. Each call has
// a goroutine of its own, at most 1024 at once, and a context that ends when the time for the answer is over or the proxy
// is closed.
//
// A [*ProxyRefusal] as the error answers the request. Any other error, and a panic, is a 500, no answer in time a 504: nothing of
// the request goes anywhere then.
type MemoryProxyHooks struct {
	// Router says where a request goes, before the routes of the configuration; the zero [ProxyTarget] leaves it to them.
	Router func(context.Context, *ProxyRequest) (ProxyTarget, error)
	// RequestProcessor says whether a request may go to target, and with which fields.
	RequestProcessor func(ctx context.Context, request *ProxyRequest, target ProxyTarget) (FieldChanges, error)
	// CertificateProvider says which certificate a client of TLS is shown: nil for that of the [Tls] that the proxy was made
	// by. An error ends the handshake.
	CertificateProvider func(context.Context, *ProxyHello) (*TlsCertificate, error)
}

// ProxyRequest is a request as a service would see it, but for what a hook says: what belongs to one hop, and what its
// client claims to know of others, is taken out. What is not known is empty.
type ProxyRequest struct {
	Connection uint64      // the number of the connection that it came over
	Source     string      // who is at the other end of it
	ServerName string      // the name that the client of TLS asked for
	IsSecured  bool        // whether it came over TLS
	Method     string      // its method
	Host       string      // its host, in lower case and without a port
	Path       string      // its path, byte for byte as it was asked for
	Query      string      // what follows the ?
	Header     http.Header // its fields
}

// ProxyHello is the beginning of TLS.
type ProxyHello struct {
	Connection uint64   `json:"connection"`  // the number of the connection
	Source     string   `json:"source"`      // who is at the other end of it
	ServerName string   `json:"server_name"` // the name that is asked for, in lower case
	ALPN       []string `json:"alpn"`        // the protocols that the client offers to speak inside, best first
}

// ProxyTarget is a service. The zero ProxyTarget is where the configuration says.
type ProxyTarget struct {
	Address string `json:"target,omitzero"` // where it is, such as "tls://api.internal:443"
	Path    string `json:"path,omitzero"`   // the path and the query that it sees; those of the request if it is empty
	Host    string `json:"host,omitzero"`   // the host that it sees; that of the request if it is empty
}

// FieldChanges are what changes of a request's fields: first some are taken out, then others are set. Fields that say where a
// message goes or ends, or belong to one hop, cannot be changed: that is an error.
type FieldChanges struct {
	Remove []string    // fields that are taken out
	Set    http.Header // fields that are set, in place of all of that name
}

// ProxyRefusal is an answer in place of a service's. A hook returns it as its error.
type ProxyRefusal struct {
	Status int    `json:"status"` // from 400 to 599
	Text   string `json:"text"`   // one line
}

// Error is the text.
func (r *ProxyRefusal) Error() string { return r.Text }

// maxHooks is how many functions of a memory proxy run at once.
const maxHooks = 1024

// hooked answers the questions of a memory proxy.
type hooked struct {
	hooks   MemoryProxyHooks
	ctx     context.Context
	cancel  context.CancelFunc
	running chan struct{} // a place for each call
}

func newHooked(hooks MemoryProxyHooks) *hooked {
	h := &hooked{hooks: hooks, running: make(chan struct{}, maxHooks)}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

func (h *hooked) which() (hooks uint32) {
	if h.hooks.Router != nil {
		hooks |= native.HookRoute
	}
	if h.hooks.RequestProcessor != nil {
		hooks |= native.HookProcess
	}
	if h.hooks.CertificateProvider != nil {
		hooks |= native.HookCertificate
	}
	return hooks
}

// do takes a question, on the wake goroutine.
func (h *hooked) do(e native.Event) {
	if e.Kind != native.EventJob {
		e.Dispose()
		return
	}
	select {
	case h.running <- struct{}{}:
		go h.answer(e.Handle, uint32(e.Value))
	default:
		native.JobFailed(e.Handle, native.Callback, "too many functions of the proxy run")
	}
}

// asked is a question of any kind.
type asked struct {
	ProxyHello
	IsSecured bool          `json:"is_secured"`
	Method    string        `json:"method"`
	Host      string        `json:"host"`
	Path      string        `json:"path"`
	Query     string        `json:"query"`
	Headers   [][2]string   `json:"headers"`
	Timeout   time.Duration `json:"timeout_ns"`
	Target    struct {
		Address string `json:"address"`
		Path    string `json:"path"`
		Host    string `json:"host"`
	} `json:"target"`
}

func (a *asked) request() *ProxyRequest {
	header := make(http.Header, len(a.Headers))
	for _, field := range a.Headers {
		header.Add(field[0], bytesOf(field[1]))
	}
	return &ProxyRequest{
		a.Connection, a.Source, a.ServerName, a.IsSecured, a.Method, a.Host, a.Path, a.Query, header,
	}
}

// bytesOf is a value whose bytes were written as characters of their numbers.
func bytesOf(shown string) string {
	var value strings.Builder
	for _, c := range shown {
		value.WriteByte(byte(c))
	}
	return value.String()
}

// shownAs is the opposite.
func shownAs(value string) string {
	var shown strings.Builder
	for i := range len(value) {
		shown.WriteRune(rune(value[i]))
	}
	return shown.String()
}

func (h *hooked) answer(job uint64, what uint32) {
	defer func() { <-h.running }()
	question, ok := native.MemoryProxyQuestion(job)
	if !ok {
		return // nobody waits any more
	}
	var a asked
	var answer string
	err := json.Unmarshal(question, &a)
	if err == nil {
		err = errors.New("the function ended its goroutine")
		defer func() { answerHook(job, answer, err) }()
		ctx, cancel := context.WithTimeout(h.ctx, a.Timeout)
		defer cancel()
		defer rescue("hook", &err)
		answer, err = h.call(ctx, what, &a)
		return
	}
	answerHook(job, answer, err)
}

func (h *hooked) call(ctx context.Context, what uint32, a *asked) (answer string, err error) {
	var said any
	switch what {
	case native.JobProxyRoute:
		said, err = h.hooks.Router(ctx, a.request())
	case native.JobProxyProcess:
		var changes FieldChanges
		changes, err = h.hooks.RequestProcessor(ctx, a.request(), ProxyTarget(a.Target))
		said = changes.document()
	default:
		var certificate *TlsCertificate
		certificate, err = h.hooks.CertificateProvider(ctx, &a.ProxyHello)
		if err == nil && certificate != nil {
			return certificate.answer()
		}
		said = struct{}{}
	}
	var refusal *ProxyRefusal
	if errors.As(err, &refusal) && what != native.JobProxyCertificate {
		said, err = map[string]*ProxyRefusal{"refuse": refusal}, nil
	}
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(said)
	return string(text), err
}

func (c FieldChanges) document() any {
	changes := struct {
		Remove []string    `json:"remove,omitzero"`
		Set    [][2]string `json:"set,omitzero"`
	}{Remove: c.Remove}
	for name, values := range c.Set {
		for _, value := range values {
			changes.Set = append(changes.Set, [2]string{name, shownAs(value)})
		}
	}
	return changes
}

// answer is the certificate as an answer, with the texts that are shown nowhere else.
func (c TlsCertificate) answer() (string, error) {
	text, err := json.Marshal(map[string]TlsCertificate{"certificate": c})
	if err != nil {
		return "", err
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		return "", err
	}
	c.reveal(tree, "certificate")
	text, err = json.Marshal(tree)
	return string(text), err
}

func answerHook(job uint64, answer string, err error) {
	if err == nil {
		failure := native.MemoryProxyAnswer(job, answer)
		if failure == nil || failure.Status != native.InvalidArgument {
			return
		}
		err = newError(failure, native.StepConfigure)
	}
	native.JobFailed(job, jobStatus(err, native.Callback), err.Error())
}
