package servers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// RegistryOptions describes one schema registry.
type RegistryOptions struct {
	Name     string // for error texts
	Dir      string // its folder: conf, data, log; created
	HeapMB   int    // default 256
	JVMFlags []string

	// User and Password, when given, are those who ask must name.
	User, Password string
	// CertFile and KeyFile, PEM, make it serve https, and nothing else.
	CertFile, KeyFile string
}

// Registry is an Apicurio 3.0.9 schema registry in one JVM, with its data in files. It is safe for concurrent use.
type Registry struct {
	*server
	url string
}

var (
	registryReady = regexp.MustCompile(`started in .*Listening on`)
	registryJar   = "apicurio-registry-app-3.0.9-runner.jar"
)

// StartRegistry starts a registry and returns when it serves.
func StartRegistry(ctx context.Context, o RegistryOptions) (*Registry, error) {
	lib, err := RegistryJars(ctx)
	if err != nil {
		return nil, err
	}
	s, err := newServer("schema registry "+o.Name, o.Dir, registryReady)
	if err != nil {
		return nil, err
	}
	port, err1 := FreePort()
	tlsPort, err2 := FreePort()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	r := &Registry{server: s, url: "http://127.0.0.1:" + strconv.Itoa(port)}
	heap := o.HeapMB
	if heap == 0 {
		heap = 256
	}
	props := map[string]string{
		"quarkus.http.host":                       "127.0.0.1",
		"quarkus.http.port":                       strconv.Itoa(port),
		"quarkus.http.ssl-port":                   strconv.Itoa(tlsPort),
		`quarkus.log.category."io.quarkus".level`: "INFO",
		"quarkus.oidc.tenant-enabled":             "false",
		// A write is on disk when it is answered, so that a killed registry comes back as it was.
		"apicurio.datasource.url": "jdbc:h2:file:" + filepath.Join(s.dir, "data", "registry") + ";WRITE_DELAY=0",
		// One connection at the start in place of 20, and no end of it when the machine is busy and that takes more than 5 s.
		"apicurio.datasource.jdbc.initial-size":          "1",
		"apicurio.datasource.jdbc.min-size":              "1",
		"quarkus.datasource.h2.jdbc.acquisition-timeout": "PT2M",
	}
	if o.User != "" {
		props["quarkus.http.auth.basic"] = "true"
		props["quarkus.security.users.embedded.plain-text"] = "true"
		props["quarkus.security.users.embedded.users."+o.User] = o.Password
		props["quarkus.security.users.embedded.roles."+o.User] = "sr-admin"
		props["quarkus.http.auth.permission.all.paths"] = "/apis/*"
		props["quarkus.http.auth.permission.all.policy"] = "authenticated"
	}
	if o.CertFile != "" {
		r.url = "https://127.0.0.1:" + strconv.Itoa(tlsPort)
		props["quarkus.http.ssl.certificate.files"] = o.CertFile
		props["quarkus.http.ssl.certificate.key-files"] = o.KeyFile
		props["quarkus.http.insecure-requests"] = "disabled"
	}
	if err := s.writeConf("registry.properties", javaProperties(props)); err != nil {
		return nil, err
	}
	s.args = slices.Concat(s.jvmFlags(heap), o.JVMFlags, []string{
		"-Dsmallrye.config.locations=" + filepath.Join(s.ConfDir(), "registry.properties"), "-jar", filepath.Join(lib, registryJar)})
	if err := s.start(ctx); err != nil {
		return nil, fmt.Errorf("start schema registry: %w", err)
	}
	return r, nil
}

// URL is the address of its Confluent interface; it stays over restarts.
func (r *Registry) URL() string { return r.url + "/apis/ccompat/v7" }
