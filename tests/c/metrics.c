/* Metrics: one snapshot whose numbers agree with what was done, as samples and as text. */
#include "check.h"

static trunkline_metrics_t *snapshot(trunkline_runtime_t rt) {
  trunkline_metrics_t *metrics = NULL;
  OK(trunkline_metrics_snapshot(rt, &metrics, NULL));
  CHECK(metrics != NULL, "a snapshot is made");
  return metrics;
}

static int is(trunkline_str_t text, const char *expected) {
  return text.len == strlen(expected) && memcmp(text.ptr, expected, text.len) == 0;
}

static int holds(trunkline_str_t text, const char *part) {
  char copy[512];
  snprintf(copy, sizeof copy, "%.*s", (int)text.len, text.ptr);
  return strstr(copy, part) != NULL;
}

/* The sum of one metric over all series that have this label. */
static double total(const trunkline_metrics_t *metrics, const char *name, const char *label) {
  double sum = 0;
  size_t i;
  for (i = 0; i < trunkline_metrics_len(metrics); i++) {
    trunkline_metric_t metric;
    OK(trunkline_metrics_get(metrics, i, &metric));
    if (is(metric.name, name) && holds(metric.labels, label)) sum += metric.value;
  }
  return sum;
}

static void the_counts_are_those_of_the_connections(void) {
  trunkline_runtime_t rt;
  trunkline_metrics_t *metrics;
  trunkline_stream_t ends[2];
  OK(trunkline_runtime_new(NULL, &rt, NULL));
  OK(trunkline_pipe_pair(rt, NULL, &ends, NULL));
  say(ends[0], "twelve bytes");
  hears(ends[1], "twelve bytes");
  metrics = snapshot(rt);
  CHECK(total(metrics, "trunkline_connections_opened_total", "protocol=\"pipe\"") == 2, "both ends are connections");
  CHECK(total(metrics, "trunkline_connections_active", "protocol=\"pipe\"") == 2, "and alive");
  trunkline_metrics_free(metrics);
  OK(trunkline_stream_close(ends[0]));
  OK(trunkline_stream_close(ends[1]));
  metrics = snapshot(rt);
  CHECK(total(metrics, "trunkline_connections_active", "") == 0, "none is alive");
  CHECK(total(metrics, "trunkline_connections_closed_total", "") == 2, "all are closed");
  CHECK(total(metrics, "trunkline_bytes_sent_total", "") == 12, "every byte was counted");
  CHECK(total(metrics, "trunkline_bytes_received_total", "") == 12, "both ways");
  trunkline_metrics_free(metrics);
  free_streams(ends[0], ends[1]);
  OK(trunkline_runtime_shutdown(rt, NEVER, NULL));
  metrics = snapshot(rt);
  CHECK(total(metrics, "trunkline_connections_closed_total", "") == 2, "a runtime that stopped still tells");
  trunkline_metrics_free(metrics);
  OK(trunkline_runtime_free(rt));
}

static void a_histogram_tells_its_quantiles(void) {
  trunkline_metrics_t *metrics;
  trunkline_stream_t ends[2];
  size_t i, histograms = 0;
  pair_of(ends);
  free_streams(ends[0], ends[1]);
  metrics = snapshot(default_runtime());
  for (i = 0; i < trunkline_metrics_len(metrics); i++) {
    trunkline_metric_t metric;
    double median = 9, most = 9;
    OK(trunkline_metrics_get(metrics, i, &metric));
    CHECK(metric.reserved0 == 0, "what is reserved is zero");
    if (metric.kind != TRUNKLINE_METRIC_HISTOGRAM) {
      CHECK(metric.kind == TRUNKLINE_METRIC_COUNTER || metric.kind == TRUNKLINE_METRIC_GAUGE, "kinds are known");
      GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_metrics_quantile(metrics, i, 0.5, &median));
      continue;
    }
    if (metric.count == 0) {
      GIVES(TRUNKLINE_E_NOT_FOUND, trunkline_metrics_quantile(metrics, i, 0.5, &median));
      CHECK(median == 0, "outputs are blank after a failure");
      continue;
    }
    histograms++;
    OK(trunkline_metrics_quantile(metrics, i, 0.5, &median));
    OK(trunkline_metrics_quantile(metrics, i, 1, &most));
    CHECK(median >= 0 && median <= most, "quantiles grow");
    GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_metrics_quantile(metrics, i, 1.5, &median));
    GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_metrics_quantile(metrics, i, -0.5, &median));
    GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_metrics_quantile(metrics, i, 0 * (1e308 * 1e308), &median));
  }
  CHECK(histograms > 0, "closed connections leave their durations");
  trunkline_metrics_free(metrics);
}

static void the_texts_are_in_their_formats(void) {
  trunkline_metrics_t *metrics = snapshot(default_runtime());
  size_t length = 0, same = 0;
  const char *text = trunkline_metrics_prometheus(metrics, &length);
  CHECK(strlen(text) == length && length > 0, "NUL-terminated, with its length");
  CHECK(strstr(text, "# TYPE trunkline_connections_active gauge") != NULL, "types are told");
  CHECK(trunkline_metrics_prometheus(metrics, &same) == text && same == length, "the text stays where it is");
  text = trunkline_metrics_openmetrics(metrics, &length);
  CHECK(length > 6 && strcmp(text + length - 6, "# EOF\n") == 0, "OpenMetrics ends with EOF");
  trunkline_metrics_free(metrics);
}

static void null_and_numbers_out_of_range_are_errors(void) {
  trunkline_metrics_t *metrics = snapshot(default_runtime()), *none = (trunkline_metrics_t *)0x1;
  trunkline_runtime_t stale = { 77 };
  trunkline_metric_t metric;
  double value;
  size_t length = 9, count = trunkline_metrics_len(metrics);
  CHECK(trunkline_metrics_len(NULL) == 0, "NULL has no samples");
  GIVES(TRUNKLINE_E_NOT_FOUND, trunkline_metrics_get(metrics, count, &metric));
  CHECK(metric.name.ptr == NULL && metric.kind == 0, "outputs are blank after a failure");
  GIVES(TRUNKLINE_E_NOT_FOUND, trunkline_metrics_get(metrics, SIZE_MAX, &metric));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_metrics_get(NULL, 0, &metric));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_metrics_get(metrics, 0, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_metrics_quantile(NULL, 0, 0.5, &value));
  GIVES(TRUNKLINE_E_NOT_FOUND, trunkline_metrics_quantile(metrics, count, 0.5, &value));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_metrics_quantile(metrics, 0, 0.5, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_metrics_snapshot(default_runtime(), NULL, NULL));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_metrics_snapshot(stale, &none, NULL));
  CHECK(none == NULL, "no snapshot came of it");
  CHECK(trunkline_metrics_prometheus(NULL, &length) == NULL && length == 0, "NULL has no text");
  CHECK(trunkline_metrics_openmetrics(NULL, NULL) == NULL, "NULL has no text");
  trunkline_metrics_free(metrics);
  trunkline_metrics_free(NULL);
}

int main(void) {
  begin();
  the_counts_are_those_of_the_connections();
  a_histogram_tells_its_quantiles();
  the_texts_are_in_their_formats();
  null_and_numbers_out_of_range_are_errors();
  leave();
  return 0;
}
