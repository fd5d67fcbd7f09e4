package secret

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/magiconair/properties"
)

// Provider is a place where values can be, named as Kafka's configuration providers are.
type Provider string

// The providers.
const (
	// File is ${file:/path:key}: the value of a key of a Java properties file.
	File Provider = "file"
	// Directory is ${directory:/path:file}: the content of a file, without the line end behind it.
	Directory Provider = "directory"
	// Env is ${env:NAME}: an environment variable.
	Env Provider = "env"
)

// ProviderOfClass finds the provider that a class of Kafka's, or its short name, stands for.
func ProviderOfClass(class string) (Provider, error) {
	name := class[strings.LastIndexByte(class, '.')+1:]
	switch name {
	case "FileConfigProvider":
		return File, nil
	case "DirectoryConfigProvider":
		return Directory, nil
	case "EnvVarConfigProvider":
		return Env, nil
	}
	return "", fmt.Errorf("%q is no provider that waltap has: want FileConfigProvider, DirectoryConfigProvider or EnvVarConfigProvider of org.apache.kafka.common.config.provider", class)
}

// Resolver replaces references, ${provider:path:key}, by what they stand for. The zero value knows the providers by their
// own names; Names adds others.
type Resolver struct{ Names map[string]Provider }

// reference is Kafka's own pattern: ${provider:key} or ${provider:path:key}.
var reference = regexp.MustCompile(`\$\{([^}:]*):(?:([^}:]*):)?([^}]*)\}`)

// IsReference tells whether text is one reference and nothing else.
func IsReference(text string) bool {
	at := reference.FindStringIndex(text)
	return at != nil && at[0] == 0 && at[1] == len(text)
}

// Resolved is a text without references.
type Resolved struct {
	Text  string
	found map[string]string // what was put in, and the reference it was put in for
}

// Resolve replaces every reference in text. The error names the reference, never a value.
func (r *Resolver) Resolve(text string) (Resolved, error) {
	out := Resolved{found: make(map[string]string)}
	var errs []error
	out.Text = reference.ReplaceAllStringFunc(text, func(ref string) string {
		m := reference.FindStringSubmatch(ref)
		value, err := r.value(m[1], m[2], m[3])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", ref, err))
		}
		out.found[value] = ref
		return value
	})
	return out, errors.Join(errs...)
}

// Hide puts the references back into a message about the value, so that it can be shown.
func (r Resolved) Hide(message string) string {
	values := make([]string, 0, len(r.found))
	for v := range r.found {
		if v != "" {
			values = append(values, v)
		}
	}
	// The longest first: another one may be a part of it.
	slices.SortFunc(values, func(a, b string) int { return len(b) - len(a) })
	for _, v := range values {
		quoted := fmt.Sprintf("%q", v)
		message = strings.ReplaceAll(message, v, r.found[v])
		message = strings.ReplaceAll(message, quoted[1:len(quoted)-1], r.found[v])
	}
	return message
}

func (r *Resolver) value(name, path, key string) (string, error) {
	p, ok := r.Names[name]
	if !ok {
		p = Provider(name)
	}
	switch p {
	case File:
		return fromFile(path, key)
	case Directory:
		return fromDirectory(path, key)
	case Env:
		value, ok := os.LookupEnv(key)
		if !ok || path != "" {
			return "", fmt.Errorf("environment variable %s is not set: want ${%s:NAME}", strings.Trim(path+":"+key, ":"), name)
		}
		return value, nil
	}
	return "", fmt.Errorf("there is no provider %q: waltap has file, directory and env, and what config.providers names", name)
}

func fromFile(path, key string) (string, error) {
	if path == "" || key == "" {
		return "", errors.New("want ${file:/path:key}")
	}
	b, err := readFile(path)
	if err != nil {
		return "", err
	}
	loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	p, err := loader.LoadBytes(b)
	if err != nil {
		return "", fmt.Errorf("%s is not a properties file", path) // the parser's error may quote a line of it
	}
	value, ok := p.Get(key)
	if !ok {
		return "", fmt.Errorf("%s has no key %s", path, key)
	}
	return value, nil
}

func fromDirectory(path, file string) (string, error) {
	if path == "" || file == "" || strings.ContainsRune(file, filepath.Separator) || file == ".." {
		return "", errors.New("want ${directory:/path:file}")
	}
	b, err := readFile(filepath.Join(path, file))
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), err
}

// readFile reads a file that is not larger than a file of secrets can be.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const most = 1 << 20
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(b) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return b, err
}

// Reference is one in a text.
type Reference struct{ Name, Path, Key, text string }

// References finds all in a text.
func References(text string) []Reference {
	var out []Reference
	for _, m := range reference.FindAllStringSubmatch(text, -1) {
		out = append(out, Reference{m[1], m[2], m[3], m[0]})
	}
	return out
}

// String is the reference as it was written.
func (r Reference) String() string { return r.text }

// Kind is the provider that the reference names; names are those of a Resolver.
func (r Reference) Kind(names map[string]Provider) Provider {
	if p, ok := names[r.Name]; ok {
		return p
	}
	return Provider(r.Name)
}
