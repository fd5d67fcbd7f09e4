package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/internal/secret"
)

// REST says who may use the process's port, and how.
type REST struct {
	KeyStore    string        // PEM with the private key and its certificate chain; of a listener https
	KeyPassword secret.Secret // of that key
	Admin       Credentials   // may do everything
	Viewer      Credentials   // may read
	MaxBody     int64         // bytes of a request
	// MaxConnections that are open at once; 0: no bound.
	MaxConnections int
	// SecretsFolder is the only place that references in configurations that come over REST may name; "": they may hold none.
	SecretsFolder string
}

// Credentials are what a role shows: either suffices. The zero value is nobody's.
type Credentials struct {
	UserInfo secret.Secret // user:password, of basic authentication
	Token    secret.Secret // bearer token
}

// IsZero tells whether there are none.
func (c Credentials) IsZero() bool { return c.UserInfo.IsZero() && c.Token.IsZero() }

// Authenticates tells whether requests must show credentials.
func (r *REST) Authenticates() bool { return !r.Admin.IsZero() || !r.Viewer.IsZero() }

// TLS is how the port is served: nil without a key store. The key store is read for each connection.
func (r *REST) TLS() (*tls.Config, error) {
	if r.KeyStore == "" {
		return nil, nil
	}
	load := func() (*tls.Config, error) {
		store := kafka.TLS{KeyStore: r.KeyStore, KeyPassword: r.KeyPassword}
		c, err := store.Load()
		if fault, ok := errors.AsType[*kafka.KeyFault](err); ok {
			return nil, fault.Err
		}
		return c, err
	}
	c, err := load()
	if err != nil {
		return nil, err
	}
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return load() }
	return c, nil
}

const (
	keyListeners   = "listeners"
	restKeyStore   = "listeners.https.ssl.keystore.location"
	restAdmin      = "rest.auth.admin."
	restViewer     = "rest.auth.viewer."
	userInfo       = "user.info"
	restSecrets    = "rest.secrets.folder"
	userInfoMeans  = "The password, or the whole, is a reference."
	restAuthBeside = "Without any key of rest.auth.*, whoever reaches the port may do everything."
)

// restKeys are those of the port of a process.
var restKeys = []Key{
	{
		Name: restKeyStore, Scope: InProcess, Type: String, Example: "/etc/waltap/rest.pem",
		Doc: "PEM file with the private key and the certificate chain of the port, for listeners https://host:port. It is read for each connection, so a renewed one needs no restart.",
		set: text(func(t *target) *string { return &t.process.REST.KeyStore }),
	},
	{
		Name: "listeners.https.ssl.key.password", Scope: InProcess, Type: Password, Example: "${env:REST_KEY_PASSWORD}",
		Doc: "Password of that private key, when it is encrypted; a reference.",
		set: password(func(t *target) *secret.Secret { return &t.process.REST.KeyPassword }),
	},
	{
		Name: restAdmin + userInfo, Scope: InProcess, Type: Password, Example: "admin:${file:/etc/waltap/secrets.properties:rest.admin}", asWritten: true,
		Doc: "User and password of the role that may do everything over the port (HTTP basic authentication), user:password. " + userInfoMeans + " " + restAuthBeside,
		set: setCredentials(func(t *target) *secret.Secret { return &t.process.REST.Admin.UserInfo }),
	},
	{
		Name: restAdmin + "token", Scope: InProcess, Type: Password, Example: "${directory:/run/secrets:rest-admin}",
		Doc: "Bearer token of the same role; a reference.",
		set: password(func(t *target) *secret.Secret { return &t.process.REST.Admin.Token }),
	},
	{
		Name: restViewer + userInfo, Scope: InProcess, Type: Password, Example: "viewer:${file:/etc/waltap/secrets.properties:rest.viewer}", asWritten: true,
		Doc: "User and password of the role that may read: GET and HEAD, without profiles. " + userInfoMeans,
		set: setCredentials(func(t *target) *secret.Secret { return &t.process.REST.Viewer.UserInfo }),
	},
	{
		Name: restViewer + "token", Scope: InProcess, Type: Password, Example: "${directory:/run/secrets:rest-viewer}",
		Doc: "Bearer token of the same role; a reference.",
		set: password(func(t *target) *secret.Secret { return &t.process.REST.Viewer.Token }),
	},
	{
		Name: "rest.request.max.bytes", Scope: InProcess, Type: Size, Default: "1MiB", Min: 1 << 10, Max: 1 << 30,
		Doc: "Most bytes of the body of a request; a larger one is refused with 413.",
		set: number(func(t *target) *int64 { return &t.process.REST.MaxBody }),
	},
	{
		Name: "rest.max.connections", Scope: InProcess, Type: Integer, Default: "1000", Min: 8, Max: 100000,
		Doc: "Most connections to the port that are open at once; one more is closed at once. One that sends its request too slowly is closed after 30 s.",
		set: number(func(t *target) *int { return &t.process.REST.MaxConnections }),
	},
	{
		Name: restSecrets, Scope: InProcess, Type: String, DefaultDoc: "none: they may hold no references", Example: "/etc/waltap/connectors",
		Doc: "Folder that references in configurations that come over REST may name, ${file:/path:key} and ${directory:/path:file} within it, in keys that hold secrets or certificates. ${env:NAME} is refused there. References in the file of the process are not bounded.",
		set: into(parseFolder, func(t *target) *string { return &t.process.REST.SecretsFolder }),
	},
}

func parseFolder(s string) (string, error) {
	if !filepath.IsAbs(s) || filepath.Clean(s) == "/" {
		return "", fmt.Errorf("%q is no folder of secrets: want an absolute path below /", s)
	}
	return filepath.Clean(s), nil
}

// setCredentials reads user:password of which the password, or the whole, is a reference.
func setCredentials(field func(*target) *secret.Secret) func(*target, string) error {
	return func(t *target, value string) error {
		if user, rest, _ := strings.Cut(value, ":"); !secret.IsReference(value) && (user == "" || strings.Contains(user, "${") || !secret.IsReference(rest)) {
			return fmt.Errorf("want user:password, of which the password, or the whole, is a reference such as ${file:/path:key}: secrets do not stand in a configuration")
		}
		resolved, err := t.resolver.Resolve(value)
		if err != nil {
			return err
		}
		if user, pass, ok := strings.Cut(resolved.Text, ":"); !ok || user == "" || pass == "" {
			return fmt.Errorf("what the reference stands for is not user:password")
		}
		*field(t) = secret.New(resolved.Text)
		return nil
	}
}

// completeREST faults a port that could not be served, or not as it is meant.
func completeREST(s *section, p *Process, f *faults) {
	https := strings.HasPrefix(p.Listeners, "https:")
	switch {
	case https && p.REST.KeyStore == "":
		f.add(s.fault(restKeyStore), "required with listeners https: a PEM file with the private key and the certificate chain")
	case !https && p.REST.KeyStore != "":
		f.add(s.fault(keyListeners), "is not https, and %s is given: want https://host:port, or remove that key", restKeyStore)
	case https:
		if _, err := p.REST.TLS(); err != nil {
			f.add(s.fault(restKeyStore), "%v", err)
		}
	}
	for _, c := range []struct {
		key  string
		role Credentials
	}{{restAdmin, p.REST.Admin}, {restViewer, p.REST.Viewer}} {
		if !c.role.Token.IsZero() && len(c.role.Token.Reveal()) < 8 {
			f.add(s.fault(c.key+"token"), "what the reference stands for has less than 8 characters: want a token that cannot be guessed, such as of: openssl rand -hex 32")
		}
	}
}
