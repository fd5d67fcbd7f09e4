// Package crash names the places where a test makes waltap die. A build with the tag waltap_crash kills itself with
// SIGKILL when it passes the point named by the environment variable WALTAP_CRASH, "name" or "name:n" for the n-th
// passage. Without the tag Point does nothing and is compiled to nothing.
package crash

// The points, in the order in which a connector that starts passes them.
const (
	HoldUnsaved     = "hold-unsaved"     // the capture has decided to hold, or to open, its peer, no state is saved
	PeerNotAdded    = "peer-not-added"   // the state is saved, the peer is not added
	PeerAdded       = "peer-added"       // the peer is added, waltap knows it by the saved capture id only
	PeerDisabled    = "peer-disabled"    // a peer that shipped is disabled, its table list is still the old one
	MidShard        = "mid-shard"        // a row in the middle of a shard was read
	ShardUnsaved    = "shard-unsaved"    // Kafka has a shard, its progress is not saved
	Scanned         = "scanned"          // the scan is complete and saved, the peer still held
	EnabledUnsaved  = "enabled-unsaved"  // the peer is enabled, the saved phase is still "held"
	BeforeProduce   = "before-produce"   // records are encoded and not sent
	Produced        = "produced"         // Kafka has appended them, its answer is not handled
	Unanswered      = "unanswered"       // Kafka has acknowledged the whole call, HBase is not answered
	AppliedUnmarked = "applied-unmarked" // the target has a batch, its offsets are not committed
)

// Points lists all of them.
var Points = []string{HoldUnsaved, PeerNotAdded, PeerAdded, PeerDisabled, MidShard, ShardUnsaved, Scanned, EnabledUnsaved,
	BeforeProduce, Produced, Unanswered, AppliedUnmarked}
