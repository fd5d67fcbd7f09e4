package main

import (
	"strings"
	"testing"
)

func TestWhereNamesTheLargestFirst(t *testing.T) {
	drain := func(seconds, hbase, kafka, idle float64) *Drain {
		return &Drain{Cells: 2_000_000, CPUOver: seconds, CPU: map[string]float64{sourceServer: hbase, kafkaServer: kafka, destinationServer: idle}}
	}
	rounds := []*Drain{drain(4, 2, 5.9, 0.01), drain(4, 2, 6, 0.01), drain(2, 2, 60, 0.01)}
	text, cores := where(rounds)
	if text != "Kafka 3.00, source HBase 1.00" || cores < 2 || cores > 2.01 {
		t.Errorf("%s, %v cores", text, cores)
	}

	r := &Report{}
	r.add(Line{Work: "WAL", Against: "counting", Ours: []float64{1}, Theirs: []float64{1}, OurRounds: rounds, TheirRounds: rounds[:1]})
	r.add(Line{Work: "alone", Ours: []float64{1}, OurRounds: rounds[:1]})
	r.add(Line{Work: "of the same rounds", Ours: []float64{1}})
	got := r.whereMarkdown()
	for _, want := range []string{
		"| WAL | Kafka 3.00, source HBase 1.00 | 2.00 | counting | Kafka 2.95, source HBase 1.00 | 1.98 |\n",
		"| alone | Kafka 2.95, source HBase 1.00 | 1.98 |  | | |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "same rounds") {
		t.Errorf("a line without rounds:\n%s", got)
	}
}
