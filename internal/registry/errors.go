package registry

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Error is a registry's refusal.
type Error struct {
	Method, URL string
	Status      int    // HTTP
	Code        int    // the registry's own, 0 when it gave none
	Message     string // the registry's own text
}

func newError(method, url string, status int, body []byte) *Error {
	var answer struct {
		Code    int    `json:"error_code"`
		Message string `json:"message"`
	}
	e := &Error{Method: method, URL: url, Status: status}
	if json.Unmarshal(body, &answer) == nil && answer.Message != "" {
		e.Code, e.Message = answer.Code, answer.Message
		return e
	}
	text := strings.TrimSpace(string(body))
	if len(text) > 300 || strings.HasPrefix(text, "<") {
		text = ""
	}
	e.Message = strings.TrimSpace(http.StatusText(status) + " " + text)
	return e
}

func (e *Error) Error() string {
	switch {
	case e.Method == "":
		return "schema registry: " + e.Message
	case e.Code != 0 && e.Code != e.Status:
		return fmt.Sprintf("schema registry: %s %s: %d (code %d): %s", e.Method, e.URL, e.Status, e.Code, e.Message)
	}
	return fmt.Sprintf("schema registry: %s %s: %d: %s", e.Method, e.URL, e.Status, e.Message)
}

// UnreachableError says that a registry gave no answer.
type UnreachableError struct {
	URL string
	Err error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("schema registry: %s cannot be reached: %v", e.URL, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// Retriable tells whether asking again may help: the registry could not be reached, or is in trouble. A certificate that is
// not trusted stays so.
func Retriable(err error) bool {
	var answer *Error
	if errors.As(err, &answer) {
		return answer.Status >= http.StatusInternalServerError || answer.Status == http.StatusTooManyRequests || answer.Status == http.StatusRequestTimeout
	}
	var away *UnreachableError
	return errors.As(err, &away) && !Untrusted(err)
}

// Untrusted tells whether the registry's certificate is signed by no authority that is trusted, or is of another host.
func Untrusted(err error) bool {
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	return errors.As(err, &certificate) || errors.As(err, &authority)
}

// Status is the HTTP status of a registry's refusal, 0 for other errors.
func Status(err error) int {
	var answer *Error
	if errors.As(err, &answer) {
		return answer.Status
	}
	return 0
}

// Code is the registry's own code of a refusal, 0 when it gave none: what answers at the URL may be no registry then.
func Code(err error) int {
	var answer *Error
	if errors.As(err, &answer) {
		return answer.Code
	}
	return 0
}
