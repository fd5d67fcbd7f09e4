package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/waltap/waltap/internal/secret"
)

// jaas is what a sasl.jaas.config says:
//
//	org.apache.kafka.common.security.scram.ScramLoginModule required username="alice" password="${file:/path:key}";
type jaas struct {
	module   string
	username string
	password secret.Secret
}

// fits tells whether the login module is that of a sasl.mechanism.
func (j jaas) fits(mechanism string) bool { return strings.HasSuffix(j.module, moduleOf(mechanism)) }

func moduleOf(mechanism string) string {
	if mechanism == "PLAIN" {
		return "plain.PlainLoginModule"
	}
	return "scram.ScramLoginModule"
}

// parseJAAS reads a sasl.jaas.config as it is written: as one reference, or as a text whose password is one. Its errors
// tell nothing of its values.
func parseJAAS(r *secret.Resolver, text string) (jaas, error) {
	whole := secret.IsReference(text)
	if whole {
		resolved, err := r.Resolve(text)
		if err != nil {
			return jaas{}, err
		}
		text = resolved.Text
	}
	words, err := jaasWords(text)
	if err != nil {
		return jaas{}, err
	}
	j, options, err := jaasOptions(words)
	if err != nil {
		return jaas{}, err
	}
	for _, name := range []string{"username", "password"} {
		value, ok := options[name]
		if !ok {
			return jaas{}, fmt.Errorf("has no option %s", name)
		}
		if whole {
			continue
		}
		if name == "password" && !secret.IsReference(value) {
			return jaas{}, errLiteral
		}
		resolved, err := r.Resolve(value)
		if err != nil {
			return jaas{}, err
		}
		options[name] = resolved.Text
	}
	j.username, j.password = options["username"], secret.New(options["password"])
	return j, nil
}

// jaasOptions takes the words apart: a class, a flag, options, a semicolon.
func jaasOptions(words []string) (jaas, map[string]string, error) {
	const want = `want one login module, such as org.apache.kafka.common.security.scram.ScramLoginModule required username="alice" password="${file:/path:key}";`
	if len(words) < 3 || words[len(words)-1] != ";" {
		return jaas{}, nil, errors.New(want)
	}
	j := jaas{module: words[0]}
	if !j.fits("PLAIN") && !j.fits("SCRAM-SHA-256") {
		return jaas{}, nil, errors.New("this login module is none that waltap has: want org.apache.kafka.common.security.plain.PlainLoginModule or org.apache.kafka.common.security.scram.ScramLoginModule")
	}
	switch strings.ToLower(words[1]) {
	case "required", "requisite", "sufficient", "optional":
	default:
		return jaas{}, nil, errors.New(want)
	}
	options := make(map[string]string)
	for words = words[2 : len(words)-1]; len(words) > 0; words = words[3:] {
		if len(words) < 3 || words[1] != "=" || words[0] == ";" || words[2] == ";" {
			return jaas{}, nil, errors.New(want)
		}
		switch words[0] {
		case "username", "password":
			options[words[0]] = words[2]
		default:
			return jaas{}, nil, errors.New("there is an option beside username and password: waltap has no use for it, remove it")
		}
	}
	return j, options, nil
}

// jaasWords splits as Java's StreamTokenizer does: at blanks, '=' and ';' outside of quotes, with escapes inside of them.
func jaasWords(s string) ([]string, error) {
	var words []string
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '=' || c == ';':
			words = append(words, string(c))
			i++
		case c == '"' || c == '\'':
			word, n, err := jaasQuoted(s[i:])
			if err != nil {
				return nil, err
			}
			words = append(words, word)
			i += n
		case strings.HasPrefix(s[i:], "${"): // may hold anything up to its end
			n := strings.IndexByte(s[i:], '}')
			if n < 0 {
				return nil, errors.New("a reference ${ has no end")
			}
			words = append(words, s[i:i+n+1])
			i += n + 1
		default:
			n := strings.IndexAny(s[i:], " \t\r\n=;\"'")
			if n < 0 {
				n = len(s) - i
			}
			words = append(words, s[i:i+n])
			i += n
		}
	}
	return words, nil
}

// jaasQuoted reads the quoted text that s begins with; n is its length with the quotes.
func jaasQuoted(s string) (word string, n int, err error) {
	controls := map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', 'b': '\b', 'f': '\f', 'v': '\v', 'a': '\a'}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == s[0]:
			return b.String(), i + 1, nil
		case c == '\\' && i+1 < len(s):
			i++
			if control, ok := controls[s[i]]; ok {
				b.WriteByte(control)
			} else {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, errors.New("a quote has no end")
}

// errLiteral refuses a secret that stands in the configuration.
var errLiteral = errors.New("a secret does not stand in the configuration itself: keep it in a file and write ${file:/path/to/secrets.properties:key} or ${directory:/path:file}, or in the environment and write ${env:NAME}")
