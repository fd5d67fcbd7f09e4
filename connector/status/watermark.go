package status

import (
	"fmt"
	"time"
)

// watermark is what a source has published last.
type watermark struct {
	ms        int64 // 0: nothing yet
	estimated bool
	waits     string
	reason    string
}

// WatermarkView is a source's watermark at one moment: every change that was acknowledged before Time is in Kafka.
type WatermarkView struct {
	Time      *time.Time `json:"time,omitempty"`   // nil before the first one
	LagMS     *int64     `json:"lagMs,omitempty"`  // from Time to now
	Estimated bool       `json:"estimated"`        // from the source's metrics, not proved
	Reason    string     `json:"reason,omitempty"` // why the next one is an estimate
	Waits     string     `json:"waits,omitempty"`  // what it waits for while it does not move
}

// SetWatermark tells the watermark that was published, 0 that there is none to show any more.
func (c *Connector) SetWatermark(ms int64, estimated bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mark.ms, c.mark.estimated = ms, estimated
}

// SetWatermarkWaits tells what the watermark waits for, "" for nothing.
func (c *Connector) SetWatermarkWaits(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mark.waits = text
}

// SetWatermarkReason tells why the watermark is an estimate from now on, "" that it is proved.
func (c *Connector) SetWatermarkReason(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mark.reason = text
}

func (w watermark) view(now time.Time) *WatermarkView {
	if w == (watermark{}) {
		return nil
	}
	v := &WatermarkView{Estimated: w.estimated, Reason: w.reason, Waits: w.waits}
	if w.ms != 0 {
		t, lag := time.UnixMilli(w.ms).UTC(), now.UnixMilli()-w.ms
		v.Time, v.LagMS = &t, &lag
	}
	return v
}

// text is such as "watermark 10:00:01.250Z (2.1 s ago, estimated)"; "" before the first one.
func (v *WatermarkView) text() string {
	if v == nil || v.Time == nil {
		return ""
	}
	note := ""
	if v.Estimated {
		note = ", estimated"
	}
	return fmt.Sprintf("watermark %s (%.1f s ago%s)", v.Time.Format("15:04:05.000Z"), float64(*v.LagMS)/1000, note)
}
