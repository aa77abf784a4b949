/* A cancel never blocks, may come twice or too late, and every operation still completes exactly once. */
#include "check.h"

static void what_hangs_is_cancelled(void) {
  Stuck stuck;
  trunkline_cq_t cq = new_queue();
  trunkline_event_t event;
  trunkline_op_t op;
  size_t n;
  get_stuck(&stuck);
  op = connect_async(default_runtime(), stuck.address, stuck.length, cq, 42);
  OK(trunkline_op_cancel(op));
  OK(trunkline_op_cancel(op));
  event = next_event(cq);
  CHECK(event.tag == 42 && event.op == op.h, "the event names its operation");
  GIVES(TRUNKLINE_E_CANCELLED, event.status);
  CHECK(trunkline_error_status(event.error) == TRUNKLINE_E_CANCELLED, "with its details");
  CHECK(event.handle == 0, "and nothing else");
  trunkline_event_dispose(&event);
  OK(trunkline_op_cancel(op));
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_cq_wait(cq, &event, 1, 0, &n));
  OK(trunkline_cq_free(cq));
  get_unstuck(&stuck);
}

enum { OPERATIONS = 400 };

typedef struct Work {
  trunkline_op_t ops[OPERATIONS];
  trunkline_listener_t listener;
} Work;

static void *cancel_all(void *argument) {
  const Work *work = (const Work *)argument;
  int i;
  for (i = 0; i < OPERATIONS; i++) OK(trunkline_op_cancel(work->ops[i]));
  return NULL;
}

static void *accept_all(void *argument) {
  const Work *work = (const Work *)argument;
  trunkline_stream_t stream;
  while (trunkline_listener_accept(work->listener, NEVER, &stream, NULL) == TRUNKLINE_OK) {
    OK(trunkline_stream_free(stream));
  }
  return NULL;
}

static void cancel_and_completion_race_to_exactly_one_result(const char *address) {
  Work work;
  trunkline_cq_t cq = new_queue();
  trunkline_event_t events[MANY];
  int seen[OPERATIONS] = { 0 }, i;
  pthread_t canceller, acceptor;
  char bound[320];
  size_t n, total = 0, length;
  work.listener = listen_on(address);
  OK(trunkline_listener_address(work.listener, bound, sizeof bound, &length));
  CHECK(pthread_create(&acceptor, NULL, accept_all, &work) == 0, "a thread starts");
  for (i = 0; i < OPERATIONS; i++) work.ops[i] = connect_async(default_runtime(), bound, length, cq, (uint64_t)i);
  CHECK(pthread_create(&canceller, NULL, cancel_all, &work) == 0, "a thread starts");
  while (total < OPERATIONS) {
    OK(trunkline_cq_wait(cq, events, MANY, NEVER, &n));
    for (i = 0; i < (int)n; i++) {
      seen[events[i].tag]++;
      CHECK(events[i].status == TRUNKLINE_OK || events[i].status == TRUNKLINE_E_CANCELLED, "one or the other");
      trunkline_event_dispose(&events[i]);
    }
    total += n;
  }
  pthread_join(canceller, NULL);
  for (i = 0; i < OPERATIONS; i++) CHECK(seen[i] == 1, "exactly one result each");
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_cq_wait(cq, events, MANY, 0, &n));
  OK(trunkline_listener_close(work.listener));
  pthread_join(acceptor, NULL);
  OK(trunkline_listener_free(work.listener));
  OK(trunkline_cq_free(cq));
}

int main(void) {
  int fds, threads, i;
  begin();
  count_before(&fds, &threads);
  what_hangs_is_cancelled();
  for (i = 0; i < 3; i++) {
    cancel_and_completion_race_to_exactly_one_result("mem:cancel");
    cancel_and_completion_race_to_exactly_one_result("tcp://127.0.0.1:0");
  }
  OK(trunkline_runtime_shutdown(default_runtime(), NEVER, NULL));
  settles_at("fd", fds);
  settles_at("task", threads);
  leave();
  return 0;
}
