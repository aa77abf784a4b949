/* Pipes in memory: bounded, in order, with the semantics of a socket. */
#include "check.h"

static trunkline_stream_t ends[2];

static void a_pipe_holds_its_capacity_and_no_byte_more(void) {
  static uint8_t block[100000];
  trunkline_pipe_options_t options = TRUNKLINE_PIPE_OPTIONS_INIT;
  trunkline_bytes_t iov = { block, sizeof block };
  size_t n = 0;
  options.capacity = 5000;
  OK(trunkline_pipe_pair(default_runtime(), &options, &ends, NULL));
  OK(trunkline_stream_write(ends[0], &iov, 1, 0, &n));
  CHECK(n >= 5000 && n < 10000, "about the capacity fits");
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_stream_write(ends[0], &iov, 1, 0, &n));
  OK(trunkline_stream_read(ends[1], block, 1000, 0, &n));
  CHECK(n == 1000, "what is there is read");
  OK(trunkline_stream_write(ends[0], &iov, 1, 0, &n));
  CHECK(n == 1000, "the place is free again");
  free_streams(ends[0], ends[1]);
}

static void *pours(void *argument) {
  static uint8_t block[7919];
  size_t i, total = *(const size_t *)argument;
  uint8_t next = 0;
  while (total > 0) {
    size_t length = total < sizeof block ? total : sizeof block;
    for (i = 0; i < length; i++) block[i] = next++;
    write_all(ends[0], block, length);
    total -= length;
  }
  OK(trunkline_stream_shutdown(ends[0], TRUNKLINE_WRITABLE));
  return NULL;
}

static void megabytes_pass_in_order(void) {
  static uint8_t block[10007];
  size_t total = 8 << 20, have = 0, n, i;
  uint8_t next = 0;
  pthread_t thread;
  pair_of(ends);
  CHECK(pthread_create(&thread, NULL, pours, &total) == 0, "a thread starts");
  do {
    OK(trunkline_stream_read(ends[1], block, sizeof block, NEVER, &n));
    for (i = 0; i < n; i++) CHECK(block[i] == next++, "in order");
    have += n;
  } while (n > 0);
  CHECK(have == total, "all of it");
  pthread_join(thread, NULL);
  free_streams(ends[0], ends[1]);
}

static void ends_that_leave_are_noticed(void) {
  trunkline_stream_stats_t stats = TRUNKLINE_STREAM_STATS_INIT;
  trunkline_bytes_t iov = { (const uint8_t *)"x", 1 };
  trunkline_error_t *err = NULL;
  char text[8];
  uint8_t byte;
  size_t n;
  pair_of(ends);
  OK(trunkline_stream_stats(ends[0], &stats));
  CHECK(stats.protocol == TRUNKLINE_PROTOCOL_PIPE && stats.close_reason == 0, "a pipe that is open");
  OK(trunkline_stream_address(ends[0], TRUNKLINE_PEER, text, sizeof text, &n));
  CHECK(n == 0 && text[0] == '\0', "an end has no name");
  say(ends[1], "last words");
  OK(trunkline_stream_free(ends[1]));
  hears(ends[0], "last words");
  hears_the_end(ends[0]);
  GIVES(TRUNKLINE_E_BROKEN, trunkline_stream_write(ends[0], &iov, 1, NEVER, &n));
  GIVES(TRUNKLINE_E_BROKEN, trunkline_stream_error(ends[0], &err));
  CHECK(trunkline_error_os_code(err) == EPIPE, "as a socket would say");
  trunkline_error_free(err);
  OK(trunkline_stream_free(ends[0]));

  pair_of(ends);
  OK(trunkline_stream_abort(ends[1]));
  GIVES(TRUNKLINE_E_BROKEN, trunkline_stream_read(ends[0], &byte, 1, NEVER, &n));
  GIVES(TRUNKLINE_E_BROKEN, trunkline_stream_error(ends[0], &err));
  CHECK(trunkline_error_os_code(err) == ECONNRESET, "an abort is a reset");
  trunkline_error_free(err);
  free_streams(ends[0], ends[1]);
}

int main(void) {
  begin();
  a_pipe_holds_its_capacity_and_no_byte_more();
  megabytes_pass_in_order();
  ends_that_leave_are_noticed();
  leave();
  return 0;
}
