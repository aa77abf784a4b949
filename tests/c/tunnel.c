/* Agent and hub: a service behind a tunnel, forwards, targets, who is let in, limits, drains, and no descriptor left. */
#include "check.h"

#include <sys/wait.h>

#define BAD TRUNKLINE_E_INVALID_HANDLE
#define TOKEN "a token that is long enough"

static trunkline_hub_t new_hub(const char *more) {
  char json[512];
  trunkline_hub_t hub;
  int length = snprintf(json, sizeof json, "{\"agents\": {\"c1\": [\"" TOKEN "\"]}%s}", more);
  OK(trunkline_hub_new(default_runtime(), json, (size_t)length, &hub, NULL));
  return hub;
}

typedef struct Place {
  char text[320];
  size_t length;
} Place;

static Place listening(trunkline_hub_t hub, const char *address) {
  Place place;
  OK(trunkline_hub_listen(hub, address, strlen(address), place.text, sizeof place.text, &place.length, NULL));
  CHECK(strlen(place.text) == place.length, "the address is told with its length");
  return place;
}

static trunkline_agent_t new_agent(const Place *hub, const char *token, const char *more) {
  char json[1024];
  trunkline_agent_t agent;
  int length = snprintf(json, sizeof json, "{\"cluster\": \"c1\", \"token\": \"%s\", \"hubs\": [\"%s\"]%s}", token,
                        hub->text, more);
  OK(trunkline_agent_new(default_runtime(), json, (size_t)length, &agent, NULL));
  return agent;
}

static trunkline_agent_t ready_agent(const Place *hub, const char *more) {
  trunkline_agent_t agent = new_agent(hub, TOKEN, more);
  OK(trunkline_agent_wait_ready(agent, in_ms(20000), NULL));
  return agent;
}

static trunkline_agent_stats_t agent_stats(trunkline_agent_t agent) {
  trunkline_agent_stats_t stats = TRUNKLINE_AGENT_STATS_INIT;
  OK(trunkline_agent_stats(agent, &stats));
  CHECK(stats.opened - stats.closed == stats.active, "the counts agree");
  return stats;
}

static trunkline_hub_stats_t hub_stats(trunkline_hub_t hub) {
  trunkline_hub_stats_t stats = TRUNKLINE_HUB_STATS_INIT;
  OK(trunkline_hub_stats(hub, &stats));
  CHECK(stats.opened - stats.closed == stats.active, "the counts agree");
  return stats;
}

static trunkline_stream_t dialled(trunkline_hub_t hub) {
  trunkline_stream_t stream;
  OK(trunkline_hub_dial(hub, TEXT("c1"), NULL, 0, NEVER, &stream, NULL));
  return stream;
}

static trunkline_stream_t accepted(trunkline_listener_t listener) {
  trunkline_stream_t stream;
  OK(trunkline_listener_accept(listener, in_ms(20000), &stream, NULL));
  return stream;
}

static void a_service_behind_a_tunnel_is_reached_over(const char *address, int packets) {
  trunkline_hub_t hub = new_hub(packets ? ", \"carriers\": [\"packet\"]" : "");
  Place at = listening(hub, address);
  trunkline_agent_t agent = ready_agent(&at, packets ? ", \"carrier\": \"packet\"" : "");
  trunkline_listener_t listener;
  trunkline_stream_t user, served;
  trunkline_stream_stats_t stats = TRUNKLINE_STREAM_STATS_INIT;
  char text[64];
  size_t length;
  uint64_t cut = 99;
  OK(trunkline_agent_listener(agent, &listener, NULL));
  OK(trunkline_listener_address(listener, text, sizeof text, &length));
  CHECK(strcmp(text, "tunnel:c1") == 0, "the listener is the cluster's");
  user = dialled(hub);
  served = accepted(listener);
  say(user, "question");
  hears(served, "question");
  OK(trunkline_stream_shutdown(user, TRUNKLINE_WRITABLE));
  hears_the_end(served);
  say(served, "answer");
  OK(trunkline_stream_stats(served, &stats));
  CHECK(stats.protocol == TRUNKLINE_PROTOCOL_TUNNEL, "it came through a tunnel");
  OK(trunkline_stream_free(served));
  hears(user, "answer");
  hears_the_end(user);
  OK(trunkline_stream_free(user));
  CHECK(hub_stats(hub).clusters == 1 && hub_stats(hub).links == 1, "the agent is known");
  OK(trunkline_hub_drain(hub, NEVER, &cut, NULL));
  CHECK(cut == 0, "nothing was left");
  OK(trunkline_agent_drain(agent, NEVER, &cut, NULL));
  CHECK(cut == 0 && agent_stats(agent).closed == 1, "it had finished");
  OK(trunkline_listener_free(listener));
  OK(trunkline_agent_free(agent));
  OK(trunkline_hub_free(hub));
}

static void a_forward_leads_to_the_agents_own_choice_and_a_target_to_what_it_lists(void) {
  trunkline_hub_t hub = new_hub("");
  Place at = listening(hub, "mem:c-hub"), front, odd;
  trunkline_listener_t app = listen_on("mem:c-app"), other = listen_on("mem:c-other");
  trunkline_agent_t agent = ready_agent(&at, ", \"forward\": \"mem:c-app\", \"targets\": [\"mem:c-other\"]");
  trunkline_stream_t client, server;
  trunkline_error_t *err = NULL;
  OK(trunkline_hub_forward(hub, TEXT("tcp://127.0.0.1:0"), TEXT("c1"), NULL, 0, front.text, sizeof front.text,
                           &front.length, NULL));
  OK(trunkline_connect(default_runtime(), front.text, front.length, NEVER, &client, NULL));
  server = accepted(app);
  say(client, "through");
  hears(server, "through");
  OK(trunkline_stream_free(server));
  OK(trunkline_stream_free(client));

  OK(trunkline_hub_dial(hub, TEXT("c1"), TEXT("mem:c-other"), NEVER, &client, NULL));
  server = accepted(other);
  say(server, "listed");
  hears(client, "listed");
  OK(trunkline_stream_free(server));
  OK(trunkline_stream_free(client));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_hub_dial(hub, TEXT("c1"), TEXT("mem:c-hub"), NEVER, &client, &err));
  CHECK(strstr(trunkline_error_message(err, NULL), "does not allow") != NULL, "the agent's own list counts");
  CHECK(client.h == 0, "an output is blank after a failure");
  trunkline_error_free(err);
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_hub_forward(hub, TEXT("tcp://0.0.0.0:0"), TEXT("c1"), NULL, 0, odd.text, sizeof odd.text, &odd.length,
                              NULL));
  OK(trunkline_listener_free(app));
  OK(trunkline_listener_free(other));
  OK(trunkline_agent_free(agent));
  OK(trunkline_hub_free(hub));
}

static trunkline_memory_comm_stats_t comm_stats(trunkline_agent_t agent) {
  trunkline_memory_comm_stats_t stats = TRUNKLINE_MEMORY_COMM_STATS_INIT;
  OK(trunkline_agent_memory_comm_stats(agent, &stats));
  CHECK(stats.memory_opened - stats.memory_closed == stats.memory_active, "the counts of memory agree");
  CHECK(stats.socket_opened - stats.socket_closed == stats.socket_active, "the counts of the socket agree");
  return stats;
}

/* An accept loop of the host, on one thread: gives each connection's bytes back until it ends. */
static void *a_host_that_echoes(void *of) {
  trunkline_listener_t listener = *(trunkline_listener_t *)of;
  trunkline_stream_t served;
  while (trunkline_listener_accept(listener, NEVER, &served, NULL) == TRUNKLINE_OK) {
    uint8_t text[512];
    size_t n;
    while (trunkline_stream_read(served, text, sizeof text, NEVER, &n) == TRUNKLINE_OK && n > 0) {
      trunkline_bytes_t part;
      size_t written;
      for (part.ptr = text, part.len = n; part.len > 0; part.ptr += written, part.len -= written)
        if (trunkline_stream_write(served, &part, 1, NEVER, &written) != TRUNKLINE_OK) break;
    }
    OK(trunkline_stream_free(served));
  }
  return NULL;
}

static void a_host_serves_by_memory_or_over_a_socket_as_it_likes(void) {
  trunkline_hub_t hub = new_hub("");
  Place at = listening(hub, "mem:c-comm");
  trunkline_agent_t agent = ready_agent(&at, ", \"memory_comm\": {\"buffer_size\": 4096}");
  trunkline_agent_t plain;
  trunkline_listener_t listener;
  trunkline_memory_comm_stats_t stats;
  trunkline_error_t *err = NULL;
  pthread_t host;
  int i;
  OK(trunkline_agent_listener(agent, &listener, NULL));
  CHECK(pthread_create(&host, NULL, a_host_that_echoes, &listener) == 0, "a thread");
  for (i = 0; i < 8; i++) {
    trunkline_stream_t user;
    if (i == 2) OK(trunkline_agent_use_memory_comm(agent, 0.5, NULL));
    if (i == 6) OK(trunkline_agent_use_memory_comm(agent, 1.0, NULL));
    user = dialled(hub);
    say(user, "there and back");
    hears(user, "there and back");
    OK(trunkline_stream_shutdown(user, TRUNKLINE_WRITABLE));
    hears_the_end(user);
    OK(trunkline_stream_free(user));
  }
  stats = comm_stats(agent);
  CHECK(stats.socket_opened == 4 && stats.memory_opened == 4, "each way has its share");
  CHECK(stats.memory_share == 1.0 && stats.socket_fallbacks + stats.memory_fallbacks == 0, "as it was asked for");
  while (stats.memory_active + stats.socket_active > 0) {
    sched_yield();
    stats = comm_stats(agent);
  }
  CHECK(stats.memory_bytes_sent == 4 * 14 && stats.socket_bytes_received == 4 * 14, "the bytes of each");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_agent_use_memory_comm(agent, 1.5, &err));
  CHECK(strstr(trunkline_error_message(err, NULL), "within 0 and 1") != NULL, "a share is a share");
  trunkline_error_free(err);
  plain = ready_agent(&at, "");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_agent_use_memory_comm(plain, 1.0, NULL));
  CHECK(comm_stats(plain).socket_opened == 0, "nothing went any way");
  OK(trunkline_agent_free(plain));
  OK(trunkline_agent_close(agent));
  CHECK(pthread_join(host, NULL) == 0, "the loop ends with the agent");
  OK(trunkline_listener_free(listener));
  OK(trunkline_agent_free(agent));
  OK(trunkline_hub_free(hub));
}

static void an_agent_of_another_carrier_is_not_let_in_and_hears_why(void) {
  trunkline_hub_t hub = new_hub(", \"carriers\": [\"packet\"]");
  Place at = listening(hub, "mem:c-carrier");
  trunkline_agent_t agent = new_agent(&at, TOKEN, "");
  trunkline_error_t *err = NULL;
  const trunkline_error_t *why;
  while (agent_stats(agent).links_failed == 0) sched_yield();
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_agent_wait_ready(agent, in_ms(10), &err));
  for (why = err; why != NULL; why = trunkline_error_cause(why))
    if (strstr(trunkline_error_message(why, NULL), "takes no agents of the native carrier") != NULL) break;
  CHECK(why != NULL, "it is told why");
  trunkline_error_free(err);
  CHECK(hub_stats(hub).links_opened == 0, "no other carrier was tried");
  OK(trunkline_agent_free(agent));
  OK(trunkline_hub_free(hub));
}

static void who_does_not_prove_its_name_is_not_let_in_and_hears_why(void) {
  trunkline_hub_t hub = new_hub("");
  Place at = listening(hub, "mem:c-door");
  trunkline_agent_t agent = new_agent(&at, "another token, long enough", "");
  trunkline_error_t *err = NULL;
  trunkline_stream_t stream;
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_agent_wait_ready(agent, 0, NULL));
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_agent_wait_ready(agent, in_ms(100), &err));
  trunkline_error_free(err);
  while (hub_stats(hub).links_refused == 0) sched_yield();
  CHECK(hub_stats(hub).links == 0 && agent_stats(agent).links == 0, "it is not let in");
  GIVES(TRUNKLINE_E_CONNECTION_FAILED, trunkline_hub_dial(hub, TEXT("c1"), NULL, 0, NEVER, &stream, &err));
  CHECK((trunkline_error_flags(err) & TRUNKLINE_ERR_RETRYABLE) != 0, "later may work");
  trunkline_error_free(err);
  OK(trunkline_agent_close(agent));
  OK(trunkline_agent_close(agent));
  OK(trunkline_agent_free(agent));
  OK(trunkline_hub_free(hub));
}

static void results_come_on_a_queue_too(void) {
  trunkline_hub_t hub = new_hub(", \"max_connections\": 1");
  Place at = listening(hub, "mem:c-queue");
  trunkline_agent_t agent = new_agent(&at, TOKEN, "");
  trunkline_listener_t listener;
  trunkline_completion_t completion = { { 0 }, 7, NULL, NULL };
  trunkline_stream_t stream, served;
  trunkline_event_t event;
  trunkline_op_t op;
  completion.queue = new_queue();
  OK(trunkline_agent_wait_ready_async(agent, NEVER, &completion, &op, NULL));
  event = next_event(completion.queue);
  CHECK(event.kind == TRUNKLINE_EV_DONE && event.tag == 7 && event.op == op.h, "it is this wait");
  GIVES(TRUNKLINE_OK, event.status);
  OK(trunkline_agent_listener(agent, &listener, NULL));
  OK(trunkline_hub_dial_async(hub, TEXT("c1"), NULL, 0, NEVER, &completion, &op, NULL));
  event = next_event(completion.queue);
  CHECK(event.kind == TRUNKLINE_EV_CONNECTED && event.op == op.h, "it is this dial");
  GIVES(TRUNKLINE_OK, event.status);
  stream.h = event.handle;
  served = accepted(listener);
  OK(trunkline_hub_dial_async(hub, TEXT("c1"), NULL, 0, NEVER, &completion, &op, NULL));
  event = next_event(completion.queue);
  GIVES(TRUNKLINE_E_LIMIT_EXCEEDED, event.status);
  trunkline_event_dispose(&event);

  OK(trunkline_agent_drain_async(agent, NEVER, &completion, &op, NULL));
  OK(trunkline_op_cancel(op));
  event = next_event(completion.queue);
  GIVES(TRUNKLINE_E_CANCELLED, event.status);
  trunkline_event_dispose(&event);
  say(stream, "still here");
  hears(served, "still here");
  OK(trunkline_hub_drain_async(hub, in_ms(20), &completion, &op, NULL));
  event = next_event(completion.queue);
  CHECK(event.kind == TRUNKLINE_EV_DRAINED && event.value == 1, "one was cut");
  GIVES(TRUNKLINE_E_CLOSED, trunkline_stream_shutdown(stream, TRUNKLINE_WRITABLE));
  OK(trunkline_stream_free(stream));
  OK(trunkline_stream_free(served));
  OK(trunkline_listener_free(listener));
  OK(trunkline_cq_free(completion.queue));
  OK(trunkline_agent_free(agent));
  OK(trunkline_hub_free(hub));
}

/* What is answered to a request of HTTP, until the hub hangs up. */
static void ask(const Place *front, const char *request, char *answer, size_t cap) {
  trunkline_stream_t user;
  trunkline_bytes_t part;
  size_t n = 0, got = 0;
  part.ptr = (const uint8_t *)request;
  part.len = strlen(request);
  OK(trunkline_connect(default_runtime(), front->text, front->length, NEVER, &user, NULL));
  OK(trunkline_stream_write(user, &part, 1, in_ms(20000), &n));
  do {
    OK(trunkline_stream_read(user, (uint8_t *)answer + got, cap - 1 - got, in_ms(20000), &n));
    got += n;
  } while (n > 0 && got < cap - 1);
  answer[got] = 0;
  OK(trunkline_stream_free(user));
}

static void users_of_http_are_served_by_the_routes_of_the_document(void) {
  trunkline_hub_t hub = new_hub(", \"http\": {\"routes\": [{\"path\": \"/lab\", \"cluster\": \"c1\", \"strip_path\": true}]},"
                                " \"users\": {\"alice\": {\"tokens\": [\"" TOKEN "\"], \"clusters\": [\"c1\"]}}");
  Place at = listening(hub, "mem:c-http-hub"), front;
  trunkline_agent_t agent = ready_agent(&at, "");
  trunkline_listener_t listener;
  trunkline_stream_t user, served;
  trunkline_error_t *err = NULL;
  char heard[1024], answer[1024];
  size_t n = 0;
  OK(trunkline_agent_listener(agent, &listener, NULL));
  OK(trunkline_hub_listen_http(hub, TEXT("mem:c-front"), front.text, sizeof front.text, &front.length, NULL));
  ask(&front, "GET /lab HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", answer, sizeof answer);
  CHECK(strncmp(answer, "HTTP/1.1 401 ", 13) == 0, "nobody in particular is let in");
  ask(&front, "GET /lab HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", answer,
      sizeof answer);
  CHECK(strncmp(answer, "HTTP/1.1 400 ", 13) == 0, "nothing is smuggled");

  OK(trunkline_connect(default_runtime(), front.text, front.length, NEVER, &user, NULL));
  say(user, "GET /lab/a?b HTTP/1.1\r\nHost: x\r\nImpersonate-User: root\r\nAuthorization: Bearer " TOKEN "\r\n\r\n");
  served = accepted(listener);
  OK(trunkline_stream_read(served, (uint8_t *)heard, sizeof heard - 1, in_ms(20000), &n));
  heard[n] = 0;
  CHECK(strncmp(heard, "GET /a?b HTTP/1.1\r\n", 19) == 0, "the service sees its own path");
  CHECK(strstr(heard, "x-forwarded-user: alice\r\n") != NULL, "and who asks");
  CHECK(strstr(heard, "root") == NULL && strstr(heard, TOKEN) == NULL, "and nothing that is the hub's alone");
  say(served, "HTTP/1.1 203 Odd\r\nContent-Length: 2\r\n\r\nok");
  OK(trunkline_stream_read(user, (uint8_t *)answer, sizeof answer - 1, in_ms(20000), &n));
  answer[n] = 0;
  CHECK(strncmp(answer, "HTTP/1.1 203 ", 13) == 0, "the status is the service's");
  OK(trunkline_stream_free(user));
  OK(trunkline_stream_free(served));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_hub_listen_http(hub, TEXT("tcp://0.0.0.0:0"), front.text, sizeof front.text, &front.length, &err));
  CHECK(strstr(trunkline_error_message(err, NULL), "allow_plaintext") != NULL, "tokens stay on the machine");
  trunkline_error_free(err);
  OK(trunkline_listener_free(listener));
  OK(trunkline_agent_close(agent));
  OK(trunkline_agent_free(agent));
  OK(trunkline_hub_close(hub));
  OK(trunkline_hub_free(hub));
}

static void users_of_socks5_are_connected_where_they_ask_to(void) {
  static const char all[] = "\5\1\2\1\5alice\33" TOKEN "\5\1\0\3\11c1.tunnel\0\120early";
  static const char answers[] = "\5\2\1\0\5\0\0\1\0\0\0\0\0";
  trunkline_hub_t hub = new_hub(", \"users\": {\"alice\": {\"tokens\": [\"" TOKEN "\"], \"clusters\": [\"c1\"]}}");
  Place at = listening(hub, "mem:c-socks-hub"), front;
  trunkline_agent_t agent = ready_agent(&at, "");
  trunkline_listener_t listener;
  trunkline_stream_t user, served;
  char heard[sizeof answers];
  size_t n, have = 0;
  CHECK(sizeof TOKEN - 1 == 27, "the length of the password");
  OK(trunkline_agent_listener(agent, &listener, NULL));
  OK(trunkline_hub_listen_socks(hub, TEXT("mem:c-socks"), front.text, sizeof front.text, &front.length, NULL));
  OK(trunkline_connect(default_runtime(), front.text, front.length, NEVER, &user, NULL));
  write_all(user, all, sizeof all - 1);
  served = accepted(listener);
  hears(served, "early");
  while (have < sizeof answers) {
    OK(trunkline_stream_read(user, (uint8_t *)heard + have, sizeof answers - have, in_ms(20000), &n));
    CHECK(n > 0, "it has not ended");
    have += n;
  }
  CHECK(memcmp(heard, answers, sizeof answers) == 0, "the name is taken, and then the request");
  say(served, "late");
  hears(user, "late");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_hub_listen_socks(hub, TEXT("tcp://0.0.0.0:0"), front.text, sizeof front.text, &front.length, NULL));
  OK(trunkline_stream_free(user));
  OK(trunkline_stream_free(served));
  OK(trunkline_listener_free(listener));
  OK(trunkline_agent_free(agent));
  OK(trunkline_hub_free(hub));
}

static void wrong_arguments_are_named(void) {
  trunkline_hub_t hub = { 1 };
  trunkline_agent_t agent = { 1 };
  trunkline_hub_stats_t stats = TRUNKLINE_HUB_STATS_INIT;
  trunkline_error_t *err = NULL;
  trunkline_stream_t stream;
  char bound[128];
  size_t length;
  uint64_t cut;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_agent_new(default_runtime(), TEXT("{}"), &agent, &err));
  CHECK(strstr(trunkline_error_message(err, NULL), "cluster") != NULL && agent.h == 0, "the field is named");
  trunkline_error_free(err);
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_hub_new(default_runtime(), TEXT("{\"agents\": {\"c1\": [\"secret\"]}}"), &hub, &err));
  CHECK(strstr(trunkline_error_message(err, NULL), "secret") == NULL && hub.h == 0, "a token is never shown");
  trunkline_error_free(err);

  OK(trunkline_hub_new(default_runtime(), NULL, 0, &hub, NULL));
#define LISTEN(address, room) trunkline_hub_listen(hub, TEXT(address), bound, room, &length, NULL)
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, LISTEN("nonsense", sizeof bound));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, LISTEN("tcp://127.0.0.1:0", 20));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, LISTEN("tcp://0.0.0.0:0", sizeof bound));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, LISTEN("tunnel:c1", sizeof bound));
#undef LISTEN
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_hub_dial(hub, TEXT("no name"), NULL, 0, NEVER, &stream, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_hub_dial(hub, TEXT("c1"), TEXT("nonsense"), NEVER, &stream, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_hub_drain(hub, 0, NULL, NULL));
  stats.size = 4;
  GIVES(TRUNKLINE_E_VERSION, trunkline_hub_stats(hub, &stats));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_hub_stats(hub, NULL));
  OK(trunkline_hub_close(hub));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_hub_dial(hub, TEXT("c1"), NULL, 0, NEVER, &stream, NULL));
  OK(trunkline_hub_drain(hub, 0, &cut, NULL));
  CHECK(cut == 0, "nothing was left to drain");
  OK(trunkline_hub_free(hub));
}

/* Every call on a handle that is not good for it. */
static void every_call(trunkline_hub_t hub, trunkline_agent_t agent, trunkline_status_t bad, trunkline_status_t freed) {
  trunkline_hub_stats_t stats = TRUNKLINE_HUB_STATS_INIT;
  trunkline_agent_stats_t counted = TRUNKLINE_AGENT_STATS_INIT;
  trunkline_memory_comm_stats_t ways = TRUNKLINE_MEMORY_COMM_STATS_INIT;
  trunkline_completion_t completion = { { 0 }, 0, NULL, NULL };
  trunkline_stream_t stream;
  trunkline_listener_t listener;
  trunkline_op_t op;
  char bound[320];
  size_t length;
  uint64_t cut;
  GIVES(bad, trunkline_hub_listen(hub, TEXT("mem:x"), bound, sizeof bound, &length, NULL));
  GIVES(bad, trunkline_hub_listen_http(hub, TEXT("mem:x"), bound, sizeof bound, &length, NULL));
  GIVES(bad, trunkline_hub_forward(hub, TEXT("mem:x"), TEXT("c1"), NULL, 0, bound, sizeof bound, &length, NULL));
  GIVES(bad, trunkline_hub_dial(hub, TEXT("c1"), NULL, 0, NEVER, &stream, NULL));
  GIVES(bad, trunkline_hub_dial_async(hub, TEXT("c1"), NULL, 0, NEVER, &completion, &op, NULL));
  GIVES(bad, trunkline_hub_stats(hub, &stats));
  GIVES(bad, trunkline_hub_drain(hub, NEVER, &cut, NULL));
  GIVES(bad, trunkline_hub_drain_async(hub, NEVER, &completion, &op, NULL));
  GIVES(bad, trunkline_hub_close(hub));
  GIVES(freed, trunkline_hub_free(hub));
  GIVES(bad, trunkline_agent_wait_ready(agent, NEVER, NULL));
  GIVES(bad, trunkline_agent_wait_ready_async(agent, NEVER, &completion, &op, NULL));
  GIVES(bad, trunkline_agent_listener(agent, &listener, NULL));
  GIVES(bad, trunkline_agent_stats(agent, &counted));
  GIVES(bad, trunkline_agent_memory_comm_stats(agent, &ways));
  GIVES(bad, trunkline_agent_use_memory_comm(agent, 1.0, NULL));
  GIVES(bad, trunkline_agent_drain(agent, NEVER, &cut, NULL));
  GIVES(bad, trunkline_agent_drain_async(agent, NEVER, &completion, &op, NULL));
  GIVES(bad, trunkline_agent_close(agent));
  GIVES(freed, trunkline_agent_free(agent));
}

static void handles_that_are_not_good_are_refused(void) {
  trunkline_hub_t hub = new_hub(""), no_hub = { 0 };
  Place at = listening(hub, "mem:c-fork");
  trunkline_agent_t agent = ready_agent(&at, ""), no_agent = { 0 };
  pid_t child;
  int status = 0;
  every_call(no_hub, no_agent, BAD, BAD);
  no_hub.h = agent.h;
  no_agent.h = hub.h;
  every_call(no_hub, no_agent, BAD, BAD);
  fflush(NULL);
  child = fork();
  if (child == 0) {
    every_call(hub, agent, TRUNKLINE_E_FORKED, TRUNKLINE_OK);
    end_child();
  }
  CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0, "the child is content");
  CHECK(hub_stats(hub).links == 1 && agent_stats(agent).links == 1, "the parent's tunnel stands");
  OK(trunkline_agent_free(agent));
  OK(trunkline_hub_free(hub));
  every_call(hub, agent, BAD, BAD);
}

static trunkline_hub_t asked_hub;
static trunkline_agent_t asked_agent;
static trunkline_status_t answers[7];
static trunkline_cq_t answered;

static void asks_for_what_would_wait(void *user_data, trunkline_event_t *event) {
  trunkline_stream_t stream;
  size_t length;
  uint64_t cut;
  (void)user_data;
  answers[0] = trunkline_hub_dial(asked_hub, TEXT("c1"), NULL, 0, NEVER, &stream, NULL);
  answers[1] = trunkline_hub_listen(asked_hub, TEXT("mem:x"), NULL, 0, &length, NULL);
  answers[2] = trunkline_hub_drain(asked_hub, NEVER, &cut, NULL);
  answers[3] = trunkline_hub_close(asked_hub);
  answers[4] = trunkline_agent_wait_ready(asked_agent, NEVER, NULL);
  answers[5] = trunkline_agent_drain(asked_agent, NEVER, &cut, NULL);
  answers[6] = trunkline_agent_close(asked_agent);
  trunkline_event_dispose(event);
  OK(trunkline_cq_wake(answered));
}

static void a_callback_may_not_wait(void) {
  trunkline_completion_t completion = { { 0 }, 0, asks_for_what_would_wait, NULL };
  trunkline_event_t event;
  trunkline_op_t op;
  Place at;
  size_t n;
  int i;
  asked_hub = new_hub("");
  at = listening(asked_hub, "mem:c-callback");
  asked_agent = ready_agent(&at, "");
  answered = new_queue();
  OK(trunkline_agent_wait_ready_async(asked_agent, NEVER, &completion, &op, NULL));
  OK(trunkline_cq_wait(answered, &event, 1, NEVER, &n));
  CHECK(n == 0, "a wake brings no event");
  for (i = 0; i < 7; i++) GIVES(TRUNKLINE_E_WOULD_DEADLOCK, answers[i]);
  OK(trunkline_cq_free(answered));
  OK(trunkline_agent_free(asked_agent));
  OK(trunkline_hub_free(asked_hub));
}

static void a_runtime_that_stops_takes_its_tunnels_along(void) {
  trunkline_runtime_t rt;
  trunkline_hub_t hub = new_hub("");
  Place at = listening(hub, "mem:c-outlives");
  trunkline_agent_t agent;
  trunkline_listener_t listener;
  trunkline_stream_t user;
  char json[512];
  uint8_t byte;
  size_t n;
  int length = snprintf(json, sizeof json, "{\"cluster\": \"c1\", \"token\": \"" TOKEN "\", \"hubs\": [\"%s\"]}", at.text);
  OK(trunkline_runtime_new(NULL, &rt, NULL));
  OK(trunkline_agent_new(rt, json, (size_t)length, &agent, NULL));
  OK(trunkline_agent_wait_ready(agent, in_ms(20000), NULL));
  OK(trunkline_agent_listener(agent, &listener, NULL));
  user = dialled(hub);
  OK(trunkline_runtime_shutdown(rt, NEVER, NULL));
  GIVES(TRUNKLINE_E_BROKEN, trunkline_stream_read(user, &byte, 1, NEVER, &n));
  OK(trunkline_agent_close(agent));
  CHECK(agent_stats(agent).links == 0, "its tunnels ended with the runtime");
  OK(trunkline_listener_free(listener));
  OK(trunkline_agent_free(agent));
  OK(trunkline_runtime_free(rt));
  OK(trunkline_stream_free(user));
  OK(trunkline_hub_free(hub));
}

static void hundreds_of_tunnels_leave_descriptors_and_threads_where_they_were(void) {
  int descriptors = 0, threads = 0, i;
  wait_once(default_runtime());
  for (i = 0; i < 100; i++) {
    trunkline_hub_t hub = new_hub("");
    Place at = listening(hub, "tcp://127.0.0.1:0");
    trunkline_agent_t agent = ready_agent(&at, "");
    trunkline_listener_t listener;
    trunkline_stream_t user, served;
    OK(trunkline_agent_listener(agent, &listener, NULL));
    user = dialled(hub);
    served = accepted(listener);
    say(user, "x");
    hears(served, "x");
    if (i % 2 == 0) OK(trunkline_hub_close(hub));
    if (i % 3 == 0) OK(trunkline_agent_close(agent));
    OK(trunkline_stream_free(user));
    OK(trunkline_stream_free(served));
    OK(trunkline_listener_free(listener));
    OK(trunkline_agent_free(agent));
    OK(trunkline_hub_free(hub));
    if (i == 0) {
      descriptors = entries("fd");
      threads = entries("task");
    }
  }
  while (entries("fd") > descriptors) sched_yield();
  while (entries("task") > threads) sched_yield();
}

int main(void) {
  int packets;
  begin();
  for (packets = 0; packets <= 1; packets++) {
    a_service_behind_a_tunnel_is_reached_over("mem:c-tunnel", packets);
    a_service_behind_a_tunnel_is_reached_over("tcp://127.0.0.1:0", packets);
    a_service_behind_a_tunnel_is_reached_over("unix:@trunkline-c-tunnel", packets);
  }
  a_forward_leads_to_the_agents_own_choice_and_a_target_to_what_it_lists();
  a_host_serves_by_memory_or_over_a_socket_as_it_likes();
  an_agent_of_another_carrier_is_not_let_in_and_hears_why();
  who_does_not_prove_its_name_is_not_let_in_and_hears_why();
  results_come_on_a_queue_too();
  users_of_http_are_served_by_the_routes_of_the_document();
  users_of_socks5_are_connected_where_they_ask_to();
  wrong_arguments_are_named();
  handles_that_are_not_good_are_refused();
  a_callback_may_not_wait();
  a_runtime_that_stops_takes_its_tunnels_along();
  hundreds_of_tunnels_leave_descriptors_and_threads_where_they_were();
  leave();
  return 0;
}
