package admin

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/hbase/pb"
)

func TestVersionsAreJudged(t *testing.T) {
	for _, tc := range []struct {
		versions string
		want     check.Severity
	}{
		{"", check.Unknown}, {"2.6.4-hadoop3", check.OK}, {"1.4.14", check.OK}, {"2.1.0-cdh6.3.2", check.OK}, {"1.2.12", check.Failure},
		{"0.98.24-hadoop2", check.Failure}, {"3.0.0-alpha-4", check.Warning}, {"2.7.0", check.Warning}, {"2.6.3 2.6.4", check.Warning}, {"trunk", check.Warning},
	} {
		of := make(map[string]int)
		for v := range strings.FieldsSeq(tc.versions) {
			of[v]++
		}
		if r := judgeVersions(of); r.Severity != tc.want || (r.Severity == check.Warning || r.Severity == check.Failure) && r.Remedy == "" {
			t.Errorf("%s: %+v, want %s", tc.versions, r, tc.want)
		}
	}
}

func TestServerInfoOfAZnode(t *testing.T) {
	m := &pb.RegionServerInfo{InfoPort: proto.Int32(16030), VersionInfo: &pb.VersionInfo{Version: proto.String("2.6.4")}}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := parseServerInfo(append([]byte("PBUF"), b...)); err != nil || info != (ServerInfo{"2.6.4", 16030}) {
		t.Errorf("%+v, %v", info, err)
	}
	m.InfoPort = proto.Int32(-1)
	if b, err = proto.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if info, err := parseServerInfo(append([]byte("PBUF"), b...)); err != nil || info.InfoPort != 0 {
		t.Errorf("without a web interface: %+v, %v", info, err)
	}
	if info, err := parseServerInfo(nil); err != nil || info != (ServerInfo{}) {
		t.Errorf("an empty znode: %+v, %v", info, err)
	}
	if _, err := parseServerInfo([]byte("PBUF\xff")); err == nil {
		t.Error("nonsense was read")
	}
}

func TestGrantCommand(t *testing.T) {
	for g, want := range map[*Grant]string{
		{Actions: []Action{Admin, Create}}:       "grant 'waltap', 'AC'",
		{Table: "a:b", Actions: []Action{Write}}: "grant 'waltap', 'W', 'a:b'",
	} {
		if got := g.Command("waltap"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
