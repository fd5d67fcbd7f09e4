package rest

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/secret"
)

// references refuses what a configuration that came over REST may not refer to. Who may create connectors could read any file
// of this machine else: by naming it where the value is shown, or by sending it to a server of his own.
func (a *api) references(given properties) error {
	var e config.Error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		for _, ref := range secret.References(given[name]) {
			if err := a.reference(name, ref); err != nil {
				e.Faults = append(e.Faults, config.Fault{Key: name, Message: err.Error()})
			}
		}
	}
	if e.Faults == nil {
		return nil
	}
	return &e
}

func (a *api) reference(name string, ref secret.Reference) error {
	folder := a.Process.REST.SecretsFolder
	if folder == "" {
		return fmt.Errorf("%s: a configuration that comes over REST may hold no references: set rest.secrets.folder in the file of the process", ref)
	}
	// A patch has no class; its keys are of one of the two.
	k, known := config.Find(config.HBaseSource, name)
	if !known {
		k, known = config.Find(config.HBaseSink, name)
	}
	if !known || k.Type != config.Password && !strings.HasSuffix(name, ".certificates") && !strings.HasSuffix(name, ".certificate.chain") {
		return fmt.Errorf("%s: a configuration that comes over REST may hold references in keys of secrets and certificates only", ref)
	}
	switch p := ref.Kind(a.Process.Providers); p {
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
