package connector

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waltap/waltap/connector/config"
)

// A configuration on the config topic is bound as one over REST is; what the file of the process says is not.
func TestReferencesOfTheConfigTopicAreBound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s.properties")
	if err := os.WriteFile(file, []byte("k=user:password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const key = "value.converter.basic.auth.user.info"
	props := map[string]string{"connector.class": "HBaseSource", "hbase.zookeeper.quorum": "zk", "topic.prefix": "p", "table.include.list": "t",
		"value.converter.schema.registry.url": "http://127.0.0.1:1", "value.converter.basic.auth.credentials.source": "USER_INFO", key: "${file:" + file + ":k}"}
	p := &process{cfg: &config.Process{REST: config.REST{SecretsFolder: t.TempDir()}}}
	if _, err := p.parse("s", props); err == nil || !strings.Contains(err.Error(), "rest.secrets.folder") {
		t.Errorf("a reference to another folder: %v", err)
	}
	p.cfg.REST.SecretsFolder = filepath.Dir(file)
	c, err := p.parse("s", props)
	if err != nil {
		t.Fatal(err)
	}
	// The file's own connector, with another key changed over REST.
	p.cfg.REST.SecretsFolder, p.cfg.Connectors = "", []config.Connector{*c}
	props["table.include.list"] = "other"
	if _, err := p.parse("s", props); err != nil {
		t.Errorf("a reference that the file has: %v", err)
	}
	props[key] = "${file:" + file + ":other}"
	if _, err := p.parse("s", props); err == nil || !strings.Contains(err.Error(), "may hold no references") {
		t.Errorf("a reference that the file does not have: %v", err)
	}
}
