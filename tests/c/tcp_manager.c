/* The TCP manager: one limit, relays, counts that agree, a drain, and no descriptor left. */
#include "check.h"

#include <signal.h>
#include <sys/wait.h>

#define BAD TRUNKLINE_E_INVALID_HANDLE

/* A server that gives every byte back, one connection after the other, until its listener is freed. */
typedef struct Echo {
  trunkline_listener_t listener;
  char address[320];
  size_t length;
  pthread_t thread;
} Echo;

static void echo(trunkline_stream_t stream) {
  uint8_t bytes[1000];
  size_t n = 0;
  while (trunkline_stream_read(stream, bytes, sizeof bytes, NEVER, &n) == TRUNKLINE_OK && n > 0) {
    write_all(stream, bytes, n);
  }
  OK(trunkline_stream_free(stream));
}

static void *serve(void *argument) {
  const Echo *server = (const Echo *)argument;
  trunkline_stream_t stream;
  while (trunkline_listener_accept(server->listener, NEVER, &stream, NULL) == TRUNKLINE_OK) echo(stream);
  return NULL;
}

static void start(Echo *server, const char *address) {
  server->listener = listen_on(address);
  OK(trunkline_listener_address(server->listener, server->address, sizeof server->address, &server->length));
  CHECK(pthread_create(&server->thread, NULL, serve, server) == 0, "a thread starts");
}

static void stop(Echo *server) {
  OK(trunkline_listener_free(server->listener));
  pthread_join(server->thread, NULL);
}

static trunkline_tcp_manager_t new_manager(const char *json) {
  trunkline_tcp_manager_t manager;
  OK(trunkline_tcp_manager_new(default_runtime(), json, strlen(json), &manager, NULL));
  return manager;
}

static trunkline_tcp_manager_stats_t stats_of(trunkline_tcp_manager_t manager) {
  trunkline_tcp_manager_stats_t stats = TRUNKLINE_TCP_MANAGER_STATS_INIT;
  OK(trunkline_tcp_manager_stats(manager, &stats));
  CHECK(stats.opened - stats.closed == stats.active, "the counts agree");
  CHECK(stats.opened == stats.accepted + stats.dialled, "each connection came one way");
  return stats;
}

static trunkline_stream_t connect_text(const char *address, size_t length) {
  trunkline_stream_t stream;
  OK(trunkline_connect(default_runtime(), address, length, NEVER, &stream, NULL));
  return stream;
}

static trunkline_stream_t connect_by(trunkline_tcp_manager_t manager, const Echo *server) {
  trunkline_stream_t stream;
  OK(trunkline_tcp_manager_connect(manager, server->address, server->length, NEVER, &stream, NULL));
  return stream;
}

static void a_relay_carries_both_ways_and_counts_what_it_carried(const char *listen, const char *destination) {
  Echo server;
  char bound[320];
  size_t length = 0;
  uint64_t cut = 99;
  trunkline_tcp_manager_t manager = new_manager("");
  trunkline_tcp_manager_stats_t stats;
  trunkline_stream_t stream;
  start(&server, destination);
  OK(trunkline_tcp_manager_relay(manager, listen, strlen(listen), server.address, server.length, bound, sizeof bound,
                                 &length, NULL));
  CHECK(strlen(bound) == length, "the address is told with its length");
  stream = connect_text(bound, length);
  say(stream, "there and back");
  hears(stream, "there and back");
  do {
    /* A chunk is counted as soon as the call that passed it returns: we may be told a moment before. */
    stats = stats_of(manager);
  } while (stats.bytes_sent < 14);
  CHECK(stats.active == 1 && stats.accepted == 1 && stats.limit == 1024, "it is counted while it stands");
  CHECK(stats.bytes_received == 14 && stats.bytes_sent == 14, "bytes are counted as they pass");
  OK(trunkline_stream_shutdown(stream, TRUNKLINE_WRITABLE));
  hears_the_end(stream);
  OK(trunkline_tcp_manager_drain(manager, NEVER, &cut, NULL));
  CHECK(cut == 0, "it had finished");
  stats = stats_of(manager);
  CHECK(stats.active == 0 && stats.closed_finished == 1, "the end in order is its reason");
  OK(trunkline_stream_free(stream));
  OK(trunkline_tcp_manager_free(manager));
  stop(&server);
}

static void one_above_the_limit_is_refused_at_once_and_the_place_comes_back(void) {
  Echo server;
  trunkline_error_t *err = NULL;
  trunkline_stream_t only, other = { 1 };
  trunkline_tcp_manager_t manager = new_manager("{\"max_connections\": 1}");
  start(&server, "tcp://127.0.0.1:0");
  only = connect_by(manager, &server);
  GIVES(TRUNKLINE_E_LIMIT_EXCEEDED,
        trunkline_tcp_manager_connect(manager, server.address, server.length, NEVER, &other, &err));
  CHECK(other.h == 0, "an output is blank after a failure");
  CHECK((trunkline_error_flags(err) & TRUNKLINE_ERR_RETRYABLE) != 0, "later may work");
  trunkline_error_free(err);
  OK(trunkline_stream_free(only));
  other = connect_by(manager, &server);
  CHECK(stats_of(manager).dialled == 2, "the refused one was never opened");
  OK(trunkline_stream_free(other));
  OK(trunkline_tcp_manager_free(manager));
  stop(&server);
}

static void what_a_managers_listener_accepts_is_counted(void) {
  trunkline_tcp_manager_t manager = new_manager("");
  trunkline_listener_t listener;
  trunkline_stream_t near, far;
  OK(trunkline_tcp_manager_listen(manager, TEXT("tcp://127.0.0.1:0"), &listener, NULL));
  connected(listener, &near, &far);
  CHECK(stats_of(manager).active == 1, "it stands");
  OK(trunkline_stream_free(far));
  CHECK(stats_of(manager).closed_local == 1, "it was closed here");
  OK(trunkline_stream_free(near));
  OK(trunkline_listener_free(listener));
  OK(trunkline_tcp_manager_free(manager));
}

static void results_come_on_a_queue_too(void) {
  Echo server;
  trunkline_tcp_manager_t manager = new_manager("");
  trunkline_completion_t completion = { { 0 }, 7, NULL, NULL };
  trunkline_stream_t stream;
  trunkline_event_t event;
  trunkline_op_t op;
  start(&server, "tcp://127.0.0.1:0");
  completion.queue = new_queue();
  OK(trunkline_tcp_manager_connect_async(manager, server.address, server.length, NEVER, &completion, &op, NULL));
  event = next_event(completion.queue);
  CHECK(event.kind == TRUNKLINE_EV_CONNECTED && event.tag == 7 && event.op == op.h, "it is this connect");
  GIVES(TRUNKLINE_OK, event.status);
  stream.h = event.handle;
  say(stream, "hello");
  hears(stream, "hello");

  OK(trunkline_tcp_manager_drain_async(manager, NEVER, &completion, &op, NULL));
  OK(trunkline_op_cancel(op));
  event = next_event(completion.queue);
  GIVES(TRUNKLINE_E_CANCELLED, event.status);
  trunkline_event_dispose(&event);
  say(stream, "still here");
  hears(stream, "still here");

  OK(trunkline_tcp_manager_drain_async(manager, in_ms(20), &completion, &op, NULL));
  event = next_event(completion.queue);
  CHECK(event.kind == TRUNKLINE_EV_DRAINED && event.value == 1, "one was cut");
  CHECK(stats_of(manager).closed_drained == 1, "and is counted so");
  GIVES(TRUNKLINE_E_CLOSED, trunkline_stream_shutdown(stream, TRUNKLINE_WRITABLE));

  OK(trunkline_tcp_manager_connect_async(manager, server.address, server.length, NEVER, &completion, &op, NULL));
  event = next_event(completion.queue);
  GIVES(TRUNKLINE_E_CLOSED, event.status);
  trunkline_event_dispose(&event);
  OK(trunkline_stream_free(stream));
  OK(trunkline_cq_free(completion.queue));
  OK(trunkline_tcp_manager_free(manager));
  stop(&server);
}

static void closing_ends_everything_and_freeing_leaves_what_was_given_away(void) {
  Echo server;
  size_t length;
  uint64_t cut;
  trunkline_tcp_manager_t manager = new_manager(""), freed = new_manager("");
  trunkline_stream_t closed, kept;
  trunkline_listener_t listener;
  start(&server, "mem:given-away");
  OK(trunkline_tcp_manager_relay(manager, TEXT("tcp://127.0.0.1:0"), server.address, server.length, NULL, 0, &length,
                                 NULL));
  CHECK(length > strlen("tcp://127.0.0.1:"), "the length is told without a buffer");
  OK(trunkline_tcp_manager_listen(manager, TEXT("mem:closed-with-it"), &listener, NULL));
  closed = connect_by(manager, &server);
  say(closed, "x");
  hears(closed, "x");
  OK(trunkline_tcp_manager_close(manager));
  OK(trunkline_tcp_manager_close(manager));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_stream_shutdown(closed, TRUNKLINE_WRITABLE));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_listener_accept(listener, 0, &kept, NULL));
  GIVES(TRUNKLINE_E_CLOSED,
        trunkline_tcp_manager_connect(manager, server.address, server.length, NEVER, &kept, NULL));
  OK(trunkline_tcp_manager_drain(manager, 0, &cut, NULL));
  CHECK(cut == 0, "nothing was left to drain");

  kept = connect_by(freed, &server);
  OK(trunkline_tcp_manager_free(freed));
  say(kept, "y");
  hears(kept, "y");
  OK(trunkline_stream_free(kept));
  OK(trunkline_stream_free(closed));
  OK(trunkline_listener_free(listener));
  OK(trunkline_tcp_manager_free(manager));
  stop(&server);
}

static void wrong_arguments_are_named(void) {
  trunkline_tcp_manager_t manager;
  trunkline_tcp_manager_stats_t stats = TRUNKLINE_TCP_MANAGER_STATS_INIT;
  trunkline_error_t *err = NULL;
  char bound[128];
  size_t length;
  uint64_t cut = 99;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_tcp_manager_new(default_runtime(), TEXT("{\"max_connections\": 0}"), &manager, &err));
  CHECK(strstr(trunkline_error_message(err, NULL), "max_connections") != NULL, "the field is named");
  trunkline_error_free(err);
  CHECK(manager.h == 0, "an output is blank after a failure");

  manager = new_manager("");
#define RELAY(from, to, room) \
  trunkline_tcp_manager_relay(manager, TEXT(from), TEXT(to), bound, room, &length, NULL)
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, RELAY("mem:loop", "mem:loop", sizeof bound));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, RELAY("tcp://127.0.0.1:0", "tcp://127.0.0.1:0", sizeof bound));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, RELAY("tcp://127.0.0.1:0", "mem:x", 20));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, RELAY("nonsense", "mem:x", sizeof bound));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, RELAY("mem:x", "nonsense", sizeof bound));
  GIVES(TRUNKLINE_E_BIND_FAILED, RELAY("tcp://192.0.2.1:0", "mem:x", sizeof bound));
#undef RELAY
  stats.size = 4;
  GIVES(TRUNKLINE_E_VERSION, trunkline_tcp_manager_stats(manager, &stats));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_tcp_manager_stats(manager, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_tcp_manager_drain(manager, 0, NULL, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_tcp_manager_relay(manager, TEXT("mem:a"), TEXT("mem:b"), NULL, 0, NULL, NULL));
  OK(trunkline_tcp_manager_drain(manager, 0, &cut, NULL));
  CHECK(cut == 0, "there was nothing to cut");
  OK(trunkline_tcp_manager_free(manager));
}

/* Every call on a handle that is not good for it. */
static void every_manager_call(trunkline_tcp_manager_t manager, trunkline_status_t bad, trunkline_status_t freed) {
  trunkline_tcp_manager_stats_t stats = TRUNKLINE_TCP_MANAGER_STATS_INIT;
  trunkline_completion_t completion = { { 0 }, 0, NULL, NULL };
  trunkline_stream_t stream;
  trunkline_listener_t listener;
  trunkline_op_t op;
  trunkline_buf_t *buf;
  char bound[320];
  size_t length;
  uint64_t cut;
  GIVES(bad, trunkline_tcp_manager_reconfigure(manager, TEXT("{}"), NULL));
  GIVES(bad, trunkline_tcp_manager_live(manager, 0, 1, &buf, NULL));
  GIVES(bad, trunkline_tcp_manager_inspect(manager, 1, &buf, NULL));
  GIVES(bad, trunkline_tcp_manager_kill(manager, 1, NULL));
  GIVES(bad, trunkline_tcp_manager_connect(manager, TEXT("mem:x"), NEVER, &stream, NULL));
  GIVES(bad, trunkline_tcp_manager_connect_async(manager, TEXT("mem:x"), NEVER, &completion, &op, NULL));
  GIVES(bad, trunkline_tcp_manager_listen(manager, TEXT("mem:x"), &listener, NULL));
  GIVES(bad, trunkline_tcp_manager_relay(manager, TEXT("mem:x"), TEXT("mem:y"), bound, sizeof bound, &length, NULL));
  GIVES(bad, trunkline_tcp_manager_stats(manager, &stats));
  GIVES(bad, trunkline_tcp_manager_drain(manager, NEVER, &cut, NULL));
  GIVES(bad, trunkline_tcp_manager_drain_async(manager, NEVER, &completion, &op, NULL));
  GIVES(bad, trunkline_tcp_manager_close(manager));
  GIVES(freed, trunkline_tcp_manager_free(manager));
}

static void handles_that_are_not_good_are_refused(void) {
  trunkline_tcp_manager_t manager = new_manager(""), other = { 0 };
  trunkline_cq_t cq = new_queue();
  pid_t child;
  int status = 0;
  every_manager_call(other, BAD, BAD);
  other.h = cq.h;
  every_manager_call(other, BAD, BAD);
  OK(trunkline_cq_free(cq));
  fflush(NULL);
  child = fork();
  if (child == 0) {
    every_manager_call(manager, TRUNKLINE_E_FORKED, TRUNKLINE_OK);
    end_child();
  }
  CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0, "the child is content");
  stats_of(manager);
  OK(trunkline_tcp_manager_free(manager));
  every_manager_call(manager, BAD, BAD);
}

static trunkline_tcp_manager_t asked;
static trunkline_status_t answers[5];
static trunkline_cq_t answered;

static void asks_for_what_would_wait(void *user_data, trunkline_event_t *event) {
  trunkline_stream_t stream;
  trunkline_listener_t listener;
  size_t length;
  uint64_t cut;
  (void)user_data;
  answers[0] = trunkline_tcp_manager_connect(asked, TEXT("mem:x"), NEVER, &stream, NULL);
  answers[1] = trunkline_tcp_manager_listen(asked, TEXT("mem:x"), &listener, NULL);
  answers[2] = trunkline_tcp_manager_relay(asked, TEXT("mem:x"), TEXT("mem:y"), NULL, 0, &length, NULL);
  answers[3] = trunkline_tcp_manager_drain(asked, NEVER, &cut, NULL);
  answers[4] = trunkline_tcp_manager_close(asked);
  trunkline_event_dispose(event);
  OK(trunkline_cq_wake(answered));
}

static void a_callback_may_not_wait(void) {
  trunkline_completion_t completion = { { 0 }, 0, asks_for_what_would_wait, NULL };
  trunkline_event_t event;
  trunkline_op_t op;
  size_t n;
  int i;
  asked = new_manager("");
  answered = new_queue();
  OK(trunkline_tcp_manager_drain_async(asked, 0, &completion, &op, NULL));
  OK(trunkline_cq_wait(answered, &event, 1, NEVER, &n));
  CHECK(n == 0, "a wake brings no event");
  for (i = 0; i < 5; i++) GIVES(TRUNKLINE_E_WOULD_DEADLOCK, answers[i]);
  OK(trunkline_cq_free(answered));
  OK(trunkline_tcp_manager_free(asked));
}

static void a_runtime_that_stops_takes_its_managers_along(void) {
  trunkline_runtime_t rt;
  trunkline_tcp_manager_t manager;
  trunkline_stream_t stream, other;
  char bound[320];
  size_t length;
  Echo server;
  start(&server, "mem:outlives");
  OK(trunkline_runtime_new(NULL, &rt, NULL));
  OK(trunkline_tcp_manager_new(rt, NULL, 0, &manager, NULL));
  OK(trunkline_tcp_manager_relay(manager, TEXT("tcp://127.0.0.1:0"), server.address, server.length, bound,
                                 sizeof bound, &length, NULL));
  stream = connect_text(bound, length);
  say(stream, "x");
  hears(stream, "x");
  OK(trunkline_runtime_shutdown(rt, NEVER, NULL));
  hears_the_end(stream);
  GIVES(TRUNKLINE_E_CLOSED, trunkline_tcp_manager_connect(manager, TEXT("mem:x"), NEVER, &other, NULL));
  OK(trunkline_tcp_manager_close(manager));
  CHECK(stats_of(manager).closed_cancelled == 1, "it was cut with the runtime");
  OK(trunkline_tcp_manager_free(manager));
  OK(trunkline_runtime_free(rt));
  OK(trunkline_stream_free(stream));
  stop(&server);
}

static void hundreds_of_managers_leave_descriptors_and_threads_where_they_were(void) {
  Echo server;
  int descriptors, threads, i;
  start(&server, "tcp://127.0.0.1:0");
  wait_once(default_runtime());
  descriptors = entries("fd");
  threads = entries("task");
  for (i = 0; i < 200; i++) {
    char bound[320];
    size_t length;
    trunkline_tcp_manager_t manager = new_manager("");
    trunkline_stream_t stream;
    OK(trunkline_tcp_manager_relay(manager, TEXT("tcp://127.0.0.1:0"), server.address, server.length, bound,
                                   sizeof bound, &length, NULL));
    stream = connect_text(bound, length);
    say(stream, "x");
    hears(stream, "x");
    OK(trunkline_stream_free(stream));
    if (i % 2 == 0) OK(trunkline_tcp_manager_close(manager));
    OK(trunkline_tcp_manager_free(manager));
  }
  /* The thread that serves may have made the two that it waits with. */
  while (entries("fd") > descriptors + 2) sched_yield();
  settles_at("task", threads);
  stop(&server);
}

/* Two backends that say their name, chosen by what the client says; the rest is turned away. */
static const char DOCUMENT[] =
    "{\"listeners\": {\"in\": {\"address\": \"tcp://127.0.0.1:0\", \"proxy_protocol\": {\"mode\": \"optional\","
    "                                \"trusted\": [\"127.0.0.0/8\"]}}},"
    " \"routes\": [{\"host\": \"*.a.example\", \"backend\": \"a\"}, {\"source\": \"192.0.2.0/24\", \"backend\": \"b\"}],"
    " \"backends\": {\"a\": {\"endpoints\": [{\"address\": \"mem:nobody\"}, {\"address\": \"mem:a\"}],"
    "                     \"balance\": {\"policy\": \"round_robin\"}},"
    "                \"b\": {\"endpoints\": [{\"address\": \"mem:b\"}], \"send_proxy_protocol\": \"v1\"}}}";

static void a_document_says_where_to_listen_and_where_connections_go(void) {
  trunkline_listener_t a = listen_on("mem:a"), b = listen_on("mem:b");
  trunkline_tcp_manager_t manager = new_manager(DOCUMENT);
  trunkline_tcp_manager_stats_t stats = TRUNKLINE_TCP_MANAGER_STATS_INIT;
  trunkline_stream_t client, server;
  trunkline_buf_t *bound = NULL;
  char address[128], expected[160];
  uint8_t byte;
  size_t length = 0, n;
  GIVES(TRUNKLINE_E_NOT_FOUND,
        trunkline_tcp_manager_listener_address(manager, TEXT("in"), address, sizeof address, &length));
  OK(trunkline_tcp_manager_start(manager, &bound, NULL));
  OK(trunkline_tcp_manager_listener_address(manager, TEXT("in"), address, sizeof address, &length));
  snprintf(expected, sizeof expected, "{\"in\":\"%s\"}", address);
  trunkline_buf_data(bound, &n);
  CHECK(n == strlen(expected) && memcmp(trunkline_buf_data(bound, NULL), expected, n) == 0, "each listener by its name");
  trunkline_buf_free(bound);
  GIVES(TRUNKLINE_E_NOT_FOUND, trunkline_tcp_manager_listener_address(manager, TEXT("out"), address, sizeof address, &n));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_tcp_manager_start(manager, &bound, NULL));
  CHECK(bound == NULL, "it starts once");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_tcp_manager_start(manager, NULL, NULL));

  OK(trunkline_tcp_manager_listener_address(manager, TEXT("in"), address, sizeof address, &length));
  OK(trunkline_connect(default_runtime(), address, length, NEVER, &client, NULL));
  say(client, "GET / HTTP/1.1\r\nHost: x.a.example\r\n");
  OK(trunkline_listener_accept(a, NEVER, &server, NULL));
  hears(server, "GET / HTTP/1.1\r\nHost: x.a.example\r\n");
  OK(trunkline_stream_free(client));
  OK(trunkline_stream_free(server));

  OK(trunkline_connect(default_runtime(), address, length, NEVER, &client, NULL));
  say(client, "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\nhello");
  OK(trunkline_listener_accept(b, NEVER, &server, NULL));
  hears(server, "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\nhello");
  OK(trunkline_stream_free(client));
  OK(trunkline_stream_free(server));

  OK(trunkline_connect(default_runtime(), address, length, NEVER, &client, NULL));
  say(client, "no route");
  GIVES(TRUNKLINE_E_BROKEN, trunkline_stream_read(client, &byte, 1, NEVER, &n));
  OK(trunkline_stream_free(client));
  do {
    sched_yield();
    OK(trunkline_tcp_manager_stats(manager, &stats));
  } while (stats.active > 0);
  CHECK(stats.closed_refused == 1 && stats.opened == 3, "what no route takes is refused");
  OK(trunkline_tcp_manager_free(manager));
  OK(trunkline_listener_free(a));
  OK(trunkline_listener_free(b));
}

/* The kernel moves bulk from socket to socket, by a call that would raise SIGPIPE where a peer has gone. */
static void bulk_is_spliced_and_a_peer_that_has_gone_raises_no_signal(void) {
  trunkline_tcp_manager_t manager = new_manager("{\"splice\": {\"after\": 0, \"max_pipes\": 4, \"pipe_size\": 65536}}");
  trunkline_tcp_manager_stats_t stats = TRUNKLINE_TCP_MANAGER_STATS_INIT;
  trunkline_listener_t listener;
  static uint8_t bulk[65536];
  char path[128], bound[320];
  size_t length, n;
  int i;
  CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR, "the default action is to die");
  snprintf(path, sizeof path, "unix:/tmp/trunkline-gone-%ld.sock", (long)getpid());
  OK(trunkline_listen(default_runtime(), path, strlen(path), NULL, &listener, NULL));
  OK(trunkline_tcp_manager_relay(manager, TEXT("tcp://127.0.0.1:0"), path, strlen(path), bound, sizeof bound, &length,
                                 NULL));
  for (i = 0; i < 20; i++) {
    trunkline_stream_t client = connect_text(bound, length), server;
    trunkline_bytes_t iov = { bulk, sizeof bulk };
    trunkline_status_t status;
    size_t got = 0;
    OK(trunkline_listener_accept(listener, NEVER, &server, NULL));
    while (got < 4 * sizeof bulk) {
      static uint8_t room[65536];
      OK(trunkline_stream_write(client, &iov, 1, NEVER, &n));
      OK(trunkline_stream_read(server, room, sizeof room, NEVER, &n));
      got += n;
    }
    OK(trunkline_stream_free(server));
    do {
      status = trunkline_stream_write(client, &iov, 1, NEVER, &n);
    } while (status == TRUNKLINE_OK);
    GIVES(TRUNKLINE_E_BROKEN, status);
    OK(trunkline_stream_free(client));
  }
  do {
    sched_yield();
    OK(trunkline_tcp_manager_stats(manager, &stats));
  } while (stats.active > 0);
  CHECK(stats.bytes_spliced > 0, "the kernel moved some of it");
  CHECK(stats.closed_reset == 20, "each of them was told");
  OK(trunkline_tcp_manager_free(manager));
  OK(trunkline_listener_free(listener));
}

/* The page of the connections with a number above `after`, as text. */
static const char *page(trunkline_tcp_manager_t manager, uint64_t after, size_t max) {
  static char text[4096];
  trunkline_buf_t *list;
  const uint8_t *data;
  size_t n;
  OK(trunkline_tcp_manager_live(manager, after, max, &list, NULL));
  data = trunkline_buf_data(list, &n);
  CHECK(n < sizeof text, "it fits");
  memcpy(text, data, n);
  text[n] = '\0';
  trunkline_buf_free(list);
  return text;
}

/* The number after `key` in a page. */
static uint64_t number(const char *text, const char *key) {
  const char *found = strstr(text, key);
  CHECK(found != NULL, "it is told");
  return strtoull(found + strlen(key), NULL, 10);
}

static void connections_are_listed_looked_at_and_killed_by_number(void) {
  trunkline_tcp_manager_t manager = new_manager("");
  trunkline_listener_t listener = listen_on("mem:c-live");
  trunkline_stream_t client, server, held;
  trunkline_buf_t *one;
  trunkline_error_t *err = NULL;
  const uint8_t *data;
  char bound[320];
  size_t length, n;
  uint8_t byte;
  uint64_t id, other;
  OK(trunkline_tcp_manager_relay(manager, TEXT("tcp://127.0.0.1:0"), TEXT("mem:c-live"), bound, sizeof bound, &length,
                                 NULL));
  client = connect_text(bound, length);
  say(client, "hello");
  OK(trunkline_listener_accept(listener, NEVER, &server, NULL));
  hears(server, "hello");
  OK(trunkline_tcp_manager_connect(manager, TEXT("mem:c-live"), NEVER, &held, NULL));
  while (strstr(page(manager, 0, 1), "\"state\":\"relaying\"") == NULL) sched_yield();
  id = number(page(manager, 0, 1), "\"id\":");
  CHECK(number(page(manager, 0, 1), "\"bytes_received\":") == 5, "with its counts");
  CHECK(strstr(page(manager, 0, 1), "\"destination\":\"mem:c-live\"") != NULL, "and where it goes");
  other = number(page(manager, id, 10), "\"id\":");
  CHECK(other > id && strstr(page(manager, id, 10), "\"state\":\"held\"") != NULL, "the next page has the other");
  CHECK(strcmp(page(manager, other, 10), "[]") == 0, "and that was all");
  OK(trunkline_tcp_manager_inspect(manager, other, &one, NULL));
  data = trunkline_buf_data(one, &n);
  CHECK(n > 0 && data[0] == '{', "one is an object");
  trunkline_buf_free(one);
  OK(trunkline_tcp_manager_kill(manager, id, NULL));
  GIVES(TRUNKLINE_OK, trunkline_stream_read(server, &byte, 1, NEVER, &n));
  CHECK(n == 0, "both sides end");
  hears_the_end(client);
  while (stats_of(manager).active != 1) sched_yield();
  CHECK(stats_of(manager).closed_killed == 1, "for a reason of its own");
  GIVES(TRUNKLINE_E_NOT_FOUND, trunkline_tcp_manager_kill(manager, id, &err));
  CHECK(strstr(trunkline_error_message(err, NULL), "number") != NULL, "the message says what is missing");
  trunkline_error_free(err);
  one = (trunkline_buf_t *)&n;
  GIVES(TRUNKLINE_E_NOT_FOUND, trunkline_tcp_manager_inspect(manager, id, &one, NULL));
  CHECK(one == NULL, "an output is blank after a failure");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_tcp_manager_live(manager, 0, 0, &one, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_tcp_manager_live(manager, 0, 10001, &one, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_tcp_manager_live(manager, 0, 1, NULL, NULL));
  OK(trunkline_tcp_manager_kill(manager, other, NULL));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_stream_read(held, &byte, 1, NEVER, &n));
  OK(trunkline_stream_free(held));
  OK(trunkline_stream_free(client));
  OK(trunkline_stream_free(server));
  OK(trunkline_listener_free(listener));
  OK(trunkline_tcp_manager_free(manager));
}

static void a_connection_ends_at_its_maximum_and_is_no_faster_than_it_may(void) {
  trunkline_tcp_manager_t manager =
      new_manager("{\"max_duration\": \"1s\", \"bandwidth\": {\"to_server\": 50000, \"burst\": 1000}}");
  trunkline_tcp_manager_stats_t stats;
  trunkline_listener_t listener = listen_on("mem:c-limited");
  trunkline_stream_t client, server;
  trunkline_bytes_t iov;
  static uint8_t bulk[100000];
  char bound[320];
  size_t length, n;
  OK(trunkline_tcp_manager_relay(manager, TEXT("tcp://127.0.0.1:0"), TEXT("mem:c-limited"), bound, sizeof bound, &length,
                                 NULL));
  client = connect_text(bound, length);
  OK(trunkline_listener_accept(listener, NEVER, &server, NULL));
  iov.ptr = bulk;
  iov.len = sizeof bulk;
  OK(trunkline_stream_write(client, &iov, 1, NEVER, &n));
  do {
    sched_yield();
    stats = stats_of(manager);
  } while (stats.closed_max_duration == 0);
  CHECK(stats.active == 0 && stats.closed == 1, "for a reason of its own");
  CHECK(stats.bytes_received < sizeof bulk, "a second is too short for two seconds' worth");
  OK(trunkline_stream_free(client));
  OK(trunkline_stream_free(server));
  OK(trunkline_listener_free(listener));
  OK(trunkline_tcp_manager_free(manager));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_tcp_manager_new(default_runtime(), TEXT("{\"bandwidth\": {\"to_client\": 0}}"), &manager, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_tcp_manager_new(default_runtime(), TEXT("{\"max_duration\": \"0s\"}"), &manager, NULL));
}

/* A document that leads all that comes to `in` to one name. */
static const char *leading_to(const char *name) {
  static char text[512];
  snprintf(text, sizeof text,
           "{\"listeners\": {\"in\": {\"address\": \"tcp://127.0.0.1:0\"}}, \"default_backend\": \"all\","
           " \"backends\": {\"all\": {\"endpoints\": [{\"address\": \"mem:%s\"}]}}}",
           name);
  return text;
}

static void reconfigure(trunkline_tcp_manager_t manager, const char *json) {
  OK(trunkline_tcp_manager_reconfigure(manager, json, strlen(json), NULL));
}

static void another_document_takes_hold_and_what_stands_stays(void) {
  trunkline_listener_t one = listen_on("mem:c-one"), two = listen_on("mem:c-two");
  trunkline_tcp_manager_t manager = new_manager(leading_to("c-one"));
  trunkline_stream_t first, first_server, second, second_server;
  trunkline_buf_t *bound;
  trunkline_error_t *err = NULL;
  char address[128];
  size_t length;
  OK(trunkline_tcp_manager_start(manager, &bound, NULL));
  trunkline_buf_free(bound);
  OK(trunkline_tcp_manager_listener_address(manager, TEXT("in"), address, sizeof address, &length));
  first = connect_text(address, length);
  OK(trunkline_listener_accept(one, NEVER, &first_server, NULL));
  reconfigure(manager, leading_to("c-two"));
  second = connect_text(address, length);
  OK(trunkline_listener_accept(two, NEVER, &second_server, NULL));
  say(first, "stays");
  hears(first_server, "stays");
  say(second, "goes where it is led");
  hears(second_server, "goes where it is led");
#define REFUSED(json, field) \
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_tcp_manager_reconfigure(manager, TEXT(json), &err)); \
  CHECK(strstr(trunkline_error_message(err, NULL), field) != NULL, "the field is named"); \
  trunkline_error_free(err)
  REFUSED("{\"max_connections\": 0}", "max_connections");
  REFUSED("{\"tcp\": {\"backlog\": 0}}", "tcp.backlog");
  REFUSED("", "listeners.in");
#undef REFUSED
  CHECK(stats_of(manager).active == 2 && stats_of(manager).closed == 0, "nothing was dropped");
  OK(trunkline_stream_free(first));
  OK(trunkline_stream_free(first_server));
  OK(trunkline_stream_free(second));
  OK(trunkline_stream_free(second_server));
  OK(trunkline_tcp_manager_close(manager));
  GIVES(TRUNKLINE_E_CLOSED,
        trunkline_tcp_manager_reconfigure(manager, leading_to("c-one"), strlen(leading_to("c-one")), NULL));
  OK(trunkline_tcp_manager_free(manager));
  OK(trunkline_listener_free(one));
  OK(trunkline_listener_free(two));
}

/* A backend of one place at the address `in`, for one client of each network. */
static const char LIMITED[] =
    "{\"listeners\": {\"in\": {\"address\": \"tcp://127.0.0.1:0\", \"max_connections\": 3,"
    "                         \"proxy_protocol\": {\"mode\": \"optional\", \"trusted\": [\"127.0.0.0/8\"], \"timeout\": \"1h\"}}},"
    " \"per_source\": {\"max_connections\": 1}, \"default_backend\": \"one\","
    " \"backends\": {\"one\": {\"endpoints\": [{\"address\": \"mem:c-places\"}], \"max_connections\": 1,"
    "                       \"queue\": {\"max_waiting\": 1, \"timeout\": \"1h\"}}}}";

static trunkline_stream_t announced(const char *address, size_t length, const char *source) {
  char text[128];
  trunkline_stream_t client = connect_text(address, length);
  snprintf(text, sizeof text, "PROXY TCP4 %s 198.51.100.1 4711 443\r\nhello", source);
  say(client, text);
  return client;
}

static void is_reset(trunkline_stream_t client) {
  uint8_t byte;
  size_t n;
  GIVES(TRUNKLINE_E_BROKEN, trunkline_stream_read(client, &byte, 1, NEVER, &n));
  OK(trunkline_stream_free(client));
}

static void a_full_backend_makes_clients_wait_and_each_refusal_has_its_reason(void) {
  trunkline_listener_t behind = listen_on("mem:c-places");
  trunkline_tcp_manager_t manager = new_manager(LIMITED);
  trunkline_stream_t first, server, second;
  trunkline_buf_t *bound;
  char address[128];
  size_t length;
  uint64_t cut;
  OK(trunkline_tcp_manager_start(manager, &bound, NULL));
  trunkline_buf_free(bound);
  OK(trunkline_tcp_manager_listener_address(manager, TEXT("in"), address, sizeof address, &length));
  first = announced(address, length, "192.0.2.1");
  OK(trunkline_listener_accept(behind, NEVER, &server, NULL));
  hears(server, "hello");
  is_reset(announced(address, length, "192.0.2.1"));
  while (stats_of(manager).closed_source_limit != 1) sched_yield();

  second = announced(address, length, "192.0.2.2");
  while (stats_of(manager).waiting != 1) sched_yield();
  CHECK(strstr(page(manager, 0, 10), "\"state\":\"waiting\"") != NULL, "it is seen to wait");
  CHECK(stats_of(manager).active == 2, "and counts while it does");
  is_reset(announced(address, length, "192.0.2.3"));
  while (stats_of(manager).closed_backend_full != 1) sched_yield();

  OK(trunkline_stream_free(first));
  OK(trunkline_stream_free(server));
  OK(trunkline_listener_accept(behind, NEVER, &server, NULL));
  hears(server, "hello");
  CHECK(stats_of(manager).waiting == 0, "its turn has come");

  first = announced(address, length, "192.0.2.4");
  while (stats_of(manager).waiting != 1) sched_yield();
  OK(trunkline_tcp_manager_drain(manager, 0, &cut, NULL));
  CHECK(cut == 2 && stats_of(manager).closed_drained == 2, "a drain ends a wait");
  is_reset(first);
  OK(trunkline_stream_free(second));
  OK(trunkline_stream_free(server));
  OK(trunkline_tcp_manager_free(manager));
  OK(trunkline_listener_free(behind));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_tcp_manager_new(default_runtime(), TEXT("{\"per_source\": {\"max_connections\": 0}}"), &manager, NULL));
}

static void who_waits_too_long_is_told_so(void) {
  trunkline_listener_t behind = listen_on("mem:c-too-long");
  trunkline_tcp_manager_t manager = new_manager(
      "{\"listeners\": {\"in\": {\"address\": \"tcp://127.0.0.1:0\","
      "   \"proxy_protocol\": {\"mode\": \"optional\", \"trusted\": [\"127.0.0.0/8\"], \"timeout\": \"1h\"}}},"
      " \"default_backend\": \"one\", \"backends\": {\"one\": {\"endpoints\": [{\"address\": \"mem:c-too-long\"}],"
      "   \"max_connections\": 1, \"queue\": {\"timeout\": \"1ms\"}}}}");
  trunkline_stream_t first, server;
  trunkline_buf_t *bound;
  char address[128];
  size_t length;
  OK(trunkline_tcp_manager_start(manager, &bound, NULL));
  trunkline_buf_free(bound);
  OK(trunkline_tcp_manager_listener_address(manager, TEXT("in"), address, sizeof address, &length));
  first = announced(address, length, "192.0.2.1");
  OK(trunkline_listener_accept(behind, NEVER, &server, NULL));
  /* Its header is read before it waits: it has been connected, and has said it, by the time it is reset. */
  is_reset(announced(address, length, "192.0.2.1"));
  while (stats_of(manager).closed_queue_timeout != 1) sched_yield();
  OK(trunkline_stream_free(first));
  OK(trunkline_stream_free(server));
  OK(trunkline_tcp_manager_free(manager));
  OK(trunkline_listener_free(behind));
}

int main(void) {
  begin();
  a_relay_carries_both_ways_and_counts_what_it_carried("tcp://127.0.0.1:0", "tcp://127.0.0.1:0");
  a_relay_carries_both_ways_and_counts_what_it_carried("tcp://localhost:0", "mem:echo");
  a_relay_carries_both_ways_and_counts_what_it_carried("mem:front", "tcp://[::1]:0");
  one_above_the_limit_is_refused_at_once_and_the_place_comes_back();
  what_a_managers_listener_accepts_is_counted();
  results_come_on_a_queue_too();
  closing_ends_everything_and_freeing_leaves_what_was_given_away();
  wrong_arguments_are_named();
  handles_that_are_not_good_are_refused();
  a_callback_may_not_wait();
  a_runtime_that_stops_takes_its_managers_along();
  hundreds_of_managers_leave_descriptors_and_threads_where_they_were();
  a_document_says_where_to_listen_and_where_connections_go();
  bulk_is_spliced_and_a_peer_that_has_gone_raises_no_signal();
  connections_are_listed_looked_at_and_killed_by_number();
  a_connection_ends_at_its_maximum_and_is_no_faster_than_it_may();
  another_document_takes_hold_and_what_stands_stays();
  a_full_backend_makes_clients_wait_and_each_refusal_has_its_reason();
  who_waits_too_long_is_told_so();
  leave();
  return 0;
}
