package kafka

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Topics that are there go, those that are not are none to delete, all others stay.
func TestDeleteTopics(t *testing.T) {
	c := connect(t, fakeCluster(t, kfake.SeedTopics(2, "a", "b", "stays")))
	ctx := testContext(t)
	for range 2 { // the second time there is nothing to delete
		if err := c.DeleteTopics(ctx, "a", "never was", "b"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.DeleteTopics(ctx); err != nil {
		t.Fatal(err)
	}
	for topic, there := range map[string]bool{"a": false, "b": false, "stays": true} {
		if _, err := c.Topic(ctx, topic); (err == nil) != there || !there && !errors.Is(err, ErrUnknownTopic) {
			t.Errorf("topic %s: %v, want it there: %t", topic, err, there)
		}
	}
}

// What heals is tried again; a deletion without the right to it is refused with the command that gives it.
func TestDeleteTopicsFails(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "a"))
	c := connect(t, cluster)
	refuse := func(with *kerr.Error) {
		cluster.ControlKey(int16(kmsg.DeleteTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
			resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
			one := kmsg.NewDeleteTopicsResponseTopic()
			one.Topic, one.ErrorCode = kmsg.StringPtr("a"), with.Code
			resp.Topics = append(resp.Topics, one)
			return resp, nil, true
		})
	}
	refuse(kerr.TopicAuthorizationFailed)
	err := c.DeleteTopics(testContext(t), "a")
	var denied *AuthorizationError
	if !errors.As(err, &denied) || !strings.Contains(err.Error(), "--operation Delete --topic a") || Retriable(err) {
		t.Errorf("without the right: %v", err)
	}
	if _, err := c.Topic(testContext(t), "a"); err != nil {
		t.Errorf("the topic that was not deleted: %v", err)
	}
	refuse(kerr.RequestTimedOut)
	if err := c.DeleteTopics(testContext(t), "a"); err != nil {
		t.Errorf("after a time-out: %v", err)
	}
	if _, err := c.Topic(testContext(t), "a"); !errors.Is(err, ErrUnknownTopic) {
		t.Errorf("the topic that was deleted at the second try: %v", err)
	}
}
