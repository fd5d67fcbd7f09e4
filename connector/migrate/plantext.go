package migrate

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Print writes the plan for people.
func (p *Plan) Print(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "migration %s\n", p.Name)
	for _, e := range []struct {
		name string
		end  PlanEnd
	}{{"source", p.Source}, {"destination", p.Destination}} {
		fmt.Fprintf(&b, "%-12s HBase %s, %s, at %s%s, cluster id %s\n", e.name, e.end.Version, plural(e.end.Servers, "region server", "region servers"), e.end.Quorum, e.end.Root, e.end.ID)
	}
	for i := range p.Waves {
		p.Waves[i].print(&b)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (w *PlanWave) print(b *strings.Builder) {
	fmt.Fprintf(b, "\nwave %s: %s\n", w.Name, w.Phase)
	t := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "TABLE\tAT THE DESTINATION\tREGIONS\tON DISK MiB\tUNCOMPRESSED MiB\tMEMSTORE MiB")
	for _, x := range w.Tables {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\n", x.Source, x.Target, x.Regions, x.StoreMB, x.UncompressedMB, x.MemStoreMB)
	}
	t.Flush()
	fmt.Fprintf(b, "sizes are those that the region servers last reported; about %d MiB to read, in about %s at %.1f MiB/s (%s), and then the changes of that time\n",
		w.bytes()>>20, round(w.duration()), float64(w.Rate)/(1<<20), w.RateFrom)
	for _, step := range []string{stepStart, stepCutover, stepReverse} {
		fmt.Fprintf(b, "\n%s\n", step)
		t := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
		for _, i := range w.Items {
			if i.Step == step {
				fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", i.Action, i.Side, i.What, i.Detail)
			}
		}
		t.Flush()
	}
}
