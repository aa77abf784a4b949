/* The demo's client in C. README.md beside it says what it does. */
#define _POSIX_C_SOURCE 200809L
#include "common.h"
#include "trunkline.h"

#include <pthread.h>

static const trunkline_runtime_t DEFAULT_RUNTIME = {0};

/* Ends the program with the whole chain of causes, unless the call succeeded. */
static void check(trunkline_status_t status, const char *what, trunkline_error_t *error) {
  const trunkline_error_t *cause;
  if (status == TRUNKLINE_OK) return;
  fprintf(stderr, "c: %s: %s", what, trunkline_status_name(status));
  for (cause = error; cause != NULL; cause = trunkline_error_cause(cause))
    fprintf(stderr, ": %s", trunkline_error_message(cause, NULL));
  fprintf(stderr, "\n");
  trunkline_error_free(error);
  exit(1);
}

static void expect(int is_true, const char *what) {
  if (is_true) return;
  fprintf(stderr, "c: %s\n", what);
  exit(1);
}

static trunkline_stream_t connect_to(const char *address) {
  trunkline_stream_t stream;
  trunkline_error_t *error;
  trunkline_status_t status =
      trunkline_connect(DEFAULT_RUNTIME, address, strlen(address), TRUNKLINE_DEADLINE_NONE, &stream, &error);
  check(status, address, error);
  return stream;
}

static void write_all(trunkline_stream_t stream, const uint8_t *p, size_t n) {
  while (n > 0) {
    trunkline_bytes_t part = {p, n};
    size_t taken;
    check(trunkline_stream_write(stream, &part, 1, TRUNKLINE_DEADLINE_NONE, &taken), "write", NULL);
    p += taken;
    n -= taken;
  }
}

static size_t read_some(trunkline_stream_t stream, uint8_t *p, size_t cap) {
  size_t n;
  check(trunkline_stream_read(stream, p, cap, TRUNKLINE_DEADLINE_NONE, &n), "read", NULL);
  return n;
}

static void read_exact(trunkline_stream_t stream, uint8_t *p, size_t n) {
  while (n > 0) {
    size_t got = read_some(stream, p, n);
    expect(got > 0, "the stream ended early");
    p += got;
    n -= got;
  }
}

/* The 4 streams live in the pool; whoever uses one takes it out and puts it back. */
static trunkline_keyed_pool_t pool;

static size_t key_of(size_t i, char *key) { return (size_t)sprintf(key, "echo-%d", (int)(i % STREAMS)); }

static trunkline_stream_t take(size_t i) {
  char key[16];
  trunkline_stream_t stream;
  size_t length = key_of(i, key);
  check(trunkline_keyed_pool_remove(pool, (const uint8_t *)key, length, &stream.h), key, NULL);
  return stream;
}

static void put_back(size_t i, trunkline_stream_t stream) {
  char key[16];
  trunkline_error_t *error;
  size_t length = key_of(i, key);
  check(trunkline_keyed_pool_insert(pool, (const uint8_t *)key, length, stream.h, &error), key, error);
}

static void echoed(size_t i, const uint8_t *bytes, uint8_t *back, size_t n) {
  trunkline_stream_t stream = take(i);
  write_all(stream, bytes, n);
  read_exact(stream, back, n);
  put_back(i, stream);
}

static void same(const uint8_t *sent, const uint8_t *received, const char *what) {
  char a[65], b[65];
  sha256_of(sent, TOTAL, a);
  sha256_of(received, TOTAL, b);
  expect(strcmp(a, b) == 0, what);
}

static double bulk(const uint8_t *random, uint8_t *back) {
  double started = seconds(), took;
  size_t i;
  for (i = 0; i < TOTAL / CHUNK; i++) {
    echoed(i, random + i * CHUNK, back + i * CHUNK, CHUNK);
    if (i % 256 == 255) fprintf(stderr, "c: %d of 64 MiB echoed\n", (int)((i + 1) * CHUNK / MIB));
  }
  took = seconds() - started;
  same(random, back, "the echo differs");
  return took;
}

static int by_time(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void round_trips(const uint8_t *ping, uint8_t *pong, double *times) {
  size_t i;
  for (i = 0; i < ROUND_TRIPS; i++) {
    double started = seconds();
    echoed(i, ping, pong, 64);
    times[i] = seconds() - started;
    expect(memcmp(ping, pong, 64) == 0, "a small echo differs");
  }
  qsort(times, ROUND_TRIPS, sizeof *times, by_time);
}

typedef struct totals {
  int connections;
  unsigned long long sent, received;
  int reasons[TRUNKLINE_CLOSE_CANCELLED + 1];
} totals;

static void end_in_order(trunkline_stream_t stream, totals *sum) {
  trunkline_stream_stats_t stats = TRUNKLINE_STREAM_STATS_INIT;
  uint8_t byte;
  check(trunkline_stream_shutdown(stream, TRUNKLINE_WRITABLE), "shutdown", NULL);
  expect(read_some(stream, &byte, 1) == 0, "the peer said more than it should");
  check(trunkline_stream_close(stream), "close", NULL);
  check(trunkline_stream_stats(stream, &stats), "stats", NULL);
  check(trunkline_stream_free(stream), "free", NULL);
  sum->connections++;
  sum->sent += stats.bytes_sent;
  sum->received += stats.bytes_received;
  sum->reasons[stats.close_reason]++;
}

static void download(const char *address, totals *sum) {
  trunkline_stream_t stream = connect_to(address);
  char head[128] = "", expected[65], found[65];
  size_t n = 0;
  unsigned long length;
  uint8_t *bytes;
  write_all(stream, (const uint8_t *)"GET\n", 4);
  do {
    read_exact(stream, (uint8_t *)head + n, 1);
  } while (head[n++] != '\n' && n < sizeof head - 1);
  expect(sscanf(head, "%64s %lu", expected, &length) == 2, "the file server's answer is odd");
  bytes = malloc(length);
  expect(bytes != NULL, "out of memory");
  read_exact(stream, bytes, length);
  sha256_of(bytes, length, found);
  expect(strcmp(found, expected) == 0, "the file differs");
  free(bytes);
  end_in_order(stream, sum);
  fprintf(stderr, "c: file of %lu MiB checked\n", (unsigned long)(length / MIB));
}

typedef struct writer {
  trunkline_stream_t end;
  const uint8_t *random;
} writer;

static void *write_pipe(void *argument) {
  const writer *w = argument;
  write_all(w->end, w->random, TOTAL);
  check(trunkline_stream_shutdown(w->end, TRUNKLINE_WRITABLE), "shutdown", NULL);
  return NULL;
}

static double through_a_pipe(const uint8_t *random, uint8_t *back) {
  trunkline_stream_t ends[2];
  trunkline_error_t *error;
  pthread_t thread;
  writer w;
  double started, took;
  uint8_t byte;
  check(trunkline_pipe_pair(DEFAULT_RUNTIME, NULL, &ends, &error), "pipe", error);
  w.end = ends[0];
  w.random = random;
  started = seconds();
  expect(pthread_create(&thread, NULL, write_pipe, &w) == 0, "no thread");
  read_exact(ends[1], back, TOTAL);
  expect(read_some(ends[1], &byte, 1) == 0, "the pipe holds more than it should");
  pthread_join(thread, NULL);
  took = seconds() - started;
  same(random, back, "the pipe's bytes differ");
  trunkline_stream_free(ends[0]);
  trunkline_stream_free(ends[1]);
  fprintf(stderr, "c: 64 MiB through a pipe\n");
  return took;
}

static void run(const char *echo, const char *file) {
  static const char *const names[] = {"", "finished", "local", "reset", "idle_timeout", "half_close_timeout",
                                      "connect_failed", "drained", "cancelled"};
  static uint8_t random[TOTAL], back[TOTAL];
  static double times[ROUND_TRIPS];
  totals sum = {0, 0, 0, {0}};
  trunkline_error_t *error;
  double relay, pipe;
  const char *comma = "";
  size_t i;
  random_bytes(random, sizeof random);
  check(trunkline_keyed_pool_new(DEFAULT_RUNTIME, NULL, 0, NULL, &pool, &error), "pool", error);
  for (i = 0; i < STREAMS; i++) put_back(i, connect_to(echo));
  relay = bulk(random, back);
  round_trips(random, back, times);
  download(file, &sum);
  pipe = through_a_pipe(random, back);
  for (i = 0; i < STREAMS; i++) end_in_order(take(i), &sum);
  check(trunkline_keyed_pool_free(pool), "free", NULL);
  printf("{\"connections\":%d,\"bytes_sent\":%llu,\"bytes_received\":%llu,\"relay_seconds\":%f,", sum.connections,
         sum.sent, sum.received, relay);
  printf("\"pipe_bytes\":%lu,\"pipe_seconds\":%f,\"p50_us\":%f,\"p99_us\":%f,\"close_reasons\":{", (unsigned long)TOTAL,
         pipe, times[ROUND_TRIPS / 2] * 1e6, times[ROUND_TRIPS * 99 / 100] * 1e6);
  for (i = 1; i < sizeof names / sizeof *names; i++) {
    if (sum.reasons[i] == 0) continue;
    printf("%s\"%s\":%d", comma, names[i], sum.reasons[i]);
    comma = ",";
  }
  printf("}}\n");
}

static void flood(const char *sink) {
  static uint8_t block[CHUNK];
  trunkline_stream_t stream = connect_to(sink);
  size_t i;
  for (i = 0; i < CHUNK; i++) block[i] = (uint8_t)(i * 31 + (i >> 8));
  for (;;) write_all(stream, block, CHUNK);
}

int main(int argc, char **argv) {
  check(trunkline_abi_check(TRUNKLINE_ABI), "header and library differ", NULL);
  if (argc == 4 && strcmp(argv[1], "run") == 0) {
    run(argv[2], argv[3]);
  } else if (argc == 3 && strcmp(argv[1], "flood") == 0) {
    flood(argv[2]);
  } else {
    fprintf(stderr, "usage: client run ECHO FILE | client flood SINK\n");
    return 2;
  }
  check(trunkline_runtime_shutdown(DEFAULT_RUNTIME, TRUNKLINE_DEADLINE_NONE, NULL), "shutdown", NULL);
  return 0;
}
