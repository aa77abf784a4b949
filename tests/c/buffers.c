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

int main(void) {
  begin();
  lent_bytes_come_back_once_after_the_last_owner();
  a_failing_wrap_gives_back_too();
  empty_and_null_are_harmless();
  a_stream_reads_into_a_buffer_of_the_library();
  leave();
  return 0;
}
