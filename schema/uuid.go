package schema

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
)

// UUID is an HBase cluster id: most significant half first, big-endian, as
// java.util.UUID prints it.
type UUID [16]byte

// ParseUUID reads the canonical text, 8-4-4-4-12 hexadecimal digits of either case.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return UUID{}, fmt.Errorf("parse UUID: %q is not of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", s)
	}
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(u[:], []byte(digits)); err != nil {
		return UUID{}, fmt.Errorf("parse UUID: %q: %w", s, err)
	}
	return u, nil
}

// String is the canonical text in lower case.
func (u UUID) String() string { return string(appendUUID(make([]byte, 0, uuidTextSize), u)) }

// uuidTextSize is the length of the canonical text.
const uuidTextSize = 36

func appendUUID(dst []byte, u UUID) []byte {
	for i, group := range [...][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, group)
	}
	return dst
}

// IsZero reports whether no id was set.
func (u UUID) IsZero() bool { return u == UUID{} }

// NameUUID is the name-based UUID (version 5, RFC 9562) of a name in a name space: the same for both for ever.
func NameUUID(space []byte, name string) UUID {
	h := sha1.New()
	h.Write(space)
	h.Write([]byte(name))
	var u UUID
	copy(u[:], h.Sum(nil))
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return u
}
