package trunkline

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"trunkline.dev/go/internal/native"
)

// script is one file of tests/pool, whose README says what it means.
type script struct {
	config    json.RawMessage
	abilities []string
	steps     []step
}

type step map[string]any

// words are the parts of a line that are neither brackets nor signs.
var words = regexp.MustCompile(`"[^"]*"|[A-Za-z0-9_][A-Za-z0-9_-]*`)

// asJSON reads the part of YAML that the scripts are written in: what stands in one line.
func asJSON(line string) []byte {
	return []byte(words.ReplaceAllStringFunc(line, func(word string) string {
		if word[0] == '"' || strings.Trim(word, "0123456789") == "" {
			return word
		}
		return `"` + word + `"`
	}))
}

func readScript(t *testing.T, file string) script {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := script{config: []byte("{}")}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), " ")
		var err error
		switch key {
		case "config:":
			s.config = asJSON(value)
		case "abilities:":
			err = json.Unmarshal(asJSON(value), &s.abilities)
		case "-":
			var next step
			err = json.Unmarshal(asJSON(value), &next)
			s.steps = append(s.steps, next)
		case "name:", "steps:":
		default:
			t.Fatalf("%s: cannot read %q", file, lines.Text())
		}
		if err != nil {
			t.Fatalf("%s: %q: %v", file, lines.Text(), err)
		}
	}
	return s
}

func (s step) text(key string) string { text, _ := s[key].(string); return text }

func (s step) number(key string) int { number, _ := s[key].(float64); return int(number) }

func (s step) list(key string) []string {
	var list []string
	items, _ := s[key].([]any)
	for _, item := range items {
		list = append(list, item.(string))
	}
	return list
}

// orders are followed by what a pool of numbers dials, checks and closes.
type orders struct {
	mu      sync.Mutex
	plans   []string
	held    map[string]chan bool
	made    int
	spoiled []int
	closed  map[int][]string
}

// hold is where an attempt waits for its word.
func (o *orders) hold(word string) chan bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held[word] == nil {
		o.held[word] = make(chan bool, 1)
	}
	return o.held[word]
}

func (o *orders) next() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.plans) == 0 {
		return "works"
	}
	plan := o.plans[0]
	o.plans = o.plans[1:]
	return plan
}

func (o *orders) dial(context.Context) (int, error) {
	plan := o.next()
	if plan != "works" && plan != "fails" {
		plan = map[bool]string{true: "works", false: "fails"}[<-o.hold(plan)]
	}
	if plan == "fails" {
		return 0, errors.New("refused by plan")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.made++
	return o.made, nil
}

func (o *orders) check(_ context.Context, number int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if slices.Contains(o.spoiled, number) {
		return errors.New("spoiled")
	}
	return nil
}

func (o *orders) close(_ context.Context, number int, reason PoolCloseReason) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed[number] = append(o.closed[number], reason.String())
}

// reasons is why it was closed.
func (o *orders) reasons(number int) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.closed[number])
}

// all is how many were made.
func (o *orders) all() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.made
}

// asker is a caller of a script.
type asker struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it has its answer
	lease  *Lease[int]
	number int // what it was lent
	err    error
}

func (a *asker) waits() bool {
	select {
	case <-a.done:
		return false
	default:
		return true
	}
}

func (a *asker) ended() error { return same("waits", a.waits(), false) }

// player plays one script on one pool.
type player struct {
	t        *testing.T
	pool     *Pool[int]
	orders   *orders
	askers   map[string]*asker
	drains   map[string]chan error
	detached []int
}

func (p *player) act(s step) {
	switch s.text("do") {
	case "acquire":
		p.acquire(s.text("as"), s.number("within"))
	case "try":
		a := &asker{done: make(chan struct{})}
		a.lease, _ = p.pool.TryGet()
		close(a.done)
		p.askers[s.text("as")] = a
	case "cancel":
		a := p.askers[s.text("of")]
		a.cancel()
		<-a.done
	case "release":
		_ = p.askers[s.text("of")].lease.Release()
	case "discard":
		_ = p.askers[s.text("of")].lease.Discard(nil)
	case "detach":
		number, err := p.askers[s.text("of")].lease.Detach()
		if err != nil {
			p.t.Error(err)
		}
		p.detached = append(p.detached, number)
	case "clear":
		p.pool.Clear()
	case "check":
		p.pool.Check()
	case "resize":
		if err := p.pool.Resize(uint32(s.number("max_size")), uint32(s.number("min_idle"))); err != nil {
			p.t.Error(err)
		}
	case "drain":
		done := make(chan error, 1)
		p.drains[s.text("as")] = done
		go func() { done <- p.pool.Drain(context.Background()) }()
		p.refuses()
	case "close":
		go p.pool.Close()
		p.refuses()
	case "connects":
		p.orders.mu.Lock()
		p.orders.plans = append(p.orders.plans, s.list("next")...)
		p.orders.mu.Unlock()
	case "let_go", "let_fail":
		p.orders.hold(s.text("of")) <- s.text("do") == "let_go"
	case "spoil":
		p.orders.mu.Lock()
		p.orders.spoiled = append(p.orders.spoiled, s.number("connection"))
		p.orders.mu.Unlock()
	default:
		p.t.Fatalf("there is no step %v", s)
	}
}

// refuses waits until the pool refuses newcomers.
func (p *player) refuses() {
	p.await(func() error {
		_, status := native.PoolTry(p.pool.lender.handle, "")
		return same("refused", status == native.Closed || status == native.InvalidHandle, true)
	})
}

func (p *player) acquire(name string, within int) {
	limit := time.Hour
	if within > 0 {
		limit = time.Duration(within) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	a := &asker{cancel: cancel, done: make(chan struct{})}
	p.askers[name] = a
	go func() {
		defer close(a.done)
		if a.lease, a.err = p.pool.Get(ctx); a.err == nil {
			a.number = a.lease.Conn()
		}
	}()
	p.await(func() error {
		if !a.waits() {
			return nil
		}
		return same("in line", int(p.pool.Stats().Waiting), len(p.waiting()))
	})
}

// waiting are those who have no answer.
func (p *player) waiting() []string {
	var names []string
	for name, a := range p.askers {
		if a.waits() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (p *player) look(s step) error {
	switch s.text("expect") {
	case "lent":
		a := p.askers[s.text("to")]
		if err := a.ended(); err != nil {
			return err
		}
		if a.err != nil {
			return a.err
		}
		return same("connection", a.number, s.number("connection"))
	case "nothing":
		return same("lent", p.askers[s.text("to")].lease != nil, false)
	case "refused":
		a := p.askers[s.text("caller")]
		if err := a.ended(); err != nil {
			return err
		}
		if !errors.Is(a.err, refusals[s.text("error")]) {
			return fmt.Errorf("got %v", a.err)
		}
		if says := s.text("says"); !strings.Contains(told(a.err), says) {
			return fmt.Errorf("it says %q", told(a.err))
		}
		return nil
	case "waiting":
		callers := s.list("callers")
		if err := same("waiting", fmt.Sprint(p.waiting()), fmt.Sprint(callers)); err != nil {
			return err
		}
		return same("in line", int(p.pool.Stats().Waiting), len(callers))
	case "closed":
		return same("closed for", fmt.Sprint(p.orders.reasons(s.number("connection"))), fmt.Sprint([]string{s.text("reason")}))
	case "open":
		return same("closed for", len(p.orders.reasons(s.number("connection"))), 0)
	case "stats":
		return p.lookAtStats(s)
	case "stale":
		before := p.pool.Stats().Used
		if err := p.askers[s.text("of")].lease.Release(); !errors.Is(err, ErrReleased) {
			return fmt.Errorf("the release said %v", err)
		}
		return same("used", p.pool.Stats().Used, before)
	case "ended":
		done := p.drains[s.text("of")]
		return same("ended", len(done), 1)
	}
	return fmt.Errorf("there is no expectation of %v", s)
}

var refusals = map[string]error{
	"timeout": ErrPoolTimeout, "limit_exceeded": ErrTooManyWaiters, "circuit_open": ErrCircuitOpen, "closed": ErrPoolClosed,
}

// told is the text of an error and of all behind it.
func told(err error) string {
	text := err.Error()
	switch wrapping := err.(type) {
	case interface{ Unwrap() error }:
		if inner := wrapping.Unwrap(); inner != nil {
			text += ": " + told(inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range wrapping.Unwrap() {
			text += ": " + told(inner)
		}
	}
	return text
}

func (p *player) lookAtStats(s step) error {
	stats := p.pool.Stats()
	counts := map[string]uint64{
		"idle": stats.Idle, "used": stats.Used, "connecting": stats.Connecting, "validating": stats.Validating,
		"closing": stats.Closing, "waiting": stats.Waiting, "max_size": stats.MaxSize, "created": stats.Created,
		"create_failed": stats.CreateFailed, "timeouts": stats.Timeouts, "cancelled": stats.Cancelled,
		"refused": stats.Refused, "handed_over": stats.HandedOver, "invalid": stats.Invalid, "epoch": stats.Epoch,
	}
	for field := range s {
		if field == "expect" {
			continue
		}
		count, ok := counts[field]
		if !ok {
			return fmt.Errorf("there is no count of %s", field)
		}
		if err := same(field, int(count), s.number(field)); err != nil {
			return err
		}
	}
	return nil
}

func same[T comparable](what string, found, expected T) error {
	if found == expected {
		return nil
	}
	return fmt.Errorf("%s: %v instead of %v", what, found, expected)
}

// await looks again and again until it is so.
func (p *player) await(look func() error) {
	p.t.Helper()
	eventually(p.t, look)
}

// finish closes the pool and puts all that is lent back: then nothing is left, and nobody.
func (p *player) finish() {
	go p.pool.Close()
	p.await(func() error { return same("waiting", len(p.waiting()), 0) })
	for _, a := range p.askers {
		if a.lease != nil {
			_ = a.lease.Release()
		}
		if a.cancel != nil {
			a.cancel()
		}
	}
	p.await(func() error {
		for number := 1; number <= p.orders.all(); number++ {
			times := 1
			if slices.Contains(p.detached, number) {
				times = 0
			}
			if err := same("closes", len(p.orders.reasons(number)), times); err != nil {
				return fmt.Errorf("%d: %w", number, err)
			}
		}
		return nil
	})
}

// TestScripts plays what the other languages play too, but for connections that can be seen to be broken: those of a
// function that dials cannot.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("../tests/pool/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	played := 0
	for _, file := range files {
		s := readScript(t, file)
		if slices.Contains(s.abilities, "peeks") {
			continue
		}
		played++
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			balanced(t)
			var config CheckoutPoolConfig
			if err := json.Unmarshal(s.config, &config); err != nil {
				t.Fatal(err)
			}
			o := &orders{held: map[string]chan bool{}, closed: map[int][]string{}}
			options := []PoolOption[int]{WithClose(o.close)}
			if slices.Contains(s.abilities, "checks") {
				options = append(options, WithCheck(o.check))
			}
			pool, err := NewPool(t.Context(), o.dial, config, options...)
			if err != nil {
				t.Fatal(err)
			}
			p := &player{t, pool, o, map[string]*asker{}, map[string]chan error{}, nil}
			for at, s := range s.steps {
				if s.text("do") != "" {
					p.act(s)
				} else {
					p.await(func() error {
						if err := p.look(s); err != nil {
							return fmt.Errorf("step %d: %v: %w", at+1, s, err)
						}
						return nil
					})
				}
			}
			p.finish()
		})
	}
	if played != len(files)-1 {
		t.Errorf("played %d of %d", played, len(files))
	}
}
