// Package secret keeps passwords and keys out of everything that is written down, and finds them where a configuration
// says they are: in files and in the environment.
package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// mask is what is shown instead, as Kafka's own clients do.
const mask = "[hidden]"

// Secret is a text that is shown nowhere: not by fmt with any verb, not by slog, not as JSON, YAML or text. Only Reveal
// gives it away. The zero value is the absence of one.
type Secret struct {
	// A pointer, so that a Secret in an unexported field of something that is printed, of which fmt does not call the
	// methods, and in the trace of a panic, shows as an address.
	text *string
}

// New keeps text.
func New(text string) Secret { return Secret{&text} }

// Reveal returns the text, "" when there is none.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero tells whether there is no secret. An empty text is one.
func (s Secret) IsZero() bool { return s.text == nil }

// Equal tells whether both hold the same text, or none.
func (s Secret) Equal(other Secret) bool {
	return s.IsZero() == other.IsZero() && subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return mask
}

// Format writes the mask whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue is the mask.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is the mask; encoding/json and yaml use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
