package trunkline

// leasedConn is the entry of a stream of the library's for one lease. The pool keeps the stream; what is made here
// ends with the lease, so that a holder who reads on takes nothing from the next.
func (l *lender) leasedConn(number uint64) *entry[*Conn] {
	s := newStream(l.rt, number, true)
	e := newEntry(l, &Conn{stream: s}, s)
	e.number = number
	return e
}

// detachedConn is the connection of an entry whose stream is the caller's by now.
func (l *lender) detachedConn(e *entry[*Conn]) *Conn { return newConn(l.rt, e.number) }
