package status

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Of says what a metric is about.
type Of string

// What metrics are about.
const (
	OfProcess Of = "process"
	OfBoth    Of = "connector" // sources and sinks
	OfSource  Of = "source"
	OfSink    Of = "sink"
	OfPeer    Of = "source's peer" // shown by the process that looks after the source
	OfTable   Of = "table of a connector"
)

// Metric describes a metric of a Process. docs/metrics.md is written from these.
type Metric struct {
	Name, Help string
	Type       string // counter or gauge
	Of         Of
	Labels     []string
}

// metric is a Metric with its values.
type metric struct {
	Metric
	// values gives emit each of its values with their labels'. One that is not known yet, such as the lag before the first record, is
	// left out.
	values func(v *ProcessView, emit emit)
	desc   *prometheus.Desc
	kind   prometheus.ValueType
}

type emit func(value float64, labels ...string)

// Metrics lists the metrics of a Process, in the order of docs/metrics.md. Beside them a process serves those of the Go runtime
// (go_…) and of the operating system (process_…).
func Metrics() []Metric {
	all := metrics()
	out := make([]Metric, len(all))
	for i := range all {
		out[i] = all[i].Metric
	}
	return out
}

func metrics() []metric {
	var t table
	t.process()
	t.connectors()
	t.sources()
	t.watermarks()
	t.snapshots()
	t.peers()
	t.sinks()
	t.tables()
	return t.all
}

// table makes the metrics.
type table struct{ all []metric }

func (t *table) add(of Of, kind prometheus.ValueType, name, help string, labels []string, values func(*ProcessView, emit)) {
	m := metric{Metric: Metric{Name: "waltap_" + name, Help: help, Type: "gauge", Of: of, Labels: labels}, values: values, kind: kind}
	if kind == prometheus.CounterValue {
		m.Type = "counter"
	}
	m.desc = prometheus.NewDesc(m.Name, help, labels, nil)
	t.all = append(t.all, m)
}

func (t *table) process() {
	t.add(OfProcess, prometheus.GaugeValue, "build_info", "1, with the version of waltap and of Go in its labels.", []string{"version", "goversion"},
		func(v *ProcessView, emit emit) { emit(1, v.Version, runtime.Version()) })
	t.add(OfProcess, prometheus.GaugeValue, "ready", "1 when /readyz answers 200: every connector here runs, or is paused, stopped or at its end as it should be.", nil,
		func(v *ProcessView, emit emit) { emit(boolean(v.Ready)) })
	t.add(OfProcess, prometheus.GaugeValue, "connector_tasks",
		"Tasks of the connector in the whole group, by state in Kafka Connect's words; shown by the process that looks after the connector.", []string{"connector", "state"},
		func(v *ProcessView, emit emit) {
			for _, c := range v.Tasks {
				for _, state := range []string{"UNASSIGNED", "RUNNING", "PAUSED", "FAILED", "RESTARTING"} {
					emit(float64(c.States[state]), c.Connector, state)
				}
			}
		})
}

// connector adds a metric of the connectors that of is about.
func (t *table) connector(of Of, kind prometheus.ValueType, name, help string, value func(*ConnectorView) (float64, bool)) {
	t.add(of, kind, name, help, []string{"connector"}, func(v *ProcessView, emit emit) {
		for i := range v.Connectors {
			c := &v.Connectors[i]
			if of == OfSource && c.Class != SourceClass || of == OfSink && c.Class != SinkClass {
				continue
			}
			if x, known := value(c); known {
				emit(x, c.Name)
			}
		}
	})
}

func (t *table) counter(of Of, name, help string, value func(*ConnectorView) int64) {
	t.connector(of, prometheus.CounterValue, name, help, func(v *ConnectorView) (float64, bool) { return float64(value(v)), true })
}

func (t *table) gauge(of Of, name, help string, value func(*ConnectorView) (float64, bool)) {
	t.connector(of, prometheus.GaugeValue, name, help, value)
}

func (t *table) connectors() {
	t.gauge(OfBoth, "connector_running", "1 when the connector moves records (RUNNING or SNAPSHOT), else 0.",
		func(v *ConnectorView) (float64, bool) { return boolean(v.State.Running()), true })
	t.gauge(OfBoth, "connector_waiting", "1 while the connector cannot go on until something outside changes (WAITING), else 0.",
		func(v *ConnectorView) (float64, bool) { return boolean(v.State == Waiting), true })
	t.gauge(OfBoth, "connector_failed", "1 when the connector gave up (FAILED), else 0.",
		func(v *ConnectorView) (float64, bool) { return boolean(v.State == Failed), true })
	t.gauge(OfBoth, "lag_seconds", "From the write at the source to the acknowledgement by the target, of the latest record.",
		func(v *ConnectorView) (float64, bool) {
			if v.LagMS == nil {
				return 0, false
			}
			return float64(*v.LagMS) / 1000, true
		})
	t.gauge(OfBoth, "last_record_timestamp_seconds", "Write time of the latest record, seconds since 1970.",
		func(v *ConnectorView) (float64, bool) { return seconds(v.LastRecord) })
	t.counter(OfBoth, "records_total", "Records acknowledged by the target.", func(v *ConnectorView) int64 { return v.Records })
	t.counter(OfBoth, "cells_total", "Cells of these records.", func(v *ConnectorView) int64 { return v.Cells })
	t.counter(OfBoth, "bytes_total", "Bytes of the keys and values of these records.", func(v *ConnectorView) int64 { return v.Bytes })
	t.counter(OfBoth, "retries_total", "Attempts that failed and were repeated.", func(v *ConnectorView) int64 { return v.Retries })
	t.counter(OfBoth, "dead_lettered_records_total", "Records, and markers of the WAL, that were put on the dead-letter topic.", func(v *ConnectorView) int64 { return v.DeadLettered })
	t.counter(OfBoth, "schema_changes_total", "Tables that a source has published anew because they were altered; tables that a sink has created or altered at its target.", func(v *ConnectorView) int64 { return v.SchemaChanges })
}

func (t *table) sources() {
	t.counter(OfSource, "source_shipped_batches_total", "Replication calls of which Kafka has acknowledged everything (HBase: shippedBatches).", func(v *ConnectorView) int64 { return v.Answered })
	t.counter(OfSource, "source_failed_batches_total", "Replication calls that were answered with an exception; HBase sends them again (HBase: failedBatches).", func(v *ConnectorView) int64 { return v.Refused })
	t.counter(OfSource, "source_shipped_ops_total", "Row changes that came by replication and that Kafka has acknowledged (HBase: shippedOps).", func(v *ConnectorView) int64 { return v.ShippedOps })
	t.counter(OfSource, "source_shipped_bytes_total", "Bytes of the keys and values of these records (HBase: shippedBytes).", func(v *ConnectorView) int64 { return v.ShippedBytes })
	t.counter(OfSource, "source_bulk_loads_total", "Announcements of bulk loads, each time HBase sends one.", func(v *ConnectorView) int64 { return v.BulkLoads })
	t.gauge(OfSource, "source_rescan_required", "1 when the connector has failed because of a gap (RESNAPSHOT_REQUIRED), else 0.", func(v *ConnectorView) (float64, bool) { return boolean(v.RescanRequired), true })
	t.counter(OfSource, "replayed_edits_total", "WAL edits that HBase shipped again.", func(v *ConnectorView) int64 { return v.Replays })
	t.counter(OfSource, "wal_markers_total", "Markers in the WAL that carry no data.", func(v *ConnectorView) int64 { return v.Markers })
	t.counter(OfSource, "below_read_point_changes_total", "Changes left out because the scan had delivered them.", func(v *ConnectorView) int64 { return v.BelowReadPoint })
	t.counter(OfSource, "before_epoch_changes_total", "Changes left out because they were written before the table was truncated, restored or created again.", func(v *ConnectorView) int64 { return v.BeforeEpoch })
	t.counter(OfSource, "split_changes_total", "Changes that were over their topic's limit and went in several records.", func(v *ConnectorView) int64 { return v.Split })
	t.counter(OfSource, "late_records_total", "Changes with a write time below the watermark, less its margin, that came after it was published.", func(v *ConnectorView) int64 { return v.LateRecords })
}

func (t *table) watermarks() {
	watermark := func(name, help string, value func(*WatermarkView) float64) {
		t.gauge(OfSource, name, help, func(v *ConnectorView) (float64, bool) {
			if v.Watermark == nil || v.Watermark.Time == nil || v.State == Stopped { // paused, stopped or ended: nothing is to move it
				return 0, false
			}
			return value(v.Watermark), true
		})
	}
	watermark("watermark_timestamp_seconds", "Every change acknowledged at the source before this time is in Kafka, seconds since 1970.",
		func(w *WatermarkView) float64 { return float64(w.Time.UnixMilli()) / 1000 })
	watermark("watermark_lag_seconds", "From the watermark to now; left out while the source is paused or stopped, and once it has ended.", func(w *WatermarkView) float64 { return float64(*w.LagMS) / 1000 })
	watermark("watermark_estimated", "1 when the watermark is an estimate from the source's metrics, 0 when it is proved.",
		func(w *WatermarkView) float64 { return boolean(w.Estimated) })
}

func (t *table) snapshots() {
	snapshot := func(kind prometheus.ValueType, name, help string, value func(*SnapshotView) int64) {
		t.connector(OfSource, kind, name, help, func(v *ConnectorView) (float64, bool) {
			if v.Snapshot == nil {
				return 0, false
			}
			return float64(value(v.Snapshot)), true
		})
	}
	snapshot(prometheus.CounterValue, "snapshot_rows_total", "Rows the scan has read.", func(v *SnapshotView) int64 { return v.Rows })
	snapshot(prometheus.CounterValue, "snapshot_bytes_total", "Bytes the scan has read.", func(v *SnapshotView) int64 { return v.Bytes })
	snapshot(prometheus.CounterValue, "snapshot_reread_rows_total", "Rows the scan has read once more, as they were not acknowledged.", func(v *SnapshotView) int64 { return v.Reread })
	t.gauge(OfSource, "snapshot_remaining_seconds", "How long the scan is likely to take yet; 0 when it is complete, left out while that is not known.", func(v *ConnectorView) (float64, bool) {
		if v.Snapshot == nil {
			return 0, false
		}
		return float64(v.Snapshot.SecondsLeft), v.Snapshot.SecondsLeft > 0 || v.Snapshot.ShardsDone == v.Snapshot.ShardsTotal
	})
	snapshot(prometheus.GaugeValue, "snapshot_shards_done", "Parts of the tables that are scanned.", func(v *SnapshotView) int64 { return v.ShardsDone })
	snapshot(prometheus.GaugeValue, "snapshot_shards", "Parts of the tables to scan.", func(v *SnapshotView) int64 { return v.ShardsTotal })
}

func (t *table) sinks() {
	t.counter(OfSink, "sink_applied_batches_total", "Batches applied (HBase: appliedBatches).", func(v *ConnectorView) int64 { return v.Calls })
	t.counter(OfSink, "sink_applied_ops_total", "Row changes applied (HBase: appliedOps); the same as waltap_records_total of a sink.", func(v *ConnectorView) int64 { return v.Records })
	t.gauge(OfSink, "sink_age_of_last_applied_op_seconds", "From the write at the source to its being applied, of the latest record (HBase: ageOfLastAppliedOp).", func(v *ConnectorView) (float64, bool) {
		if v.LagMS == nil {
			return 0, false
		}
		return float64(*v.LagMS) / 1000, true
	})
	t.gauge(OfSink, "lag_records", "Records of the partitions that this process applies that are not applied yet (Kafka: consumer lag); left out where it applies none: paused, stopped, ended or failed.", func(v *ConnectorView) (float64, bool) {
		return float64(v.LagRecords), v.State != Stopped && v.State != Failed
	})
	t.counter(OfSink, "looped_changes_total", "Changes left out because they came from the target.", func(v *ConnectorView) int64 { return v.Looped })
	t.counter(OfSink, "superseded_cells_total", "Cells left out of late replays, as newer ones had been applied.", func(v *ConnectorView) int64 { return v.Superseded })
	t.counter(OfSink, "kept_cells_total", "Cells left out because of hbase.no.overwrite.", func(v *ConnectorView) int64 { return v.Kept })
	t.counter(OfSink, "skipped_changes_total", "Changes left out because they were written after the end time.", func(v *ConnectorView) int64 { return v.Skipped })
}

func (t *table) tables() {
	add := func(kind prometheus.ValueType, name, help string, value func(*TableView) (float64, bool)) {
		t.add(OfTable, kind, "table_"+name, help, []string{"connector", "table"}, func(v *ProcessView, emit emit) {
			for i := range v.Connectors {
				for j := range v.Connectors[i].Tables {
					if x, known := value(&v.Connectors[i].Tables[j]); known {
						emit(x, v.Connectors[i].Name, v.Connectors[i].Tables[j].Name)
					}
				}
			}
		})
	}
	counter := func(name, help string, value func(*TableView) int64) {
		add(prometheus.CounterValue, name, help, func(v *TableView) (float64, bool) { return float64(value(v)), true })
	}
	counter("records_total", "Records of the table acknowledged by the target.", func(v *TableView) int64 { return v.Records })
	counter("cells_total", "Cells of these records.", func(v *TableView) int64 { return v.Cells })
	counter("bytes_total", "Bytes of the keys and values of these records.", func(v *TableView) int64 { return v.Bytes })
	counter("snapshot_rows_total", "Rows of the table the scan has read.", func(v *TableView) int64 { return v.SnapshotRows })
	add(prometheus.GaugeValue, "last_record_timestamp_seconds", "Write time of the table's latest record, seconds since 1970.",
		func(v *TableView) (float64, bool) { return seconds(v.LastRecord) })
}

// collector shows a Process to Prometheus.
type collector struct {
	process *Process
	metrics []metric
}

// NewCollector returns the metrics of a Process: those of Metrics.
func NewCollector(p *Process) prometheus.Collector {
	return &collector{process: p, metrics: metrics()}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for i := range c.metrics {
		ch <- c.metrics[i].desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	view := c.process.View()
	for i := range c.metrics {
		m := &c.metrics[i]
		m.values(&view, func(value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, value, labels...)
		})
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t *time.Time) (float64, bool) {
	if t == nil {
		return 0, false
	}
	return float64(t.UnixMilli()) / 1000, true
}
