package snapshot

import (
	"bytes"
	"crypto/md5" // HBase names regions by it
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

const (
	defaultNamespace = "default"
	// mobStart is the start key of the pseudo-region below which a table keeps its MOB files (HBase: MobConstants.MOB_REGION_NAME).
	mobStart = ".mob"
)

// Folders below the root of an HBase.
const (
	snapshotDir = ".hbase-snapshot"
	dataDir     = "data"
	tmpDir      = ".tmp"
	mobDir      = "mobdir"
	archiveDir  = "archive"
)

// Encode is the encoded name of a region: what its folder is called, and WAL keys name it by.
//
//	md5("[ns:]table,startKey,id[_%04X of the replica]"), in hexadecimal
func Encode(table string, start []byte, id uint64, replica int32) string {
	name := append([]byte(strings.TrimPrefix(table, defaultNamespace+":")), ',')
	name = append(name, start...)
	name = strconv.AppendUint(append(name, ','), id, 10)
	if replica > 0 {
		name = fmt.Appendf(name, "_%04X", replica)
	}
	sum := md5.Sum(name)
	return hex.EncodeToString(sum[:])
}

// isMob tells whether a region of these bounds is the pseudo-region of a table's MOB files.
func isMob(start []byte, id uint64) bool { return id == 0 && bytes.Equal(start, []byte(mobStart)) }

// place is where a store file lies, below one of the roots of store files.
type place struct {
	table  string // "ns:t"
	region string // encoded name
	family string
	file   string
}

// linkName is the name of an HFileLink, a file that another table, or an earlier life of this one, owns:
//
//	[ns=]table=region-file
//
// (HBase: HFileLink.LINK_NAME_PATTERN. A table's name may hold '-' and '.', but no '='.)
var linkName = regexp.MustCompile(`^(?:([\w.]+)=)?([\w.-]+)=([0-9a-f]+)-([0-9A-Za-z_.-]+)$`)

// plainName is the name of a file: hexadecimal with what a bulk load or MOB add.
var plainName = regexp.MustCompile(`^[0-9A-Za-z_-]+$`)

// parseName says where the store file lies that a manifest names for a region and a family. reference: it is the half of a
// file of another region,
//
//	(file or link).parentRegion
func parseName(name, table, region, family string, reference bool) (place, error) {
	p := place{table: table, region: region, family: family, file: name}
	if reference {
		i := strings.LastIndexByte(name, '.')
		if i < 0 || !isHex(name[i+1:]) {
			return place{}, fmt.Errorf("store file %q of region %s: the name of a reference ends with the region it leads to", name, region)
		}
		p.file, p.region = name[:i], name[i+1:]
	}
	if m := linkName.FindStringSubmatch(p.file); m != nil {
		ns := m[1]
		if ns == "" {
			ns = defaultNamespace
		}
		p.table, p.region, p.file = ns+":"+m[2], m[3], m[4]
	}
	if !plainName.MatchString(p.file) {
		return place{}, fmt.Errorf("store file %q of region %s: it is not the name of an HFile", name, region)
	}
	return p, nil
}

func isHex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdef") == ""
}

// paths lists where the file can be, in the order HBase looks (HFileLink): it may be moved from each to the next, and from any
// to the archive, at any time.
func (p place) paths(root string) []string {
	ns, table, _ := strings.Cut(p.table, ":")
	rel := path.Join(dataDir, ns, table, p.region, p.family, p.file)
	return []string{path.Join(root, rel), path.Join(root, tmpDir, rel), path.Join(root, mobDir, rel), path.Join(root, archiveDir, rel)}
}

// mobPlace is where a MOB file lies: below the table's pseudo-region.
func mobPlace(table, family, file string) (place, error) {
	ns, qualifier, ok := strings.Cut(table, ":")
	if !ok {
		ns, qualifier = defaultNamespace, table
	}
	table = ns + ":" + qualifier
	if !tableName.MatchString(table) {
		return place{}, fmt.Errorf("MOB file %q: %q is not the name of a table", file, table)
	}
	return parseName(file, table, Encode(table, []byte(mobStart), 0, 0), family, false)
}

// tableName is what HBase allows (TableName.isLegalFullyQualifiedTableName), so that no other folder is reached.
var tableName = regexp.MustCompile(`^\w+:[\w][\w.-]*$`)

var familyName = regexp.MustCompile(`^[^/\\:]+$`)
