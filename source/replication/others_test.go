package replication

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/kafka"
)

const (
	othersEnv       = "WALTAP_BENCH_OTHERS" // the shape of the calls
	benchPartitions = 8
)

// TestMain lets the test binary be the process that a benchmark starts beside itself.
func TestMain(m *testing.M) {
	if s := os.Getenv(othersEnv); s != "" {
		shape, err := strconv.Atoi(s)
		if err == nil {
			err = beOthers(benchShapes[shape])
		}
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// others is the process that plays HBase and Kafka for a benchmark. It answers each line with one: "ok …" or an error.
type others struct {
	in     io.Writer
	out    *bufio.Reader
	broker string
}

func startOthers(b *testing.B, shape int) *others {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", othersEnv, shape))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	o := &others{in: in, out: bufio.NewReader(out)}
	o.broker = o.do(b, "broker")
	return o
}

// do returns what the answer has behind "ok ".
func (o *others) do(b *testing.B, line string) string {
	if _, err := fmt.Fprintln(o.in, line); err != nil {
		b.Fatal(err)
	}
	answer, err := o.out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	result, ok := strings.CutPrefix(strings.TrimSpace(answer), "ok")
	if !ok {
		b.Fatalf("%s: %s", line, answer)
	}
	return strings.TrimSpace(result)
}

func (o *others) producer(b *testing.B) *kafka.Producer {
	client, err := kafka.Connect(b.Context(), kafka.Config{BootstrapServers: []string{o.broker},
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, o.broker)
		}})
	if err != nil {
		b.Fatal(err)
	}
	p := client.NewProducer(kafka.ProducerConfig{})
	b.Cleanup(func() { p.Close(); client.Close() })
	return p
}

// beOthers answers lines from standard input until that ends.
func beOthers(s benchShape) error {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(benchPartitions, "p.default.t"))
	if err != nil {
		return err
	}
	defer cluster.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go acceptBroker(l, cluster.ListenAddrs()[0])
	var caller *replayer
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		verb, arg, _ := strings.Cut(lines.Text(), " ")
		answer := "ok"
		switch verb {
		case "broker":
			answer = "ok " + l.Addr().String()
		case "dial":
			caller, err = newReplayer(arg, s)
		case "call":
			err = caller.call()
		}
		if err != nil {
			return err
		}
		fmt.Println(answer)
	}
	return nil
}

// replayer makes one call again and again, encoded once.
type replayer struct {
	conn  net.Conn
	frame []byte
}

// newReplayer connects to a Receiver at addr.
func newReplayer(addr string, s benchShape) (*replayer, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	header, err := proto.Marshal(&pb.ConnectionHeader{ServiceName: proto.String(Service), CellBlockCodecClass: proto.String(cell.KeyValueCodecWithTags.Class())})
	if err != nil {
		return nil, err
	}
	hello := binary.BigEndian.AppendUint32([]byte("HBas\x00\x50"), uint32(len(header)))
	if _, err := conn.Write(append(hello, header...)); err != nil {
		return nil, err
	}
	req, block := s.request()
	frame := make([]byte, 4)
	for _, m := range []proto.Message{&pb.RequestHeader{CallId: proto.Uint32(1), MethodName: proto.String("ReplicateWALEntry"), RequestParam: proto.Bool(true),
		CellBlockMeta: &pb.CellBlockMeta{Length: proto.Uint32(uint32(len(block)))}}, req} {
		raw, err := proto.Marshal(m)
		if err != nil {
			return nil, err
		}
		frame = append(binary.AppendUvarint(frame, uint64(len(raw))), raw...)
	}
	frame = append(frame, block...)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return &replayer{conn, frame}, nil
}

func (r *replayer) call() error {
	if _, err := r.conn.Write(r.frame); err != nil {
		return err
	}
	var size [4]byte
	if _, err := io.ReadFull(r.conn, size[:]); err != nil {
		return err
	}
	answer := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(r.conn, answer); err != nil {
		return err
	}
	if len(answer) > 100 {
		return fmt.Errorf("the call has failed: %q", answer)
	}
	return nil
}

// acceptBroker acknowledges what is produced, unseen; everything else it passes on to the broker behind it.
func acceptBroker(l net.Listener, behind string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			if err := broker(conn, behind); err != nil && err != io.EOF {
				fmt.Println("error", err)
			}
		}()
	}
}

func broker(conn net.Conn, behind string) error {
	to, err := net.Dial("tcp", behind)
	if err != nil {
		return err
	}
	defer to.Close()
	var frame []byte
	in := bufio.NewReaderSize(conn, 1<<20)
	for {
		if frame, err = readFrame(in, frame); err != nil {
			return err
		}
		if binary.BigEndian.Uint16(frame[4:]) == 0 {
			_, err = conn.Write(acknowledgement(frame))
		} else if _, err = to.Write(frame); err == nil {
			if frame, err = readFrame(to, frame); err == nil {
				_, err = conn.Write(frame)
			}
		}
		if err != nil {
			return err
		}
	}
}

// readFrame returns size and body.
func readFrame(r io.Reader, buf []byte) ([]byte, error) {
	buf = append(buf[:0], 0, 0, 0, 0)
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(buf))
	if cap(buf) < 4+n {
		buf = append(make([]byte, 0, 4+n), buf...)
	}
	buf = buf[:4+n]
	_, err := io.ReadFull(r, buf[4:])
	return buf, err
}

// acknowledgement answers a produce request of version 8 for one partition:
//
//	size int32, key int16, version int16, correlation int32, client id string, transaction string, acks int16, timeout int32,
//	1 int32, topic string, 1 int32, partition int32, …
func acknowledgement(req []byte) []byte {
	be := binary.BigEndian
	if v := be.Uint16(req[6:]); v != 8 {
		panic(fmt.Sprintf("produce request of version %d", v))
	}
	at := 12
	at += 2 + int(be.Uint16(req[at:]))
	at += 2 + max(0, int(int16(be.Uint16(req[at:])))) + 2 + 4 + 4
	topic := req[at : at+2+int(be.Uint16(req[at:]))]
	partition := req[at+len(topic)+4:][:4]
	out := append(make([]byte, 4), req[8:12]...)
	out = append(append(be.AppendUint32(out, 1), topic...), 0, 0, 0, 1)
	out = append(out, partition...)
	out = append(out, make([]byte, 2+8+8+8+4)...) // no error, offsets and time 0, no record errors
	out = append(out, 0xff, 0xff, 0, 0, 0, 0)     // no message, no throttle
	be.PutUint32(out, uint32(len(out)-4))
	return out
}
