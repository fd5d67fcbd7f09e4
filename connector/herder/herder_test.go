package herder

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

func TestLoggers(t *testing.T) {
	var out bytes.Buffer
	l := NewLoggers(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}), slog.LevelInfo)
	a, b := l.Logger("waltap.connector.a"), l.Logger("waltap.rest").With("x", 1)
	written := func() string { s := out.String(); out.Reset(); return s }
	a.Debug("no")
	b.Info("yes")
	if got := written(); strings.Contains(got, "no") || !strings.Contains(got, "yes") {
		t.Error(got)
	}
	changed, err := l.Set("waltap.connector", "trace")
	if err != nil || !slices.Equal(changed, []string{"waltap.connector", "waltap.connector.a"}) {
		t.Error(changed, err)
	}
	a.Debug("now")
	b.Debug("not")
	if got := written(); !strings.Contains(got, "now") || strings.Contains(got, "not") {
		t.Error(got)
	}
	if _, err := l.Set(RootLogger, "OFF"); err != nil {
		t.Fatal(err)
	}
	a.Error("silent")
	b.Error("silent")
	l.Logger("later").Error("silent")
	if got := written(); got != "" {
		t.Error(got)
	}
	if v, known := l.Get("waltap"); !known || v.Level != "OFF" {
		t.Error(v, known)
	}
	if _, known := l.Get("no"); known {
		t.Error("an unknown logger is known")
	}
	if _, err := l.Set("x", "LOUD"); KindOf(err) != NotFound {
		t.Error(err)
	}
	if v := l.All()["waltap.rest"]; v.LastModified == nil {
		t.Error("it does not say when it was changed")
	}
}

func FuzzParseSignal(f *testing.F) {
	for _, s := range []string{`{"type":"execute-snapshot","data":{"type":"blocking","data-collections":["a"],"additional-conditions":[{"data-collection":"a","filter":"row >= 'a'"}]}}`, `{"id":"1","type":"set-rate","data":{"rows-per-second":1}}`, `{"type":"pause-snapshot"}`, `{`, `null`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSignal(b)
		if err != nil {
			if KindOf(err) != BadRequest {
				t.Errorf("%q: %v", b, err)
			}
			return
		}
		if err := s.Check(); err != nil || !slices.Contains(SignalTypes, s.Type) {
			t.Errorf("%q: %+v %v", b, s, err)
		}
	})
}
