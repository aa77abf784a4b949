/* Connection management on real sockets: TCP and UDP managers, a pool, metrics, errors, and a small benchmark.
 * The programs beside this one do the same in Rust, Python and Go, and print the same. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "trunkline.h"

/* Round trips of one measurement, and the bytes of each. */
#define TRIPS 2000
#define SIZE 64
#define NEVER TRUNKLINE_DEADLINE_NONE
#define TEXT(literal) (literal), (sizeof(literal) - 1)
#define TRY(call) try_((call), #call)

static const trunkline_runtime_t RT = { 0 }; /* the default one, made on first use */

static void try_(trunkline_status_t status, const char *call) {
  if (status != TRUNKLINE_OK) {
    fprintf(stderr, "%s: %s\n", trunkline_status_name(status), call);
    exit(1);
  }
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void write_all(trunkline_stream_t stream, const uint8_t *data, size_t length) {
  while (length > 0) {
    trunkline_bytes_t iov = { data, length };
    size_t n;
    TRY(trunkline_stream_write(stream, &iov, 1, NEVER, &n));
    data += n;
    length -= n;
  }
}

/* Gives every byte of one connection after the other back. */
static void *serve(void *argument) {
  trunkline_listener_t listener = *(trunkline_listener_t *)argument;
  trunkline_stream_t stream;
  while (trunkline_listener_accept(listener, NEVER, &stream, NULL) == TRUNKLINE_OK) {
    uint8_t bytes[4096];
    size_t n;
    while (trunkline_stream_read(stream, bytes, sizeof bytes, NEVER, &n) == TRUNKLINE_OK && n > 0) {
      write_all(stream, bytes, n);
    }
    TRY(trunkline_stream_free(stream));
  }
  return NULL;
}

/* Gives every datagram back. */
static void *answer(void *argument) {
  trunkline_datagram_t socket = *(trunkline_datagram_t *)argument;
  uint8_t bytes[4096];
  trunkline_received_t got;
  while (trunkline_datagram_recv_from(socket, bytes, sizeof bytes, NEVER, &got, NULL) == TRUNKLINE_OK) {
    TRY(trunkline_datagram_send_to(socket, bytes, got.len, &got.source, &got.to, NEVER, NULL));
  }
  return NULL;
}

/* Relays under a limit; what exceeds it is refused before anything is started. */
static double tcp_manager(void) {
  trunkline_tcp_manager_stats_t stats = TRUNKLINE_TCP_MANAGER_STATS_INIT;
  trunkline_tcp_manager_t manager;
  trunkline_listener_t server;
  trunkline_stream_t client, second, third;
  trunkline_error_t *err = NULL;
  pthread_t thread;
  uint8_t bytes[SIZE] = { 0 };
  char address[320], front[320];
  size_t length, front_length;
  uint64_t cut;
  double started, rate;
  int trip;
  TRY(trunkline_listen(RT, TEXT("tcp://127.0.0.1:0"), NULL, &server, NULL));
  TRY(trunkline_listener_address(server, address, sizeof address, &length));
  pthread_create(&thread, NULL, serve, &server);
  TRY(trunkline_tcp_manager_new(RT, TEXT("{\"max_connections\": 2}"), &manager, NULL));
  TRY(trunkline_tcp_manager_relay(manager, TEXT("tcp://127.0.0.1:0"), address, length, front, sizeof front,
                                  &front_length, NULL));
  TRY(trunkline_connect(RT, front, front_length, NEVER, &client, NULL));
  started = now();
  for (trip = 0; trip < TRIPS; trip++) {
    size_t have = 0, n;
    write_all(client, bytes, SIZE);
    for (; have < SIZE; have += n) TRY(trunkline_stream_read(client, bytes + have, SIZE - have, NEVER, &n));
  }
  rate = TRIPS / (now() - started);

  TRY(trunkline_tcp_manager_connect(manager, address, length, NEVER, &second, NULL));
  if (trunkline_tcp_manager_connect(manager, address, length, NEVER, &third, &err) == TRUNKLINE_E_LIMIT_EXCEEDED &&
      (trunkline_error_flags(err) & TRUNKLINE_ERR_RETRYABLE) != 0) {
    printf("TCP      a third connection: limit exceeded, safe to retry\n");
  }
  trunkline_error_free(err);
  TRY(trunkline_tcp_manager_stats(manager, &stats));
  printf("TCP      %llu bytes came and %llu went\n", (unsigned long long)stats.bytes_received,
         (unsigned long long)stats.bytes_sent);
  TRY(trunkline_stream_free(client));
  do {
    TRY(trunkline_tcp_manager_stats(manager, &stats));
  } while (stats.active > 1);
  TRY(trunkline_tcp_manager_drain(manager, 0, &cut, NULL));
  printf("TCP      drained, %llu had to be cut\n", (unsigned long long)cut);
  TRY(trunkline_stream_free(second));
  TRY(trunkline_tcp_manager_free(manager));
  TRY(trunkline_listener_free(server));
  pthread_join(thread, NULL);
  return rate;
}

/* The number of the only session, out of the list. */
static uint64_t number_of(trunkline_udp_manager_t manager, const char **verified) {
  trunkline_buf_t *list;
  const char *text;
  char copy[1024];
  size_t length;
  uint64_t id;
  TRY(trunkline_udp_manager_live(manager, &list, NULL));
  text = (const char *)trunkline_buf_data(list, &length);
  snprintf(copy, sizeof copy, "%.*s", (int)length, text);
  *verified = strstr(copy, "\"verified\":true") != NULL ? "true" : "false";
  text = strstr(copy, "\"id\":");
  id = text == NULL ? 0 : strtoull(text + 5, NULL, 10);
  trunkline_buf_free(list);
  return id;
}

/* Each source has a session, which is listed, verified by its second question, and killed by its number. */
static double udp_manager(void) {
  trunkline_udp_manager_stats_t stats = TRUNKLINE_UDP_MANAGER_STATS_INIT;
  trunkline_udp_manager_t manager;
  trunkline_datagram_t server, client;
  trunkline_socket_address_t to;
  trunkline_received_t got;
  pthread_t thread;
  uint8_t bytes[SIZE] = { 0 };
  char address[128], front[128];
  const char *verified;
  size_t length, front_length;
  uint64_t id;
  double started, rate;
  int trip;
  TRY(trunkline_datagram_bind(RT, TEXT("udp://127.0.0.1:0"), &server, NULL));
  TRY(trunkline_datagram_address(server, address, sizeof address, &length));
  pthread_create(&thread, NULL, answer, &server);
  TRY(trunkline_udp_manager_new(RT, TEXT("{\"max_sessions\": 10, \"idle_timeout\": \"30s\"}"), &manager, NULL));
  TRY(trunkline_udp_manager_relay(manager, TEXT("udp://127.0.0.1:0"), address, length, NULL, front, sizeof front,
                                  &front_length, NULL));
  TRY(trunkline_datagram_bind(RT, TEXT("udp://127.0.0.1:0"), &client, NULL));
  TRY(trunkline_datagram_socket_address(client, &to)); /* the same host, */
  to.port = (uint16_t)atoi(strrchr(front, ':') + 1);   /* and the port of the relay */
  started = now();
  for (trip = 0; trip < TRIPS; trip++) {
    TRY(trunkline_datagram_send_to(client, bytes, SIZE, &to, NULL, NEVER, NULL));
    TRY(trunkline_datagram_recv_from(client, bytes, SIZE, NEVER, &got, NULL));
  }
  rate = TRIPS / (now() - started);

  id = number_of(manager, &verified);
  TRY(trunkline_udp_manager_stats(manager, &stats));
  printf("UDP      %llu session, verified: %s\n", (unsigned long long)stats.active, verified);
  printf("UDP      %llu datagrams came, %llu dropped\n", (unsigned long long)stats.datagrams_received,
         (unsigned long long)stats.dropped);
  TRY(trunkline_udp_manager_kill(manager, id, NULL));
  if (trunkline_udp_manager_kill(manager, id, NULL) == TRUNKLINE_E_UDP) {
    printf("UDP      killed; a second kill: no session\n");
  }
  TRY(trunkline_udp_manager_free(manager));
  TRY(trunkline_datagram_free(client));
  TRY(trunkline_datagram_free(server));
  pthread_join(thread, NULL);
  return rate;
}

static void close_stream(void *user_data, uint64_t value, uint32_t reason) {
  trunkline_stream_t stream;
  (void)user_data;
  (void)reason;
  stream.h = value;
  trunkline_stream_free(stream);
}

/* Whoever asks for a key gets the one connection that was made for it. */
static void pool(void) {
  trunkline_keyed_pool_stats_t stats = TRUNKLINE_KEYED_POOL_STATS_INIT;
  trunkline_pool_closer_t closer = { { 0 }, 0, close_stream, NULL, NULL };
  trunkline_keyed_pool_t pool;
  trunkline_listener_t server;
  char address[320];
  size_t length;
  int asked;
  TRY(trunkline_listen(RT, TEXT("tcp://127.0.0.1:0"), NULL, &server, NULL));
  TRY(trunkline_listener_address(server, address, sizeof address, &length));
  TRY(trunkline_keyed_pool_new(RT, NULL, 0, &closer, &pool, NULL));
  for (asked = 0; asked < 3; asked++) {
    trunkline_job_t job;
    uint64_t value;
    TRY(trunkline_keyed_pool_get_or_create(pool, (const uint8_t *)"db", 2, NEVER, NEVER, &value, &job, NULL));
    if (job.h != 0) {
      trunkline_stream_t stream;
      TRY(trunkline_connect(RT, address, length, NEVER, &stream, NULL));
      TRY(trunkline_keyed_pool_fill(job, stream.h, &value, NULL));
    }
  }
  TRY(trunkline_keyed_pool_stats(pool, &stats));
  printf("pool     %d asked, %llu made\n", asked, (unsigned long long)stats.inserted);
  TRY(trunkline_keyed_pool_free(pool));
  TRY(trunkline_listener_free(server));
}

static const char *retry(const trunkline_error_t *err) {
  return (trunkline_error_flags(err) & TRUNKLINE_ERR_RETRYABLE) != 0 ? "true" : "false";
}

/* An error says which step failed, whose fault it is, and whether to try again. */
static void errors(void) {
  trunkline_listener_t listener;
  trunkline_datagram_t socket;
  trunkline_socket_address_t own;
  trunkline_received_t got;
  trunkline_stream_t stream;
  trunkline_error_t *err = NULL;
  char address[320];
  uint8_t room[4];
  size_t length;
  TRY(trunkline_listen(RT, TEXT("tcp://127.0.0.1:0"), NULL, &listener, NULL));
  TRY(trunkline_listener_address(listener, address, sizeof address, &length));
  TRY(trunkline_listener_free(listener));
  if (trunkline_connect(RT, address, length, NEVER, &stream, &err) == TRUNKLINE_E_CONNECTION_FAILED &&
      trunkline_error_step(err) == TRUNKLINE_STEP_CONNECT) {
    printf("errors   connect: connection failed, safe to retry: %s\n", retry(err));
  }
  trunkline_error_free(err);
  TRY(trunkline_datagram_bind(RT, TEXT("udp://127.0.0.1:0"), &socket, NULL));
  TRY(trunkline_datagram_socket_address(socket, &own));
  TRY(trunkline_datagram_send_to(socket, (const uint8_t *)"longer than its room", 20, &own, NULL, NEVER, NULL));
  if (trunkline_datagram_recv_from(socket, room, sizeof room, NEVER, &got, &err) == TRUNKLINE_E_UDP &&
      trunkline_error_step(err) == TRUNKLINE_STEP_READ) {
    printf("errors   read: datagram truncated, safe to retry: %s\n", retry(err));
  }
  trunkline_error_free(err);
  TRY(trunkline_datagram_free(socket));
}

static double total(const trunkline_metrics_t *metrics, const char *name) {
  double sum = 0;
  size_t i;
  for (i = 0; i < trunkline_metrics_len(metrics); i++) {
    trunkline_metric_t metric;
    char labels[256];
    TRY(trunkline_metrics_get(metrics, i, &metric));
    snprintf(labels, sizeof labels, "%.*s", (int)metric.labels.len, metric.labels.ptr);
    if (metric.name.len == strlen(name) && memcmp(metric.name.ptr, name, metric.name.len) == 0 &&
        strstr(labels, "protocol=\"udp\"") != NULL && strstr(labels, "direction=\"accepted\"") != NULL) {
      sum += metric.value;
    }
  }
  return sum;
}

/* What was opened and is not open any more was closed, in every snapshot. */
static void metrics(void) {
  trunkline_metrics_t *snapshot;
  TRY(trunkline_metrics_snapshot(RT, &snapshot, NULL));
  printf("metrics  UDP sessions opened %.0f, closed %.0f\n", total(snapshot, "trunkline_connections_opened_total"),
         total(snapshot, "trunkline_connections_closed_total"));
  trunkline_metrics_free(snapshot);
}

int main(void) {
  double tcp = tcp_manager(), udp = udp_manager();
  pool();
  errors();
  metrics();
  printf("bench    TCP %.0f and UDP %.0f round trips/s of %d bytes through a relay\n", tcp, udp, SIZE);
  return trunkline_runtime_shutdown(RT, NEVER, NULL);
}
