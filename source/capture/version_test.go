package capture

import (
	"strings"
	"testing"

	"github.com/waltap/waltap/internal/hbase/admin"
)

func TestVersionOfTheSource(t *testing.T) {
	for _, c := range []struct {
		version admin.Version
		serial  bool
		want    string // in the error; "": none
	}{
		{admin.Version{Major: 2, Minor: 6, Text: "2.6.4"}, true, ""},
		{admin.Version{Major: 2, Minor: 1, Text: "2.1.10"}, true, ""},
		{admin.Version{Major: 2, Minor: 0, Text: "2.0.6"}, true, "set hbase.peer.serial: false"},
		{admin.Version{Major: 2, Minor: 0, Text: "2.0.6"}, false, ""},
		{admin.Version{Major: 1, Minor: 4, Text: "1.4.14"}, true, "hbase.peer.serial: the source is HBase 1.4.14"},
		{admin.Version{Major: 1, Minor: 4, Text: "1.4.14"}, false, ""},
		{admin.Version{Major: 1, Minor: 3, Text: "1.3.6"}, false, "hbase.zookeeper.quorum: the source is HBase 1.3.6; waltap captures from 1.4"},
		{admin.Version{Text: "Unknown"}, true, ""},
	} {
		cfg := Config{PeerSerial: c.serial}
		err := cfg.fits(c.version)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, serial %t: error %v, want %q", c.version, c.serial, err, c.want)
		}
	}
}
