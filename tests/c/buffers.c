/* Owned buffers: shared without a copy, and given back exactly once. */
#include "check.h"

static int released;
static void *released_owner;

static void on_release(void *owner) {
  trunkline_stream_t none = { 0 };
  uint8_t byte;
  size_t n;
  released++;
  released_owner = owner;
  CHECK(trunkline_in_callback() == 1, "a release is a callback");
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_stream_read(none, &byte, 1, NEVER, &n));
}

static void *frees(void *buffer) {
  trunkline_buf_free((trunkline_buf_t *)buffer);
  return NULL;
}

static void lent_bytes_come_back_once_after_the_last_owner(void) {
  static const uint8_t BYTES[] = "lent";
  int owner;
  size_t length = 0;
  trunkline_buf_t *first = trunkline_buf_wrap(BYTES, 4, &owner, on_release), *second;
  pthread_t thread;
  CHECK(first != NULL, "it is wrapped");
  CHECK(trunkline_buf_data(first, &length) == BYTES && length == 4, "without a copy");
  second = trunkline_buf_ref(first);
  CHECK(trunkline_buf_data(second, NULL) == BYTES, "for both owners");
  trunkline_buf_free(first);
  CHECK(released == 0, "not before the last");
  CHECK(pthread_create(&thread, NULL, frees, second) == 0, "a thread starts");
  pthread_join(thread, NULL);
  CHECK(released == 1 && released_owner == &owner, "once, with its owner");
}

static void a_failing_wrap_gives_back_too(void) {
  static const uint8_t BYTE = 0;
  released = 0;
  CHECK(trunkline_buf_wrap(NULL, 1, NULL, on_release) == NULL, "no bytes, no buffer");
  CHECK(released == 1, "and the owner is given back");
  CHECK(trunkline_buf_wrap(&BYTE, SIZE_MAX, NULL, on_release) == NULL, "too long, no buffer");
  CHECK(released == 2, "and the owner is given back");
}

static void empty_and_null_are_harmless(void) {
  size_t length = 9;
  trunkline_buf_t *empty;
  released = 0;
  empty = trunkline_buf_wrap(NULL, 0, NULL, on_release);
  CHECK(empty != NULL, "nothing can be wrapped");
  trunkline_buf_data(empty, &length);
  CHECK(length == 0, "and is empty");
  trunkline_buf_free(empty);
  CHECK(released == 1, "and given back");
  trunkline_buf_free(trunkline_buf_wrap((const uint8_t *)"static", 6, NULL, NULL));
  length = 9;
  CHECK(trunkline_buf_data(NULL, &length) == NULL && length == 0, "NULL has no bytes");
  CHECK(trunkline_buf_ref(NULL) == NULL, "NULL has no second owner");
  trunkline_buf_free(NULL);
}

static void a_stream_reads_into_a_buffer_of_the_library(void) {
  trunkline_stream_t ends[2];
  trunkline_buf_t *buf = NULL;
  size_t length = 0;
  const uint8_t *data;
  pair_of(ends);
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_stream_recv_buf(ends[1], 100, 0, &buf));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_stream_recv_buf(ends[1], 0, 0, &buf));
  CHECK(buf == NULL, "no buffer came of it");
  say(ends[0], "in one piece");
  OK(trunkline_stream_recv_buf(ends[1], SIZE_MAX, NEVER, &buf));
  data = trunkline_buf_data(buf, &length);
  CHECK(length == 12 && memcmp(data, "in one piece", 12) == 0, "what was there");
  trunkline_buf_free(buf);
  OK(trunkline_stream_shutdown(ends[0], TRUNKLINE_WRITABLE));
  OK(trunkline_stream_recv_buf(ends[1], 1, NEVER, &buf));
  trunkline_buf_data(buf, &length);
  CHECK(buf != NULL && length == 0, "the end is an empty buffer");
  trunkline_buf_free(buf);
  free_streams(ends[0], ends[1]);
}

static void a_large_buffer_crosses_a_pipe_without_a_copy(void) {
  enum { SIZE = 40000 };
  static uint8_t bytes[SIZE];
  trunkline_stream_t ends[2];
  trunkline_buf_t *sent, *found = NULL;
  const uint8_t *data;
  size_t n = 0, length = 0;
  int i;
  released = 0;
  for (i = 0; i < SIZE; i++) bytes[i] = (uint8_t)(i * 7);
  pair_of(ends);
  sent = trunkline_buf_wrap(bytes, SIZE, NULL, on_release);
  OK(trunkline_stream_send_buf(ends[0], sent, NEVER, &n));
  trunkline_buf_data(sent, &length);
  CHECK(n == SIZE && length == 0, "all of it was taken off");
  trunkline_buf_free(sent);
  OK(trunkline_stream_recv_buf(ends[1], SIZE_MAX, NEVER, &found));
  data = trunkline_buf_data(found, &length);
  CHECK(data == bytes && length == SIZE && released == 0, "the very same bytes, still lent");
  trunkline_buf_free(found);
  CHECK(released == 1, "the reader was the last owner");
  free_streams(ends[0], ends[1]);
}

static trunkline_stream_t reader;

static void on_release_close_reader(void *owner) {
  released++;
  CHECK(owner == &reader, "its owner");
  OK(trunkline_stream_close(reader));
}

static void a_release_may_close_the_stream_that_was_read(void) {
  enum { SIZE = 5000 };
  static uint8_t bytes[SIZE], into[SIZE];
  trunkline_stream_t ends[2];
  trunkline_buf_t *sent;
  size_t n = 0;
  released = 0;
  pair_of(ends);
  reader = ends[1];
  sent = trunkline_buf_wrap(bytes, SIZE, &reader, on_release_close_reader);
  OK(trunkline_stream_send_buf(ends[0], sent, NEVER, &n));
  trunkline_buf_free(sent);
  OK(trunkline_stream_read(reader, into, SIZE, NEVER, &n));
  CHECK(n == SIZE && released == 1, "it ran when all was read, with nothing locked");
  GIVES(TRUNKLINE_E_CLOSED, trunkline_stream_read(reader, into, SIZE, NEVER, &n));
  free_streams(ends[0], ends[1]);
}

static void what_does_not_fit_stays_in_the_buffer(void) {
  enum { SIZE = 150000 };
  static uint8_t bytes[SIZE];
  trunkline_stream_t ends[2];
  trunkline_buf_t *sent, *found = NULL;
  size_t n = 0, left = 0, total = 0, length = 0;
  released = 0;
  pair_of(ends);
  sent = trunkline_buf_wrap(bytes, SIZE, NULL, on_release);
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_stream_send_buf(ends[0], NULL, 0, &n));
  OK(trunkline_stream_send_buf(ends[0], sent, 0, &n));
  trunkline_buf_data(sent, &left);
  CHECK(n > 0 && n + left == SIZE, "a part was taken, and the rest is left");
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_stream_send_buf(ends[0], sent, 0, &n));
  CHECK(n == 0, "nothing fits any more");
  for (;;) {
    OK(trunkline_stream_recv_buf(ends[1], 1000, NEVER, &found));
    trunkline_buf_data(found, &length);
    trunkline_buf_free(found);
    total += length;
    if (total == SIZE) break;
    if (left > 0 && trunkline_stream_send_buf(ends[0], sent, 0, &n) == TRUNKLINE_OK) left -= n;
  }
  trunkline_buf_free(sent);
  CHECK(released == 1, "the bytes came back once");
  free_streams(ends[0], ends[1]);
}

int main(void) {
  begin();
  lent_bytes_come_back_once_after_the_last_owner();
  a_failing_wrap_gives_back_too();
  empty_and_null_are_harmless();
  a_stream_reads_into_a_buffer_of_the_library();
  a_large_buffer_crosses_a_pipe_without_a_copy();
  a_release_may_close_the_stream_that_was_read();
  what_does_not_fit_stays_in_the_buffer();
  leave();
  return 0;
}
