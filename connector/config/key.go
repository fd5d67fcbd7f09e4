package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/secret"
)

// Key describes one configuration key, or with a part of its name in <> all keys
// that have something else there.
type Key struct {
	Name string
	// Part stands for the part in <> where an example is shown.
	Part  string
	Scope Scope
	Type  Type
	// Values are the ones allowed, when there is a fixed set.
	Values []string
	// Min and Max bound numbers; a Max of 0 stands for none.
	Min, Max int64
	Required bool
	// unless, of a required key, tells when it is not.
	unless func(s *section) bool
	// Default is the value taken when the key is missing, as it would be
	// written. DefaultDoc says it in words when it depends on something else.
	Default, DefaultDoc string
	// Doc is what the key does, in sentences.
	Doc string
	// Example is a value that parses.
	Example string

	set func(t *target, value string) error
	// named is set for a Name with a part in <>, which it is given.
	named func(t *target, part, value string) error
	// anyValue lets set judge a value that is none of Values.
	anyValue bool
	// asWritten gives set the value with its references.
	asWritten bool
}

// match reports whether a key of that name is k, with what stands for the part in <>.
func (k *Key) match(name string) (part string, ok bool) {
	before, rest, pattern := strings.Cut(k.Name, "<")
	if !pattern {
		return "", name == k.Name
	}
	_, after, _ := strings.Cut(rest, ">")
	if len(name) <= len(before)+len(after) || !strings.HasPrefix(name, before) || !strings.HasSuffix(name, after) {
		return "", false
	}
	return name[len(before) : len(name)-len(after)], true
}

// ExampleName is the name of an example.
func (k *Key) ExampleName() string {
	before, rest, pattern := strings.Cut(k.Name, "<")
	if !pattern {
		return k.Name
	}
	_, after, _ := strings.Cut(rest, ">")
	return before + k.Part + after
}

// Scope says where a key may stand; values may be joined.
type Scope byte

// The places of keys.
const (
	InProcess Scope = 1 << iota // at the top of the file
	InSource                    // in a connector of class HBaseSource
	InSink                      // in a connector of class HBaseSink
)

func (s Scope) String() string {
	var places []string
	if s&InProcess != 0 {
		places = append(places, "the process (at the top of the file)")
	}
	if s&InSource != 0 {
		places = append(places, "connectors of class "+string(HBaseSource))
	}
	if s&InSink != 0 {
		places = append(places, "connectors of class "+string(HBaseSink))
	}
	return strings.Join(places, " and ")
}

// Type is how a value is written.
type Type string

// The types of values.
const (
	String       Type = "string"
	Integer      Type = "integer"
	Boolean      Type = "boolean"      // true or false
	Milliseconds Type = "milliseconds" // integer
	Size         Type = "size"         // bytes; suffixes KiB, MiB, GiB (or K, M, G) and KB, MB, GB (thousands)
	List         Type = "list"         // comma separated, or a YAML list
	RegexList    Type = "regex list"   // a list whose commas within brackets separate nothing
	Password     Type = "password"     // a reference to a file or the environment, never the secret itself
)

// target is what the keys of one place are parsed into.
type target struct {
	process  *Process
	security *security
	resolver *secret.Resolver
	hbase    *HBase
	errors   *Errors
	source   *Source
	sink     *Sink
}

func (t *target) topicCreation() *TopicCreation {
	if t.source != nil {
		return &t.source.TopicCreation
	}
	return &t.sink.TopicCreation
}

// parse checks the value of the key called name and puts it into t.
func (k *Key) parse(t *target, name, value string) error {
	if value == "" && k.Type != List && k.Type != RegexList && !slices.Contains(k.Values, "") {
		return fmt.Errorf("the value is empty: give one or remove the key")
	}
	if part, ok := k.match(name); ok && k.named != nil {
		return k.named(t, part, value)
	}
	if len(k.Values) > 0 && !k.anyValue && !slices.Contains(k.Values, value) {
		return fmt.Errorf("%q is not one of %s%s", value, strings.Join(k.Values, ", "), didYouMean(value, k.Values))
	}
	if k.Type == Integer || k.Type == Milliseconds || k.Type == Size {
		if err := k.checkNumber(value); err != nil {
			return err
		}
	}
	return k.set(t, value)
}

func (k *Key) checkNumber(value string) error {
	n, err := k.number(value)
	if err != nil {
		return err
	}
	if n < k.Min {
		return fmt.Errorf("%s is too small: want at least %d", value, k.Min)
	}
	if k.Max > 0 && n > k.Max {
		return fmt.Errorf("%s is too large: want at most %d", value, k.Max)
	}
	return nil
}

func (k *Key) number(value string) (int64, error) {
	if k.Type == Size {
		return parseSize(value)
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		want := "an integer"
		if k.Type == Milliseconds {
			want = "milliseconds, an integer"
		}
		return 0, fmt.Errorf("%q is not a number: want %s", value, want)
	}
	return n, nil
}

// into makes a Key's set from a parser and the place of its result.
func into[T any](parse func(string) (T, error), field func(*target) *T) func(*target, string) error {
	return func(t *target, value string) error {
		v, err := parse(value)
		if err != nil {
			return err
		}
		*field(t) = v
		return nil
	}
}

// text sets a string or an enumeration, checked before by Key.Values.
func text[T ~string](field func(*target) *T) func(*target, string) error {
	return into(func(s string) (T, error) { return T(s), nil }, field)
}

// number sets an integer or a size, bounded before by Key.Min and Key.Max.
func number[T int | int16 | int32 | int64](field func(*target) *T) func(*target, string) error {
	return into(func(s string) (T, error) { n, err := parseSize(s); return T(n), err }, field)
}

func milliseconds(field func(*target) *time.Duration) func(*target, string) error {
	return into(func(s string) (time.Duration, error) {
		n, err := strconv.ParseInt(s, 10, 64)
		return time.Duration(n) * time.Millisecond, err
	}, field)
}

func boolean(field func(*target) *bool) func(*target, string) error {
	return into(func(s string) (bool, error) {
		switch s {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return false, fmt.Errorf("%q is not true or false", s)
	}, field)
}

// Keys returns all keys, the process's first, in the order of the reference.
func Keys() []Key { return slices.Clone(keys) }

// Find returns the key of that name in a connector of the class, or the one with a part in <> that it matches.
func Find(c Class, name string) (k Key, known bool) {
	found := lookup(name)
	if found == nil || found.Scope&ScopeOf(c) == 0 {
		return Key{}, false
	}
	return *found, true
}

// ScopeOf is where the keys of a class stand; 0 for a class that there is not.
func ScopeOf(c Class) Scope {
	switch c {
	case HBaseSource:
		return InSource
	case HBaseSink:
		return InSink
	}
	return 0
}

// lookup returns the key of that name, nil when there is none. A key that is
// written out comes before one with a part in <>.
func lookup(name string) *Key {
	var found *Key
	for i := range keys {
		k := &keys[i]
		if _, ok := k.match(name); ok && (found == nil || k.named == nil) {
			found = k
		}
	}
	return found
}
