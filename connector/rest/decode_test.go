package rest

import (
	"encoding/json"
	"testing"
)

func FuzzProperties(f *testing.F) {
	for _, s := range []string{`{"a":"b","n":1,"t":true,"x":null}`, `{"a":{}}`, `{"a":[1]}`, `null`, `{`, `[]`, `"x"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p properties
		var q patch
		perr, qerr := json.Unmarshal(b, &p), json.Unmarshal(b, &q)
		if (perr == nil) != (qerr == nil) {
			t.Fatalf("%q: as a configuration %v, as a patch %v", b, perr, qerr)
		}
		for k, v := range q {
			if got, there := p[k]; there != (v != nil) || there && got != *v {
				t.Errorf("%q: key %q is %q as a configuration", b, k, got)
			}
		}
	})
}
