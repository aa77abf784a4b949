/* Completions by callback: once, on a thread of the library, where calls that wait are refused. */
#include "calls.h"

typedef struct Seen {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  int calls;
  pthread_t thread;
  trunkline_event_t event;
  void (*inside)(void);
} Seen;

static void seen_init(Seen *seen, void (*inside)(void)) {
  memset(seen, 0, sizeof *seen);
  pthread_mutex_init(&seen->mutex, NULL);
  pthread_cond_init(&seen->changed, NULL);
  seen->inside = inside;
}

static void on_complete(void *user_data, trunkline_event_t *event) {
  Seen *seen = (Seen *)user_data;
  if (seen->inside != NULL) seen->inside();
  pthread_mutex_lock(&seen->mutex);
  seen->calls++;
  seen->thread = pthread_self();
  seen->event = *event;
  pthread_cond_signal(&seen->changed);
  pthread_mutex_unlock(&seen->mutex);
}

static void wait_for_call(Seen *seen) {
  pthread_mutex_lock(&seen->mutex);
  while (seen->calls == 0) pthread_cond_wait(&seen->changed, &seen->mutex);
  pthread_mutex_unlock(&seen->mutex);
}

static trunkline_op_t submit(trunkline_runtime_t rt, const char *address, size_t length, Seen *seen) {
  trunkline_completion_t completion = { { 0 }, 5, on_complete, NULL };
  trunkline_op_t op;
  completion.user_data = seen;
  OK(trunkline_connect_async(rt, address, length, NEVER, &completion, &op, NULL));
  return op;
}

static trunkline_listener_t listener;
static trunkline_stream_t ends[2];
static trunkline_cq_t queue;

static void calls_that_wait_are_refused_and_the_others_work(void) {
  trunkline_stream_t stream;
  trunkline_listener_t other;
  trunkline_event_t event;
  trunkline_bytes_t iov = { (const uint8_t *)"x", 1 };
  trunkline_buf_t *buf;
  uint8_t byte;
  size_t n;
  CHECK(trunkline_in_callback() == 1, "this is a callback");
  TELLS(TRUNKLINE_E_WOULD_DEADLOCK, trunkline_connect(default_runtime(), TEXT("mem:callbacks"), NEVER, &stream, &err));
  TELLS(TRUNKLINE_E_WOULD_DEADLOCK, trunkline_listen(default_runtime(), TEXT("mem:other"), NULL, &other, &err));
  TELLS(TRUNKLINE_E_WOULD_DEADLOCK, trunkline_listener_accept(listener, NEVER, &stream, &err));
  TELLS(TRUNKLINE_E_WOULD_DEADLOCK, trunkline_runtime_shutdown(default_runtime(), NEVER, &err));
  GIVES(TRUNKLINE_E_WOULD_DEADLOCK, trunkline_stream_read(ends[0], &byte, 1, NEVER, &n));
  GIVES(TRUNKLINE_E_WOULD_DEADLOCK, trunkline_stream_recv_buf(ends[0], 1, NEVER, &buf));
  GIVES(TRUNKLINE_E_WOULD_DEADLOCK, trunkline_cq_wait(queue, &event, 1, NEVER, &n));
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_stream_read(ends[0], &byte, 1, 0, &n));
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_cq_wait(queue, &event, 1, 0, &n));
  TELLS(TRUNKLINE_E_WOULD_BLOCK, trunkline_listener_accept(listener, 0, &stream, &err));
  OK(trunkline_stream_write(ends[1], &iov, 1, 0, &n));
  OK(trunkline_stream_read(ends[0], &byte, 1, NEVER, &n));
}

static void a_callback_runs_once_on_a_thread_of_the_library(void) {
  Seen seen;
  trunkline_listener_t called = listen_on("mem:called");
  trunkline_op_t op;
  trunkline_stream_t far;
  listener = listen_on("mem:callbacks");
  queue = new_queue();
  pair_of(ends);
  seen_init(&seen, calls_that_wait_are_refused_and_the_others_work);
  CHECK(trunkline_in_callback() == 0, "this is no callback");
  op = submit(default_runtime(), TEXT("mem:called"), &seen);
  OK(trunkline_listener_accept(called, NEVER, &far, NULL));
  wait_for_call(&seen);
  CHECK(!pthread_equal(seen.thread, pthread_self()), "not on the thread of the submit");
  CHECK(seen.event.tag == 5 && seen.event.op == op.h, "tag and operation come back");
  CHECK(seen.event.kind == TRUNKLINE_EV_CONNECTED, "and the kind");
  OK(seen.event.status);
  OK(trunkline_stream_free(far));
  trunkline_event_dispose(&seen.event);
  OK(trunkline_op_cancel(op));
  OK(trunkline_listener_free(called));
  OK(trunkline_listener_free(listener));
  OK(trunkline_cq_free(queue));
  free_streams(ends[0], ends[1]);
  OK(trunkline_runtime_shutdown(default_runtime(), NEVER, NULL));
  CHECK(seen.calls == 1, "exactly once");
}

static void exactly_one_of_queue_and_callback_is_given(void) {
  trunkline_completion_t completion = { { 0 }, 0, NULL, NULL };
  trunkline_op_t op;
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_connect_async(default_runtime(), TEXT("mem:x"), NEVER, &completion, &op, &err));
  completion.queue = new_queue();
  completion.fn = on_complete;
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_connect_async(default_runtime(), TEXT("mem:x"), NEVER, &completion, &op, &err));
  OK(trunkline_cq_free(completion.queue));
}

static void a_stopped_runtime_still_calls_back(void) {
  Stuck stuck;
  Seen seen;
  trunkline_runtime_t rt;
  int by_free;
  get_stuck(&stuck);
  for (by_free = 0; by_free < 2; by_free++) {
    seen_init(&seen, NULL);
    OK(trunkline_runtime_new(NULL, &rt, NULL));
    submit(rt, stuck.address, stuck.length, &seen);
    if (!by_free) OK(trunkline_runtime_shutdown(rt, NEVER, NULL));
    OK(trunkline_runtime_free(rt));
    wait_for_call(&seen);
    GIVES(TRUNKLINE_E_CANCELLED, seen.event.status);
    trunkline_event_dispose(&seen.event);
  }
  get_unstuck(&stuck);
}

static trunkline_runtime_t doomed;

static void free_the_runtime_below(void) { OK(trunkline_runtime_free(doomed)); }

static void a_callback_may_free_the_runtime_that_it_runs_on(int fds, int threads) {
  Seen seen;
  seen_init(&seen, free_the_runtime_below);
  OK(trunkline_runtime_new(NULL, &doomed, NULL));
  submit(doomed, TEXT("mem:nobody"), &seen);
  wait_for_call(&seen);
  GIVES(TRUNKLINE_E_CONNECTION_FAILED, seen.event.status);
  trunkline_event_dispose(&seen.event);
  settles_at("task", threads);
  settles_at("fd", fds);
}

int main(void) {
  int fds, threads;
  begin();
  count_before(&fds, &threads);
  a_callback_runs_once_on_a_thread_of_the_library();
  exactly_one_of_queue_and_callback_is_given();
  a_stopped_runtime_still_calls_back();
  OK(trunkline_runtime_shutdown(default_runtime(), NEVER, NULL));
  a_callback_may_free_the_runtime_that_it_runs_on(fds, threads);
  leave();
  return 0;
}
