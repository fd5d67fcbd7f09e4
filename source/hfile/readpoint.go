//go:build !waltap_crash

package hfile

// readPointLate is a negative control, not 0 only in builds with the tag waltap_crash that are told so: the files are said to have so many
// edits more of a region than they have. The test that copies a live table must fail then.
const readPointLate = 0
