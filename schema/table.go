package schema

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// TableFormatVersion is the version of the table descriptors this release writes.
const TableFormatVersion = 1

// Table is a plain table descriptor: all a sink needs to create the table at a
// target without seeing the source. It travels as JSON on TablesTopic, under
// the table's full name as key:
//
//	{"formatVersion": 1, "name": "shop:orders", "epoch": 3,
//	 "attributes": {"IS_META": "false"}, "configuration": {},
//	 "families": [{"name": "d", "attributes": {"VERSIONS": "3", "TTL": "86400"}, "configuration": {}}],
//	 "splits": ["YQ==", "bQ=="]}
//
// HBase holds names, attributes and their values as bytes. What is UTF-8
// stands as text; a family name that is not stands base64-encoded in
// "nameBase64" instead of "name", an entry of a map with such a key or value
// in "attributesBase64" or "configurationBase64", both sides base64-encoded.
// In these Go types all of them are the bytes as a Go string.
type Table struct {
	FormatVersion int    // 0 is written as TableFormatVersion
	Name          string // "namespace:table"
	Epoch         int64  // see Source.Epoch
	Attributes    map[string]string
	Configuration map[string]string
	Families      []Family
	Splits        [][]byte // start keys of the regions but the first's, ascending
}

// Family is a column family of a Table.
type Family struct {
	Name          string
	Attributes    map[string]string // HBase's names: VERSIONS, TTL, COMPRESSION, REPLICATION_SCOPE …
	Configuration map[string]string
}

type tableJSON struct {
	FormatVersion       int               `json:"formatVersion"`
	Name                string            `json:"name"`
	Epoch               int64             `json:"epoch"`
	Attributes          map[string]string `json:"attributes"`
	AttributesBase64    map[string]string `json:"attributesBase64,omitempty"`
	Configuration       map[string]string `json:"configuration"`
	ConfigurationBase64 map[string]string `json:"configurationBase64,omitempty"`
	Families            []familyJSON      `json:"families"`
	Splits              [][]byte          `json:"splits"`
}

type familyJSON struct {
	Name                string            `json:"name,omitempty"`
	NameBase64          string            `json:"nameBase64,omitempty"`
	Attributes          map[string]string `json:"attributes"`
	AttributesBase64    map[string]string `json:"attributesBase64,omitempty"`
	Configuration       map[string]string `json:"configuration"`
	ConfigurationBase64 map[string]string `json:"configurationBase64,omitempty"`
}

// MarshalJSON writes the form described at Table. Equal tables give equal bytes.
func (t Table) MarshalJSON() ([]byte, error) {
	if t.FormatVersion == 0 {
		t.FormatVersion = TableFormatVersion
	}
	if err := t.validate(); err != nil {
		return nil, fmt.Errorf("write table descriptor: %w", err)
	}
	j := tableJSON{FormatVersion: t.FormatVersion, Name: t.Name, Epoch: t.Epoch, Splits: t.Splits}
	j.Attributes, j.AttributesBase64 = splitText(t.Attributes)
	j.Configuration, j.ConfigurationBase64 = splitText(t.Configuration)
	if j.Splits == nil {
		j.Splits = [][]byte{}
	}
	j.Families = make([]familyJSON, len(t.Families))
	for i, f := range t.Families {
		fj := &j.Families[i]
		if utf8.ValidString(f.Name) {
			fj.Name = f.Name
		} else {
			fj.NameBase64 = base64.StdEncoding.EncodeToString([]byte(f.Name))
		}
		fj.Attributes, fj.AttributesBase64 = splitText(f.Attributes)
		fj.Configuration, fj.ConfigurationBase64 = splitText(f.Configuration)
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads the form described at Table and checks it as ParseTable does.
func (t *Table) UnmarshalJSON(b []byte) error {
	var j tableJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("read table descriptor: %w", err)
	}
	if j.FormatVersion > TableFormatVersion {
		return fmt.Errorf("read table descriptor of %q: format version %d is newer than %d: upgrade waltap", j.Name, j.FormatVersion, TableFormatVersion)
	}
	out, err := j.table()
	if err == nil {
		err = out.validate()
	}
	if err != nil {
		return fmt.Errorf("read table descriptor: %w", err)
	}
	*t = out
	return nil
}

// ParseTable reads a table descriptor. Unknown fields are passed over; a newer
// format version, a bad name, double families and splits out of order are errors.
func ParseTable(b []byte) (*Table, error) {
	t := new(Table)
	if err := json.Unmarshal(b, t); err != nil {
		return nil, err
	}
	return t, nil
}

func (j *tableJSON) table() (Table, error) {
	t := Table{FormatVersion: j.FormatVersion, Name: j.Name, Epoch: j.Epoch, Splits: j.Splits}
	var err1, err2 error
	t.Attributes, err1 = mergeText(j.Attributes, j.AttributesBase64)
	t.Configuration, err2 = mergeText(j.Configuration, j.ConfigurationBase64)
	errs := []error{err1, err2}
	t.Families = make([]Family, len(j.Families))
	for i := range j.Families {
		fj, f := &j.Families[i], &t.Families[i]
		f.Name = fj.Name
		if fj.NameBase64 != "" {
			name, err := base64.StdEncoding.DecodeString(fj.NameBase64)
			f.Name, errs = string(name), append(errs, err)
		}
		f.Attributes, err1 = mergeText(fj.Attributes, fj.AttributesBase64)
		f.Configuration, err2 = mergeText(fj.Configuration, fj.ConfigurationBase64)
		errs = append(errs, err1, err2)
	}
	if err := errors.Join(errs...); err != nil {
		return Table{}, fmt.Errorf("table %q: %w", j.Name, err)
	}
	return t, nil
}

func (t *Table) validate() error {
	if t.FormatVersion < 1 {
		return fmt.Errorf("table %q: format version %d, want %d", t.Name, t.FormatVersion, TableFormatVersion)
	}
	if _, _, ok := cutTable(t.Name); !ok || !utf8.ValidString(t.Name) {
		return fmt.Errorf("table %q: want namespace:table", t.Name)
	}
	seen := make(map[string]bool, len(t.Families))
	for _, f := range t.Families {
		if f.Name == "" {
			return fmt.Errorf("table %q: family without a name", t.Name)
		}
		if seen[f.Name] {
			return fmt.Errorf("table %q: family %q stands twice", t.Name, f.Name)
		}
		seen[f.Name] = true
	}
	var previous []byte
	for i, split := range t.Splits {
		if bytes.Compare(split, previous) <= 0 {
			return fmt.Errorf("table %q: split %d (%q) is not above the one before it", t.Name, i, split)
		}
		previous = split
	}
	return nil
}

// splitText parts the entries that are UTF-8 from those that are not; the
// latter base64-encoded.
func splitText(m map[string]string) (text, encoded map[string]string) {
	text = make(map[string]string, len(m))
	for k, v := range m {
		if utf8.ValidString(k) && utf8.ValidString(v) {
			text[k] = v
			continue
		}
		if encoded == nil {
			encoded = make(map[string]string)
		}
		encoded[base64.StdEncoding.EncodeToString([]byte(k))] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	return text, encoded
}

func mergeText(text, encoded map[string]string) (map[string]string, error) {
	m := make(map[string]string, len(text)+len(encoded))
	for k, v := range text {
		m[k] = v
	}
	for k, v := range encoded {
		key, err := base64.StdEncoding.DecodeString(k)
		if err != nil {
			return nil, fmt.Errorf("decode base64 of %q: %w", k, err)
		}
		value, err := base64.StdEncoding.DecodeString(v)
		if err != nil {
			return nil, fmt.Errorf("decode base64 of %q: %w", v, err)
		}
		m[string(key)] = string(value)
	}
	return m, nil
}
