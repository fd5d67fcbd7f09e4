package main

import (
	"math"
	"slices"
	"testing"
)

func TestSpread(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   Spread
	}{
		{nil, Spread{}},
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{9, 1, 5}, Spread{5, 1, 9}},
		{[]float64{4, 1, 2, 10}, Spread{3, 1, 10}},
	} {
		before := slices.Clone(tc.values)
		if got := spread(tc.values); got != tc.want {
			t.Errorf("spread(%v) = %+v, want %+v", tc.values, got, tc.want)
		}
		if !slices.Equal(before, tc.values) {
			t.Errorf("spread has changed the order of %v", before)
		}
	}
}

func TestPercentile(t *testing.T) {
	var v []float64
	for i := 100; i > 0; i-- {
		v = append(v, float64(i))
	}
	for p, want := range map[float64]float64{0: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := percentile(v, p); got != want {
			t.Errorf("percentile(1..100, %v) = %v, want %v", p, got, want)
		}
	}
	if got := percentile([]float64{7}, 0.99); got != 7 {
		t.Errorf("percentile of one value = %v", got)
	}
	if !math.IsNaN(percentile(nil, 0.5)) {
		t.Error("percentile of nothing is a number")
	}
}

func TestRatiosAreOfRounds(t *testing.T) {
	// The machine is half as fast in the second round: the ratio is the same in both.
	got := ratios([]float64{80, 40, 7}, []float64{100, 50})
	if !slices.Equal(got, []float64{0.8, 0.8}) {
		t.Errorf("ratios = %v", got)
	}
	if got := ratios([]float64{1, 2}, []float64{0, 4}); !slices.Equal(got, []float64{0.5}) {
		t.Errorf("ratios by zero = %v", got)
	}
	if d := differs([]float64{95, 100, 80}, []float64{100, 100, 100}); math.Abs(d-0.05) > 1e-9 {
		t.Errorf("differs = %v", d)
	}
}

func TestCriteria(t *testing.T) {
	for _, tc := range []struct {
		name         string
		c            Criterion
		ours, theirs []float64
		value        float64
		gate, aim    bool
	}{
		{"ratio reached", Criterion{RatioAtLeast, 0.9, aim(0.95)}, []float64{92, 91, 10}, []float64{100, 100, 100}, 0.91, true, false},
		{"ratio at the gate", Criterion{RatioAtLeast, 0.9, aim(0.9)}, []float64{90}, []float64{100}, 0.9, true, true},
		{"ratio missed", Criterion{RatioAtLeast, 2, aim(3)}, []float64{199}, []float64{100}, 1.99, false, false},
		{"median at most", Criterion{AtMost, 2, aim(1)}, []float64{0.5, 0.9, 9}, nil, 0.9, true, true},
		{"maximum at most", Criterion{MaxAtMost, 256, aim(128)}, []float64{100, 100, 257}, nil, 100, false, false},
		{"above theirs", Criterion{AboveAtMost, 200, aim(50)}, []float64{900, 1000}, []float64{850, 800}, 125, true, false},
		{"below theirs", Criterion{AboveAtMost, 0, nil}, []float64{900}, []float64{950}, -50, true, true},
		{"flat", Criterion{FlatWithin, 0.1, nil}, []float64{109}, []float64{100}, 1.09, true, true},
		{"not flat, faster", Criterion{FlatWithin, 0.1, nil}, []float64{80}, []float64{100}, 0.8, false, true},
		{"reported", Criterion{Rule: Reported}, []float64{1}, []float64{100}, 0.01, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := tc.c.value(tc.ours, tc.theirs)
			if math.Abs(v.Median-tc.value) > 1e-9 {
				t.Errorf("value %v, want %v", v.Median, tc.value)
			}
			if got := tc.c.reached(tc.c.Gate, v); got != tc.gate {
				t.Errorf("gate reached: %t", got)
			}
			if tc.c.Aim != nil && tc.c.reached(*tc.c.Aim, v) != tc.aim {
				t.Errorf("aim reached: %t", !tc.aim)
			}
		})
	}
}
