package zookeeper

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
)

func znode(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".znode"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func payload(t testing.TB, name string) []byte {
	t.Helper()
	p, err := StripMetadata(znode(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRecordedZnodes(t *testing.T) {
	id, err := ParseClusterID(payload(t, "hbaseid"))
	if err != nil || id != "70e79b7c-eff2-4dcc-bfa6-20d730391c15" {
		t.Errorf("cluster id %q, %v", id, err)
	}
	master, err := ParseMaster(payload(t, "master"))
	if err != nil || master.GetHostName() != "localhost" || master.GetPort() != 39937 || master.GetStartCode() != 1795223335135 {
		t.Errorf("master %v, %v", master, err)
	}
	meta, state, err := ParseMetaServer(payload(t, "meta-region-server"))
	if err != nil || meta.GetHostName() != "localhost" || meta.GetPort() == 0 || state != pb.RegionState_OPEN {
		t.Errorf("meta server %v %v, %v", meta, state, err)
	}
}

func TestStripMetadata(t *testing.T) {
	for _, tt := range []struct {
		name, in, want, err string
	}{
		{name: "empty"},
		{name: "no metadata", in: "70e79b7c", want: "70e79b7c"},
		{name: "metadata", in: "\xff\x00\x00\x00\x03abcPBUF", want: "PBUF"},
		{name: "metadata alone", in: "\xff\x00\x00\x00\x03abc"},
		{name: "short header", in: "\xff\x00\x00", err: "too few"},
		{name: "id longer than the data", in: "\xff\x00\x00\x00\x04abc", err: "id of 4 bytes, 3 left"},
		{name: "negative id length", in: "\xff\xff\xff\xff\xffabc", err: "id of 4294967295 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := StripMetadata([]byte(tt.in))
			checkError(t, err, tt.err)
			if string(got) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseClusterID(t *testing.T) {
	message, err := proto.Marshal(&pb.ClusterId{ClusterId: proto.String("id-1")})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, in, want, err string
	}{
		{name: "message", in: "PBUF" + string(message), want: "id-1"},
		{name: "plain text", in: "id-2\n", want: "id-2"},
		{name: "empty", err: "empty"},
		{name: "message without id", in: "PBUF", err: "required"},
		{name: "garbage behind the magic", in: "PBUF\xff\xff", err: "decode ClusterId"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseClusterID([]byte(tt.in))
			checkError(t, err, tt.err)
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseMasterWithoutMagic(t *testing.T) {
	_, err := ParseMaster([]byte("localhost"))
	checkError(t, err, `decode Master: no "PBUF" in front`)
}

func FuzzZnode(f *testing.F) {
	for _, name := range []string{"hbaseid", "master", "meta-region-server"} {
		f.Add(znode(f, name))
	}
	f.Add([]byte("70e79b7c-eff2-4dcc-bfa6-20d730391c15"))
	f.Add([]byte("\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := StripMetadata(data)
		if err != nil {
			return
		}
		if !strings.HasSuffix(string(data), string(p)) {
			t.Fatalf("payload %q is no suffix of %q", p, data)
		}
		if id, err := ParseClusterID(p); err == nil && id == "" {
			t.Fatal("empty cluster id without an error")
		}
		if m, err := ParseMaster(p); err == nil && m.HostName == nil {
			t.Fatal("master without host and without an error")
		}
		if m, _, err := ParseMetaServer(p); err == nil && m.HostName == nil {
			t.Fatal("meta server without host and without an error")
		}
	})
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("unexpected error: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("error %v, want one with %q", err, want)
	}
}
