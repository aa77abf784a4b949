/* Outputs are written whatever happens, and a NULL where something is needed is an error, never a crash. */
#include "calls.h"

#define BAD TRUNKLINE_E_INVALID_ARGUMENT
#define DIRT 0xaaaaaaaaaaaaaaaau

static void outputs_are_blank_after_a_failure(void) {
  trunkline_runtime_options_t options = TRUNKLINE_RUNTIME_OPTIONS_INIT;
  trunkline_runtime_t rt = { DIRT };
  trunkline_cq_t cq = { DIRT };
  trunkline_stream_t stream = { DIRT }, ends[2] = { { DIRT }, { DIRT } }, none = { 0 };
  trunkline_listener_t listener = { DIRT }, no_listener = { 0 };
  trunkline_op_t op = { DIRT };
  trunkline_buf_t *buf = (trunkline_buf_t *)0x1;
  trunkline_runtime_t stale;
  trunkline_completion_t completion = { { 0 }, 0, NULL, NULL };
  uint8_t byte;
  char text[8];
  size_t n = 99;
  int fd = 99;
  OK(trunkline_runtime_new(NULL, &stale, NULL));
  OK(trunkline_runtime_free(stale));

  options.worker_threads = 100000;
  GIVES(BAD, trunkline_runtime_new(&options, &rt, NULL));
  CHECK(rt.h == 0, "runtime");
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_cq_new(stale, 0, &cq, NULL));
  CHECK(cq.h == 0, "queue");
  GIVES(BAD, trunkline_connect(default_runtime(), TEXT("nonsense"), NEVER, &stream, NULL));
  CHECK(stream.h == 0, "stream of a connect");
  GIVES(BAD, trunkline_connect_async(default_runtime(), TEXT("mem:x"), NEVER, &completion, &op, NULL));
  CHECK(op.h == 0, "operation");
  GIVES(BAD, trunkline_listen(default_runtime(), TEXT("nonsense"), NULL, &listener, NULL));
  CHECK(listener.h == 0, "listener");
  stream.h = DIRT;
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_listener_accept(no_listener, NEVER, &stream, NULL));
  CHECK(stream.h == 0, "stream of an accept");
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_pipe_pair(stale, NULL, &ends, NULL));
  CHECK(ends[0].h == 0 && ends[1].h == 0, "ends of a pipe");
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_stream_read(none, &byte, 1, NEVER, &n));
  CHECK(n == 0, "bytes read");
  n = 99;
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_stream_write(none, NULL, 0, NEVER, &n));
  CHECK(n == 0, "bytes written");
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_stream_recv_buf(none, 1, NEVER, &buf));
  CHECK(buf == NULL, "buffer");
  n = 99;
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_stream_send_buf(none, NULL, NEVER, &n));
  CHECK(n == 0, "bytes of a buffer");
  n = 99;
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_stream_address(none, TRUNKLINE_PEER, text, sizeof text, &n));
  CHECK(n == 0, "length of an address");
  cq.h = 0;
  n = 99;
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_cq_wait(cq, NULL, 0, NEVER, &n));
  CHECK(n == 0, "number of events");
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_cq_fd(cq, &fd));
  CHECK(fd == 0, "descriptor");
  fd = 99;
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_stream_to_socket(none, &fd, NULL));
  CHECK(fd == 0, "descriptor of a socket");
}

static void a_null_output_is_an_error(void) {
  trunkline_listener_t listener = listen_on("mem:null-output");
  trunkline_cq_t cq = new_queue();
  trunkline_stream_t ends[2];
  trunkline_event_t event;
  trunkline_completion_t completion = { { 0 }, 0, NULL, NULL };
  trunkline_bytes_t iov = { (const uint8_t *)"x", 1 };
  uint8_t byte;
  char text[320];
  completion.queue = cq;
  pair_of(ends);
  TELLS(BAD, trunkline_runtime_new(NULL, NULL, &err));
  TELLS(BAD, trunkline_cq_new(default_runtime(), 0, NULL, &err));
  GIVES(BAD, trunkline_cq_wait(cq, &event, 1, NEVER, NULL));
  GIVES(BAD, trunkline_cq_fd(cq, NULL));
  TELLS(BAD, trunkline_connect(default_runtime(), TEXT("mem:null-output"), NEVER, NULL, &err));
  TELLS(BAD, trunkline_connect_async(default_runtime(), TEXT("mem:null-output"), NEVER, &completion, NULL, &err));
  TELLS(BAD, trunkline_listen(default_runtime(), TEXT("mem:other"), NULL, NULL, &err));
  TELLS(BAD, trunkline_listener_accept(listener, NEVER, NULL, &err));
  GIVES(BAD, trunkline_listener_address(listener, text, sizeof text, NULL));
  TELLS(BAD, trunkline_pipe_pair(default_runtime(), NULL, NULL, &err));
  GIVES(BAD, trunkline_stream_read(ends[0], &byte, 1, NEVER, NULL));
  GIVES(BAD, trunkline_stream_write(ends[0], &iov, 1, NEVER, NULL));
  GIVES(BAD, trunkline_stream_recv_buf(ends[0], 1, NEVER, NULL));
  GIVES(BAD, trunkline_stream_send_buf(ends[0], NULL, NEVER, NULL));
  GIVES(BAD, trunkline_stream_address(ends[0], TRUNKLINE_PEER, text, sizeof text, NULL));
  GIVES(BAD, trunkline_stream_stats(ends[0], NULL));
  GIVES(BAD, trunkline_stream_to_socket(ends[0], NULL, NULL));
  GIVES(BAD, trunkline_debug_counts(NULL));
  OK(trunkline_stream_error(ends[0], NULL));
  trunkline_event_dispose(NULL);
  free_streams(ends[0], ends[1]);
  OK(trunkline_listener_free(listener));
  OK(trunkline_cq_free(cq));
}

static void a_null_input_with_a_length_is_an_error_and_without_is_empty(void) {
  trunkline_cq_t cq = new_queue();
  trunkline_stream_t ends[2], stream;
  trunkline_listener_t listener;
  trunkline_op_t op;
  trunkline_bytes_t bad = { NULL, 1 }, empty = { NULL, 0 }, endless = { (const uint8_t *)"x", SIZE_MAX };
  trunkline_runtime_options_t options = TRUNKLINE_RUNTIME_OPTIONS_INIT;
  trunkline_runtime_t rt;
  size_t n = 99;
  uint8_t byte;
  pair_of(ends);
  TELLS(BAD, trunkline_connect(default_runtime(), NULL, 5, NEVER, &stream, &err));
  TELLS(BAD, trunkline_connect(default_runtime(), NULL, 0, NEVER, &stream, &err));
  TELLS(BAD, trunkline_connect(default_runtime(), "mem:x", SIZE_MAX, NEVER, &stream, &err));
  TELLS(BAD, trunkline_connect_async(default_runtime(), TEXT("mem:x"), NEVER, NULL, &op, &err));
  TELLS(BAD, trunkline_listen(default_runtime(), NULL, 1, NULL, &listener, &err));
  GIVES(BAD, trunkline_stream_read(ends[0], NULL, 1, NEVER, &n));
  GIVES(BAD, trunkline_stream_read(ends[0], &byte, SIZE_MAX, NEVER, &n));
  OK(trunkline_stream_read(ends[0], NULL, 0, NEVER, &n));
  CHECK(n == 0, "a read of nothing is nothing");
  GIVES(BAD, trunkline_stream_write(ends[0], NULL, 1, NEVER, &n));
  GIVES(BAD, trunkline_stream_write(ends[0], &bad, 1, NEVER, &n));
  GIVES(BAD, trunkline_stream_write(ends[0], &endless, 1, NEVER, &n));
  GIVES(BAD, trunkline_stream_write(ends[0], &bad, SIZE_MAX, NEVER, &n));
  OK(trunkline_stream_write(ends[0], NULL, 0, NEVER, &n));
  OK(trunkline_stream_write(ends[0], &empty, 1, NEVER, &n));
  CHECK(n == 0, "a write of nothing is nothing");
  GIVES(BAD, trunkline_stream_recv_buf(ends[0], 0, NEVER, NULL));
  GIVES(BAD, trunkline_cq_wait(cq, NULL, 1, NEVER, &n));
  GIVES(BAD, trunkline_cq_wait(cq, (trunkline_event_t *)&byte, 0, NEVER, &n));
  GIVES(BAD, trunkline_cq_wait(cq, (trunkline_event_t *)&byte, SIZE_MAX, NEVER, &n));
  GIVES(BAD, trunkline_stream_address(ends[0], TRUNKLINE_PEER, NULL, 10, &n));
  GIVES(BAD, trunkline_stream_address(ends[0], TRUNKLINE_PEER, NULL, 0, &n));
  options.thread_name.len = 1;
  TELLS(BAD, trunkline_runtime_new(&options, &rt, &err));
  CHECK(trunkline_buf_wrap(NULL, 1, NULL, NULL) == NULL, "no buffer without bytes");
  CHECK(trunkline_buf_wrap(&byte, SIZE_MAX, NULL, NULL) == NULL, "no buffer that is longer than memory");
  free_streams(ends[0], ends[1]);
  OK(trunkline_cq_free(cq));
}

static void numbers_out_of_range_are_refused(void) {
  trunkline_cq_t cq = new_queue();
  trunkline_stream_t ends[2];
  char text[8];
  size_t n;
  pair_of(ends);
  GIVES(BAD, trunkline_stream_arm(ends[0], 0, cq, 1));
  GIVES(BAD, trunkline_stream_arm(ends[0], 4, cq, 1));
  GIVES(BAD, trunkline_stream_arm(ends[0], UINT32_MAX, cq, 1));
  GIVES(BAD, trunkline_stream_shutdown(ends[0], 0));
  GIVES(BAD, trunkline_stream_shutdown(ends[0], 4));
  GIVES(BAD, trunkline_stream_address(ends[0], 2, text, sizeof text, &n));
  free_streams(ends[0], ends[1]);
  OK(trunkline_cq_free(cq));
}

static void option_structs_of_other_ages_are_understood(void) {
  struct {
    trunkline_pipe_options_t known;
    uint64_t newer[3];
  } newer;
  trunkline_pipe_options_t options = TRUNKLINE_PIPE_OPTIONS_INIT;
  trunkline_stream_stats_t stats = TRUNKLINE_STREAM_STATS_INIT;
  trunkline_stream_t ends[2];
  trunkline_error_t *err = NULL;
  size_t i;
  static const size_t WRONG[] = { 0, 1, 7, 4097, SIZE_MAX };

  memset(&newer, 0, sizeof newer);
  newer.known = options;
  newer.known.size = sizeof newer;
  OK(trunkline_pipe_pair(default_runtime(), &newer.known, &ends, NULL));
  free_streams(ends[0], ends[1]);
  newer.newer[2] = 1;
  TELLS(TRUNKLINE_E_VERSION, trunkline_pipe_pair(default_runtime(), &newer.known, &ends, &err));
  options.size = sizeof options.size;
  options.capacity = UINT64_MAX;
  OK(trunkline_pipe_pair(default_runtime(), &options, &ends, &err));
  for (i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
    trunkline_stream_t none[2];
    options.size = WRONG[i];
    TELLS(TRUNKLINE_E_VERSION, trunkline_pipe_pair(default_runtime(), &options, &none, &err));
    stats.size = WRONG[i];
    GIVES(TRUNKLINE_E_VERSION, trunkline_stream_stats(ends[0], &stats));
  }
  memset(&stats, 0xaa, sizeof stats);
  stats.size = offsetof(trunkline_stream_stats_t, bytes_sent);
  OK(trunkline_stream_stats(ends[0], &stats));
  CHECK(stats.size == offsetof(trunkline_stream_stats_t, bytes_sent), "as much as was asked for is filled");
  CHECK(stats.bytes_received == 0, "what an older header knows is filled");
  CHECK(stats.bytes_sent == DIRT, "what it does not know is left alone");
  free_streams(ends[0], ends[1]);
}

int main(void) {
  begin();
  outputs_are_blank_after_a_failure();
  a_null_output_is_an_error();
  a_null_input_with_a_length_is_an_error_and_without_is_empty();
  numbers_out_of_range_are_refused();
  option_structs_of_other_ages_are_understood();
  leave();
  return 0;
}
