package check

import (
	"slices"
	"strings"
)

// Tally collects what a Check has found out about many subjects: those that are right come in one Result.
type Tally struct {
	Check *Check
	Found string // of those that are right; the first one's text stands when it is ""
	right []string
	other []Result
}

// Right counts a subject that is right.
func (t *Tally) Right(subject, found string) {
	if t.Found == "" {
		t.Found = found
	}
	t.right = append(t.right, subject)
}

// Add takes a Result as it is.
func (t *Tally) Add(r ...Result) { t.other = append(t.other, r...) }

// Results returns one Result for all that are right, then the others.
func (t *Tally) Results() []Result {
	if len(t.right) == 0 {
		return t.other
	}
	return append([]Result{t.Check.Right(Names(t.right), "%s", t.Found)}, t.other...)
}

// Names lists names, of many only the first few.
func Names(names []string) string {
	const few = 4
	names = slices.Compact(names)
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:few], ", ") + ", …"
}
