package status

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collector shows a Process to Prometheus.
type collector struct {
	process    *Process
	connectors []connectorMetric
	tables     []tableMetric
}

type connectorMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*ConnectorView) (v float64, known bool)
}

type tableMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*TableView) (v float64, known bool)
}

// NewCollector returns the metrics of a Process. Their labels are connector
// and table.
func NewCollector(p *Process) prometheus.Collector {
	c := &collector{process: p}
	c.connectorMetrics()
	c.tableMetrics()
	return c
}

func (c *collector) connectorMetrics() {
	add := func(kind prometheus.ValueType, name, help string, value func(*ConnectorView) (float64, bool)) {
		desc := prometheus.NewDesc("waltap_"+name, help, []string{"connector"}, nil)
		c.connectors = append(c.connectors, connectorMetric{desc, kind, value})
	}
	counter := func(name, help string, value func(*ConnectorView) int64) {
		add(prometheus.CounterValue, name, help, func(v *ConnectorView) (float64, bool) { return float64(value(v)), true })
	}
	add(prometheus.GaugeValue, "connector_running", "1 when the connector moves records (RUNNING or SNAPSHOT), else 0.",
		func(v *ConnectorView) (float64, bool) { return boolean(v.State.Running()), true })
	add(prometheus.GaugeValue, "connector_failed", "1 when the connector gave up (FAILED), else 0.",
		func(v *ConnectorView) (float64, bool) { return boolean(v.State == Failed), true })
	add(prometheus.GaugeValue, "lag_seconds", "From the write at the source to the acknowledgement by the target, of the latest record.",
		func(v *ConnectorView) (float64, bool) {
			if v.LagMS == nil {
				return 0, false
			}
			return float64(*v.LagMS) / 1000, true
		})
	add(prometheus.GaugeValue, "last_record_timestamp_seconds", "Write time of the latest record, seconds since 1970.",
		func(v *ConnectorView) (float64, bool) { return seconds(v.LastRecord) })
	counter("records_total", "Records acknowledged by the target.", func(v *ConnectorView) int64 { return v.Records })
	counter("cells_total", "Cells of these records.", func(v *ConnectorView) int64 { return v.Cells })
	counter("bytes_total", "Bytes of the keys and values of these records.", func(v *ConnectorView) int64 { return v.Bytes })
	counter("calls_total", "Replication calls answered by a source, batches applied by a sink.", func(v *ConnectorView) int64 { return v.Calls })
	counter("replayed_edits_total", "WAL edits that HBase shipped again.", func(v *ConnectorView) int64 { return v.Replays })
	counter("before_epoch_changes_total", "Changes left out because they were written before the table was truncated, restored or created again.", func(v *ConnectorView) int64 { return v.BeforeEpoch })
	counter("below_read_point_changes_total", "Changes left out because the scan had delivered them.", func(v *ConnectorView) int64 { return v.BelowReadPoint })
	counter("wal_markers_total", "Markers in the WAL that carry no data.", func(v *ConnectorView) int64 { return v.Markers })
	counter("looped_changes_total", "Changes left out because they came from the target.", func(v *ConnectorView) int64 { return v.Looped })
	counter("superseded_cells_total", "Cells left out of late replays, as newer ones had been applied.", func(v *ConnectorView) int64 { return v.Superseded })
	counter("kept_cells_total", "Cells left out because of hbase.no.overwrite.", func(v *ConnectorView) int64 { return v.Kept })
	counter("skipped_changes_total", "Changes left out because they were written after the end time.", func(v *ConnectorView) int64 { return v.Skipped })
	counter("dead_lettered_records_total", "Records, and markers of the WAL, that were put on the dead-letter topic.", func(v *ConnectorView) int64 { return v.DeadLettered })
	counter("split_changes_total", "Changes that were over their topic's limit and went in several records.", func(v *ConnectorView) int64 { return v.Split })
	counter("schema_changes_total", "Tables that a source has published anew because they were altered; tables that a sink has created or altered at its target.", func(v *ConnectorView) int64 { return v.SchemaChanges })
	add(prometheus.GaugeValue, "lag_records", "Records of a sink's partitions that are not applied yet.",
		func(v *ConnectorView) (float64, bool) { return float64(v.LagRecords), true })
	counter("late_records_total", "Changes with a write time below the watermark, less its margin, that came after it was published.", func(v *ConnectorView) int64 { return v.LateRecords })
	c.watermarkMetrics(add)
	counter("retries_total", "Attempts that failed and were repeated.", func(v *ConnectorView) int64 { return v.Retries })
	c.snapshotMetrics(add)
}

func (c *collector) watermarkMetrics(add func(prometheus.ValueType, string, string, func(*ConnectorView) (float64, bool))) {
	watermark := func(name, help string, value func(*WatermarkView) float64) {
		add(prometheus.GaugeValue, name, help, func(v *ConnectorView) (float64, bool) {
			if v.Watermark == nil || v.Watermark.Time == nil {
				return 0, false
			}
			return value(v.Watermark), true
		})
	}
	watermark("watermark_timestamp_seconds", "Every change acknowledged at the source before this time is in Kafka, seconds since 1970.",
		func(w *WatermarkView) float64 { return float64(w.Time.UnixMilli()) / 1000 })
	watermark("watermark_lag_seconds", "From the watermark to now.", func(w *WatermarkView) float64 { return float64(*w.LagMS) / 1000 })
	watermark("watermark_estimated", "1 when the watermark is an estimate from the source's metrics, 0 when it is proved.",
		func(w *WatermarkView) float64 { return boolean(w.Estimated) })
}

func (c *collector) snapshotMetrics(add func(prometheus.ValueType, string, string, func(*ConnectorView) (float64, bool))) {
	snapshot := func(kind prometheus.ValueType, name, help string, value func(*SnapshotView) int64) {
		add(kind, name, help, func(v *ConnectorView) (float64, bool) {
			if v.Snapshot == nil {
				return 0, false
			}
			return float64(value(v.Snapshot)), true
		})
	}
	snapshot(prometheus.CounterValue, "snapshot_rows_total", "Rows the scan has read.", func(v *SnapshotView) int64 { return v.Rows })
	snapshot(prometheus.CounterValue, "snapshot_bytes_total", "Bytes the scan has read.", func(v *SnapshotView) int64 { return v.Bytes })
	snapshot(prometheus.CounterValue, "snapshot_reread_rows_total", "Rows the scan has read once more, as they were not acknowledged.", func(v *SnapshotView) int64 { return v.Reread })
	snapshot(prometheus.GaugeValue, "snapshot_seconds_left", "Seconds that the scan is likely to take yet; 0: not known, or complete.", func(v *SnapshotView) int64 { return v.SecondsLeft })
	snapshot(prometheus.GaugeValue, "snapshot_shards_done", "Parts of the tables that are scanned.", func(v *SnapshotView) int64 { return v.ShardsDone })
	snapshot(prometheus.GaugeValue, "snapshot_shards", "Parts of the tables to scan.", func(v *SnapshotView) int64 { return v.ShardsTotal })
}

func (c *collector) tableMetrics() {
	add := func(kind prometheus.ValueType, name, help string, value func(*TableView) (float64, bool)) {
		desc := prometheus.NewDesc("waltap_table_"+name, help, []string{"connector", "table"}, nil)
		c.tables = append(c.tables, tableMetric{desc, kind, value})
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

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.connectors {
		ch <- m.desc
	}
	for _, m := range c.tables {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector. A value that is not known yet, such
// as the lag before the first record, is left out.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	view := c.process.View()
	for i := range view.Connectors {
		v := &view.Connectors[i]
		for _, m := range c.connectors {
			if x, known := m.value(v); known {
				ch <- prometheus.MustNewConstMetric(m.desc, m.kind, x, v.Name)
			}
		}
		for j := range v.Tables {
			for _, m := range c.tables {
				if x, known := m.value(&v.Tables[j]); known {
					ch <- prometheus.MustNewConstMetric(m.desc, m.kind, x, v.Name, v.Tables[j].Name)
				}
			}
		}
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
