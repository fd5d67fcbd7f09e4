package servers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// CompileJava returns the folder with the class files of some files in sources (none: java/*.java), compiled against the jars
// of a folder and kept in the cache under name.
func CompileJava(ctx context.Context, name string, sources fs.FS, jars string, files ...string) (string, error) {
	hash := sha256.New()
	io.WriteString(hash, filepath.Base(jars)) // a hash never fails; the jars' name holds their hash
	if len(files) == 0 {
		var err error
		if files, err = fs.Glob(sources, "java/*.java"); err != nil {
			return "", fmt.Errorf("compile %s: %w", name, err)
		}
	}
	for _, file := range files {
		src, err := fs.ReadFile(sources, file)
		if err != nil {
			return "", fmt.Errorf("compile %s: %w", name, err)
		}
		hash.Write(src)
	}
	return Cached(ctx, name+"-"+hex.EncodeToString(hash.Sum(nil)[:6]), func(ctx context.Context, dir string) error {
		javac, err := Javac()
		if err != nil {
			return err
		}
		if err := os.CopyFS(dir, sources); err != nil {
			return fmt.Errorf("compile %s: %w", name, err)
		}
		args := []string{"--release", "17", "-nowarn", "-Xlint:none", "-d", dir, "-cp", jars + "/*"}
		for _, file := range files {
			args = append(args, filepath.Join(dir, file))
		}
		out, err := exec.CommandContext(ctx, javac, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("compile %s: %w\n%s", name, err, out)
		}
		return nil
	})
}
