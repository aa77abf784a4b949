/* Which protocol bytes speak: verdicts, names, and what goes with them. */
#include "check.h"

static trunkline_probed_t *tcp(const char *data, size_t length) {
  trunkline_probed_t *probed = NULL;
  OK(trunkline_probe_tcp((const uint8_t *)data, length, &probed, NULL));
  CHECK(probed != NULL, "a probe gives a result");
  return probed;
}

static void is(const char *data, size_t length, int32_t verdict, const char *protocol, const char *host) {
  trunkline_probed_t *probed = tcp(data, length);
  const char *found = trunkline_probed_protocol(probed), *asked = trunkline_probed_host(probed);
  CHECK(trunkline_probed_verdict(probed) == verdict, "the verdict");
  CHECK(protocol == NULL ? found == NULL : found != NULL && strcmp(found, protocol) == 0, "the protocol");
  CHECK(host == NULL ? asked == NULL : asked != NULL && strcmp(asked, host) == 0, "the host");
  trunkline_probed_free(probed);
}

static void a_stream_is_told_by_its_first_bytes(void) {
  is(NULL, 0, TRUNKLINE_PROBE_NEED_MORE, NULL, NULL);
  is(TEXT("SSH"), TRUNKLINE_PROBE_NEED_MORE, NULL, NULL);
  is(TEXT("SSH-2.0-x"), TRUNKLINE_PROBE_IS, "ssh", NULL);
  is(TEXT("GET / HTTP/1.1\r\nHost: A.example:80\r\n"), TRUNKLINE_PROBE_IS, "http1", "a.example");
  is(TEXT("*1\r\n$4\r\nPING\r\n"), TRUNKLINE_PROBE_IS, "redis", NULL);
  is(TEXT("\x05\x01\x00"), TRUNKLINE_PROBE_IS, "socks5", NULL);
  is(TEXT("EHLO mail\r\n"), TRUNKLINE_PROBE_UNKNOWN, NULL, NULL);
}

/* A ClientHello for a.example that offers h2 and http/1.1, in one record. */
static const uint8_t HELLO[] = {
  22,  3,   1,   0,   87,  1,   0,   0,   83,  3,   3,   1,   1,   1,   1,   1,   1,   1,   1,
  1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,
  1,   1,   1,   1,   1,   0,   0,   2,   0x13, 1,   1,   0,   0,   40,  0,   0,   0,   14,  0,
  12,  0,   0,   9,   'a', '.', 'E', 'x', 'a', 'm', 'p', 'l', 'e', 0,   16,  0,   14,  0,
  12,  2,   'h', '2', 8,   'h', 't', 't', 'p', '/', '1', '.', '1', 0,   43,  0,   0,
};

static void a_hello_is_told_whole_with_its_name_and_protocols(void) {
  trunkline_probed_t *probed;
  size_t length;
  for (length = 0; length < sizeof HELLO; length++) {
    is((const char *)HELLO, length, TRUNKLINE_PROBE_NEED_MORE, NULL, NULL);
  }
  probed = tcp((const char *)HELLO, sizeof HELLO);
  CHECK(strcmp(trunkline_probed_protocol(probed), "tls") == 0, "it is TLS");
  CHECK(strcmp(trunkline_probed_host(probed), "a.example") == 0, "for that name");
  CHECK(strcmp(trunkline_probed_alpn(probed, 0), "h2") == 0, "best first");
  CHECK(strcmp(trunkline_probed_alpn(probed, 1), "http/1.1") == 0, "then the next");
  CHECK(trunkline_probed_alpn(probed, 2) == NULL, "and no more");
  CHECK(strcmp(trunkline_probed_json(probed, &length),
               "{\"verdict\":\"is\",\"protocol\":\"tls\",\"server_name\":\"a.example\","
               "\"alpn\":[\"h2\",\"http/1.1\"],\"ech\":false}") == 0,
        "all of it as JSON");
  CHECK(strlen(trunkline_probed_json(probed, NULL)) == length, "with its length");
  trunkline_probed_free(probed);
}

static void datagrams_are_told_too(void) {
  static const uint8_t QUERY[] = { 7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'A', 2, 'e', 'x', 0, 0, 28, 0, 1 };
  trunkline_bytes_t datagram;
  trunkline_probed_t *probed = NULL;
  datagram.ptr = QUERY;
  datagram.len = sizeof QUERY;
  OK(trunkline_probe_udp(&datagram, 1, &probed, NULL));
  CHECK(strcmp(trunkline_probed_json(probed, NULL),
               "{\"verdict\":\"is\",\"protocol\":\"dns\",\"name\":\"a.ex\",\"query_type\":28}") == 0,
        "a query for that name");
  trunkline_probed_free(probed);
  OK(trunkline_probe_udp(NULL, 0, &probed, NULL));
  CHECK(trunkline_probed_verdict(probed) == TRUNKLINE_PROBE_NEED_MORE, "no datagram says nothing");
  trunkline_probed_free(probed);
}

static void null_is_an_error_and_never_a_crash(void) {
  trunkline_probed_t *probed = (trunkline_probed_t *)0x1;
  size_t length = 9;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_probe_tcp(NULL, 3, &probed, NULL));
  CHECK(probed == NULL, "outputs are blank after a failure");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_probe_tcp(HELLO, sizeof HELLO, NULL, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_probe_udp(NULL, 1, &probed, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_probe_udp(NULL, 0, NULL, NULL));
  CHECK(trunkline_probed_verdict(NULL) == 0, "NULL has no verdict");
  CHECK(trunkline_probed_protocol(NULL) == NULL && trunkline_probed_host(NULL) == NULL, "and no names");
  CHECK(trunkline_probed_alpn(NULL, 0) == NULL, "and no protocols");
  CHECK(trunkline_probed_json(NULL, &length) == NULL && length == 0, "and no JSON");
  trunkline_probed_free(NULL);
}

int main(void) {
  begin();
  a_stream_is_told_by_its_first_bytes();
  a_hello_is_told_whole_with_its_name_and_protocols();
  datagrams_are_told_too();
  null_is_an_error_and_never_a_crash();
  leave();
  return 0;
}
