package admin

import (
	"cmp"
	"maps"
	"slices"

	"github.com/waltap/waltap/internal/hbase/pb"
)

// HBase's maps are lists of pairs. They are written in the order of their keys, so that equal maps give equal bytes.

func bytesMap(pairs []*pb.BytesBytesPair) map[string]string {
	if len(pairs) == 0 {
		return nil
	}
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		m[string(p.GetFirst())] = string(p.GetSecond())
	}
	return m
}

func stringMap(pairs []*pb.NameStringPair) map[string]string {
	if len(pairs) == 0 {
		return nil
	}
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		m[p.GetName()] = p.GetValue()
	}
	return m
}

func bytesPairs(m map[string]string) []*pb.BytesBytesPair {
	var pairs []*pb.BytesBytesPair
	for _, k := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, &pb.BytesBytesPair{First: []byte(k), Second: []byte(m[k])})
	}
	return pairs
}

func stringPairs(m map[string]string) []*pb.NameStringPair {
	var pairs []*pb.NameStringPair
	for _, k := range slices.Sorted(maps.Keys(m)) {
		v := m[k]
		pairs = append(pairs, &pb.NameStringPair{Name: &k, Value: &v})
	}
	return pairs
}

func compareStrings(a, b string) int { return cmp.Compare(a, b) }

func tableFamilies(cfs []*pb.TableCF) map[string][]string {
	if len(cfs) == 0 {
		return nil
	}
	m := make(map[string][]string, len(cfs))
	for _, cf := range cfs {
		m[tableNameOf(cf.GetTableName())] = stringsOf(cf.GetFamilies())
	}
	return m
}

func tableCFs(m map[string][]string) []*pb.TableCF {
	var cfs []*pb.TableCF
	for _, table := range slices.Sorted(maps.Keys(m)) {
		cfs = append(cfs, &pb.TableCF{TableName: tableNameProto(table), Families: bytesOf(m[table])})
	}
	return cfs
}

func stringsOf(values [][]byte) []string {
	var s []string
	for _, v := range values {
		s = append(s, string(v))
	}
	return s
}

func bytesOf(values []string) [][]byte {
	var b [][]byte
	for _, v := range values {
		b = append(b, []byte(v))
	}
	return b
}
