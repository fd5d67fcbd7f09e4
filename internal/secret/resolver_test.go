package secret

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// places returns a folder with files that hold values.
func places(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"s.properties": "# comment\nplain=hunter2\n  spaced key = with = signs \nunicode=p\\u00e4ss wörd\nlong=one\\\n    two\nliteral=${plain}\nempty=\n",
		"password":     "from a file\n",
		"windows":      "crlf\r\n",
		"bare":         "no line end",
		"broken":       "a=\\u00zz\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("WALTAP_TEST_SECRET", "of the environment")
	t.Setenv("WALTAP_TEST_EMPTY", "")
	return dir
}

func TestResolve(t *testing.T) {
	dir := places(t)
	r := &Resolver{Names: map[string]Provider{"secrets": File, "k8s": Directory}}
	for in, want := range map[string]string{
		"no reference":                                                "no reference",
		"a$b ${} ${x} $(y)":                                           "a$b ${} ${x} $(y)",
		"${file:DIR/s.properties:plain}":                              "hunter2",
		"<${file:DIR/s.properties:plain}>":                            "<hunter2>",
		"${file:DIR/s.properties:unicode}":                            "päss wörd",
		"${file:DIR/s.properties:long}":                               "onetwo",
		"${file:DIR/s.properties:literal}":                            "${plain}",
		"${file:DIR/s.properties:empty}":                              "",
		"${secrets:DIR/s.properties:plain}/${env:WALTAP_TEST_SECRET}": "hunter2/of the environment",
		"${directory:DIR:password}":                                   "from a file",
		"${k8s:DIR:windows}":                                          "crlf",
		"${directory:DIR:bare}":                                       "no line end",
		"${env:WALTAP_TEST_EMPTY}":                                    "",
		"${env:WALTAP_TEST_SECRET}.":                                  "of the environment.",
	} {
		got, err := r.Resolve(strings.ReplaceAll(in, "DIR", dir))
		if err != nil || got.Text != want {
			t.Errorf("%s is %q, %v; want %q", in, got.Text, err, want)
		}
	}
}

func TestResolveRefuses(t *testing.T) {
	dir := places(t)
	for in, want := range map[string]string{
		"${file:DIR/s.properties:nosuch}":  "s.properties has no key nosuch",
		"${file:DIR/nosuch:plain}":         "no such file",
		"${file:DIR/broken:a}":             "is not a properties file",
		"${file::plain}":                   "want ${file:/path:key}",
		"${file:plain}":                    "want ${file:/path:key}",
		"${directory:DIR:nosuch}":          "no such file",
		"${directory:DIR:../etc/passwd}":   "want ${directory:/path:file}",
		"${directory:DIR:..}":              "want ${directory:/path:file}",
		"${env:WALTAP_TEST_NOSUCH}":        "environment variable WALTAP_TEST_NOSUCH is not set",
		"${env:x:WALTAP_TEST_SECRET}":      "want ${env:NAME}",
		"${vault:secret:k}":                `there is no provider "vault"`,
		"${env:A_NOSUCH} and ${vault:b:c}": "A_NOSUCH",
	} {
		in = strings.ReplaceAll(in, "DIR", dir)
		_, err := new(Resolver).Resolve(in)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), in[:8]) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v; want %q", in, err, want)
		}
	}
}

func TestHide(t *testing.T) {
	dir := places(t)
	r, err := new(Resolver).Resolve("${file:" + dir + "/s.properties:plain}:${env:WALTAP_TEST_SECRET}${env:WALTAP_TEST_EMPTY}")
	if err != nil {
		t.Fatal(err)
	}
	const want = `"REF:${env:WALTAP_TEST_SECRET}" is wrong`
	got := r.Hide(`"` + r.Text + `" is wrong`)
	if strings.ReplaceAll(got, "${file:"+dir+"/s.properties:plain}", "REF") != want {
		t.Errorf("%s, want %s", got, want)
	}
	t.Setenv("WALTAP_TEST_SECRET", "line\nbreak")
	if r, err = new(Resolver).Resolve("${env:WALTAP_TEST_SECRET}"); err != nil {
		t.Fatal(err)
	}
	if got := r.Hide(`value "line\nbreak"`); strings.Contains(got, "break") {
		t.Errorf("shown quoted: %s", got)
	}
}

func TestIsReference(t *testing.T) {
	for text, want := range map[string]bool{
		"${file:/a:b}": true, "${env:A}": true, "x${env:A}": false, "${env:A} ": false, "${env:A}${env:B}": false, "hunter2": false, "": false, "${x}": false,
	} {
		if got := IsReference(text); got != want {
			t.Errorf("IsReference(%q) = %v", text, got)
		}
	}
}

func TestProviderOfClass(t *testing.T) {
	for class, want := range map[string]Provider{
		"org.apache.kafka.common.config.provider.FileConfigProvider":      File,
		"org.apache.kafka.common.config.provider.DirectoryConfigProvider": Directory,
		"EnvVarConfigProvider": Env,
	} {
		if got, err := ProviderOfClass(class); got != want || err != nil {
			t.Errorf("%s: %q, %v", class, got, err)
		}
	}
	if _, err := ProviderOfClass("com.example.VaultConfigProvider"); err == nil || !strings.Contains(err.Error(), "FileConfigProvider") {
		t.Errorf("a foreign provider: %v", err)
	}
}

func FuzzResolve(f *testing.F) {
	f.Add("${file:/a:b}")
	f.Add("${env:${env:A}}")
	f.Fuzz(func(t *testing.T, in string) {
		r, err := new(Resolver).Resolve(in)
		if err == nil && len(r.found) == 0 && r.Text != in {
			t.Errorf("%q became %q", in, r.Text)
		}
	})
}
