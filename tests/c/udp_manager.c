/* The UDP manager: sessions, their list and their end, limits, counts that agree, a drain, no descriptor left. */
#include "udp.h"

#define BAD TRUNKLINE_E_INVALID_HANDLE

static trunkline_udp_manager_t new_manager(const char *json) {
  trunkline_udp_manager_t manager;
  OK(trunkline_udp_manager_new(default_runtime(), json, strlen(json), &manager, NULL));
  return manager;
}

static trunkline_udp_manager_stats_t stats_of(trunkline_udp_manager_t manager) {
  trunkline_udp_manager_stats_t stats = TRUNKLINE_UDP_MANAGER_STATS_INIT;
  OK(trunkline_udp_manager_stats(manager, &stats));
  CHECK(stats.size == sizeof stats, "all of it is filled");
  CHECK(stats.opened - stats.closed == stats.active, "the counts agree");
  CHECK(stats.active == stats.verified + stats.unverified, "each session has one class");
  return stats;
}

/* Relays from a free port to the socket, and gives the address to send to. */
static trunkline_socket_address_t relay_to(trunkline_udp_manager_t manager, trunkline_datagram_t destination,
                                           const trunkline_udp_relay_options_t *options) {
  trunkline_socket_address_t front = { { 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, 0, 0, 4, 0 };
  char to[64], bound[128];
  size_t to_length = 0, length = 0;
  OK(trunkline_datagram_address(destination, to, sizeof to, &to_length));
  OK(trunkline_udp_manager_relay(manager, TEXT("udp://127.0.0.1:0"), to, to_length, options, bound, sizeof bound,
                                 &length, NULL));
  CHECK(strncmp(bound, "udp://127.0.0.1:", 16) == 0 && strlen(bound) == length, "the address is told");
  front.port = (uint16_t)atoi(bound + 16);
  return front;
}

/* The number behind the name in the first session of the list. */
static uint64_t first(trunkline_udp_manager_t manager, const char *name) {
  trunkline_buf_t *list;
  const char *text, *found;
  uint64_t number;
  size_t length = 0;
  char copy[4096];
  OK(trunkline_udp_manager_live(manager, &list, NULL));
  text = (const char *)trunkline_buf_data(list, &length);
  CHECK(length < sizeof copy && text[0] == '[' && text[length - 1] == ']', "a JSON array");
  memcpy(copy, text, length);
  copy[length] = 0;
  trunkline_buf_free(list);
  found = strstr(copy, name);
  CHECK(found != NULL, "the field is there");
  number = strtoull(found + strlen(name), NULL, 10);
  return number;
}

static void a_session_is_made_verified_listed_and_killed(void) {
  trunkline_udp_manager_t manager = new_manager("");
  trunkline_datagram_t server = bound_to("udp://127.0.0.1:0"), client = bound_to("udp://127.0.0.1:0");
  trunkline_socket_address_t front = relay_to(manager, server, NULL);
  trunkline_error_t *err = NULL;
  trunkline_received_t received;
  uint64_t id;
  sends(client, "question", front);
  received = receives(server, "question");
  CHECK(stats_of(manager).unverified == 1 && stats_of(manager).limit == 2048, "nothing is known of it yet");
  sends(server, "answer", received.source);
  CHECK(is_same(receives(client, "answer").source, front), "from where it was asked");
  sends(client, "more", front);
  CHECK(is_same(receives(server, "more").source, received.source), "the same session");
  while (stats_of(manager).verified != 1) sched_yield();
  /* What was sent on is counted after its receiver may have it. */
  while (stats_of(manager).bytes_received < 12 || stats_of(manager).bytes_sent < 6) sched_yield();
  CHECK(stats_of(manager).bytes_received == 12 && stats_of(manager).bytes_sent == 6, "bytes are counted");
  while (stats_of(manager).datagrams_received < 2 || stats_of(manager).datagrams_sent < 1) sched_yield();
  CHECK(stats_of(manager).datagrams_received == 2 && stats_of(manager).datagrams_sent == 1, "and datagrams");
  id = first(manager, "\"id\":");
  while (first(manager, "\"bytes_received\":") < 12) sched_yield();
  CHECK(id != 0 && first(manager, "\"bytes_received\":") == 12, "it is listed");
  first(manager, "\"verified\":true");
  OK(trunkline_udp_manager_kill(manager, id, NULL));
  CHECK(stats_of(manager).closed_killed == 1 && stats_of(manager).active == 0, "it is gone");
  GIVES(TRUNKLINE_E_UDP, trunkline_udp_manager_kill(manager, id, &err));
  CHECK(strstr(trunkline_error_message(err, NULL), "session") != NULL, "the message says what is missing");
  CHECK(trunkline_error_step(err) == TRUNKLINE_STEP_SHUTDOWN, "while ending it");
  trunkline_error_free(err);
  sends(client, "again", front);
  CHECK(!is_same(receives(server, "again").source, received.source), "a new session has a socket of its own");
  OK(trunkline_udp_manager_free(manager));
  OK(trunkline_datagram_free(server));
  OK(trunkline_datagram_free(client));
}

static void an_unverified_source_is_not_answered_with_more_than_the_limit(void) {
  trunkline_udp_manager_t manager = new_manager("{\"amplification_limit\": 2, \"max_sessions\": 1}");
  trunkline_datagram_t server = bound_to("udp://127.0.0.1:0");
  trunkline_datagram_t client = bound_to("udp://127.0.0.1:0"), late = bound_to("udp://127.0.0.1:0");
  trunkline_socket_address_t front = relay_to(manager, server, NULL);
  trunkline_received_t received;
  sends(client, "12345", front);
  received = receives(server, "12345");
  sends(server, "twelve bytes", received.source);
  sends(server, "ten bytes!", received.source);
  receives(client, "ten bytes!");
  CHECK(stats_of(manager).dropped_amplification == 1 && stats_of(manager).dropped == 1, "the other was dropped");
  sends(client, "hello", front);
  receives(server, "hello");
  sends(server, "now everything passes", received.source);
  receives(client, "now everything passes");
  sends(late, "no place", front);
  while (stats_of(manager).dropped_session_table_full == 0) sched_yield();
  CHECK(stats_of(manager).verified == 1 && stats_of(manager).opened == 1, "a verified one makes no room");
  OK(trunkline_udp_manager_free(manager));
  OK(trunkline_datagram_free(server));
  OK(trunkline_datagram_free(client));
  OK(trunkline_datagram_free(late));
}

static void silence_ends_a_session_in_the_time_of_its_relay(void) {
  trunkline_udp_manager_t manager = new_manager("{\"unverified_timeout\": \"1s\", \"idle_timeout\": \"never\"}");
  trunkline_udp_relay_options_t options = TRUNKLINE_UDP_RELAY_OPTIONS_INIT;
  trunkline_datagram_t server = bound_to("udp://127.0.0.1:0"), client = bound_to("udp://127.0.0.1:0");
  trunkline_socket_address_t front;
  trunkline_received_t received;
  char text[64];
  size_t length = 0;
  options.idle_timeout_ns = 500000000;
  front = relay_to(manager, server, &options);
  sends(client, "1", front);
  received = receives(server, "1");
  sends(server, "2", received.source);
  receives(client, "2");
  sends(client, "3", front);
  receives(server, "3");
  while (stats_of(manager).closed_idle_timeout == 0) sched_yield();
  options.idle_timeout_ns = -1;
  OK(trunkline_datagram_address(server, text, sizeof text, &length));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_udp_manager_relay(manager, TEXT("udp://127.0.0.1:0"), text, length,
                                                                  &options, NULL, 0, &length, NULL));
  options.idle_timeout_ns = TRUNKLINE_NEVER;
  relay_to(manager, server, &options);
  OK(trunkline_udp_manager_free(manager));
  OK(trunkline_datagram_free(server));
  OK(trunkline_datagram_free(client));
}

static void a_drain_cuts_at_its_deadline_and_closes_what_was_given_away(void) {
  trunkline_udp_manager_t manager = new_manager("");
  trunkline_completion_t completion = { { 0 }, 7, NULL, NULL };
  trunkline_datagram_t server = bound_to("udp://127.0.0.1:0"), client = bound_to("udp://127.0.0.1:0");
  trunkline_datagram_t own, refused;
  trunkline_socket_address_t front = relay_to(manager, server, NULL);
  trunkline_received_t received;
  trunkline_event_t event;
  trunkline_op_t op;
  uint64_t cut = 99;
  uint8_t byte;
  OK(trunkline_udp_manager_bind(manager, TEXT("udp://127.0.0.1:0"), &own, NULL));
  sends(client, "x", front);
  receives(server, "x");
  completion.queue = new_queue();
  OK(trunkline_udp_manager_drain_async(manager, NEVER, &completion, &op, NULL));
  OK(trunkline_op_cancel(op));
  event = next_event(completion.queue);
  GIVES(TRUNKLINE_E_CANCELLED, event.status);
  trunkline_event_dispose(&event);
  sends(client, "still", front);
  receives(server, "still");
  OK(trunkline_udp_manager_drain_async(manager, in_ms(5), &completion, &op, NULL));
  event = next_event(completion.queue);
  CHECK(event.kind == TRUNKLINE_EV_DRAINED && event.tag == 7 && event.value == 1, "one was cut");
  OK(trunkline_udp_manager_drain(manager, NEVER, &cut, NULL));
  CHECK(cut == 0 && stats_of(manager).closed_drained == 1, "and no other");
  GIVES(TRUNKLINE_E_CLOSED, trunkline_udp_manager_bind(manager, TEXT("udp://127.0.0.1:0"), &refused, NULL));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_datagram_recv_from(own, &byte, 1, NEVER, &received, NULL));
  OK(trunkline_udp_manager_close(manager));
  OK(trunkline_datagram_free(own));
  OK(trunkline_cq_free(completion.queue));
  OK(trunkline_udp_manager_free(manager));
  OK(trunkline_datagram_free(server));
  OK(trunkline_datagram_free(client));
}

static void what_is_no_configuration_or_no_relay_is_refused_with_the_reason(void) {
  static const char *const WRONG[] = { "{\"max_session\": 1}", "{\"max_sessions\": 0}",
                                       "{\"idle_timeout\": \"0s\"}", "nonsense" };
  trunkline_udp_manager_t manager = { 1 };
  trunkline_error_t *err = NULL;
  size_t i, length = 99;
  for (i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
    GIVES(TRUNKLINE_E_INVALID_ARGUMENT,
          trunkline_udp_manager_new(default_runtime(), WRONG[i], strlen(WRONG[i]), &manager, &err));
    CHECK(manager.h == 0 && strlen(trunkline_error_message(err, NULL)) > 0, "nothing was made");
    trunkline_error_free(err);
  }
  manager = new_manager("{\"max_sessions\": 5}");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_udp_manager_relay(manager, TEXT("udp://127.0.0.1:5"), TEXT("udp://localhost:5"), NULL, NULL, 0,
                                    &length, &err));
  CHECK(length == 0 && strstr(trunkline_error_message(err, NULL), "lead back") != NULL, "it would feed itself");
  trunkline_error_free(err);
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_udp_manager_relay(manager, TEXT("udp://127.0.0.1:0"), TEXT("mem:x"),
                                                                  NULL, NULL, 0, &length, NULL));
  OK(trunkline_udp_manager_free(manager));
}

static void every_manager_call(trunkline_udp_manager_t manager) {
  trunkline_udp_manager_stats_t stats = TRUNKLINE_UDP_MANAGER_STATS_INIT;
  trunkline_completion_t completion = { { 0 }, 0, NULL, NULL };
  trunkline_datagram_t socket;
  trunkline_buf_t *list = (trunkline_buf_t *)0x1;
  trunkline_op_t op;
  uint64_t cut;
  size_t n;
  completion.queue = new_queue();
  GIVES(BAD, trunkline_udp_manager_bind(manager, TEXT("udp://127.0.0.1:0"), &socket, NULL));
  GIVES(BAD, trunkline_udp_manager_relay(manager, TEXT("udp://127.0.0.1:0"), TEXT("udp://127.0.0.1:9"), NULL, NULL, 0,
                                         &n, NULL));
  GIVES(BAD, trunkline_udp_manager_stats(manager, &stats));
  GIVES(BAD, trunkline_udp_manager_live(manager, &list, NULL));
  CHECK(list == NULL, "an output is blank after a failure");
  GIVES(BAD, trunkline_udp_manager_kill(manager, 1, NULL));
  GIVES(BAD, trunkline_udp_manager_drain(manager, NEVER, &cut, NULL));
  GIVES(BAD, trunkline_udp_manager_drain_async(manager, NEVER, &completion, &op, NULL));
  GIVES(BAD, trunkline_udp_manager_close(manager));
  GIVES(BAD, trunkline_udp_manager_free(manager));
  OK(trunkline_cq_free(completion.queue));
}

static void stale_and_foreign_handles_are_refused(void) {
  trunkline_udp_manager_t manager = new_manager("");
  OK(trunkline_udp_manager_free(manager));
  every_manager_call(manager);
  manager.h = 0;
  every_manager_call(manager);
}

static void the_end_of_a_runtime_ends_its_managers(void) {
  trunkline_runtime_t rt;
  trunkline_udp_manager_t manager;
  trunkline_datagram_t server = bound_to("udp://127.0.0.1:0"), client = bound_to("udp://127.0.0.1:0");
  trunkline_socket_address_t front;
  OK(trunkline_runtime_new(NULL, &rt, NULL));
  OK(trunkline_udp_manager_new(rt, NULL, 0, &manager, NULL));
  front = relay_to(manager, server, NULL);
  sends(client, "x", front);
  receives(server, "x");
  OK(trunkline_runtime_shutdown(rt, NEVER, NULL));
  CHECK(stats_of(manager).closed_cancelled == 1, "its session has ended");
  OK(trunkline_udp_manager_close(manager));
  OK(trunkline_udp_manager_free(manager));
  OK(trunkline_runtime_free(rt));
  OK(trunkline_datagram_free(server));
  OK(trunkline_datagram_free(client));
}

int main(void) {
  int fds, threads;
  begin();
  count_before(&fds, &threads);
  a_session_is_made_verified_listed_and_killed();
  an_unverified_source_is_not_answered_with_more_than_the_limit();
  silence_ends_a_session_in_the_time_of_its_relay();
  a_drain_cuts_at_its_deadline_and_closes_what_was_given_away();
  what_is_no_configuration_or_no_relay_is_refused_with_the_reason();
  stale_and_foreign_handles_are_refused();
  the_end_of_a_runtime_ends_its_managers();
  leave();
  settles_at("fd", fds);
  settles_at("task", threads);
  return 0;
}
