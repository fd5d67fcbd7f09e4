package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReferencesAreBoundToAFolder(t *testing.T) {
	folder, outside := t.TempDir(), t.TempDir()
	for _, f := range []string{filepath.Join(folder, "s.properties"), filepath.Join(outside, "s.properties")} {
		if err := os.WriteFile(f, []byte("k=v\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(outside, "s.properties"), filepath.Join(folder, "link.properties")); err != nil {
		t.Fatal(err)
	}
	p := &Process{REST: REST{SecretsFolder: folder}}
	const key = "value.converter.basic.auth.user.info"
	for value, want := range map[string]string{
		"${file:" + folder + "/s.properties:k}":    "",
		"${directory:" + folder + ":s.properties}": "",
		"plain":                                  "",
		"${file:" + outside + "/s.properties:k}": "files in " + folder + " only",
		"${file:" + folder + "/../" + filepath.Base(outside) + "/s.properties:k}": "files in " + folder + " only",
		"${file:" + folder + "/link.properties:k}":                                "files in " + folder + " only",
		"${env:HOME}": "files in " + folder + " only",
	} {
		err := p.CheckReferences(map[string]string{key: value})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", value, err, want)
		}
	}
	if err := p.CheckReferences(map[string]string{"topic.prefix": "${file:" + folder + "/s.properties:k}"}); err == nil || !strings.Contains(err.Error(), "keys of secrets") {
		t.Errorf("a reference in a key that is shown: %v", err)
	}
	if err := new(Process).CheckReferences(map[string]string{key: "${file:" + folder + "/s.properties:k}"}); err == nil || !strings.Contains(err.Error(), "rest.secrets.folder") {
		t.Errorf("without a folder: %v", err)
	}
}
