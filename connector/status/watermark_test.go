package status

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

func TestWatermark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := example()
		c := p.Connectors[0]
		if v := c.View(); v.Watermark != nil || v.Watermark.text() != "" {
			t.Errorf("before the first: %+v", v.Watermark)
		}
		c.SetWatermarkWaits("the first heartbeat of h,1,2")
		if v := c.View().Watermark; v.Time != nil || v.LagMS != nil || v.Waits != "the first heartbeat of h,1,2" || v.text() != "" {
			t.Errorf("while it waits: %+v", v)
		}
		at := time.Now().UTC().Truncate(time.Millisecond)
		c.SetWatermark(at.UnixMilli(), true)
		c.SetWatermarkReason("several WALs")
		c.SetWatermarkWaits("")
		time.Sleep(2100 * time.Millisecond)
		v := c.View()
		if want := "watermark " + at.Format("15:04:05.000Z") + " (2.1 s ago, estimated)"; v.Watermark.text() != want {
			t.Errorf("%q, want %q", v.Watermark.text(), want)
		}
		line := measured{ConnectorView: &v}.line()
		if !strings.Contains(line, ", "+v.Watermark.text()+", total") {
			t.Errorf("progress line %q", line)
		}
		shown, err := json.Marshal(v.Watermark)
		want := `{"time":"` + at.Format(time.RFC3339Nano) + `","lagMs":2100,"estimated":true,"reason":"several WALs"}`
		if err != nil || string(shown) != want {
			t.Errorf("/status shows %s, want %s, %v", shown, want, err)
		}
		metrics := metricsText(t, p)
		for _, want := range []string{
			`waltap_watermark_lag_seconds{connector="orders-source"} 2.1`,
			`waltap_watermark_estimated{connector="orders-source"} 1`,
			`waltap_watermark_timestamp_seconds{connector="orders-source"} `,
		} {
			if !strings.Contains(metrics, want) {
				t.Errorf("/metrics lacks %s:\n%s", want, metrics)
			}
		}
	})
}

func metricsText(t *testing.T, p *Process) string {
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(NewCollector(p)); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}
