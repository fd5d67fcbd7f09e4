package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/waltap/waltap/checkpoint"
)

// saveTimeout bounds the saving of a last word.
const saveTimeout = 10 * time.Second

// Member is this process in one generation of the group.
type Member struct {
	ID         string
	Generation int32
	Tasks      []int // ascending; empty: more processes than tasks
	Leads      bool

	board *board
	lease *lease
	busy  bool
	known bool // has an entry
}

// Busy says, for all to see, that this process is at work. It must be called before any work begins, and what there is to do
// must be read (checkpoint.Store.Refresh) after it has returned: a leader that has seen no work left, then no process that
// is busy, may be sure then that none begins. first: it was not said before.
func (m *Member) Busy(ctx context.Context) (first bool, err error) {
	first = !m.busy
	return first, m.say(ctx, true)
}

// Idle takes Busy back: nothing of this process's work is under way.
func (m *Member) Idle(ctx context.Context) error { return m.say(ctx, false) }

func (m *Member) say(ctx context.Context, busy bool) error {
	if m.known && m.busy == busy {
		return nil
	}
	if err := m.board.put(ctx, entry{Member: m.ID, Generation: m.Generation, Busy: busy, Process: thisProcess()}); err != nil {
		return err
	}
	m.known, m.busy = true, busy
	return nil
}

// stopped takes the entry away.
func (m *Member) stopped(ctx context.Context) error {
	if !m.known {
		return nil
	}
	return m.board.remove(ctx, m.ID)
}

// Fence is an error when this process must not send anything more in this generation.
func (m *Member) Fence() error {
	if unfenced {
		return nil
	}
	return m.lease.check()
}

// entry is what a process says on the offsets topic, partition {"member"}.
type entry struct {
	Member     string  `json:"member"`
	Generation int32   `json:"generation"`
	Busy       bool    `json:"busy"`
	Process    process `json:"process"`
}

// board is where the entries are.
type board struct {
	store     *checkpoint.Store
	connector string
}

func (b *board) put(ctx context.Context, e entry) error {
	if err := b.store.Put(ctx, b.connector, map[string]string{"member": e.Member}, e); err != nil {
		return fmt.Errorf("save the state of member %s: %w", e.Member, err)
	}
	return nil
}

func (b *board) remove(ctx context.Context, member string) error {
	if err := b.store.Delete(ctx, b.connector, map[string]string{"member": member}); err != nil {
		return fmt.Errorf("remove the state of member %s: %w", member, err)
	}
	return nil
}

func (b *board) entries() ([]entry, error) {
	var out []entry
	err := b.store.Each(b.connector, func(partition map[string]string, offset json.RawMessage) error {
		if partition["member"] == "" {
			return nil
		}
		var e entry
		if err := json.Unmarshal(offset, &e); err != nil {
			return fmt.Errorf("read the state of member %s: %w", partition["member"], err)
		}
		out = append(out, e)
		return nil
	})
	return out, err
}
