package trunkline

import (
	"io"
	"net/http"
	"strings"

	"trunkline.dev/go/internal/native"
)

// Snapshot is what all metrics of a runtime showed at one moment, sorted by name and labels.
type Snapshot struct {
	Samples []Sample
}

// Sample is one series of one metric.
type Sample struct {
	// Name of the metric; a counter's ends in "_total".
	Name string
	// Labels tell the series of one metric apart.
	Labels map[string]string
	// Kind says how the metric behaves over time.
	Kind MetricKind
	// Value is the total of a counter, the value of a gauge, the sum of a histogram.
	Value float64
	// Count is how many values a histogram holds; else 0.
	Count uint64
	// P50, P90 and P99 are quantiles of a histogram; else 0.
	P50, P90, P99 float64
}

// MetricKind says how a metric behaves over time.
type MetricKind uint32

// The kinds of metric.
const (
	Counter   = MetricKind(native.MetricCounter)   // only grows
	Gauge     = MetricKind(native.MetricGauge)     // goes up and down
	Histogram = MetricKind(native.MetricHistogram) // a distribution
)

// String is the kind as in the text formats.
func (k MetricKind) String() string {
	switch k {
	case Counter:
		return "counter"
	case Gauge:
		return "gauge"
	case Histogram:
		return "histogram"
	default:
		return "unknown"
	}
}

// Total is the sum of a metric's values over the series that have all of labels, given as names and values in turn.
func (s Snapshot) Total(name string, labels ...string) float64 {
	total := 0.0
	for _, sample := range s.Samples {
		if sample.Name == name && sample.has(labels) {
			total += sample.Value
		}
	}
	return total
}

func (s Sample) has(labels []string) bool {
	for i := 0; i+1 < len(labels); i += 2 {
		if value, ok := s.Labels[labels[i]]; !ok || value != labels[i+1] {
			return false
		}
	}
	return true
}

// Metrics is what the metrics of the default runtime show now; empty if it cannot be started.
func Metrics() Snapshot {
	rt, err := Default()
	if err != nil {
		return Snapshot{}
	}
	snapshot, _ := rt.Metrics()
	return snapshot
}

// WritePrometheus writes the metrics of the default runtime; see [Runtime.WritePrometheus].
func WritePrometheus(w io.Writer) error {
	rt, err := Default()
	if err != nil {
		return err
	}
	return rt.WritePrometheus(w)
}

// MetricsHandler serves the metrics of the default runtime, for Prometheus to scrape.
func MetricsHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rt, err := Default()
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		rt.MetricsHandler().ServeHTTP(w, r)
	})
}

// Metrics is what all metrics of the runtime show at this moment.
func (rt *Runtime) Metrics() (Snapshot, error) {
	found, failure := native.Snapshot(rt.handle)
	if failure != nil {
		return Snapshot{}, newError(failure, 0)
	}
	samples := make([]Sample, len(found))
	for i, m := range found {
		samples[i] = Sample{
			Name:   m.Name,
			Labels: parseLabels(m.Labels),
			Kind:   MetricKind(m.Kind),
			Value:  m.Value,
			Count:  m.Count,
			P50:    m.P50,
			P90:    m.P90,
			P99:    m.P99,
		}
	}
	return Snapshot{samples}, nil
}

// WritePrometheus writes the metrics as the text that Prometheus reads, format 0.0.4.
func (rt *Runtime) WritePrometheus(w io.Writer) error {
	text, failure := native.Prometheus(rt.handle)
	if failure != nil {
		return newError(failure, 0)
	}
	_, err := io.WriteString(w, text)
	return err
}

// MetricsHandler serves the metrics of the runtime, for Prometheus to scrape.
func (rt *Runtime) MetricsHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text, failure := native.Prometheus(rt.handle)
		if failure != nil {
			http.Error(w, failure.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = io.WriteString(w, text)
	})
}

// parseLabels reads name="value",… as in the text formats, where values escape backslash, quote and line end.
func parseLabels(text string) map[string]string {
	labels := make(map[string]string)
	for text != "" {
		name, rest, _ := strings.Cut(text, `="`)
		var value strings.Builder
		escaped := false
		end := len(rest)
		for i, c := range rest {
			if escaped && c == 'n' {
				c = '\n'
			}
			if !escaped && c == '\\' {
				escaped = true
				continue
			}
			if !escaped && c == '"' {
				end = i
				break
			}
			escaped = false
			value.WriteRune(c)
		}
		labels[name] = value.String()
		text = strings.TrimPrefix(rest[min(end+1, len(rest)):], ",")
	}
	return labels
}
