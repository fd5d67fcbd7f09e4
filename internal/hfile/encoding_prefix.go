package hfile

// nextPrefix reads a cell of a PREFIX block. Of each key, that is left out which the last one begins with as well:
//
//	length of what is left of the key | length of the value | length of what is left out | key | value | [length of tags | tags] |
//	[vlong sequence]
//
// Lengths are those of cells.length. (PrefixKeyDeltaEncoder)
func (d *cells) nextPrefix(c *Cell) error {
	rest, valueLen, common := d.length(), d.length(), d.length()
	if common < 0 || common > len(d.key) {
		return errKey
	}
	key, ok := d.take(rest)
	if !ok {
		return errCutOff
	}
	d.resizeKey(common + len(key))
	copy(d.key[common:], key)
	if !c.setKey(d.key) {
		return errKey
	}
	if c.Value, ok = d.take(valueLen); !ok {
		return errCutOff
	}
	return d.nextTags(c)
}
