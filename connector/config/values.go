package config

import (
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/waltap/waltap/schema"
)

const zooKeeperPort = "2181"

// checked makes a parser of a string from a check of it.
func checked(check func(string) error) func(string) (string, error) {
	return func(s string) (string, error) { return s, check(s) }
}

// parseSize reads a number of bytes with an optional suffix. Case does not
// matter: K, M, G and KiB, MiB, GiB are powers of 1024, KB, MB, GB of 1000.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "kKmMgGiIbB ")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size: want bytes, such as 1048576 or 1MiB", s)
	}
	unit := int64(1)
	switch strings.ToLower(strings.TrimSpace(s[len(digits):])) {
	case "", "b":
	case "k", "kib":
		unit = 1 << 10
	case "m", "mib":
		unit = 1 << 20
	case "g", "gib":
		unit = 1 << 30
	case "kb":
		unit = 1e3
	case "mb":
		unit = 1e6
	case "gb":
		unit = 1e9
	default:
		return 0, fmt.Errorf("%q is not a size: want one of the suffixes KiB, MiB, GiB, KB, MB, GB", s)
	}
	if n > math.MaxInt64/unit || n < math.MinInt64/unit {
		return 0, fmt.Errorf("%q is too large", s)
	}
	return n * unit, nil
}

func parseReplication(s string) (int16, error) {
	n, err := strconv.ParseInt(s, 10, 16)
	if err == nil && n == 0 {
		err = fmt.Errorf("0 replicas cannot be: want -1 for the brokers' default, or at least 1")
	}
	return int16(n), err
}

func parseLevel(s string) (slog.Level, error) {
	var level slog.Level
	return level, level.UnmarshalText([]byte(s))
}

// parseList splits at commas; empty entries are dropped.
func parseList(s string) ([]string, error) {
	var list []string
	for e := range strings.SplitSeq(s, ",") {
		if e = strings.TrimSpace(e); e != "" {
			list = append(list, e)
		}
	}
	return list, nil
}

// parseEach reads a list that must not be empty, entry by entry.
func parseEach[T any](s string, parse func(string) (T, error)) ([]T, error) {
	entries, err := parseList(s)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("the list is empty: give a value or remove the key")
	}
	list := make([]T, len(entries))
	for i, e := range entries {
		if list[i], err = parse(e); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func parseHostPorts(s string) ([]string, error) {
	return parseEach(s, func(e string) (string, error) { return parseHostPort(e, 1) })
}

// parseHostPort checks host:port with a port of at least minPort.
func parseHostPort(s string, minPort int) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsAny(host, " \t/") {
		return "", fmt.Errorf("%q is not an address: want host:port", s)
	}
	if n, err := strconv.Atoi(port); err != nil || n < minPort || n > math.MaxUint16 {
		return "", fmt.Errorf("%q is not an address: want a port from %d to %d", s, minPort, math.MaxUint16)
	}
	if host == "" && minPort > 0 {
		return "", fmt.Errorf("%q is not an address: the host is missing", s)
	}
	return s, nil
}

// parseListen checks an address to listen on: any host, port 0 allowed.
func parseListen(s string) (string, error) { return parseHostPort(s, 0) }

func parseListener(s string) (string, error) {
	const want = "want http://host:port or https://host:port"
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", fmt.Errorf("%q is not a listener: %s", s, want)
	case u.Scheme != "http" && u.Scheme != "https" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("%q is not a listener: %s", s, want)
	}
	if _, err := parseListen(u.Host); err != nil {
		return "", fmt.Errorf("%q is not a listener: %w", s, err)
	}
	return u.Scheme + "://" + u.Host, nil
}

// parseQuorum reads ZooKeeper servers, with the default port where there is none.
func parseQuorum(s string) ([]string, error) {
	return parseEach(s, func(e string) (string, error) {
		if strings.Contains(e, "/") {
			return "", fmt.Errorf("%q is not a ZooKeeper server: the path goes to the key that ends in znode.parent", e)
		}
		if !strings.Contains(e, ":") {
			e = net.JoinHostPort(e, zooKeeperPort)
		}
		return parseHostPort(e, 1)
	})
}

// parseZNode checks a root znode as HBase does: absolute, not "/", no slash at the end.
func parseZNode(s string) (string, error) {
	if len(s) < 2 || s[0] != '/' || strings.HasSuffix(s, "/") || strings.Contains(s, "//") || strings.ContainsAny(s, " \t:,") {
		return "", fmt.Errorf("%q is not a znode: want an absolute path such as /hbase", s)
	}
	return s, nil
}

var peerID = regexp.MustCompile(`^[A-Za-z0-9_.]+$`)

func parsePeerID(s string) (string, error) {
	if !peerID.MatchString(s) {
		return "", fmt.Errorf("%q is not a peer id: want letters, digits, '_' and '.' (HBase allows no '-')", s)
	}
	return s, nil
}

// parseHost checks a host that goes into an HBase server name (host,port,startcode).
func parseHost(s string) (string, error) {
	if strings.ContainsAny(s, " \t,:/") {
		return "", fmt.Errorf("%q is not a host: want a name or an IPv4 address, without a port", s)
	}
	return s, nil
}

func parsePrefixes(s string) ([]netip.Prefix, error) {
	return parseEach(s, func(e string) (netip.Prefix, error) {
		if p, err := netip.ParsePrefix(e); err == nil {
			return p.Masked(), nil
		}
		a, err := netip.ParseAddr(e)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is neither an IP address nor a CIDR network such as 10.0.0.0/8", e)
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	})
}

// parseTime reads a time with its zone.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a time: want RFC 3339, such as 2026-11-20T10:00:00Z", s)
	}
	return t, nil
}

// ParseConsumerStart reads a consumer.start, for commands that begin somewhere as a sink does.
func ParseConsumerStart(s string) (ConsumerStart, error) { return parseConsumerStart(s) }

// parseAcceptGaps reads table/epoch, …
func parseAcceptGaps(s string) (map[string]int64, error) {
	list, err := parseList(s)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	gaps := make(map[string]int64, len(list))
	for _, e := range list {
		table, number, ok := strings.Cut(e, "/")
		epoch, err := strconv.ParseInt(number, 10, 64)
		if !ok || table == "" || err != nil || epoch < 2 {
			return nil, fmt.Errorf("%q is not a table and the number of its next epoch, such as default:orders/2: take it from the error of the gap", e)
		}
		gaps[schema.NormalizeTable(table)] = epoch
	}
	return gaps, nil
}

// parseConsumerStart reads a word, timestamp:<time> or offsets:<topic>/<partition>=<offset>,…
func parseConsumerStart(s string) (ConsumerStart, error) {
	mode, rest, more := strings.Cut(s, ":")
	start := ConsumerStart{Mode: StartMode(mode)}
	var err error
	switch {
	case start.Mode == StartTimestamp:
		if start.Time, err = parseTime(rest); err == nil && start.Time.UnixMilli() < 0 {
			err = fmt.Errorf("%s is before 1970: want earliest, or a later time", rest)
		}
	case start.Mode == StartOffsets:
		start.Offsets, err = parseOffsets(rest)
	case more, start.Mode != StartCommitted && start.Mode != StartEarliest && start.Mode != StartLatest:
		err = fmt.Errorf("%q is none of committed, earliest, latest, timestamp:2026-11-20T10:00:00Z, offsets:topic/0=17", s)
	}
	return start, err
}

func parseOffsets(s string) (map[string]map[int32]int64, error) {
	if strings.Trim(s, ", ") == "" {
		return nil, fmt.Errorf("the list is empty: want topic/partition=offset, such as offsets:orders.default.orders/0=17")
	}
	offsets := make(map[string]map[int32]int64)
	_, err := parseEach(s, func(e string) (string, error) {
		topic, partition, offset, err := ParseOffset(e)
		if err != nil {
			return "", err
		}
		if offsets[topic] == nil {
			offsets[topic] = make(map[int32]int64)
		}
		if _, twice := offsets[topic][partition]; twice {
			return "", fmt.Errorf("%s/%d stands twice: name each partition once", topic, partition)
		}
		offsets[topic][partition] = offset
		return e, nil
	})
	return offsets, err
}

// ParseOffset reads <topic>/<partition>=<offset>.
func ParseOffset(s string) (topic string, partition int32, offset int64, err error) {
	name, number, ok := strings.Cut(s, "=")
	topic, index, ok2 := strings.Cut(name, "/")
	p, perr := strconv.ParseInt(index, 10, 32)
	offset, oerr := strconv.ParseInt(number, 10, 64)
	if !ok || !ok2 || perr != nil || oerr != nil || p < 0 || offset < 0 || !topicName.MatchString(topic) {
		return "", 0, 0, fmt.Errorf("%q is not an offset: want topic/partition=offset, such as orders.default.orders/0=17", s)
	}
	return topic, int32(p), offset, nil
}

var topicName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)

func parseTopics(s string) ([]string, error) {
	return parseEach(s, func(e string) (string, error) {
		if !topicName.MatchString(e) {
			return "", fmt.Errorf("%q is not a topic: want letters, digits, '.', '_' and '-', at most 249; patterns go to topics.regex", e)
		}
		return e, nil
	})
}

// parseDeadLetterTopic checks the name of a topic that is none of waltap's own.
func parseDeadLetterTopic(s string) (string, error) {
	if !topicName.MatchString(s) {
		return "", fmt.Errorf("%q is not a topic: want letters, digits, '.', '_' and '-', at most 249", s)
	}
	if strings.HasPrefix(s, "__waltap-") {
		return "", fmt.Errorf("%q is one of waltap's own topics: want another name", s)
	}
	return s, nil
}

func parseTopicsRegex(s string) (*regexp.Regexp, error) { return compileAnchored(s) }

func topicsRegex(t *target) **regexp.Regexp { return &t.sink.TopicsRegex }

const anchoredBegin, anchoredEnd = "^(?:", ")$"

// compileAnchored compiles an expression that must match the whole of a name.
func compileAnchored(s string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(s); err != nil {
		return nil, fmt.Errorf("%q is not a regular expression: %w", s, err)
	}
	return regexp.Compile(anchoredBegin + s + anchoredEnd)
}

var checkTable = checked(schema.CheckTable)
