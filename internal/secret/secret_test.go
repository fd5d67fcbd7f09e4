package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

const text = "hunter2 \"quoted\""

type holder struct {
	Public  Secret
	private Secret
	list    []Secret
	byName  map[string]any
}

// shown is everything that the usual ways of writing something down make of a Secret.
func shown(t *testing.T, s Secret) map[string]string {
	t.Helper()
	h := holder{s, s, []Secret{s}, map[string]any{"a": s, "b": &s}}
	out := make(map[string]string)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T", "%10s", "%!"} {
		for name, v := range map[string]any{"secret": s, "pointer": &s, "holder": h, "holder pointer": &h, "slice": []Secret{s}} {
			out[verb+" of "+name] = fmt.Sprintf(verb, v)
		}
	}
	out["error"] = fmt.Errorf("bad: %w", fmt.Errorf("%v", h)).Error()
	b, err := json.Marshal(map[string]any{"a": s, "b": &s, "h": h})
	if err != nil {
		t.Fatal(err)
	}
	out["json"] = string(b)
	if b, err = yaml.Marshal(map[string]any{"a": s, "h": struct{ S Secret }{s}}); err != nil {
		t.Fatal(err)
	}
	out["yaml"] = string(b)
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("x", "secret", s, "pointer", &s, "holder", h, "any", []any{s}, slog.Group("g", "s", s))
		out[name] = b.String()
	}
	func() {
		defer func() { out["panic"] = fmt.Sprint(recover()) + string(debug.Stack()) }()
		panic(h)
	}()
	return out
}

func TestSecretIsShownNowhere(t *testing.T) {
	for how, got := range shown(t, New(text)) {
		for _, hidden := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2"), fmt.Sprint([]byte("hunter2"))} {
			if strings.Contains(got, strings.Trim(hidden, "[]")) {
				t.Errorf("%s: %s", how, got)
			}
		}
	}
	if got := fmt.Sprintf("%v %s", New(text), New("")); got != mask+" "+mask {
		t.Errorf("shown as %s", got)
	}
	if got := fmt.Sprintf("<%v>", Secret{}); got != "<>" {
		t.Errorf("no secret is shown as %s", got)
	}
}

func TestSecretIsKept(t *testing.T) {
	s := New(text)
	if s.Reveal() != text || (Secret{}).Reveal() != "" || !(Secret{}).IsZero() || New("").IsZero() {
		t.Errorf("%q, %v", s.Reveal(), New("").IsZero())
	}
	if !s.Equal(New(text)) || s.Equal(New("other")) || s.Equal(Secret{}) || New("").Equal(Secret{}) || !cmp.Equal(holder{Public: s}.Public, New(text)) {
		t.Error("Equal does not compare the texts")
	}
}
