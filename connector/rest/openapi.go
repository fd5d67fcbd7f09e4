package rest

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// object of JSON.
type object = map[string]any

// openAPI is the API as an OpenAPI 3.0 document, made of the table of routes and of the types of their bodies.
func openAPI() object {
	paths := object{}
	schemas := object{}
	errorSchema := schemaOf(reflect.TypeFor[errorBody](), schemas)
	for _, r := range routes() {
		item, ok := paths[r.path].(object)
		if !ok {
			item = object{}
			paths[r.path] = item
		}
		op := object{"summary": r.summary, "operationId": operationID(r)}
		if r.own {
			op["tags"] = []string{"waltap"}
		} else {
			op["tags"] = []string{"Kafka Connect"}
		}
		if list := parametersOf(r); len(list) > 0 {
			op["parameters"] = list
		}
		if r.in != nil {
			op["requestBody"] = object{"required": true, "content": content(schemaOf(reflect.TypeOf(r.in), schemas))}
		}
		responses := object{}
		for _, code := range slices.Concat(r.codes, []int{401, 403, 413, 415}) {
			switch {
			case code == 401 || code == 403:
				responses[strconv.Itoa(code)] = object{"description": "The credentials are missing or wrong, or do not allow this.", "content": content(errorSchema)}
			case code == 413 || code == 415:
				if r.in != nil {
					responses[strconv.Itoa(code)] = object{"description": http.StatusText(code), "content": content(errorSchema)}
				}
			case code >= 400 && r.path != "/health":
				responses[strconv.Itoa(code)] = object{"description": http.StatusText(code), "content": content(errorSchema)}
			case code == 204 || r.out == nil:
				responses[strconv.Itoa(code)] = object{"description": http.StatusText(code)}
			default:
				responses[strconv.Itoa(code)] = object{"description": http.StatusText(code), "content": content(schemaOf(reflect.TypeOf(r.out), schemas))}
			}
		}
		op["responses"] = responses
		item[strings.ToLower(r.method)] = op
	}
	return object{
		"openapi": "3.0.3",
		"info": object{"title": "waltap", "version": "1",
			"description": "Kafka Connect's REST API, and waltap's own under /v1. Names in a path are percent-encoded. As with Connect, /connectors/{connector} takes no name with a slash or a per cent sign; all of it is below /v1/connectors/{connector}, too, which does."},
		"paths": paths,
		"components": object{"schemas": schemas, "securitySchemes": object{
			"basic": object{"type": "http", "scheme": "basic"}, "bearer": object{"type": "http", "scheme": "bearer"}}},
		"security": []object{{}, {"basic": []string{}}, {"bearer": []string{}}},
	}
}

func content(schema object) object {
	return object{"application/json": object{"schema": schema}}
}

// operationID is such as putConnectorsConnectorConfig.
func operationID(r route) string {
	id := strings.ToLower(r.method)
	for _, p := range strings.FieldsFunc(r.path, func(c rune) bool { return strings.ContainsRune("/{}-.", c) }) {
		id += strings.ToUpper(p[:1]) + p[1:]
	}
	return id
}

func parametersOf(r route) []object {
	var out []object
	for _, p := range strings.Split(r.path, "/") {
		if name, ok := strings.CutPrefix(p, "{"); ok {
			out = append(out, object{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": object{"type": "string"}})
		}
	}
	for _, q := range r.query {
		out = append(out, object{"name": q.name, "in": "query", "required": false, "description": q.text, "schema": object{"type": "string"}})
	}
	return out
}

// schemaOf describes how encoding/json writes a type; structs with a name go to schemas.
func schemaOf(t reflect.Type, schemas object) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return object{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		inner := schemaOf(t.Elem(), schemas)
		if _, ref := inner["$ref"]; ref {
			return object{"nullable": true, "allOf": []object{inner}}
		}
		inner = maps.Clone(inner)
		inner["nullable"] = true
		return inner
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Slice:
		return object{"type": "array", "items": schemaOf(t.Elem(), schemas)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": schemaOf(t.Elem(), schemas)}
	case reflect.Struct:
		name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
		if pkg := t.PkgPath(); pkg != "" {
			name = pkg[strings.LastIndexByte(pkg, '/')+1:] + "." + name
		}
		if _, known := schemas[name]; !known {
			schemas[name] = object{} // while its fields are read
			schemas[name] = structSchema(t, schemas)
		}
		return object{"$ref": "#/components/schemas/" + name}
	}
	return object{}
}

func structSchema(t reflect.Type, schemas object) object {
	properties, required := object{}, []string{}
	var fields func(reflect.Type)
	fields = func(t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Anonymous && tag == "":
				fields(f.Type)
				continue
			case !f.IsExported() || tag == "-":
				continue
			}
			if tag == "" {
				tag = f.Name
			}
			properties[tag] = schemaOf(f.Type, schemas)
			if !strings.Contains(options, "omitempty") {
				required = append(required, tag)
			}
		}
	}
	fields(t)
	out := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}
