//go:build waltap_watermark_unproved

package watermark

const unproved = true
