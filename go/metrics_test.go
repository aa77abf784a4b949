package trunkline

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestMetricsCountWhatConnectionsDid(t *testing.T) {
	rt, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Shutdown(soon(t))
	a, b, err := rt.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = a.Write(make([]byte, 1000))
		a.Close()
	}()
	if _, err := io.ReadAll(b); err != nil {
		t.Fatal(err)
	}
	b.Close()
	snapshot, err := rt.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	if n := snapshot.Total("trunkline_connections_opened_total", "protocol", "pipe"); n != 2 {
		t.Errorf("%v connections opened: %+v", n, snapshot)
	}
	if n := snapshot.Total("trunkline_connections_active"); n != 0 {
		t.Errorf("%v connections active", n)
	}
	kinds := make(map[string]int)
	for _, sample := range snapshot.Samples {
		kinds[sample.Kind.String()]++
		if sample.Kind == Histogram && sample.Count > 0 && sample.P50 > sample.P99 {
			t.Errorf("quantiles out of order: %+v", sample)
		}
	}
	if kinds["counter"] == 0 || kinds["gauge"] == 0 || kinds["histogram"] == 0 || kinds["unknown"] > 0 {
		t.Errorf("got %v", kinds)
	}
	var text strings.Builder
	if err := rt.WritePrometheus(&text); err != nil || !strings.Contains(text.String(), "# TYPE trunkline_connections_active gauge") {
		t.Errorf("%q, %v", text.String(), err)
	}
}

func TestTheDefaultRuntimeIsScraped(t *testing.T) {
	pipe(t)
	if len(Metrics().Samples) == 0 {
		t.Error("there are no metrics")
	}
	var text strings.Builder
	if err := WritePrometheus(&text); err != nil {
		t.Error(err)
	}
	answer := httptest.NewRecorder()
	MetricsHandler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK || !strings.HasPrefix(answer.Header().Get("Content-Type"), "text/plain; version=0.0.4") ||
		!strings.Contains(answer.Body.String(), "trunkline_") {
		t.Errorf("got %+v", answer)
	}
}

func TestMetricsOfARuntimeThatIsGoneAreAnError(t *testing.T) {
	rt, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := rt.Metrics(); err == nil {
		t.Error("there are metrics")
	}
	if err := rt.WritePrometheus(io.Discard); err == nil {
		t.Error("there is a text")
	}
	answer := httptest.NewRecorder()
	rt.MetricsHandler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusServiceUnavailable {
		t.Errorf("got %d", answer.Code)
	}
}

func TestLabelsAreReadAsTheyAreWritten(t *testing.T) {
	for text, want := range map[string]map[string]string{
		``:                                       {},
		`a="b"`:                                  {"a": "b"},
		`protocol="tcp",direction="accepted"`:    {"protocol": "tcp", "direction": "accepted"},
		`quote="say \"a,b\"",slash="\\",n="1\n"`: {"quote": `say "a,b"`, "slash": `\`, "n": "1\n"},
	} {
		if got := parseLabels(text); !maps.Equal(got, want) {
			t.Errorf("%s: %v", text, got)
		}
	}
}
