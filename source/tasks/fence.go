//go:build !waltap_unfenced

package tasks

// unfenced is a negative control, true only in builds with the tag waltap_unfenced: a process that stood still sends on, and
// nobody waits for one that has dropped out of the group.
const unfenced = false
