package trunkline

import (
	"encoding/json"
	"time"

	"trunkline.dev/go/internal/native"
)

// CheckoutPoolStats are the counts of a [Pool], all of one moment: Created - Closed = Idle + Used + Validating + Closing,
// always.
type CheckoutPoolStats struct {
	MaxSize      uint64        // the most connections there may be
	MinIdle      uint64        // connections that are to stand ready
	Idle         uint64        // connections that stand ready
	Used         uint64        // connections that are lent
	Validating   uint64        // connections that are being checked or reset
	Connecting   uint64        // connections that are being made; not among Created yet
	Closing      uint64        // connections that are being closed
	Waiting      uint64        // callers in line
	Created      uint64        // connections that were made
	CreateFailed uint64        // attempts to connect that failed
	Closed       uint64        // connections that are gone
	Acquired     uint64        // leases given out, in all
	Hits         uint64        // of these, those for which an idle connection was there at once
	HandedOver   uint64        // of these, those that went to a caller in line
	Timeouts     uint64        // calls of Get that got nothing before their deadline
	Cancelled    uint64        // calls of Get that were given up
	Refused      uint64        // calls of Get that were refused because too many waited
	Invalid      uint64        // checks and resets that failed
	Relieved     uint64        // connections that a younger one relieved before their end
	Leaks        uint64        // leases that were held for longer than LeakAfter
	Epoch        uint64        // how often the pool was cleared
	PeakUsed     uint64        // the most connections lent at one time since TakeStats
	UseTime      time.Duration // for which connections were held, in all
	WaitTime     time.Duration // for which callers stood in line before they were served, in all
	// ClosedBy counts the closed ones by their reasons.
	ClosedBy map[PoolCloseReason]uint64
}

func newCheckoutPoolStats(s native.CheckoutStats) CheckoutPoolStats {
	by := make(map[PoolCloseReason]uint64)
	for reason, count := range s.ClosedBy {
		if count > 0 {
			by[PoolCloseReason(reason)] = count
		}
	}
	return CheckoutPoolStats{
		MaxSize:      s.MaxSize,
		MinIdle:      s.MinIdle,
		Idle:         s.Idle,
		Used:         s.Used,
		Validating:   s.Validating,
		Connecting:   s.Connecting,
		Closing:      s.Closing,
		Waiting:      s.Waiting,
		Created:      s.Created,
		CreateFailed: s.CreateFailed,
		Closed:       s.Closed,
		Acquired:     s.Acquired,
		Hits:         s.Hits,
		HandedOver:   s.HandedOver,
		Timeouts:     s.Timeouts,
		Cancelled:    s.Cancelled,
		Refused:      s.Refused,
		Invalid:      s.Invalid,
		Relieved:     s.Relieved,
		Leaks:        s.Leaks,
		Epoch:        s.Epoch,
		PeakUsed:     s.PeakUsed,
		UseTime:      time.Duration(s.UseTimeNs),
		WaitTime:     time.Duration(s.WaitTimeNs),
		ClosedBy:     by,
	}
}

// HeldLease is a lease that is out.
type HeldLease struct {
	Held   time.Duration // for how long
	Holder string        // where it was taken, if the pool notes that, such as "shop/orders.go:42"
}

func heldLeases(pool uint64) []HeldLease {
	document, status := native.PoolLeases(pool)
	if status != native.OK {
		return nil
	}
	var rows []struct {
		Held   TimeLimit
		Holder string
	}
	if json.Unmarshal(document, &rows) != nil {
		return nil
	}
	leases := make([]HeldLease, len(rows))
	for i, row := range rows {
		held, _ := row.Held.Duration()
		leases[i] = HeldLease{held, row.Holder}
	}
	return leases
}
