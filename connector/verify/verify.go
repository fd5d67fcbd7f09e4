package verify

import "context"

// Run compares the tables of o and returns what it has found: a report also when rows differ. An error says that the comparison
// could not be carried through; with a StateFile it can then be resumed.
func Run(ctx context.Context, o Options) (*Report, error) {
	o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	return newComparison(o).run(ctx)
}
