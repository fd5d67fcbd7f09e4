package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
)

// decode reads the body into v. Connect answers a body that cannot be read with 500, not with 400: so does this.
func (c *call) decode(v any) error {
	if err := c.isJSON(); err != nil {
		return err
	}
	b, err := io.ReadAll(c.Body)
	if err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	b = bytes.TrimSpace(b)
	if len(b) == 0 || string(b) == "null" {
		return malformed(errors.New("it is empty"))
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	d.UseNumber() // offsets are larger than what a float64 holds exactly
	if err := d.Decode(v); err != nil {
		return malformed(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return malformed(errors.New("it goes on behind its JSON value"))
	}
	return nil
}

// isJSON refuses a body of another type, as Connect does.
func (c *call) isJSON() error {
	text := c.Header.Get("Content-Type")
	if kind, _, err := mime.ParseMediaType(text); text != "" && (err != nil || kind != "application/json") {
		return httpError(http.StatusUnsupportedMediaType)
	}
	return nil
}

// properties are a configuration in JSON: an object of texts, of which numbers and booleans are taken as they are written.
type properties map[string]string

func (p *properties) UnmarshalJSON(b []byte) error {
	values, err := patchOf(b)
	if err != nil || values == nil {
		return err
	}
	*p = make(properties, len(values))
	for k, v := range values {
		if v != nil { // null is the absence of a key
			(*p)[k] = *v
		}
	}
	return nil
}

// patchOf reads properties of which null is told from absence.
func patchOf(b []byte) (map[string]*string, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil || raw == nil {
		return nil, err
	}
	out := make(map[string]*string, len(raw))
	for k, v := range raw {
		switch v[0] {
		case 'n':
			out[k] = nil
		case '{', '[':
			return nil, fmt.Errorf("the value of %q is no text: a list is written with commas, \"a,b\"", k)
		case '"':
			var s string
			if err := json.Unmarshal(v, &s); err != nil {
				return nil, err
			}
			out[k] = &s
		default:
			s := string(v)
			out[k] = &s
		}
	}
	return out, nil
}

type patch map[string]*string

func (p *patch) UnmarshalJSON(b []byte) (err error) {
	*p, err = patchOf(b)
	return err
}

// malformed is the answer to a body that cannot be read.
func malformed(err error) error {
	return fail(http.StatusInternalServerError, "read the body of the request, which must be JSON as the OpenAPI document has it (/openapi.json): %v", err)
}
