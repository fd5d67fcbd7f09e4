package browser

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"slices"
)

// smallColours is how many colours a small picture has: a page has few, but for the edges of its letters.
const smallColours = 128

// Small is a screenshot with its most frequent colours only: a third of the bytes.
func Small(raw []byte) ([]byte, error) {
	src, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read the screenshot: %w", err)
	}
	box := src.Bounds()
	rgba := image.NewRGBA(box)
	draw.Draw(rgba, box, src, box.Min, draw.Src)
	often := make(map[color.RGBA]int)
	for i := 0; i < len(rgba.Pix); i += 4 {
		often[color.RGBA{rgba.Pix[i], rgba.Pix[i+1], rgba.Pix[i+2], 255}]++
	}
	list := slices.SortedFunc(maps.Keys(often), func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(often[b], often[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	var palette color.Palette
	for apart := 60; apart >= 0; apart -= 20 { // first those that differ well
		for _, c := range list {
			if len(palette) < smallColours && !slices.ContainsFunc(palette, func(p color.Color) bool { return distance(c, p.(color.RGBA)) <= apart }) {
				palette = append(palette, c)
			}
		}
	}
	small := image.NewPaletted(box, palette)
	draw.Draw(small, box, rgba, box.Min, draw.Src)
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small)
	return out.Bytes(), err
}

func distance(a, b color.RGBA) int {
	r, g, bl := int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B)
	return r*r + g*g + bl*bl
}
