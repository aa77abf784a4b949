/* Every call on every type of handle, to see that one bad handle means one and the same answer everywhere. */
#ifndef CALLS_H
#define CALLS_H

#include "check.h"

/* The same kind of claim as GIVES, and the error object agrees with the status. */
#define TELLS(expected, call)                                                          \
  do {                                                                                 \
    trunkline_error_t *err = NULL;                                                     \
    GIVES(expected, call);                                                             \
    CHECK(trunkline_error_status(err) == (expected), "error object and status agree"); \
    trunkline_error_free(err);                                                         \
  } while (0)

static inline void every_runtime_call(trunkline_runtime_t rt, trunkline_status_t bad, trunkline_status_t freed) {
  trunkline_cq_t cq;
  trunkline_stream_t stream, ends[2];
  trunkline_listener_t listener;
  trunkline_op_t op;
  trunkline_completion_t completion = { { 0 }, 0, NULL, NULL };
  TELLS(bad, trunkline_cq_new(rt, 0, &cq, &err));
  TELLS(bad, trunkline_connect(rt, TEXT("mem:nobody"), NEVER, &stream, &err));
  TELLS(bad, trunkline_connect_async(rt, TEXT("mem:nobody"), NEVER, &completion, &op, &err));
  TELLS(bad, trunkline_listen(rt, TEXT("mem:nobody"), NULL, &listener, &err));
  TELLS(bad, trunkline_pipe_pair(rt, NULL, &ends, &err));
  TELLS(bad, trunkline_runtime_shutdown(rt, NEVER, &err));
  GIVES(freed, trunkline_runtime_free(rt));
}

static inline void every_cq_call(trunkline_cq_t cq, trunkline_status_t bad, trunkline_status_t freed) {
  trunkline_event_t events[2];
  trunkline_stream_t ends[2];
  trunkline_listener_t listener = listen_on("mem:every-cq-call");
  trunkline_completion_t completion = { { 0 }, 0, NULL, NULL };
  trunkline_op_t op;
  size_t n;
  int fd;
  completion.queue = cq;
  completion.queue.h |= (uint64_t)(cq.h == 0); /* {0} would mean: no queue */
  pair_of(ends);
  GIVES(bad, trunkline_cq_wait(cq, events, 2, NEVER, &n));
  GIVES(bad, trunkline_cq_fd(cq, &fd));
  CHECK(fd == 0, "an output is blank after a failure");
  GIVES(bad, trunkline_cq_wake(cq));
  GIVES(bad, trunkline_stream_arm(ends[0], TRUNKLINE_READABLE, cq, 1));
  GIVES(bad, trunkline_listener_arm(listener, cq, 1));
  TELLS(bad, trunkline_connect_async(default_runtime(), TEXT("mem:nobody"), NEVER, &completion, &op, &err));
  GIVES(bad, trunkline_cq_shutdown(cq));
  GIVES(freed, trunkline_cq_free(cq));
  free_streams(ends[0], ends[1]);
  OK(trunkline_listener_free(listener));
}

static inline void every_stream_call(trunkline_stream_t stream, trunkline_status_t bad, trunkline_status_t freed) {
  trunkline_cq_t cq = new_queue();
  trunkline_stream_stats_t stats = TRUNKLINE_STREAM_STATS_INIT;
  trunkline_bytes_t iov = { (const uint8_t *)"x", 1 };
  trunkline_buf_t *buf = NULL;
  uint8_t bytes[8];
  char text[320];
  size_t n;
  GIVES(bad, trunkline_stream_read(stream, bytes, sizeof bytes, NEVER, &n));
  GIVES(bad, trunkline_stream_write(stream, &iov, 1, NEVER, &n));
  GIVES(bad, trunkline_stream_recv_buf(stream, 10, NEVER, &buf));
  GIVES(bad, trunkline_stream_send_buf(stream, buf, NEVER, &n));
  GIVES(bad, trunkline_stream_arm(stream, TRUNKLINE_READABLE, cq, 1));
  GIVES(bad, trunkline_stream_shutdown(stream, TRUNKLINE_WRITABLE));
  TELLS(bad, trunkline_stream_error(stream, &err));
  GIVES(bad, trunkline_stream_address(stream, TRUNKLINE_PEER, text, sizeof text, &n));
  GIVES(bad, trunkline_stream_stats(stream, &stats));
  GIVES(bad, trunkline_stream_abort(stream));
  GIVES(bad, trunkline_stream_close(stream));
  GIVES(freed, trunkline_stream_free(stream));
  OK(trunkline_cq_free(cq));
}

static inline void every_listener_call(trunkline_listener_t listener, trunkline_status_t bad,
                                       trunkline_status_t freed) {
  trunkline_cq_t cq = new_queue();
  trunkline_stream_t stream;
  char text[320];
  size_t n;
  TELLS(bad, trunkline_listener_accept(listener, NEVER, &stream, &err));
  GIVES(bad, trunkline_listener_arm(listener, cq, 1));
  GIVES(bad, trunkline_listener_address(listener, text, sizeof text, &n));
  GIVES(bad, trunkline_listener_close(listener));
  GIVES(freed, trunkline_listener_free(listener));
  OK(trunkline_cq_free(cq));
}

#endif
