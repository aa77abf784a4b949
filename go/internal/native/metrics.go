package native

// #include "bridge.h"
import "C"

// The kinds of metric.
const (
	MetricCounter   uint32 = C.TRUNKLINE_METRIC_COUNTER
	MetricGauge     uint32 = C.TRUNKLINE_METRIC_GAUGE
	MetricHistogram uint32 = C.TRUNKLINE_METRIC_HISTOGRAM
)

// Metric is one series at one moment; quantiles are there for histograms only.
type Metric struct {
	Name, Labels  string
	Kind          uint32
	Value         float64
	Count         uint64
	P50, P90, P99 float64
}

// Snapshot is what all metrics of a runtime show at one moment.
func Snapshot(runtime uint64) ([]Metric, *Failure) {
	snapshot, failure := takeSnapshot(runtime)
	if failure != nil {
		return nil, failure
	}
	defer C.trunkline_metrics_free(snapshot)
	found := make([]Metric, int(C.trunkline_metrics_len(snapshot)))
	for i := range found {
		found[i] = metric(snapshot, C.size_t(i))
	}
	return found, nil
}

// Prometheus is the snapshot as the text that Prometheus reads.
func Prometheus(runtime uint64) (string, *Failure) {
	snapshot, failure := takeSnapshot(runtime)
	if failure != nil {
		return "", failure
	}
	defer C.trunkline_metrics_free(snapshot)
	return C.GoString(C.trunkline_metrics_prometheus(snapshot, nil)), nil
}

func takeSnapshot(runtime uint64) (*C.trunkline_metrics_t, *Failure) {
	var snapshot *C.trunkline_metrics_t
	var object *C.trunkline_error_t
	status := C.trunkline_metrics_snapshot(C.trunkline_runtime_t{h: C.uint64_t(runtime)}, &snapshot, &object)
	return snapshot, fail(status, object)
}

func metric(snapshot *C.trunkline_metrics_t, i C.size_t) Metric {
	var c C.trunkline_metric_t
	C.trunkline_metrics_get(snapshot, i, &c)
	m := Metric{
		Name:   C.GoStringN(c.name.ptr, C.int(c.name.len)),
		Labels: C.GoStringN(c.labels.ptr, C.int(c.labels.len)),
		Kind:   uint32(c.kind),
		Value:  float64(c.value),
		Count:  uint64(c.count),
	}
	if m.Kind == MetricHistogram {
		quantile := func(q C.double) float64 {
			var value C.double
			C.trunkline_metrics_quantile(snapshot, i, q, &value)
			return float64(value)
		}
		m.P50, m.P90, m.P99 = quantile(0.5), quantile(0.9), quantile(0.99)
	}
	return m
}
