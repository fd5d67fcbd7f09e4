//go:build !waltap_crash

package crash

// Point does nothing in this build.
func Point(string) {}
