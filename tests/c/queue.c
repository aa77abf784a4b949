/* Completion queues: batches, one pollable descriptor, wakes, the bound, the end, one waiter at a time. */
#include "check.h"

#include <poll.h>

static int is_readable(trunkline_cq_t cq) {
  struct pollfd pollfd = { -1, POLLIN, 0 };
  OK(trunkline_cq_fd(cq, &pollfd.fd));
  return poll(&pollfd, 1, 0) == 1;
}

/* Streams on which a read never waits. */
static void readable_pairs(trunkline_stream_t (*pairs)[2], int count) {
  int i;
  for (i = 0; i < count; i++) {
    pair_of(pairs[i]);
    say(pairs[i][0], "x");
  }
}

static void free_pairs(trunkline_stream_t (*pairs)[2], int count) {
  int i;
  for (i = 0; i < count; i++) free_streams(pairs[i][0], pairs[i][1]);
}

static void an_empty_queue_says_so_by_deadline(void) {
  trunkline_cq_t cq = new_queue();
  trunkline_event_t event;
  size_t n = 9;
  int64_t before = in_ms(0);
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_cq_wait(cq, &event, 1, 0, &n));
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_cq_wait(cq, &event, 1, INT64_MIN, &n));
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_cq_wait(cq, &event, 1, before - 1, &n));
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_cq_wait(cq, &event, 1, before + 20000000, &n));
  CHECK(in_ms(0) >= before + 20000000, "a deadline is not early");
  CHECK(n == 0, "no event was written");
  OK(trunkline_cq_free(cq));
}

static void events_come_in_order_in_batches_and_the_descriptor_is_level_triggered(void) {
  trunkline_cq_t cq = new_queue();
  trunkline_stream_t pairs[10][2];
  trunkline_event_t events[4];
  size_t n = 0, total = 0;
  int i;
  readable_pairs(pairs, 10);
  CHECK(!is_readable(cq), "nothing to say yet");
  for (i = 0; i < 10; i++) OK(trunkline_stream_arm(pairs[i][1], TRUNKLINE_READABLE, cq, (uint64_t)i));
  while (total < 10) {
    CHECK(is_readable(cq), "readable while there is an event");
    OK(trunkline_cq_wait(cq, events, 4, 0, &n));
    for (i = 0; i < (int)n; i++) {
      CHECK(events[i].tag == total + (size_t)i, "oldest first");
      CHECK(events[i].kind == TRUNKLINE_EV_READABLE && events[i].status == TRUNKLINE_OK, "as it was asked for");
      CHECK(events[i].op == 0 && events[i].handle == 0 && events[i].value == 0, "readiness carries nothing");
      CHECK(events[i].object == NULL && events[i].error == NULL && events[i].about == 0, "nor anything owned");
    }
    CHECK(n == (total == 8 ? 2 : 4), "as many as fit and are there");
    total += n;
  }
  CHECK(!is_readable(cq), "silent again once drained");
  free_pairs(pairs, 10);
  OK(trunkline_cq_free(cq));
}

static void a_wake_returns_without_an_event_and_wakes_do_not_add_up(void) {
  trunkline_cq_t cq = new_queue();
  trunkline_event_t event;
  size_t n = 9;
  OK(trunkline_cq_wake(cq));
  OK(trunkline_cq_wake(cq));
  CHECK(is_readable(cq), "a wake shows on the descriptor");
  OK(trunkline_cq_wait(cq, &event, 1, NEVER, &n));
  CHECK(n == 0, "no event");
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_cq_wait(cq, &event, 1, 0, &n));
  OK(trunkline_cq_free(cq));
}

static void a_full_queue_refuses_the_submit_and_loses_nothing(void) {
  trunkline_stream_t pairs[3][2];
  trunkline_cq_t cq;
  trunkline_completion_t completion = { { 0 }, 0, NULL, NULL };
  trunkline_op_t op;
  OK(trunkline_cq_new(default_runtime(), 2, &cq, NULL));
  completion.queue = cq;
  readable_pairs(pairs, 3);
  OK(trunkline_stream_arm(pairs[0][1], TRUNKLINE_READABLE, cq, 1));
  OK(trunkline_stream_arm(pairs[1][1], TRUNKLINE_READABLE, cq, 2));
  GIVES(TRUNKLINE_E_LIMIT_EXCEEDED, trunkline_stream_arm(pairs[2][1], TRUNKLINE_READABLE, cq, 3));
  GIVES(TRUNKLINE_E_LIMIT_EXCEEDED,
        trunkline_connect_async(default_runtime(), TEXT("mem:x"), NEVER, &completion, &op, NULL));
  CHECK(op.h == 0 && counts().operations == 0, "a refused submit leaves no operation");
  CHECK(next_event(cq).tag == 1, "the first is there");
  OK(trunkline_stream_arm(pairs[2][1], TRUNKLINE_READABLE, cq, 3));
  CHECK(next_event(cq).tag == 2, "the second is there");
  CHECK(next_event(cq).tag == 3, "the third came in its place");
  free_pairs(pairs, 3);
  OK(trunkline_cq_free(cq));
}

typedef struct Waiter {
  trunkline_cq_t cq;
  trunkline_status_t status;
  size_t n;
} Waiter;

static void *wait_in_turn(void *argument) {
  Waiter *waiter = (Waiter *)argument;
  trunkline_event_t event;
  do {
    waiter->status = trunkline_cq_wait(waiter->cq, &event, 1, NEVER, &waiter->n);
  } while (waiter->status == TRUNKLINE_E_LIMIT_EXCEEDED);
  return NULL;
}

/* Starts a thread and returns once it really waits. */
static pthread_t start_waiting(Waiter *waiter, trunkline_cq_t cq) {
  pthread_t thread;
  trunkline_event_t event;
  trunkline_status_t status;
  size_t n;
  waiter->cq = cq;
  CHECK(pthread_create(&thread, NULL, wait_in_turn, waiter) == 0, "a thread starts");
  do {
    status = trunkline_cq_wait(cq, &event, 1, 0, &n);
  } while (status == TRUNKLINE_E_WOULD_BLOCK);
  GIVES(TRUNKLINE_E_LIMIT_EXCEEDED, status);
  return thread;
}

static void a_second_waiter_gets_an_error(void) {
  trunkline_cq_t cq = new_queue();
  Waiter waiter;
  pthread_t thread = start_waiting(&waiter, cq);
  OK(trunkline_cq_wake(cq));
  pthread_join(thread, NULL);
  OK(waiter.status);
  CHECK(waiter.n == 0, "it was woken");
  OK(trunkline_cq_free(cq));
}

static void a_waiter_does_not_outlast_the_queue(void) {
  trunkline_cq_t cq = new_queue();
  trunkline_stream_t ends[2];
  Waiter waiter;
  pthread_t thread = start_waiting(&waiter, cq);
  OK(trunkline_cq_shutdown(cq));
  pthread_join(thread, NULL);
  GIVES(TRUNKLINE_E_CLOSED, waiter.status);
  OK(trunkline_cq_free(cq));

  cq = new_queue();
  thread = start_waiting(&waiter, cq);
  OK(trunkline_cq_free(cq));
  pthread_join(thread, NULL);
  CHECK(waiter.status == TRUNKLINE_E_CLOSED || (waiter.status == TRUNKLINE_OK && waiter.n == 0), "it returns");

  /* Also while an event is owed that will never come. */
  cq = new_queue();
  pair_of(ends);
  OK(trunkline_stream_arm(ends[0], TRUNKLINE_READABLE, cq, 1));
  thread = start_waiting(&waiter, cq);
  OK(trunkline_cq_free(cq));
  pthread_join(thread, NULL);
  OK(waiter.status);
  CHECK(waiter.n == 0, "it was woken");
  free_streams(ends[0], ends[1]);
}

static void a_queue_that_was_shut_down_is_drained_to_its_end(void) {
  trunkline_cq_t cq = new_queue();
  trunkline_stream_t pairs[2][2];
  trunkline_event_t event;
  size_t n;
  readable_pairs(pairs, 2);
  OK(trunkline_stream_arm(pairs[0][1], TRUNKLINE_READABLE, cq, 1));
  OK(trunkline_stream_arm(pairs[0][0], TRUNKLINE_READABLE, cq, 2));
  OK(trunkline_cq_shutdown(cq));
  OK(trunkline_cq_shutdown(cq));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_stream_arm(pairs[1][1], TRUNKLINE_READABLE, cq, 3));
  CHECK(next_event(cq).tag == 1, "what was there still comes");
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_cq_wait(cq, &event, 1, 0, &n));
  OK(trunkline_stream_close(pairs[0][0]));
  event = next_event(cq);
  CHECK(event.tag == 2 && event.status == TRUNKLINE_E_CLOSED, "what is owed comes too");
  trunkline_event_dispose(&event);
  GIVES(TRUNKLINE_E_CLOSED, trunkline_cq_wait(cq, &event, 1, NEVER, &n));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_cq_wait(cq, &event, 1, 0, &n));
  CHECK(is_readable(cq), "the end shows on the descriptor");
  free_pairs(pairs, 2);
  OK(trunkline_cq_free(cq));
}

static void what_nobody_took_out_is_freed_with_the_queue(void) {
  trunkline_listener_t listener = listen_on("mem:untaken");
  trunkline_cq_t cq = new_queue();
  trunkline_stream_t far;
  Stuck stuck;
  get_stuck(&stuck);
  connect_async(default_runtime(), TEXT("mem:untaken"), cq, 1);
  OK(trunkline_listener_accept(listener, NEVER, &far, NULL));
  while (!is_readable(cq)) sched_yield();
  OK(trunkline_stream_free(far));
  CHECK(counts().streams == 1 + (uint64_t)stuck.filled, "the stream in the event is alive");
  connect_async(default_runtime(), stuck.address, stuck.length, cq, 2);
  OK(trunkline_cq_free(cq));
  CHECK(counts().streams == (uint64_t)stuck.filled, "and gone with the queue");
  OK(trunkline_listener_free(listener));
  get_unstuck(&stuck);
  OK(trunkline_runtime_shutdown(default_runtime(), NEVER, NULL));
}

enum { SENDERS = 4, EACH = 500 };

static void *arm_again_and_again(void *argument) {
  const Waiter *waiter = (const Waiter *)argument;
  trunkline_stream_t ends[2];
  int i;
  pair_of(ends);
  say(ends[0], "x");
  for (i = 0; i < EACH; i++) {
    OK(trunkline_stream_arm(ends[1], TRUNKLINE_READABLE, waiter->cq, (uint64_t)i));
  }
  free_streams(ends[0], ends[1]);
  return NULL;
}

static void nothing_is_lost_between_many_senders_and_one_receiver(void) {
  Waiter shared;
  pthread_t threads[SENDERS];
  trunkline_event_t events[MANY];
  size_t n, total = 0;
  int i;
  shared.cq = new_queue();
  for (i = 0; i < SENDERS; i++) {
    CHECK(pthread_create(&threads[i], NULL, arm_again_and_again, &shared) == 0, "a thread starts");
  }
  while (total < (size_t)SENDERS * EACH) {
    OK(trunkline_cq_wait(shared.cq, events, MANY, NEVER, &n));
    total += n;
  }
  for (i = 0; i < SENDERS; i++) pthread_join(threads[i], NULL);
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_cq_wait(shared.cq, events, MANY, 0, &n));
  OK(trunkline_cq_free(shared.cq));
}

int main(void) {
  begin();
  an_empty_queue_says_so_by_deadline();
  events_come_in_order_in_batches_and_the_descriptor_is_level_triggered();
  a_wake_returns_without_an_event_and_wakes_do_not_add_up();
  a_full_queue_refuses_the_submit_and_loses_nothing();
  a_second_waiter_gets_an_error();
  a_waiter_does_not_outlast_the_queue();
  a_queue_that_was_shut_down_is_drained_to_its_end();
  what_nobody_took_out_is_freed_with_the_queue();
  nothing_is_lost_between_many_senders_and_one_receiver();
  leave();
  return 0;
}
