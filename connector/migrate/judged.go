package migrate

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// JudgedGate is the gate of a wave as a rehearsal or a cut-over has judged it last.
type JudgedGate struct {
	At int64 `json:"at"` // ms
	// Fenced: it was judged behind the fence, for a cut-over; otherwise for a rehearsal.
	Fenced     bool `json:"fenced"`
	Green      bool `json:"green"`
	Conditions Gate `json:"conditions"`
}

func gateKey(wave string) map[string]string { return map[string]string{"wave": wave, "gate": "last"} }

// keepGate keeps a gate for those who look on, unless it is the one that is kept.
func (s *session) keepGate(ctx context.Context, w *Wave, g Gate, fenced bool) error {
	var was JudgedGate
	if known, err := s.store.Get(s.Name, gateKey(w.Name), &was); err == nil && known && was.Fenced == fenced && slices.Equal(was.Conditions, g) {
		return nil
	}
	if err := s.store.Put(ctx, s.Name, gateKey(w.Name), JudgedGate{time.Now().UnixMilli(), fenced, g.Green(), g}); err != nil {
		return fmt.Errorf("keep how the gate is: %w", err)
	}
	return nil
}
