package cell

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTags(t *testing.T) {
	list := AppendTTL(AppendTag(AppendTag(nil, TagVisibility, []byte("label")), TagACL, nil), 100000)
	want := unhex(t, "0006 02 6c6162656c  0001 01  0009 08 00000000000186a0")
	if !bytes.Equal(list, want) {
		t.Fatalf("got %x, want %x", list, want)
	}
	var types []TagType
	for tag, err := range Tags(list) {
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, tag.Type)
	}
	if diff := cmp.Diff([]TagType{TagVisibility, TagACL, TagTTL}, types); diff != "" {
		t.Error(diff)
	}
	for range Tags(list) {
		break // must be possible
	}
	if ms, ok, err := TTL(list); ms != 100000 || !ok || err != nil {
		t.Errorf("TTL = %d, %v, %v", ms, ok, err)
	}
	if ms, ok, err := TTL(list[:8]); ms != 0 || ok || err != nil {
		t.Errorf("TTL without TTL tag = %d, %v, %v", ms, ok, err)
	}
	for name, bad := range map[string][]byte{
		"short":     {0, 1},
		"empty tag": {0, 0, 8},
		"too long":  {0, 3, 8, 1},
		"short TTL": {0, 2, 8, 1},
	} {
		if _, ok, err := TTL(bad); ok || err == nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
}
