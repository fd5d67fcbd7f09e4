package admin

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

// Version is a version of HBase.
type Version struct {
	Major, Minor int    // 0 and 0: not known
	Text         string // as HBase tells it, "1.4.14", "2.6.4-hadoop3"
}

func (v Version) String() string { return v.Text }

// AtLeast tells whether v is major.minor or newer. A version that cannot be read counts as new.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major == 0 && v.Minor == 0 || v.Major > major || v.Major == major && v.Minor >= minor
}

// Version asks the master for its version.
func (c *Cluster) Version(ctx context.Context) (Version, error) {
	ctx, cancel := withDefaultTimeout(ctx, 2*callTimeout)
	defer cancel()
	var resp pb.GetClusterStatusResponse
	err := c.callMaster(ctx, masterCall{
		method:     "GetClusterStatus",
		req:        &pb.GetClusterStatusRequest{Options: []pb.Option{pb.Option_HBASE_VERSION}}, // 1.x sends all it has
		resp:       &resp,
		repeatable: true,
	})
	if err != nil {
		return Version{}, fmt.Errorf("get the version of HBase: %w", err)
	}
	return parseVersion(resp.GetClusterStatus().GetHbaseVersion().GetVersion()), nil
}

// parseVersion reads "1.4.14" and what vendors make of it, as "1.4.13-amzn-0" and "1.1.2.2.6.5.0-292".
func parseVersion(text string) Version {
	numbers := versionNumbers.FindStringSubmatch(text)
	if numbers == nil {
		return Version{Text: text}
	}
	major, err := strconv.Atoi(numbers[1])
	minor, merr := strconv.Atoi(numbers[2])
	if err != nil || merr != nil {
		return Version{Text: text}
	}
	return Version{Major: major, Minor: minor, Text: text}
}

var versionNumbers = regexp.MustCompile(`^(\d{1,4})\.(\d{1,4})(?:\D|$)`)

// noSuchCall tells whether err is a server's answer to a call that its version does not have. 1.x wraps the exception that
// says so in one that is used for much else.
func noSuchCall(err error) bool {
	if rpc.IsRemote(err, "UnsupportedOperationException") {
		return true
	}
	var remote *rpc.RemoteError
	return rpc.IsRemote(err, "DoNotRetryIOException") && errors.As(err, &remote) && strings.Contains(remote.Message, "java.lang.UnsupportedOperationException")
}
