/* Datagram sockets: now or until a deadline, many at once, armed, cut, closed. */
#include "udp.h"

#define BAD TRUNKLINE_E_INVALID_HANDLE

static void a_datagram_arrives_with_its_source_and_its_answer_leaves_from_where_it_was_sent(void) {
  trunkline_datagram_t server = bound_to("udp://0.0.0.0:0"), client = bound_to("udp://127.0.0.1:0");
  trunkline_datagram_stats_t stats = TRUNKLINE_DATAGRAM_STATS_INIT;
  trunkline_socket_address_t to = address_of(server), source = address_of(client);
  trunkline_received_t received;
  uint8_t last;
  CHECK(to.family == TRUNKLINE_FAMILY_IPV4 && to.port != 0 && to.ip[0] == 0, "any address, a real port");
  for (last = 1; last < 4; last++) {
    to.ip[0] = 127;
    to.ip[3] = last;
    sends(client, "question", to);
    received = receives(server, "question");
    CHECK(is_same(received.source, source) && is_same(received.to, to), "both ends are told");
    OK(trunkline_datagram_send_to(server, (const uint8_t *)"answer", 6, &received.source, &received.to, NEVER, NULL));
    received = receives(client, "answer");
    CHECK(is_same(received.source, to), "from the address that was asked");
  }
  sends(client, "", to);
  receives(server, "");
  OK(trunkline_datagram_stats(server, &stats));
  CHECK(stats.datagrams_received == 4 && stats.datagrams_sent == 3 && stats.truncated == 0, "all are counted");
  OK(trunkline_datagram_free(server));
  OK(trunkline_datagram_free(client));
}

static void addresses_of_both_families_and_as_text(void) {
  trunkline_datagram_t six = bound_to("udp://[::1]:0"), four = bound_to("udp://127.0.0.1:0");
  trunkline_socket_address_t address = address_of(six);
  char text[64], expected[64];
  size_t length = 0;
  CHECK(address.family == TRUNKLINE_FAMILY_IPV6 && address.ip[15] == 1 && address.ip[0] == 0, "[::1]");
  sends(six, "to myself", address);
  CHECK(is_same(receives(six, "to myself").source, address), "it came from there");
  OK(trunkline_datagram_address(four, text, sizeof text, &length));
  snprintf(expected, sizeof expected, "udp://127.0.0.1:%u", (unsigned)address_of(four).port);
  CHECK(strcmp(text, expected) == 0 && length == strlen(expected), "as text");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_datagram_address(four, text, 3, &length));
  CHECK(length == 0 && text[0] == 0, "outputs are blank after a failure");
  OK(trunkline_datagram_free(six));
  OK(trunkline_datagram_free(four));
}

static void a_datagram_that_is_cut_is_told_with_its_source_and_the_rest_is_lost(void) {
  trunkline_datagram_t server = bound_to("udp://127.0.0.1:0"), client = bound_to("udp://127.0.0.1:0");
  trunkline_socket_address_t to = address_of(server);
  trunkline_datagram_stats_t stats = TRUNKLINE_DATAGRAM_STATS_INIT;
  trunkline_received_t received;
  trunkline_error_t *err = NULL;
  char source[64];
  size_t length = 0;
  uint8_t bytes[4];
  sends(client, "0123456789", to);
  sends(client, "next", to);
  GIVES(TRUNKLINE_E_UDP, trunkline_datagram_recv_from(server, bytes, sizeof bytes, NEVER, &received, &err));
  CHECK(memcmp(bytes, "0123", 4) == 0, "the buffer holds its beginning");
  CHECK(received.len == 0 && received.source.family == 0, "an output is blank after a failure");
  OK(trunkline_datagram_address(client, source, sizeof source, &length));
  CHECK(strcmp(trunkline_error_source(err, NULL), source) == 0, "the error says whose it was");
  CHECK(strstr(trunkline_error_message(err, NULL), "truncated") != NULL, "and what happened");
  CHECK(trunkline_error_step(err) == TRUNKLINE_STEP_READ, "while reading");
  CHECK(trunkline_error_flags(err) == 0, "the same read would give another datagram");
  trunkline_error_free(err);
  receives(server, "next");
  OK(trunkline_datagram_stats(server, &stats));
  CHECK(stats.truncated == 1, "it is counted");
  OK(trunkline_datagram_free(server));
  OK(trunkline_datagram_free(client));
}

static void many_come_at_once_each_into_its_own_room(void) {
  trunkline_datagram_t server = bound_to("udp://127.0.0.1:0"), client = bound_to("udp://127.0.0.1:0");
  trunkline_socket_address_t to = address_of(server);
  uint8_t bytes[40][16];
  trunkline_room_t rooms[40];
  trunkline_received_t received[40];
  size_t i, n = 99, have = 0;
  for (i = 0; i < 40; i++) {
    rooms[i].ptr = bytes[i];
    rooms[i].len = sizeof bytes[i];
  }
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_datagram_recv_many(server, rooms, received, 40, 0, &n, NULL));
  CHECK(n == 0, "none is there");
  for (i = 0; i < 30; i++) {
    char text[32];
    snprintf(text, sizeof text, i == 7 ? "number %02u is too long" : "number %02u", (unsigned)i);
    sends(client, text, to);
  }
  while (have < 30) {
    OK(trunkline_datagram_recv_many(server, rooms + have, received + have, 40 - have, NEVER, &n, NULL));
    CHECK(n > 0, "at least one");
    have += n;
  }
  CHECK(have == 30, "and no more than there are");
  for (i = 0; i < 30; i++) {
    char text[32];
    snprintf(text, sizeof text, "number %02u", (unsigned)i);
    CHECK(memcmp(bytes[i], text, 9) == 0, "in order");
    CHECK(received[i].len == (i == 7 ? 16u : 9u) && received[i].whole_len == (i == 7 ? 21u : 9u), "with its length");
    CHECK(is_same(received[i].source, address_of(client)), "and its source");
  }
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_datagram_recv_many(server, NULL, received, 1, 0, &n, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_datagram_recv_many(server, rooms, NULL, 1, 0, &n, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_datagram_recv_many(server, rooms, received, 0, 0, &n, NULL));
  OK(trunkline_datagram_free(server));
  OK(trunkline_datagram_free(client));
}

static void readiness_comes_as_one_event(void) {
  trunkline_datagram_t server = bound_to("udp://127.0.0.1:0"), client = bound_to("udp://127.0.0.1:0");
  trunkline_cq_t cq = new_queue();
  trunkline_received_t received;
  trunkline_event_t event;
  uint8_t byte;
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_datagram_recv_from(server, &byte, 1, 0, &received, NULL));
  OK(trunkline_datagram_arm(server, TRUNKLINE_READABLE, cq, 5));
  OK(trunkline_datagram_arm(server, TRUNKLINE_READABLE, cq, 6));
  sends(client, "one", address_of(server));
  event = next_event(cq);
  CHECK(event.kind == TRUNKLINE_EV_READABLE && event.tag == 6, "one event, with the newest tag");
  receives(server, "one");
  OK(trunkline_datagram_arm(client, TRUNKLINE_WRITABLE, cq, 7));
  event = next_event(cq);
  CHECK(event.kind == TRUNKLINE_EV_WRITABLE && event.tag == 7, "there is room");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_datagram_arm(client, 0, cq, 8));

  /* What was taken from the kernel with another datagram wakes no poll: it must be told all the same. */
  sends(client, "two", address_of(server));
  sends(client, "three", address_of(server));
  receives(server, "two");
  OK(trunkline_datagram_arm(server, TRUNKLINE_READABLE, cq, 9));
  event = next_event(cq);
  CHECK(event.tag == 9, "one is left");
  receives(server, "three");

  /* Told by a try that nothing is there, it waits. */
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_datagram_recv_from(server, &byte, 1, 0, &received, NULL));
  OK(trunkline_datagram_arm(server, TRUNKLINE_READABLE, cq, 10));
  OK(trunkline_datagram_close(server));
  event = next_event(cq);
  CHECK(event.tag == 10 && event.status == TRUNKLINE_E_CLOSED, "closing tells whoever waits");
  trunkline_event_dispose(&event);
  OK(trunkline_cq_free(cq));
  OK(trunkline_datagram_free(server));
  OK(trunkline_datagram_free(client));
}

static void *wait_for_one(void *argument) {
  uint8_t byte;
  trunkline_received_t received;
  GIVES(TRUNKLINE_E_CLOSED,
        trunkline_datagram_recv_from(*(trunkline_datagram_t *)argument, &byte, 1, NEVER, &received, NULL));
  return NULL;
}

static void deadlines_and_a_close_end_the_wait(void) {
  trunkline_datagram_t socket = bound_to("udp://127.0.0.1:0");
  trunkline_socket_address_t none;
  trunkline_received_t received;
  trunkline_error_t *err = NULL;
  pthread_t thread;
  uint8_t byte = 0;
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_datagram_recv_from(socket, &byte, 1, 0, &received, NULL));
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_datagram_recv_from(socket, &byte, 1, in_ms(10), &received, &err));
  CHECK(trunkline_error_step(err) == TRUNKLINE_STEP_READ, "the step is read");
  trunkline_error_free(err);
  CHECK(pthread_create(&thread, NULL, wait_for_one, &socket) == 0, "a thread starts");
  OK(trunkline_datagram_close(socket));
  pthread_join(thread, NULL);
  OK(trunkline_datagram_close(socket));
  memset(&none, 0, sizeof none);
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_datagram_send_to(socket, &byte, 1, &none, NULL, 0, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_datagram_send_to(socket, &byte, 1, NULL, NULL, 0, NULL));
  none = address_of(socket);
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_datagram_send_to(socket, NULL, 1, &none, NULL, 0, NULL));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_datagram_send_to(socket, &byte, 1, &none, NULL, 0, NULL));
  OK(trunkline_datagram_free(socket));
}

static void what_cannot_be_sent_or_bound_says_why(void) {
  static uint8_t most[65508];
  trunkline_datagram_t socket = bound_to("udp://127.0.0.1:0"), other;
  trunkline_socket_address_t to = address_of(socket);
  trunkline_error_t *err = NULL;
  char text[64];
  size_t length = 0;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_datagram_send_to(socket, most, sizeof most, &to, NULL, 0, &err));
  CHECK(trunkline_error_os_code(err) == EMSGSIZE, "no packet holds it");
  trunkline_error_free(err);
  OK(trunkline_datagram_address(socket, text, sizeof text, &length));
  GIVES(TRUNKLINE_E_BIND_FAILED, trunkline_datagram_bind(default_runtime(), text, length, &other, &err));
  CHECK(other.h == 0 && trunkline_error_os_code(err) == EADDRINUSE, "it is taken");
  trunkline_error_free(err);
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_datagram_bind(default_runtime(), TEXT("tcp://127.0.0.1:0"), &other, NULL));
  OK(trunkline_datagram_free(socket));
}

static void every_datagram_call(trunkline_datagram_t socket) {
  trunkline_datagram_stats_t stats = TRUNKLINE_DATAGRAM_STATS_INIT;
  trunkline_socket_address_t to;
  trunkline_received_t received;
  trunkline_cq_t cq = new_queue();
  uint8_t byte = 0;
  trunkline_room_t room = { &byte, 1 };
  char text[64];
  size_t n;
  GIVES(BAD, trunkline_datagram_socket_address(socket, &to));
  GIVES(BAD, trunkline_datagram_send_to(socket, &byte, 1, &to, NULL, 0, NULL));
  GIVES(BAD, trunkline_datagram_recv_from(socket, &byte, 1, 0, &received, NULL));
  GIVES(BAD, trunkline_datagram_recv_many(socket, &room, &received, 1, 0, &n, NULL));
  GIVES(BAD, trunkline_datagram_arm(socket, TRUNKLINE_READABLE, cq, 1));
  GIVES(BAD, trunkline_datagram_address(socket, text, sizeof text, &n));
  GIVES(BAD, trunkline_datagram_stats(socket, &stats));
  GIVES(BAD, trunkline_datagram_close(socket));
  GIVES(BAD, trunkline_datagram_free(socket));
  OK(trunkline_cq_free(cq));
}

static void stale_and_foreign_handles_are_refused(void) {
  trunkline_datagram_t socket = bound_to("udp://127.0.0.1:0");
  OK(trunkline_datagram_free(socket));
  every_datagram_call(socket);
  socket.h = 0;
  every_datagram_call(socket);
}

static void the_end_of_a_runtime_closes_its_sockets(void) {
  trunkline_runtime_t rt;
  trunkline_datagram_t socket;
  trunkline_received_t received;
  uint8_t byte;
  OK(trunkline_runtime_new(NULL, &rt, NULL));
  OK(trunkline_datagram_bind(rt, TEXT("udp://127.0.0.1:0"), &socket, NULL));
  OK(trunkline_runtime_shutdown(rt, NEVER, NULL));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_datagram_recv_from(socket, &byte, 1, NEVER, &received, NULL));
  OK(trunkline_datagram_free(socket));
  OK(trunkline_runtime_free(rt));
}

int main(void) {
  int fds, threads;
  begin();
  count_before(&fds, &threads);
  a_datagram_arrives_with_its_source_and_its_answer_leaves_from_where_it_was_sent();
  addresses_of_both_families_and_as_text();
  a_datagram_that_is_cut_is_told_with_its_source_and_the_rest_is_lost();
  many_come_at_once_each_into_its_own_room();
  readiness_comes_as_one_event();
  deadlines_and_a_close_end_the_wait();
  what_cannot_be_sent_or_bound_says_why();
  stale_and_foreign_handles_are_refused();
  the_end_of_a_runtime_closes_its_sockets();
  leave();
  settles_at("fd", fds);
  settles_at("task", threads);
  return 0;
}
