package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// completeCommand is what the scripts of a shell call: its arguments are the words of the command line, the last of which is to be
// completed.
const completeCommand = "__complete"

// completeTimeout bounds the look for names of connectors.
const completeTimeout = time.Second

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (completionCommand) Help() string {
	return "Names of connectors are asked of the REST API that WALTAP_URL names.\n\nExamples:\n  source <(waltap completion bash)\n  waltap completion zsh > \"${fpath[1]}/_waltap\"\n  waltap completion fish > ~/.config/fish/completions/waltap.fish"
}

// scripts call waltap for what may stand at the cursor.
var scripts = map[string]string{
	"bash": `_waltap() {
	local IFS=$'\n'
	COMPREPLY=($("${COMP_WORDS[0]}" ` + completeCommand + ` "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _waltap waltap
`,
	"zsh": `#compdef waltap
_waltap() {
	local -a found
	found=("${(@f)$("${words[1]}" ` + completeCommand + ` "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	if [[ -n "$found" ]]; then compadd -a found; else _files; fi
}
if [[ "$funcstack[1]" = "_waltap" ]]; then _waltap "$@"; else compdef _waltap waltap; fi
`,
	"fish": `function __waltap_complete
	set -l words (commandline -opc)
	$words[1] ` + completeCommand + ` $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c waltap -a '(__waltap_complete)'
`,
}

func (cmd *completionCommand) Run(e *env) error {
	_, err := io.WriteString(e.stdout, scripts[cmd.Shell])
	return err
}

// complete writes what may stand in place of the last word, a line each.
func complete(model *kong.Application, words []string, out io.Writer) {
	if len(words) == 0 {
		words = []string{""}
	}
	node, flags, last := walk(model.Node, words[:len(words)-1]), []*kong.Flag{}, words[len(words)-1]
	for n := node; n != nil; n = n.Parent {
		flags = append(flags, n.Flags...)
	}
	var found []string
	switch {
	case strings.HasPrefix(last, "-"):
		for _, f := range flags {
			if !f.Hidden {
				found = append(found, "--"+f.Name)
			}
		}
	case len(words) > 1 && takesValue(flags, words[len(words)-2]) != nil:
		found = slices.Clone(takesValue(flags, words[len(words)-2]).EnumSlice())
	default:
		for _, c := range node.Children {
			if !c.Hidden {
				found = append(found, c.Name)
			}
		}
		for _, p := range node.Positional {
			switch {
			case p.Enum != "":
				found = append(found, p.EnumSlice()...)
			case p.Name == "name" && len(node.Children) == 0:
				found = append(found, connectorNames(words)...)
			}
		}
	}
	slices.Sort(found)
	for _, f := range slices.Compact(found) {
		if f != "" && strings.HasPrefix(f, last) {
			fmt.Fprintln(out, f)
		}
	}
}

// walk follows the words to a command.
func walk(node *kong.Node, words []string) *kong.Node {
	for i := 0; i < len(words); i++ {
		if strings.HasPrefix(words[i], "-") {
			var flags []*kong.Flag
			for n := node; n != nil; n = n.Parent {
				flags = append(flags, n.Flags...)
			}
			if takesValue(flags, words[i]) != nil {
				i++
			}
			continue
		}
		for _, c := range node.Children {
			if c.Name == words[i] {
				node = c
				break
			}
		}
	}
	return node
}

// takesValue finds the flag that the word is, if the next word is its value.
func takesValue(flags []*kong.Flag, word string) *kong.Flag {
	for _, f := range flags {
		if (word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short)) && !f.IsBool() {
			return f
		}
	}
	return nil
}

// connectorNames asks the REST API that --url or the environment names; none when it does not answer.
func connectorNames(words []string) []string {
	var cmds struct {
		restFlags `embed:""`
	}
	p, err := kong.New(&cmds)
	if err != nil {
		return nil
	}
	var args []string
	for i, w := range words[:len(words)-1] {
		if strings.HasPrefix(w, "--url=") {
			args = append(args, w)
		} else if w == "--url" && i+1 < len(words)-1 {
			args = append(args, w, words[i+1])
		}
	}
	if _, err := p.Parse(args); err != nil {
		return nil
	}
	c, err := cmds.client()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), completeTimeout)
	defer cancel()
	var names []string
	if _, err := c.do(ctx, "GET", "/connectors", nil, &names); err != nil {
		return nil
	}
	return names
}
