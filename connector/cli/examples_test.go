package cli

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestEachCommandHasAnExample: each command's help shows at least one, and all that are shown can be parsed as that command.
func TestEachCommandHasAnExample(t *testing.T) {
	fresh := func() *kong.Kong {
		var cmds commands
		parser, err := kong.New(&cmds, kong.Name("waltap"))
		if err != nil {
			t.Fatal(err)
		}
		return parser
	}
	parser := fresh()
	showExamples(parser.Model)
	left := make(map[string]bool)
	for name := range examples {
		left[name] = true
	}
	for _, leaf := range parser.Model.Leaves(false) {
		name := strings.TrimSpace(leaf.Path())
		delete(left, name)
		if leaf.Hidden {
			continue
		}
		_, shown, _ := strings.Cut(leaf.Detail, "Examples:\n")
		found := false
		for line := range strings.Lines(shown) {
			_, line, ok := strings.Cut(strings.TrimSpace(line), "waltap ")
			if !ok {
				continue
			}
			parsed, err := fresh().Parse(words(line)) // flags of a parse before stay set
			if err != nil {
				t.Errorf("%s: the example %q: %v", name, line, err)
				continue
			}
			found = found || parsed.Selected().Path() == leaf.Path()
		}
		if !found {
			t.Errorf("%s: its help has no example of it:\n%s", name, leaf.Detail)
		}
	}
	for name := range left {
		t.Errorf("there is an example of %q, which is no command", name)
	}
}

// words splits a command line as far as the examples need it.
func words(line string) (args []string) {
	for _, w := range strings.Fields(line) {
		switch {
		case w == "<" || w == ">":
			return args
		case strings.HasSuffix(w, ")"):
			w = strings.TrimSuffix(w, ")")
		}
		args = append(args, strings.Trim(w, "'"))
	}
	return args
}
