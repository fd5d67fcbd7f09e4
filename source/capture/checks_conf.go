package capture

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/hbase/admin"
)

const (
	maxConf = 4 << 20 // bytes of an answer that are read
	// confReaders is how many region servers are read at once.
	confReaders = 8
	// defaultRollSize is when HBase rolls a WAL by default: half of twice HDFS's block.
	defaultRollSize = 128 << 20
)

// serverConf is the configuration of one region server, as its web interface shows it.
type serverConf struct {
	server admin.ServerName
	values map[string]string
}

type serverConfs []serverConf

// readConfs reads the configurations of the region servers that show them.
func readConfs(ctx context.Context, x *admin.Examination) serverConfs {
	var mu sync.Mutex
	var found serverConfs
	var all sync.WaitGroup
	slots := make(chan struct{}, confReaders)
	for _, s := range x.Servers {
		port := x.Info[s].InfoPort
		if port == 0 {
			continue
		}
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			values, err := readConf(ctx, "http://"+net.JoinHostPort(s.Host, strconv.Itoa(port)))
			if err != nil {
				return // one that does not show it is counted as unknown
			}
			mu.Lock()
			defer mu.Unlock()
			found = append(found, serverConf{s, values})
		})
	}
	all.Wait()
	return found
}

// readConf reads /conf of a server of Hadoop's or HBase's.
func readConf(ctx context.Context, base string) (map[string]string, error) {
	b, err := get(ctx, base+"/conf?format=json")
	if err != nil {
		return nil, err
	}
	var conf struct {
		Properties []struct{ Key, Value string } `json:"properties"`
	}
	if err := json.Unmarshal(b, &conf); err != nil {
		return nil, fmt.Errorf("read %s/conf: %w", base, err)
	}
	values := make(map[string]string, len(conf.Properties))
	for _, p := range conf.Properties {
		values[p.Key] = p.Value
	}
	return values, nil
}

func get(ctx context.Context, at string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxConf))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", at, resp.Status)
	}
	return b, err
}

// split lists the servers where a setting is true, and the others.
func (confs serverConfs) split(key string) (on, off []string) {
	for _, c := range confs {
		if strings.EqualFold(strings.TrimSpace(c.values[key]), "true") {
			on = append(on, c.server.Addr())
		} else {
			off = append(off, c.server.Addr())
		}
	}
	return on, off
}

// rollSize is the size at which the servers roll a WAL, the largest of what they show (AbstractFSWAL: blocksize × multiplier).
func (confs serverConfs) rollSize() int64 {
	size := int64(0)
	for _, c := range confs {
		block, err1 := strconv.ParseFloat(c.values["hbase.regionserver.hlog.blocksize"], 64)
		multiplier, err2 := strconv.ParseFloat(c.values["hbase.regionserver.logroll.multiplier"], 64)
		if err2 != nil {
			multiplier = 0.5
		}
		if err1 == nil {
			size = max(size, int64(block*multiplier))
		}
	}
	if size == 0 {
		return defaultRollSize
	}
	return size
}

// room asks a NameNode how much of HDFS is left for total bytes of WALs.
func (k *checker) room(ctx context.Context, total int64) []check.Result {
	if k.NameNode == "" {
		return nil
	}
	left, of, err := hdfsRoom(ctx, k.NameNode)
	if err != nil {
		return []check.Result{checkWALs.Warn("NameNode", err.Error(), "Give the address of the NameNode's web interface in --namenode, such as http://namenode:9870.")}
	}
	text := fmt.Sprintf("%s of %s are left in HDFS; the WALs that wait are at most about %s", mib(left), mib(of), mib(total))
	if left < of/10 {
		return append(k.retained(ctx), checkWALs.Warn("NameNode", text, "Make room before WALs are held for a scan, or use snapshot.order: concurrent."))
	}
	return append(k.retained(ctx), checkWALs.Right("NameNode", "%s", text))
}

// hdfsRoom reads the bean FSNamesystemState of a NameNode's JMX.
func hdfsRoom(ctx context.Context, base string) (left, of int64, err error) {
	b, err := get(ctx, strings.TrimRight(base, "/")+"/jmx?qry="+url.QueryEscape("Hadoop:service=NameNode,name=FSNamesystemState"))
	if err != nil {
		return 0, 0, fmt.Errorf("ask the NameNode: %w", err)
	}
	var answer struct {
		Beans []struct{ CapacityTotal, CapacityRemaining int64 }
	}
	if err := json.Unmarshal(b, &answer); err != nil || len(answer.Beans) == 0 || answer.Beans[0].CapacityTotal <= 0 {
		return 0, 0, fmt.Errorf("ask the NameNode: %s shows no bean FSNamesystemState", base)
	}
	return answer.Beans[0].CapacityRemaining, answer.Beans[0].CapacityTotal, nil
}
