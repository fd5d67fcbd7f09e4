package hfile

// nextTags reads the tags of a cell in a PREFIX, DIFF or FAST_DIFF block, their length before them. With tag compression each tag is
// in the dictionary or comes into it:
//
//	0xff | length | tag     or     int16 index in the dictionary
//
// where a tag is its type and value, and the length is that of the list that the tags make (TagCompressionContext).
func (d *cells) nextTags(c *Cell) error {
	if !d.tags {
		return nil
	}
	n := d.length()
	if n < 0 || n > maxTags {
		return errCutOff
	}
	if n == 0 {
		return nil
	}
	if !d.compressTags {
		var ok bool
		if c.Tags, ok = d.take(n); !ok {
			return errCutOff
		}
		return nil
	}
	list := d.list[:0]
	for len(list) < n {
		tag, err := d.nextTag()
		if err != nil {
			return err
		}
		if len(tag) > n-len(list)-2 {
			return errTags
		}
		list = append(list, byte(len(tag)>>8), byte(len(tag)))
		list = append(list, tag...)
	}
	d.list = list
	c.Tags = list[:n:n]
	return nil
}

const (
	maxTags         = 1<<16 - 1
	notInDictionary = 0xff
)

func (d *cells) nextTag() ([]byte, error) {
	status, ok := d.take(1)
	if !ok {
		return nil, errCutOff
	}
	if status[0] == notInDictionary {
		tag, ok := d.take(d.length())
		if !ok {
			return nil, errCutOff
		}
		d.dict.add(tag)
		return tag, nil
	}
	low, ok := d.take(1)
	if !ok {
		return nil, errCutOff
	}
	tag := d.dict.get(int(status[0])<<8 | int(low[0]))
	if tag == nil {
		return nil, errTags
	}
	return tag, nil
}

// dictionary is HBase's LRUDictionary of a block's tags: the entry that was not used for the longest time makes room for the next. As the
// writer finds and adds entries in the same order, both agree on who that is. Entries alias the block.
type dictionary struct {
	entries    [dictionarySize][]byte
	newer      [dictionarySize]int8 // index of the entry used next after this one
	older      [dictionarySize]int8 // and before
	n          int
	head, tail int8 // used last, and longest ago
}

const dictionarySize = 127 // Byte.MAX_VALUE (TagCompressionContext's of an HFile)

func (t *dictionary) reset() { t.n = 0 }

// add makes tag the newest entry. HBase does not keep an empty one.
func (t *dictionary) add(tag []byte) {
	if len(tag) == 0 {
		return
	}
	if t.n == dictionarySize {
		i := t.tail
		t.entries[i] = tag
		t.use(i)
		return
	}
	i := int8(t.n)
	t.entries[i] = tag
	if t.n == 0 {
		t.tail = i
	} else {
		t.newer[t.head] = i
		t.older[i] = t.head
	}
	t.head = i
	t.n++
}

// get returns an entry and makes it the newest; nil: there is none.
func (t *dictionary) get(i int) []byte {
	if i >= t.n {
		return nil
	}
	t.use(int8(i))
	return t.entries[i]
}

// use makes i the newest.
func (t *dictionary) use(i int8) {
	if i == t.head {
		return
	}
	newer := t.newer[i]
	if i == t.tail {
		t.tail = newer
	} else {
		older := t.older[i]
		t.newer[older] = newer
		t.older[newer] = older
	}
	t.newer[t.head] = i
	t.older[i] = t.head
	t.head = i
}
