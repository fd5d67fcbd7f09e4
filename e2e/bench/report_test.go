package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func sampleReport(aa float64) *Report {
	r := &Report{
		Command: "make bench ROUNDS=3", Started: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), Took: 90, Scale: 1, Rounds: 3,
		Machine:  Machine{CPU: "Epic", Cores: 2, MemoryMB: 24000, Kernel: "6", Load: "0.1 0.2 0.3"},
		Versions: Versions{HBase: "2.6.4", Kafka: "4.3.1", Java: "17", Go: "go1.26", Commit: "abc"},
		AA:       &AA{Difference: aa, TooLarge: aa > aaLimit, Control: 0.5},
	}
	r.add(Line{ID: "wal", Shape: "100 B", Work: "WAL", Against: "counting", Unit: "cells/s", Ours: []float64{400_000, 450_000, 500_000},
		Theirs: []float64{500_000, 500_000, 500_000}, Criterion: Criterion{RatioAtLeast, 0.9, aim(0.95)}})
	r.add(Line{ID: "cpu", Work: "CPU", Unit: "s", Ours: []float64{0.8, 0.9, 0.7}, Criterion: Criterion{AtMost, 2, aim(1)}, Note: "a remark"})
	return r
}

func TestAFailedLineIsTold(t *testing.T) {
	r := sampleReport(0.02)
	r.Failed = []string{"copy/100 B"}
	if r.passed() || !strings.Contains(r.verdict(), "FAILED, and not in the table: copy/100 B.") || !strings.Contains(r.markdown(), "FAILED") {
		t.Errorf("passed %v:\n%s", r.passed(), r.verdict())
	}
}

func TestLineSaysWhetherGateAndAimAreReached(t *testing.T) {
	r := sampleReport(0.02)
	for i, want := range []string{
		"WAL, 100 B: 450 k (400 k … 500 k) cells/s; counting: 500 k; 0.9 (0.8 … 1) x; gate ≥ 0.9 x: reached; aim ≥ 0.95 x: not reached",
		"CPU: 0.8 (0.7 … 0.9) s; gate ≤ 2 s: reached; aim ≤ 1 s: reached",
	} {
		if got := r.Lines[i].short(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if !r.passed() {
		t.Error("all gates are reached, and the run has not passed")
	}
	r.add(Line{Work: "slow", Unit: "s", Ours: []float64{3}, Criterion: Criterion{AtMost, 2, nil}})
	if r.passed() {
		t.Error("a gate is not reached, and the run has passed")
	}
}

func TestLargeDifferenceOfAAStandsByEachRatio(t *testing.T) {
	r := sampleReport(0.2)
	if r.passed() {
		t.Error("passed")
	}
	text := r.verdict() + r.table()
	if strings.Count(text, "A/A differs by more than 10 %") != 1 || !strings.Contains(text, "NOT TO BE TRUSTED") {
		t.Errorf("no warning, or not by each ratio:\n%s", text)
	}
	if r.Lines[0].Doubtful != true || r.Lines[1].Doubtful {
		t.Error("doubtful are ratios, and nothing else")
	}
	if strings.Contains(sampleReport(0.02).verdict(), "NOT") {
		t.Error("a warning without a cause")
	}
}

func TestTableIsAligned(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(sampleReport(0).table()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%q", lines)
	}
	at := func(s, sub string) int { return len([]rune(s[:strings.Index(s, sub)])) }
	if at(lines[0], "against") != at(lines[1], "counting") || at(lines[0], "gate") != at(lines[2], "≤ 2 s: reached") {
		t.Errorf("columns do not stand below each other:\n%s", strings.Join(lines, "\n"))
	}
}

func TestFilesAreWritten(t *testing.T) {
	dir := t.TempDir()
	page, file := filepath.Join(dir, "p.md"), filepath.Join(dir, "p.json")
	if err := os.WriteFile(page, []byte("before\n"+beginMark+"\nold\n"+endMark+"\nafter\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := sampleReport(0.01)
	for range 2 { // a second run replaces the first
		if err := r.write(file, page); err != nil {
			t.Fatal(err)
		}
	}
	md, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(md)
	for _, want := range []string{"before\n", "\nafter\n", "make bench ROUNDS=3", "2 cores", "load average at the begin 0.1 0.2 0.3", "HBase 2.6.4, Kafka 4.3.1",
		"| WAL, 100 B | 450 k (400 k … 500 k) cells/s | counting | 500 k | 0.9 (0.8 … 1) x | ≥ 0.9 x: reached | ≥ 0.95 x: not reached |", "CPU: a remark"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "old") || strings.Count(text, beginMark) != 1 {
		t.Errorf("the section was not replaced:\n%s", text)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Lines) != 2 || back.Lines[0].Value.Median != 0.9 || back.Lines[0].Gate != reached || back.Lines[0].Aim != notReached || back.AA.Control != 0.5 {
		t.Errorf("%+v", back)
	}
	if _, err := replaceSection([]byte("no marks"), "x"); err == nil {
		t.Error("a page without marks is taken")
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.5: "0.5", 2.125: "2.125", 12.34: "12.3", 123.4: "123", 9999: "9999", 123456: "123 k", -50: "-50.0"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestCPUOfAStatLine(t *testing.T) {
	got, err := parseCPU("12 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20")
	if err != nil || got != 2 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseCPU("12 (a) S 1"); err == nil {
		t.Error("a short line is taken")
	}
	mine, err := cpuSeconds(os.Getpid())
	if err != nil || mine < 0 {
		t.Errorf("own CPU time %v, %v", mine, err)
	}
	if mb, err := peakMemory(os.Getpid()); err != nil || mb < 1 {
		t.Errorf("own peak %v MiB, %v", mb, err)
	}
}
