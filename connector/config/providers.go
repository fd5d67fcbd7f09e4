package config

import (
	"slices"
	"strings"

	"github.com/waltap/waltap/internal/secret"
)

const keyProviders = "config.providers"

// resolverOf reads the names of the configuration providers from the keys of the process.
func resolverOf(s *section, f *faults) secret.Resolver {
	var r secret.Resolver
	names, _ := parseList(s.keys[keyProviders].value)
	for _, name := range names {
		key := keyProviders + "." + name + ".class"
		class, given := s.keys[key]
		switch p := secret.Provider(name); {
		case given:
			if p, err := secret.ProviderOfClass(class.value); err == nil { // else the key's own fault
				if r.Names == nil {
					r.Names = make(map[string]secret.Provider)
				}
				r.Names[name] = p
			}
		case p != secret.File && p != secret.Directory && p != secret.Env:
			f.add(s.fault(key), "required, for %s names %s: one of FileConfigProvider, DirectoryConfigProvider, EnvVarConfigProvider", keyProviders, name)
		}
	}
	for key := range s.keys {
		name, found := strings.CutPrefix(key, keyProviders+".")
		if name, found2 := strings.CutSuffix(name, ".class"); found && found2 && !slices.Contains(names, name) {
			f.add(s.fault(key), "%s does not name %s: add it there", keyProviders, name)
		}
	}
	return r
}
