package schema

import (
	"fmt"
	"strings"
)

// Schemas as Kafka Connect's JsonConverter writes them around a payload.

type connectShape int

const (
	connectChange connectShape = iota
	connectEnvelope
	connectKey
)

var connectHeads = func() (heads [connectKey + 1][2][]byte) {
	for i, text := range []bool{false, true} {
		for shape, schema := range []string{connectChangeSchema(text), connectEnvelopeSchema(text), connectKeySchema(text)} {
			heads[shape][i] = []byte(`{"schema":` + schema + `,"payload":`)
		}
	}
	return heads
}()

// connectHead is what goes before a payload and the brace that ends it.
func connectHead(shape connectShape, text bool) []byte {
	if text {
		return connectHeads[shape][1]
	}
	return connectHeads[shape][0]
}

func connectChangeSchema(text bool) string {
	return connectStruct("io.waltap.Change", "", false,
		connectField("int32", "format"), connectField("string", "op"), connectField("string", "table"),
		connectBytes("row", text), connectCells(text), connectField("int64", "sequence"), connectField("int64", "ts"),
		connectStruct("io.waltap.Source", "source", false,
			connectField("string", "version"), connectField("string", "connector"), connectField("string", "cluster_id"),
			connectField("string", "region"), connectField("string", "kind"), connectOrigins, connectField("int64", "epoch")))
}

func connectEnvelopeSchema(text bool) string {
	image := func(field string) string {
		return connectStruct("io.waltap.debezium.Value", field, true, connectBytes("row", text), connectCells(text))
	}
	return connectStruct("io.waltap.debezium.Envelope", "", false, image("before"), image("after"),
		connectStruct("io.waltap.debezium.Source", "source", false,
			connectField("string", "version"), connectField("string", "connector"), connectField("string", "name"),
			connectField("int64", "ts_ms"), connectField("string", "snapshot"), connectField("string", "db"),
			connectOptional("string", "sequence"), connectField("string", "table"), connectField("string", "connector_name"),
			connectField("string", "cluster_id"), connectField("string", "region"), connectField("int64", "seq"), connectOrigins,
			connectField("int64", "epoch")),
		connectStruct("event.block", "transaction", true, connectField("string", "id"), connectField("int64", "total_order"),
			connectField("int64", "data_collection_order")),
		connectField("string", "op"), connectOptional("int64", "ts_ms"))
}

func connectKeySchema(text bool) string {
	return connectStruct("io.waltap.Key", "", false, connectBytes("row", text))
}

const connectOrigins = `{"type":"array","items":{"type":"string","optional":false},"optional":false,"field":"origins"}`

func connectCells(text bool) string {
	tag := connectStruct("io.waltap.Tag", "", false, connectField("int32", "type"), connectBytes("value", text))
	cell := connectStruct("io.waltap.Cell", "", false,
		connectBytes("family", text), connectBytes("qualifier", text), connectField("int64", "timestamp"), connectField("string", "type"),
		connectBytes("value", text), `{"type":"array","items":`+tag+`,"optional":true,"field":"tags"}`)
	return `{"type":"array","items":` + cell + `,"optional":false,"field":"cells"}`
}

// connectBytes is the field name, or it and the field nameText, of which one is there.
func connectBytes(name string, text bool) string {
	if !text {
		return connectField("bytes", name)
	}
	return connectOptional("bytes", name) + "," + connectOptional("string", name+"Text")
}

func connectField(typ, name string) string {
	return fmt.Sprintf(`{"type":"%s","optional":false,"field":"%s"}`, typ, name)
}

func connectOptional(typ, name string) string {
	return fmt.Sprintf(`{"type":"%s","optional":true,"field":"%s"}`, typ, name)
}

// connectStruct is a struct, the value of field unless that is empty.
func connectStruct(name, field string, optional bool, fields ...string) string {
	s := fmt.Sprintf(`{"type":"struct","fields":[%s],"optional":%t,"name":"%s"`, strings.Join(fields, ","), optional, name)
	if field != "" {
		s += fmt.Sprintf(`,"field":"%s"`, field)
	}
	return s + "}"
}
