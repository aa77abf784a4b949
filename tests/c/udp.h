/* Helpers for datagrams. */
#ifndef UDP_H
#define UDP_H

#include "check.h"

static inline trunkline_datagram_t bound_to(const char *address) {
  trunkline_datagram_t socket;
  OK(trunkline_datagram_bind(default_runtime(), address, strlen(address), &socket, NULL));
  return socket;
}

static inline trunkline_socket_address_t address_of(trunkline_datagram_t socket) {
  trunkline_socket_address_t address;
  OK(trunkline_datagram_socket_address(socket, &address));
  return address;
}

static inline void sends(trunkline_datagram_t socket, const char *text, trunkline_socket_address_t to) {
  OK(trunkline_datagram_send_to(socket, (const uint8_t *)text, strlen(text), &to, NULL, NEVER, NULL));
}

/* Receives exactly this text. */
static inline trunkline_received_t receives(trunkline_datagram_t socket, const char *text) {
  uint8_t found[256];
  trunkline_received_t received;
  OK(trunkline_datagram_recv_from(socket, found, sizeof found, NEVER, &received, NULL));
  CHECK(received.len == strlen(text) && received.whole_len == received.len, "it has its length");
  CHECK(memcmp(found, text, received.len) == 0, "what is received is what was sent");
  return received;
}

static inline int is_same(trunkline_socket_address_t a, trunkline_socket_address_t b) {
  return memcmp(a.ip, b.ip, sizeof a.ip) == 0 && a.port == b.port && a.family == b.family && a.scope == b.scope;
}

#endif
