package zookeeper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
)

// HBase writes a znode as
//
//	+------+----------------+------------------+---------+
//	| 0xFF | int32 BE idLen | idLen bytes (id) | payload |
//	+------+----------------+------------------+---------+
//
// or as the payload alone (ZKMetadata.removeMetaData). The payload is the magic "PBUF" followed by a message,
// with the exception of hbaseid, which may also be plain text (ClusterId.parseFrom).
const (
	metadataMagic  = 0xFF
	metadataHeader = 1 + 4
	protobufMagic  = "PBUF"
)

// StripMetadata returns the payload of a znode's data, without the metadata that HBase puts in front of it. The
// result aliases data.
func StripMetadata(data []byte) ([]byte, error) {
	if len(data) == 0 || data[0] != metadataMagic {
		return data, nil
	}
	if len(data) < metadataHeader {
		return nil, fmt.Errorf("strip znode metadata: %d bytes are too few for its header", len(data))
	}
	idLen := binary.BigEndian.Uint32(data[1:])
	rest := data[metadataHeader:]
	if uint64(idLen) > uint64(len(rest)) {
		return nil, fmt.Errorf("strip znode metadata: id of %d bytes, %d left", idLen, len(rest))
	}
	return rest[idLen:], nil
}

// UnmarshalPayload decodes a payload that starts with the magic "PBUF" into m.
func UnmarshalPayload(payload []byte, m proto.Message) error {
	body, ok := bytes.CutPrefix(payload, []byte(protobufMagic))
	if !ok {
		return fmt.Errorf("decode %s: no %q in front", m.ProtoReflect().Descriptor().Name(), protobufMagic)
	}
	if err := proto.Unmarshal(body, m); err != nil {
		return fmt.Errorf("decode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return nil
}

// ParseClusterID decodes the payload of <root>/hbaseid: a UUID in its text form, plain (0.94, and what Register
// writes: every version reads it) or in a ClusterId message. The text is not checked to be a UUID.
func ParseClusterID(payload []byte) (string, error) {
	id := string(payload)
	if bytes.HasPrefix(payload, []byte(protobufMagic)) {
		var m pb.ClusterId
		if err := UnmarshalPayload(payload, &m); err != nil {
			return "", err
		}
		id = m.GetClusterId()
	}
	id = strings.TrimSpace(id)
	if id == "" {
		return "", errors.New("parse cluster id: the znode is empty")
	}
	return id, nil
}

// ParseMaster decodes the payload of <root>/master.
func ParseMaster(payload []byte) (*pb.ServerName, error) {
	var m pb.Master
	if err := UnmarshalPayload(payload, &m); err != nil {
		return nil, err
	}
	return m.GetMaster(), nil
}

// ParseMetaServer decodes the payload of <root>/meta-region-server: the server of hbase:meta and the state of
// that region there (OPEN when it can be read).
func ParseMetaServer(payload []byte) (*pb.ServerName, pb.RegionState_State, error) {
	var m pb.MetaRegionServer
	if err := UnmarshalPayload(payload, &m); err != nil {
		return nil, 0, err
	}
	if m.State == nil { // written by 0.96, which has no state
		return m.GetServer(), pb.RegionState_OPEN, nil
	}
	return m.GetServer(), m.GetState(), nil
}
