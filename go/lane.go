package trunkline

import "sync"

// lane runs functions on goroutines of their own, so many at a time; the others come after them, in order.
type lane struct {
	limit int

	mu      sync.Mutex
	running int
	waiting []func()
}

func (l *lane) run(f func()) {
	l.mu.Lock()
	if l.running == l.limit {
		l.waiting = append(l.waiting, f)
		l.mu.Unlock()
		return
	}
	l.running++
	l.mu.Unlock()
	go l.work(f)
}

func (l *lane) work(f func()) {
	defer l.next()
	f()
}

func (l *lane) next() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.running--
		l.waiting = nil
		return
	}
	f := l.waiting[0]
	l.waiting[0] = nil
	l.waiting = l.waiting[1:]
	go l.work(f)
}
