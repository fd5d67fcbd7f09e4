package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHFile(t *testing.T) {
	const dir = "../../internal/hfile/testdata/"
	cut := filepath.Join(t.TempDir(), "cut.hfile")
	b, err := os.ReadFile(dir + "fastdiff-lz4-ctags.hfile")
	if err != nil {
		t.Fatal(err)
	}
	b[3000] ^= 1
	if err := os.WriteFile(cut, b, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		args   []string
		code   int
		lines  int // of stdout; 0: not looked at
		stdout []string
		stderr string
	}{
		{"meta", []string{dir + "fastdiff-lz4-ctags.hfile"}, exitOK, 0,
			[]string{"version ", "3.3", "FAST_DIFF", "LZ4", "CRC32C", "cells ", " 75\n", "compressed", "MAX_SEQ_ID_KEY ", " 777\n", "2023-11-14T22:13:20Z", `LASTKEY              \x00\x04\xC3\xA9z9\x02cfq585`}, ""},
		{"bulk load", []string{dir + "bulkload.hfile", "--meta"}, exitOK, 0, []string{"made 2023-11-14T22:13:20Z", "\nsequence id of the file "}, ""},
		{"empty", []string{dir + "empty.hfile", "--meta", "--check", "--cells"}, exitOK, 0, []string{"0 rows, 0 cells (none)"}, ""},
		{"cells", []string{dir + "fastdiff-lz4-ctags.hfile", "--cells"}, exitOK, 75, []string{`K: 10/cf:/1700000006431/Put/vlen=184/seqid=61 V: \x94k#\x04`, " T[0]: 65 tag151 T[1]: 66 tag179\n"}, ""},
		{"some cells", []string{dir + "fastdiff-lz4-ctags.hfile", "--cells", "--row-start", `10`, "--row-stop", `10\x00`, "--limit", "2", "--value-bytes", "3"}, exitOK, 2,
			[]string{"K: 10/cf:", `V: \x94k#… T[0]`}, ""},
		{"check", []string{dir + "deep-index.hfile", "--check"}, exitOK, 1, []string{"whole and in order: 61 rows, 305 cells (305 Put)", "305 data blocks, checksums verified"}, ""},
		{"check of a file without checksums", []string{dir + "fastdiff-none.hfile", "--check"}, exitOK, 1, []string{"it has no checksums"}, ""},
		{"damaged", []string{cut, "--check"}, exitFailure, 0, nil, "checksum"},
		{"encrypted", []string{dir + "encrypted.hfile"}, exitFailure, 0, nil, "read this table by a scan"},
		{"no such file", []string{dir + "none"}, exitFailure, 0, nil, "open HFile"},
		{"no HFile", []string{dir + "sums.json"}, exitFailure, 0, nil, "is no HFile"},
		{"bad row", []string{dir + "empty.hfile", "--cells", "--row-start", `\xZZ`}, exitUsage, 0, nil, "--row-start"},
		{"no file", nil, exitUsage, 0, nil, "<file>"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := Main(append([]string{"hfile"}, tc.args...), &stdout, &stderr); code != tc.code {
				t.Errorf("exit code %d, want %d: %s", code, tc.code, &stderr)
			}
			for _, want := range tc.stdout {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("no %q in\n%s", want, &stdout)
				}
			}
			if n := strings.Count(stdout.String(), "\n"); tc.lines != 0 && n != tc.lines {
				t.Errorf("%d lines, want %d", n, tc.lines)
			}
			if !strings.Contains(stderr.String(), tc.stderr) {
				t.Errorf("stderr %q, want %q in it", &stderr, tc.stderr)
			}
		})
	}
}
