// Package hfile makes HFiles with HBase's own writers, and says what HBase's own scanner finds in them: so that the verdict of a
// test of internal/hfile does not rest on the code under test.
package hfile

import (
	"bytes"
	"context"
	"embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os/exec"
	"path/filepath"

	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/internal/hfile"
)

//go:embed java/*.java java/old/*.java
var sources embed.FS

// Spec says what a file is to be. What has no comment is HBase's, by its names.
type Spec struct {
	Name         string `json:"name"`
	Encoding     string `json:"encoding"`
	Compression  string `json:"compression"`
	Codecs       string `json:"codecs"` // "": HBase's native ones; aircompressor, hadoop
	Tags         bool   `json:"tags"`
	CompressTags bool   `json:"compressTags"`
	NoMVCC       bool   `json:"noMVCC"`
	Checksum     string `json:"checksum"`
	Encrypted    bool   `json:"encrypted"`
	BulkLoad     bool   `json:"bulkLoad"`
	Major        bool   `json:"major"`
	BlockSize    int    `json:"blockSize"`
	IndexSize    int    `json:"indexSize"`
	BloomSize    int    `json:"bloomSize"`
	Version      int    `json:"version"` // 0: written by HBase 2.6.4; 2, 3: by 1.4.14 in this version of the format

	Seed  int64 `json:"seed"`
	Rows  int   `json:"rows"`
	Big   int   `json:"big"`   // values of 700 KB
	Plain bool  `json:"plain"` // five columns of 100 bytes a row, for measuring, instead of cells of all kinds
}

// File is a file that was made.
type File struct {
	Spec
	Path  string
	Cells int64  `json:"cells"`
	CRC   uint32 `json:"crc"`   // of all cells in order, see Sum
	Bytes int64  `json:"bytes"` // of the parts of all cells, timestamp and type as 12
}

// Generate makes the files in dir.
func Generate(ctx context.Context, dir string, specs []Spec) ([]File, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("generate HFiles: %w", err)
	}
	files := make([]File, len(specs))
	for _, old := range []bool{false, true} {
		var lines bytes.Buffer
		var at []int
		for i, s := range specs {
			if (s.Version != 0) != old {
				continue
			}
			line, err := json.Marshal(struct {
				Spec
				Dir string `json:"dir"`
			}{s.withDefaults(), dir})
			if err != nil {
				return nil, fmt.Errorf("generate HFiles: %w", err)
			}
			lines.Write(append(line, '\n'))
			at = append(at, i)
		}
		if len(at) == 0 {
			continue
		}
		out, err := run(ctx, old, dir, &lines)
		if err != nil {
			return nil, err
		}
		answers := json.NewDecoder(bytes.NewReader(out))
		for _, i := range at {
			files[i] = File{Spec: specs[i], Path: filepath.Join(dir, specs[i].Name)}
			if err := answers.Decode(&files[i]); err != nil {
				return nil, fmt.Errorf("generate HFile %s: read the answer: %w", specs[i].Name, err)
			}
		}
	}
	return files, nil
}

func (s Spec) withDefaults() Spec {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&s.Encoding, "NONE")
	def(&s.Compression, "NONE")
	def(&s.Checksum, "CRC32C")
	for _, n := range []struct {
		v   *int
		def int
	}{{&s.BlockSize, 64 << 10}, {&s.IndexSize, 128 << 10}, {&s.BloomSize, 128 << 10}} {
		if *n.v == 0 {
			*n.v = n.def
		}
	}
	return s
}

// run runs the Java part on the specs and returns its answers.
func run(ctx context.Context, old bool, dir string, specs io.Reader) ([]byte, error) {
	java, err := servers.Java()
	if err != nil {
		return nil, err
	}
	jarsOf, class, name, files := servers.HBaseJars, "HFiles", "hfiles", []string{"java/HFiles.java", "java/Cells.java"}
	if old {
		jarsOf, class, name, files = servers.HBase1Jars, "OldHFiles", "old-hfiles", []string{"java/old/OldHFiles.java", "java/Cells.java"}
	}
	jars, err := jarsOf(ctx)
	if err != nil {
		return nil, err
	}
	classes, err := servers.CompileJava(ctx, name, sources, jars, files...)
	if err != nil {
		return nil, err
	}
	path := classes + ":" + jars + "/*"
	if !old {
		codecs, err := servers.HFileCodecJars(ctx)
		if err != nil {
			return nil, err
		}
		path += ":" + codecs + "/*"
	}
	args := append([]string{"-Xmx1g", "-XX:-UsePerfData", "-Djava.io.tmpdir=" + dir}, servers.HBaseJVMFlags()...)
	args = append(args, servers.FastStart...)
	cmd := exec.CommandContext(ctx, java, append(args, "-cp", path, class)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = specs, &stdout, &stderr, dir
	if err := cmd.Run(); err != nil {
		return nil, errors.Join(fmt.Errorf("generate HFiles: %w", err), errors.New(stderr.String()))
	}
	return stdout.Bytes(), nil
}

// Sum is what depends on every byte of every cell, and on their order: the CRC32C that the Java part makes.
type Sum struct {
	Cells int64
	CRC   uint32
	buf   []byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Add adds a cell.
func (s *Sum) Add(c *hfile.Cell) {
	b := binary.BigEndian.AppendUint16(s.buf[:0], uint16(len(c.Row)))
	b = append(b, c.Row...)
	b = append(b, byte(len(c.Family)))
	b = append(b, c.Family...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(c.Qualifier)))
	b = append(b, c.Qualifier...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Timestamp))
	b = append(b, byte(c.Type))
	b = binary.BigEndian.AppendUint32(b, uint32(len(c.Value)))
	b = append(b, c.Value...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(c.Tags)))
	b = append(b, c.Tags...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Sequence))
	s.buf = b
	s.CRC = crc32.Update(s.CRC, castagnoli, b)
	s.Cells++
}
