//go:build !waltap_watermark_unproved

package watermark

// unproved is a negative control, true only in builds with the tag waltap_watermark_unproved: a heartbeat's send time
// counts as soon as the server has answered, rules 2 and 3 are left out. The tests that check watermarks must fail then.
const unproved = false
