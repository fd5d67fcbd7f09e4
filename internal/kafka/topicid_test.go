package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kversion"
)

func TestTopicIDChangesWhenATopicIsCreatedAnew(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(3, "t", "other"))
	c := connect(t, cluster)
	ctx := testContext(t)
	ids := func() map[string]string {
		t.Helper()
		ids, err := c.TopicIDs(ctx, "t", "other", "none")
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	before := ids()
	if len(before) != 2 || len(before["t"]) != 32 || before["t"] == before["other"] {
		t.Fatalf("ids %v, want two different ones and none for a topic that is not there", before)
	}
	if again := ids(); again["t"] != before["t"] {
		t.Errorf("the id changed from %v to %v by itself", before, again)
	}
	if err := cluster.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	if gone := ids(); len(gone) != 1 {
		t.Errorf("ids %v after t was deleted", gone)
	}
	if err := c.EnsureTopics(ctx, TopicSpec{Name: "t", Partitions: 3, ReplicationFactor: 1}); err != nil {
		t.Fatal(err)
	}
	if after := ids(); len(after["t"]) != 32 || after["t"] == before["t"] || after["other"] != before["other"] {
		t.Errorf("ids %v, before t was created anew %v", after, before)
	}
}

func TestTopicIDsOfAnOldBroker(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"), kfake.MaxVersions(kversion.V2_7_0()))
	ids, err := connect(t, cluster).TopicIDs(testContext(t), "t")
	if err != nil || ids["t"] != "" {
		t.Errorf("ids %v, %v; want an empty one", ids, err)
	}
}

func TestDecodeTopicIDsNeverPanics(t *testing.T) {
	whole := []byte{0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 2, 'h', 0, 0, 0, 9, 0, 0, 2, 'c', 0, 0, 0, 1, 2, 0, 0, 2, 't',
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0, 1, 0, 0, 0, 0, 1, 7, 2, 'x', 'y', 0, 0, 0, 0, 0}
	ids, _, err := decodeTopicIDs(whole)
	if err != nil || ids["t"] != "0102030405060708090a0b0c0d0e0f10" {
		t.Fatalf("%v, %v", ids, err)
	}
	for n := range 53 {
		if ids, _, err := decodeTopicIDs(whole[:n]); err == nil && len(ids) > 0 {
			t.Errorf("the first %d bytes were taken for an answer: %v", n, ids)
		}
	}
}

func TestGroupMembers(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(2, "t"))
	c := connect(t, cluster)
	ctx := testContext(t)
	if members, err := c.GroupMembers(ctx, "g"); err != nil || len(members) != 0 {
		t.Errorf("a group that is not there has members %v, %v", members, err)
	}
	m := startMember(t, c, nil)
	m.await(t, 2)
	members, err := c.GroupMembers(ctx, "g")
	if err != nil || len(members) != 1 || members[0].ClientID != "waltap" {
		t.Errorf("members %v, %v; want the one that runs", members, err)
	}
	m.stop(t)
	if members, err := c.GroupMembers(ctx, "g"); err != nil || len(members) != 0 {
		t.Errorf("members %v, %v after it has left", members, err)
	}
}
