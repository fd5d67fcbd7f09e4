// Package crash names the places where a test makes waltap die. A build with the tag waltap_crash kills itself with
// SIGKILL when it passes the point named by the environment variable WALTAP_CRASH, "name" or "name:n" for the n-th
// passage. Without the tag Point does nothing and is compiled to nothing.
package crash

// The points, in the order in which a connector that starts passes them.
const (
	HoldUnsaved     = "hold-unsaved"     // the capture has decided to hold, or to open, its peer, no state is saved
	PeerNotAdded    = "peer-not-added"   // the state is saved, the peer is not added
	PeerAdded       = "peer-added"       // the peer is added, waltap knows it by the saved capture id only
	PeerProbed      = "peer-probed"      // HBase 1.x: a probe stands beside the peer, to see that the region servers know it
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

// The points of waltap migrate, in the order in which its steps pass them.
const (
	Planned          = "planned"             // plan: one more wave is looked at, nothing is shown
	MigrateRecorded  = "migrate-recorded"    // start: what was there before is recorded, nothing is changed
	MigrateApplied   = "migrate-applied"     // start: the destination has its tables, no connector runs
	PauseUnsaved     = "pause-unsaved"       // pause, resume: it is decided, not saved
	PauseSaved       = "pause-saved"         // pause, resume: it is saved, not told
	RepairFound      = "repair-found"        // repair: what differs is found, nothing is written
	RepairWritten    = "repair-written"      // repair: one more row is written
	VerifyUnsaved    = "verify-unsaved"      // verify, repair: it is through, its result is not saved
	FenceSaved       = "fence-saved"         // cutover: the fence is decided, no table is closed
	TableFenced      = "table-fenced"        // cutover: one more table is closed
	FenceClosed      = "fence-closed"        // cutover: all are, that is not saved
	CutOverSaved     = "cut-over-saved"      // cutover: writers belong to the destination, the reverse stream is not begun
	ReverseSaved     = "reverse-saved"       // cutover: the reverse stream is decided, it does not flow
	TableUnfenced    = "table-unfenced"      // cutover: one more table is open again
	PeerRemoved      = "peer-removed"        // cleanup: one more peer is gone, its heartbeat table is there
	AttributesPartly = "attributes-restored" // cleanup: the attributes of one more table are back
	TopicDeleted     = "topic-deleted"       // cleanup: one more topic is gone
)

// Points lists all of them.
var Points = []string{HoldUnsaved, PeerNotAdded, PeerAdded, PeerProbed, PeerDisabled, MidShard, ShardUnsaved, Scanned, EnabledUnsaved,
	BeforeProduce, Produced, Unanswered, AppliedUnmarked,
	Planned, MigrateRecorded, MigrateApplied, PauseUnsaved, PauseSaved, RepairFound, RepairWritten, VerifyUnsaved, FenceSaved, TableFenced, FenceClosed, CutOverSaved, ReverseSaved, TableUnfenced, PeerRemoved,
	AttributesPartly, TopicDeleted}
