//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// registryServer is a schema registry of one test, and the test's own way to it.
type registryServer struct {
	*servers.Registry
	http           *http.Client
	user, password string
	ca             string // file; "": http
	secrets        string // file with user and password
}

// startRegistry starts a registry; a secure one serves https only, with a certificate of its own authority, and asks for a user.
func startRegistry(t *testing.T, secure bool) *registryServer {
	t.Helper()
	r := &registryServer{http: http.DefaultClient}
	o := servers.RegistryOptions{Name: t.Name(), Dir: filepath.Join(env.Dir, testenv.Name(t)+"_registry"), JVMFlags: servers.FastStart}
	if secure {
		dir := t.TempDir()
		r.ca, r.user, r.password = filepath.Join(dir, "ca.pem"), "waltap", "se:cret"
		r.secrets = filepath.Join(dir, "secrets.properties")
		if err := os.WriteFile(r.secrets, []byte("good="+r.user+":"+r.password+"\nwrong="+r.user+":wrong\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		o.User, o.Password, o.CertFile, o.KeyFile = r.user, r.password, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		r.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: certify(t, r.ca, o.CertFile, o.KeyFile)}}}
	}
	var err error
	if r.Registry, err = servers.StartRegistry(testenv.Context(t, 3*time.Minute), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Kill(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// certify writes an authority's certificate, and a certificate of 127.0.0.1 that it has signed.
func certify(t *testing.T, caFile, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	write := func(file, kind string, der []byte, err error) {
		if err == nil {
			err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "waltap e2e"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "registry"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	caKey, leafKey := newKey(), newKey()
	der, err := x509.CreateCertificate(crand.Reader, ca, ca, &caKey.PublicKey, caKey)
	write(caFile, "CERTIFICATE", der, err)
	der, err = x509.CreateCertificate(crand.Reader, leaf, ca, &leafKey.PublicKey, caKey)
	write(certFile, "CERTIFICATE", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(leafKey)
	write(keyFile, "PRIVATE KEY", der, err)
	pool := x509.NewCertPool()
	text, err := os.ReadFile(caFile)
	if err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatal("the certificate is none", err)
	}
	return pool
}

// keys are those of a converter for this registry.
func (r *registryServer) keys(prefix string) keys {
	k := keys{prefix + ".schema.registry.url": r.URL()}
	if r.user != "" {
		k[prefix+".basic.auth.credentials.source"] = "USER_INFO"
		k[prefix+".basic.auth.user.info"] = "${file:" + r.secrets + ":good}"
		k[prefix+".schema.registry.ssl.truststore.location"] = r.ca
	}
	return k
}

// ask is what an operator's curl does.
func (r *registryServer) ask(t *testing.T, method, path string, body, answer any) {
	t.Helper()
	payload, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(testenv.Context(t, 30*time.Second), method, r.URL()+path, bytes.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if r.user != "" {
		req.SetBasicAuth(r.user, r.password)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s, %v", method, path, resp.Status, b, err)
	}
	if err := json.Unmarshal(b, answer); err != nil {
		t.Fatal(err)
	}
}

// schemas are those that records of Confluent's wire format name, as the registry has them.
func (r *registryServer) schemas(t *testing.T, records [][]byte) map[uint32]string {
	t.Helper()
	found := make(map[uint32]string)
	for _, b := range records {
		if len(b) < 5 || b[0] != 0 {
			t.Fatalf("a record begins with % x: not Confluent's wire format", b[:min(5, len(b))])
		}
		id := binary.BigEndian.Uint32(b[1:])
		if _, known := found[id]; !known {
			var answer struct{ Schema string }
			r.ask(t, http.MethodGet, fmt.Sprintf("/schemas/ids/%d", id), nil, &answer)
			found[id] = answer.Schema
		}
	}
	return found
}

// avroChange is a record of AvroSchema as Avro's Java library shows it.
type avroChange struct {
	Op, Table string
	Row       []byte
	Cells     []avroCell
	Sequence  int64
	TS        int64
	Source    struct {
		Version, Connector, Region, Kind string
		Cluster_ID                       []byte
		Origins                          [][]byte
		Epoch                            int64
	}
}

type avroCell struct {
	Family, Qualifier, Value []byte
	Timestamp                int64
	Type                     string
	Tags                     []struct {
		Type  int
		Value []byte
	}
}

// cell is what HBase's scan shows of it.
func (k *avroCell) cell(row []byte) judge.Cell {
	c := judge.Cell{Row: row, Family: k.Family, Qualifier: k.Qualifier, Timestamp: k.Timestamp, Type: k.Type, Value: k.Value}
	for _, tag := range k.Tags {
		c.Tags = append(binary.BigEndian.AppendUint16(c.Tags, uint16(1+len(tag.Value))), byte(tag.Type))
		c.Tags = append(c.Tags, tag.Value...)
	}
	return c
}

// avroEnvelope is a record of DebeziumAvroSchema as Avro's Java library shows it.
type avroEnvelope struct {
	Before, After *struct {
		Row   []byte
		Cells []avroCell
	}
	Source struct {
		Connector, Name, Snapshot, DB, Table, Cluster_ID string
		TS                                               int64 `json:"ts_ms"`
		Seq                                              int64
	}
	Op string
	TS int64 `json:"ts_ms"`
}

// sameCells compares what records hold with what HBase holds.
func sameCells(t *testing.T, what string, got, want []judge.Cell) {
	t.Helper()
	if d := diffCells(got, want); d != "" || len(want) == 0 {
		t.Errorf("%s, %d cells in HBase (-HBase +records):\n%s", what, len(want), d)
	}
	if len(want) > 0 && diffCells(got[1:], want) == "" && diffCells(got, want[1:]) == "" {
		t.Errorf("%s: the comparison misses a cell that only one side has", what)
	}
}

// diffCells compares sets: a replay puts a cell twice on the topic.
func diffCells(got, want []judge.Cell) string {
	set := func(cells []judge.Cell) map[string]bool {
		m := make(map[string]bool)
		for _, c := range cells {
			m[fmt.Sprintf("%q %q:%q/%d/%s %q %x", c.Row, c.Family, c.Qualifier, c.Timestamp, c.Type, c.Value, c.Tags)] = true
		}
		return m
	}
	return cmp.Diff(set(want), set(got))
}

// TestRecordsOfTheRegistryReadInJava: Avro's own Java library, with the schemas that the registry has, reads from the topics what
// HBase holds, and what the sink applied. The registry is a real one that serves https and wants a user.
func TestRecordsOfTheRegistryReadInJava(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 4*time.Minute)
	table := testenv.Name(t)
	createTable(t, table, "f")
	load(t, table, 100, "f")
	r := startRegistry(t, true)
	avro, debezium := r.keys("value.converter"), r.keys("value.converter")
	avro["key.converter"], debezium["value.converter"] = "io.confluent.connect.avro.AvroConverter", "debezium-avro"
	pipes, config := sideBySide(t, table, []keys{avro, debezium}, r.keys("value.converter"))
	w := env.StartWaltap(t, testenv.WaltapOptions{Config: config})
	awaitSources(t, w, pipes)
	write(t, table, judge.Put("r1", "f", "q", "v").WithTTL(time.Hour), judge.PutAt("r1", "f", "q", 5, "\x00\xff"), judge.DeleteColumn("r1", "f", "p", 7),
		judge.DeleteVersion("r2", "f", "q", 3), judge.DeleteFamilyVersion("r2", "f", 4), judge.DeleteRow("r3"),
		judge.Atomic("r4", judge.Put("r4", "f", "a", "1"), judge.DeleteColumn("r4", "f", "b", 9)))
	awaitCopies(t, table, pipes)
	held, err := env.Src.Cells(ctx, table, judge.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	checkJavaChanges(ctx, t, r, pipes[0].records(t, table), held)
	checkJavaEnvelopes(ctx, t, r, pipes[1], pipes[1].records(t, table), held)

	var subjects []string
	r.ask(t, http.MethodGet, "/subjects", nil, &subjects)
	topic := func(p *pipe) string { return p.name + ".default." + table }
	for _, want := range []string{topic(pipes[0]) + "-key", topic(pipes[0]) + "-value", topic(pipes[1]) + "-value"} {
		if !strings.Contains(strings.Join(subjects, " "), want) {
			t.Errorf("subjects %v, want %s among them", subjects, want)
		}
	}
	for fingerprint, text := range schema.AvroSchemas() {
		if got, err := env.Judge.AvroFingerprint(ctx, text); err != nil || got != fmt.Sprintf("%016x", fingerprint) {
			t.Errorf("Java's fingerprint is %s, %v; ours %016x", got, err, fingerprint)
		}
	}
	t.Run("refusals", func(t *testing.T) { refusedByTheRegistry(t, r, table) })
}

func checkJavaChanges(ctx context.Context, t *testing.T, r *registryServer, records []kafka.Record, held []judge.Cell) {
	t.Helper()
	var keys, values [][]byte
	for _, rec := range records {
		keys, values = append(keys, rec.Key), append(values, rec.Value)
	}
	javaValues := javaRecords[avroChange](ctx, t, r, values)
	javaKeys := javaRecords[struct{ Row []byte }](ctx, t, r, keys)
	var cells []judge.Cell
	writers := new(schema.Writers)
	for id, text := range r.schemas(t, values) {
		if err := writers.Add(schema.SchemaRef{InRegistry: true, ID: id}, text); err != nil {
			t.Fatal(err)
		}
	}
	d := schema.Decoder{Writers: writers}
	for i, j := range javaValues {
		for n := range j.Cells {
			cells = append(cells, j.Cells[n].cell(j.Row))
		}
		var c schema.Change
		if err := d.Decode(values[i], &c); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(asAvro(&c), j, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("record %d (-own decoder +Java's):\n%s", i, diff)
		}
		if !bytes.Equal(javaKeys[i].Row, j.Row) {
			t.Errorf("record %d: key %q, row %q", i, javaKeys[i].Row, j.Row)
		}
	}
	sameCells(t, "Avro", cells, held)
	for _, bad := range [][]byte{values[0][:len(values[0])-1], append(bytes.Clone(values[0]), 0)} {
		if _, err := env.Judge.DecodeAvro(ctx, judge.AvroSchemas{ByID: r.schemas(t, values)}, [][]byte{bad}); err == nil {
			t.Error("Java reads a record that lacks a byte, or has one too many")
		}
	}
}

func checkJavaEnvelopes(ctx context.Context, t *testing.T, r *registryServer, p *pipe, records []kafka.Record, held []judge.Cell) {
	t.Helper()
	var values [][]byte
	for _, rec := range records {
		values = append(values, rec.Value)
	}
	var cells []judge.Cell
	ops := make(map[string]int)
	for i, e := range javaRecords[avroEnvelope](ctx, t, r, values) {
		image := e.After
		if e.Op == "d" {
			image = e.Before
		}
		ops[e.Op]++
		header := map[string]string{}
		for _, h := range records[i].Headers {
			header[h.Key] = string(h.Value)
		}
		if image == nil || e.Before != nil && e.After != nil || e.Source.Name != p.name || e.Source.Connector != "hbase" || e.TS < e.Source.TS-60_000 ||
			e.Source.DB+":"+e.Source.Table != header[schema.HeaderTable] || fmt.Sprint(e.Source.Seq) != header[schema.HeaderSequence] ||
			fmt.Sprint(e.Source.TS) != header[schema.HeaderTimestamp] || (e.Source.Snapshot == "true") != (e.Op == "r") {
			t.Fatalf("record %d, headers %v: %+v", i, header, e)
		}
		for n := range image.Cells {
			cells = append(cells, image.Cells[n].cell(image.Row))
		}
	}
	if ops["r"] == 0 || ops["c"] == 0 || ops["u"] == 0 || ops["d"] == 0 {
		t.Errorf("ops %v, want some of each", ops)
	}
	sameCells(t, "Debezium's Avro", cells, held)
}

// javaRecords reads records by Avro's Java library.
func javaRecords[T any](ctx context.Context, t *testing.T, r *registryServer, records [][]byte) []T {
	t.Helper()
	texts, err := env.Judge.DecodeAvro(ctx, judge.AvroSchemas{ByID: r.schemas(t, records)}, records)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]T, len(texts))
	for i, text := range texts {
		if err := json.Unmarshal(text, &out[i]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// asAvro is c as Java shows it.
func asAvro(c *schema.Change) (a avroChange) {
	a.Op, a.Table, a.Row, a.Sequence, a.TS = c.Op().String(), c.Table, c.Row, int64(c.Sequence), c.Timestamp
	s := &c.Source
	a.Source.Version, a.Source.Connector, a.Source.Region, a.Source.Kind = s.Version, s.Connector, s.Region, s.Kind.String()
	a.Source.Cluster_ID, a.Source.Epoch = s.ClusterID[:], s.Epoch
	for _, o := range s.Origins {
		a.Source.Origins = append(a.Source.Origins, o[:])
	}
	for _, k := range c.Cells {
		cell := avroCell{Family: k.Family, Qualifier: k.Qualifier, Value: k.Value, Timestamp: k.Timestamp, Type: k.Type.String()}
		for tags := k.Tags; len(tags) > 0; {
			n := int(binary.BigEndian.Uint16(tags))
			cell.Tags = append(cell.Tags, struct {
				Type  int
				Value []byte
			}{int(tags[2]), tags[3 : 2+n]})
			tags = tags[2+n:]
		}
		a.Cells = append(a.Cells, cell)
	}
	return a
}

// refusedByTheRegistry: each refusal of the registry's ends the source with its words and the remedy.
func refusedByTheRegistry(t *testing.T, r *registryServer, table string) {
	name := testenv.Name(t)
	p := func(change keys) *pipe {
		k := r.keys("value.converter")
		for key, value := range change {
			k[key] = value
		}
		p := &pipe{name: name, tables: table, source: k}
		p.cleanUp(t)
		return p
	}
	subject := name + ".default." + table + "-value"
	const other = `{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}`
	var registered struct{ ID int }
	r.ask(t, http.MethodPost, "/subjects/"+subject+"/versions", map[string]string{"schema": other}, &registered)
	r.ask(t, http.MethodPut, "/config/"+subject, map[string]string{"compatibility": "BACKWARD"}, &struct{}{})
	refused(t, processYAML(p(nil).sourceConfig()), "value.converter: subject "+subject, ": 409: ", "ncompatible", "curl -X DELETE "+r.URL()+"/subjects/"+subject, "another topic.prefix")
	refused(t, processYAML(p(keys{"value.converter.basic.auth.user.info": "${file:" + r.secrets + ":wrong}"}).sourceConfig()), subject, ": 401: ", "check value.converter.basic.auth.user.info")
	refused(t, processYAML(p(keys{"value.converter.schema.registry.ssl.truststore.location": "-"}).sourceConfig()), subject, "certificate signed by unknown authority", "ssl.truststore.location")
	refused(t, processYAML(p(keys{"topic.prefix": name + "_other", "value.converter.auto.register.schemas": "false"}).sourceConfig()), ": 404", "value.converter.auto.register.schemas: true")
}

// TestTheRegistryIsAway: at the start it is waited for, then the source fails with what to do; later on nothing is lost: what runs goes
// on with the ids it has, and a sink that needs to ask waits.
func TestTheRegistryIsAway(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 4*time.Minute)
	table := testenv.Name(t)
	createTable(t, table, "a", "b")
	load(t, table, 200, "a", "b")
	r := startRegistry(t, false)
	source := r.keys("value.converter")
	source["value.converter.schema.registry.wait.ms"] = "1500"
	p := &pipe{name: table, tables: table, source: source, sink: r.keys("value.converter")}
	p.cleanUp(t)
	start := func(name, config string) *testenv.Waltap {
		return env.StartWaltap(t, testenv.WaltapOptions{Name: name, Config: processYAML(config)})
	}
	if err := r.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	doctorSays := func(want check.Severity, found string) {
		t.Helper()
		said := 0
		for _, x := range results(examine(t, p.config()), check.OK, check.Unknown, check.Warning, check.Failure) {
			if x.Check != "registry" {
				continue
			}
			if said++; x.Severity != want || !strings.Contains(x.Found+x.Remedy, found) {
				t.Errorf("doctor says %+v, want %s and %q", x, want, found)
			}
		}
		if said < 2 {
			t.Errorf("doctor says %d things of the registries of source and sink", said)
		}
	}
	doctorSays(check.Failure, r.URL())
	early := start("early", p.sourceConfig())
	if code, err := early.Wait(ctx); err != nil || code == 0 {
		t.Fatalf("a source without its registry: exit code %d, %v", code, err)
	}
	for _, want := range []string{r.URL() + " cannot be reached", "HBase keeps its WAL", "value.converter.schema.registry.url"} {
		if log := servers.LogTail(early.LogPath()); !strings.Contains(log, want) {
			t.Errorf("the error does not say %q:\n%s", want, log)
		}
	}
	if err := r.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	doctorSays(check.OK, "")
	src := start("source", p.sourceConfig())
	sink := start("sink", p.sinkConfig())
	awaitStreaming(t, src)
	identical(t, table, judge.ScanOptions{})
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	stop := mutate(t, table, 300, "a", "b")
	time.Sleep(time.Second)
	stop()
	identical(t, table, judge.ScanOptions{}) // source and sink have the ids they need

	if err := sink.Restart(); err != nil {
		t.Fatal(err)
	}
	write(t, table, judge.Put("while away", "a", "q", "v"), judge.DeleteRow("while away"), judge.Put("and then", "a", "q", "v"))
	await(t, sink, "_sink", "the sink to say what it waits for", func(v status.ConnectorView) bool {
		return v.State == status.Waiting && strings.Contains(v.Phase, "schema registry: "+r.URL()+" cannot be reached")
	})
	if err := r.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	identical(t, table, judge.ScanOptions{})
}
