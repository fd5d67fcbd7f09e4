//go:build waltap_unfenced

package tasks

const unfenced = true
