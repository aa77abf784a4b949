package trunkline

import (
	"context"
	"encoding/json"
	"runtime"
	"time"

	"trunkline.dev/go/internal/native"
)

// StateChange says that the state of a channel became another.
type StateChange struct {
	Number uint64        // the first change of a channel has number 1, each other one more than that before it
	Age    time.Duration // since it is told
	From   State         // what was told before
	To     State         // what is told since
	Why    string        // what failed, where that is why
}

// History are changes of the state of a channel.
type History struct {
	Changes []StateChange // in the order in which they came
	Lost    uint64        // changes that were asked for, came before all of these, and are kept no longer
}

// History is the changes of the state that have a number above after, as many as most says, 1 to 10,000; 0 is before the
// first. As many as StateHistory in the configuration says are kept, the latest; those that were asked for and are no longer
// there are counted. The number of the last change, for after, begins the next.
func (c *Channel) History(after uint64, most int) (History, error) {
	defer runtime.KeepAlive(c)
	text, failure := native.ChannelHistory(c.owned.handle, after, most)
	if failure != nil {
		return History{}, newError(failure, native.StepConfigure)
	}
	var document struct {
		Changes []struct {
			Number uint64        `json:"number"`
			Age    time.Duration `json:"age_ns"`
			From   string        `json:"from"`
			To     string        `json:"to"`
			Why    string        `json:"why"`
		} `json:"changes"`
		Lost uint64 `json:"lost"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return History{}, configError(err)
	}
	history := History{Lost: document.Lost}
	for _, one := range document.Changes {
		history.Changes = append(history.Changes, StateChange{one.Number, one.Age, stateOf(one.From), stateOf(one.To), one.Why})
	}
	return history, nil
}

// WaitHistory waits until there is a change of the state with a number above after, and returns the number of the latest. It
// fails with net.ErrClosed once the channel is closed and no change has such a number.
func (c *Channel) WaitHistory(ctx context.Context, after uint64) (uint64, error) {
	defer runtime.KeepAlive(c)
	e, err := c.owned.rt.await(ctx, native.StepWait, func(deadline int64, queue, tag uint64) (uint64, *native.Failure) {
		return native.ChannelWaitHistoryAsync(c.owned.handle, after, deadline, queue, tag)
	})
	if err != nil {
		return 0, err
	}
	return e.Value, nil
}
