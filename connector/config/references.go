package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/waltap/waltap/internal/secret"
)

// CheckReferences refuses what a configuration that came over REST may not refer to, also when a worker reads it from the config topic:
// who may create connectors, or write to that topic, could read any file of this machine else, by naming it where the value is shown,
// or by sending it to a server of his own. The error is an *Error.
func (p *Process) CheckReferences(given map[string]string) error {
	var e Error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		for _, ref := range secret.References(given[name]) {
			if err := p.reference(name, ref); err != nil {
				e.Faults = append(e.Faults, Fault{Key: name, Message: err.Error()})
			}
		}
	}
	if e.Faults == nil {
		return nil
	}
	return &e
}

func (p *Process) reference(name string, ref secret.Reference) error {
	folder := p.REST.SecretsFolder
	if folder == "" {
		return fmt.Errorf("%s: a configuration that comes over REST may hold no references: set rest.secrets.folder in the file of the process", ref)
	}
	// A patch has no class; its keys are of one of the two.
	k, known := Find(HBaseSource, name)
	if !known {
		k, known = Find(HBaseSink, name)
	}
	if !known || k.Type != Password && !strings.HasSuffix(name, ".certificates") && !strings.HasSuffix(name, ".certificate.chain") {
		return fmt.Errorf("%s: a configuration that comes over REST may hold references in keys of secrets and certificates only", ref)
	}
	switch ref.Kind(p.Providers) {
	case secret.File, secret.Directory:
		if !within(folder, ref.Path) {
			return fmt.Errorf("%s: a configuration that comes over REST may refer to files in %s only (rest.secrets.folder)", ref, folder)
		}
	default:
		return fmt.Errorf("%s: a configuration that comes over REST may refer to files in %s only (rest.secrets.folder)", ref, folder)
	}
	return nil
}

// within tells whether path is folder or below it, links followed.
func within(folder, path string) bool {
	if !filepath.IsAbs(path) {
		return false
	}
	path = filepath.Clean(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
		if real, err := filepath.EvalSymlinks(folder); err == nil {
			folder = real
		}
	}
	rel, err := filepath.Rel(folder, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
