package doctor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/check"
)

// The topics of a group of workers: one that is not there will be created, one that is not compacted would lose what it holds.
func TestWorkerTopics(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "states"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cfg := &config.Process{BootstrapServers: c.ListenAddrs(), GroupID: "g", Worker: config.Worker{StatusTopic: "states", OffsetTopic: "offsets"}}
	r := Run(t.Context(), cfg, Options{Timeout: 10 * time.Second, Worker: true})
	found := func(severity check.Severity, subject string) bool {
		return slices.ContainsFunc(r.Sections[0].Results, func(x check.Result) bool {
			return x.Severity == severity && strings.Contains(x.Subject+x.Found, subject)
		})
	}
	if !found(check.Failure, "states") || found(check.Failure, "__waltap-configs.g") || found(check.Failure, "offsets") {
		t.Errorf("%+v", r.Sections[0].Results)
	}
}
