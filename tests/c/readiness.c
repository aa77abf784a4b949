/* Armed interest: one event per direction, at once if ready, with CLOSED at the end, never lost. */
#include "check.h"

static trunkline_event_t event_of(trunkline_cq_t cq, uint64_t tag, uint32_t kind, trunkline_status_t status) {
  trunkline_event_t event = next_event(cq);
  CHECK(event.tag == tag, "the tag is the caller's");
  CHECK(event.kind == kind, "the kind is what was armed");
  GIVES(status, event.status);
  CHECK((event.error != NULL) == (status != TRUNKLINE_OK), "a failure has its details");
  trunkline_event_dispose(&event);
  CHECK(event.error == NULL && event.handle == 0, "a disposed event is blank");
  trunkline_event_dispose(&event);
  return event;
}

static void silent(trunkline_cq_t cq) {
  trunkline_event_t event;
  size_t n;
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_cq_wait(cq, &event, 1, 0, &n));
}

/* Readiness may come for nothing: reads until a byte is really there, arming in between. */
static void reads_by_events(trunkline_stream_t stream, trunkline_cq_t cq, uint64_t tag) {
  trunkline_status_t status;
  uint8_t byte;
  size_t n;
  while ((status = trunkline_stream_read(stream, &byte, 1, 0, &n)) == TRUNKLINE_E_WOULD_BLOCK) {
    OK(trunkline_stream_arm(stream, TRUNKLINE_READABLE, cq, tag));
    event_of(cq, tag, TRUNKLINE_EV_READABLE, TRUNKLINE_OK);
  }
  OK(status);
  CHECK(n == 1, "the byte is there");
}

static void *says_a_byte(void *argument) {
  say(*(const trunkline_stream_t *)argument, "x");
  return NULL;
}

static void an_event_comes_when_a_byte_does(const char *address) {
  trunkline_listener_t listener = listen_on(address);
  trunkline_cq_t cq = new_queue();
  trunkline_stream_t near, far;
  int i;
  connected(listener, &near, &far);
  for (i = 0; i < 50; i++) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, says_a_byte, &far) == 0, "a thread starts");
    reads_by_events(near, cq, 7);
    pthread_join(thread, NULL);
  }
  free_streams(near, far);
  OK(trunkline_listener_free(listener));
  OK(trunkline_cq_free(cq));
}

static void what_is_ready_fires_at_once(void) {
  trunkline_cq_t cq = new_queue();
  trunkline_stream_t ends[2];
  pair_of(ends);
  OK(trunkline_stream_arm(ends[0], TRUNKLINE_WRITABLE, cq, 1));
  event_of(cq, 1, TRUNKLINE_EV_WRITABLE, TRUNKLINE_OK);
  OK(trunkline_stream_shutdown(ends[1], TRUNKLINE_WRITABLE));
  OK(trunkline_stream_arm(ends[0], TRUNKLINE_READABLE, cq, 2));
  event_of(cq, 2, TRUNKLINE_EV_READABLE, TRUNKLINE_OK);
  hears_the_end(ends[0]);
  say(ends[0], "y");
  OK(trunkline_stream_arm(ends[1], TRUNKLINE_READABLE | TRUNKLINE_WRITABLE, cq, 3));
  event_of(cq, 3, TRUNKLINE_EV_READABLE, TRUNKLINE_OK);
  event_of(cq, 3, TRUNKLINE_EV_WRITABLE, TRUNKLINE_OK);
  silent(cq);
  free_streams(ends[0], ends[1]);
  OK(trunkline_cq_free(cq));
}

static void arming_again_gives_the_new_tag_and_one_event(void) {
  trunkline_cq_t cq = new_queue(), other = new_queue();
  trunkline_stream_t ends[2];
  pair_of(ends);
  OK(trunkline_stream_arm(ends[0], TRUNKLINE_READABLE, cq, 1));
  OK(trunkline_stream_arm(ends[0], TRUNKLINE_READABLE, cq, 2));
  OK(trunkline_stream_arm(ends[0], TRUNKLINE_READABLE, other, 3));
  say(ends[1], "x");
  event_of(cq, 2, TRUNKLINE_EV_READABLE, TRUNKLINE_OK);
  event_of(other, 3, TRUNKLINE_EV_READABLE, TRUNKLINE_OK);
  silent(cq);
  silent(other);
  free_streams(ends[0], ends[1]);
  OK(trunkline_cq_free(cq));
  OK(trunkline_cq_free(other));
}

/* In whatever order. */
static void both_are_closed(trunkline_cq_t cq) {
  uint64_t kinds[3] = { 0, TRUNKLINE_EV_READABLE, TRUNKLINE_EV_WRITABLE };
  int i;
  for (i = 0; i < 2; i++) {
    trunkline_event_t event = next_event(cq);
    CHECK(event.tag == 1 || event.tag == 2, "the tag is the caller's");
    CHECK(event.kind == kinds[event.tag], "one of each kind");
    GIVES(TRUNKLINE_E_CLOSED, event.status);
    kinds[event.tag] = 0;
    trunkline_event_dispose(&event);
  }
}

static void a_close_fires_both_directions(const char *address) {
  static uint8_t block[1 << 16];
  trunkline_bytes_t iov = { block, sizeof block };
  trunkline_listener_t listener = listen_on(address);
  trunkline_cq_t cq = new_queue();
  trunkline_stream_t near, far;
  trunkline_event_t early;
  int by_free;
  for (by_free = 0; by_free < 2; by_free++) {
    size_t n;
    connected(listener, &near, &far);
    while (trunkline_stream_write(near, &iov, 1, in_ms(50), &n) == TRUNKLINE_OK) CHECK(n > 0, "progress");
    OK(trunkline_stream_arm(near, TRUNKLINE_READABLE, cq, 1));
    OK(trunkline_stream_arm(near, TRUNKLINE_WRITABLE, cq, 2));
    /* The kernel may find more room for what is written: then this event comes before the close does. */
    while (trunkline_cq_wait(cq, &early, 1, 0, &n) == TRUNKLINE_OK) {
      CHECK(early.tag == 2 && early.status == TRUNKLINE_OK, "room was found");
      while (trunkline_stream_write(near, &iov, 1, 0, &n) == TRUNKLINE_OK) CHECK(n > 0, "progress");
      OK(trunkline_stream_arm(near, TRUNKLINE_WRITABLE, cq, 2));
    }
    if (by_free) {
      OK(trunkline_stream_free(near));
    } else {
      OK(trunkline_stream_close(near));
    }
    both_are_closed(cq);
    if (!by_free) {
      OK(trunkline_stream_arm(near, TRUNKLINE_READABLE | TRUNKLINE_WRITABLE, cq, 3));
      event_of(cq, 3, TRUNKLINE_EV_READABLE, TRUNKLINE_E_CLOSED);
      event_of(cq, 3, TRUNKLINE_EV_WRITABLE, TRUNKLINE_E_CLOSED);
      OK(trunkline_stream_free(near));
    }
    silent(cq);
    OK(trunkline_stream_free(far));
  }
  OK(trunkline_listener_free(listener));
  OK(trunkline_cq_free(cq));
}

static void a_listener_tells_who_waits_and_its_end(const char *address) {
  trunkline_listener_t listener = listen_on(address);
  trunkline_cq_t cq = new_queue();
  trunkline_stream_t near, far;
  trunkline_status_t status;
  OK(trunkline_listener_arm(listener, cq, 1));
  OK(trunkline_listener_arm(listener, cq, 2));
  near = connect_to(listener);
  event_of(cq, 2, TRUNKLINE_EV_ACCEPTABLE, TRUNKLINE_OK);
  while ((status = trunkline_listener_accept(listener, 0, &far, NULL)) == TRUNKLINE_E_WOULD_BLOCK) {
    OK(trunkline_listener_arm(listener, cq, 3));
    event_of(cq, 3, TRUNKLINE_EV_ACCEPTABLE, TRUNKLINE_OK);
  }
  OK(status);
  free_streams(near, far);
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_listener_accept(listener, 0, &far, NULL));
  OK(trunkline_listener_arm(listener, cq, 4));
  silent(cq);
  OK(trunkline_listener_close(listener));
  event_of(cq, 4, TRUNKLINE_EV_ACCEPTABLE, TRUNKLINE_E_CLOSED);
  OK(trunkline_listener_arm(listener, cq, 5));
  event_of(cq, 5, TRUNKLINE_EV_ACCEPTABLE, TRUNKLINE_E_CLOSED);
  OK(trunkline_listener_free(listener));
  OK(trunkline_cq_free(cq));
}

typedef struct Closing {
  pthread_barrier_t barrier;
  trunkline_stream_t stream;
  trunkline_cq_t cq;
} Closing;

enum { ROUNDS = 500 };

static void *closes(void *argument) {
  Closing *closing = (Closing *)argument;
  int i;
  for (i = 0; i < ROUNDS; i++) {
    pthread_barrier_wait(&closing->barrier);
    OK(trunkline_stream_close(closing->stream));
    pthread_barrier_wait(&closing->barrier);
  }
  return NULL;
}

static void a_close_at_the_moment_of_arming_is_told_all_the_same(void) {
  Closing closing;
  pthread_t thread;
  int i;
  closing.cq = new_queue();
  pthread_barrier_init(&closing.barrier, NULL, 2);
  CHECK(pthread_create(&thread, NULL, closes, &closing) == 0, "a thread starts");
  for (i = 0; i < ROUNDS; i++) {
    trunkline_stream_t ends[2];
    pair_of(ends);
    closing.stream = ends[0];
    pthread_barrier_wait(&closing.barrier);
    OK(trunkline_stream_arm(ends[0], TRUNKLINE_READABLE, closing.cq, (uint64_t)i));
    pthread_barrier_wait(&closing.barrier);
    event_of(closing.cq, (uint64_t)i, TRUNKLINE_EV_READABLE, TRUNKLINE_E_CLOSED);
    silent(closing.cq);
    free_streams(ends[0], ends[1]);
  }
  pthread_join(thread, NULL);
  pthread_barrier_destroy(&closing.barrier);
  OK(trunkline_cq_free(closing.cq));
}

static void a_queue_that_is_freed_while_armed_takes_its_events_along(void) {
  trunkline_stream_t ends[2];
  trunkline_cq_t cq;
  int i;
  pair_of(ends);
  for (i = 0; i < 100; i++) {
    cq = new_queue();
    OK(trunkline_stream_arm(ends[0], TRUNKLINE_READABLE, cq, 1));
    OK(trunkline_cq_free(cq));
  }
  cq = new_queue();
  OK(trunkline_stream_arm(ends[0], TRUNKLINE_READABLE, cq, 2));
  say(ends[1], "x");
  event_of(cq, 2, TRUNKLINE_EV_READABLE, TRUNKLINE_OK);
  free_streams(ends[0], ends[1]);
  OK(trunkline_cq_free(cq));
}

static void a_runtime_that_stops_tells_what_is_armed(const char *address) {
  trunkline_cq_t cq = new_queue();
  trunkline_runtime_t rt;
  trunkline_listener_t listener;
  trunkline_stream_t near, far;
  trunkline_event_t event;
  char bound[320];
  size_t length;
  OK(trunkline_runtime_new(NULL, &rt, NULL));
  OK(trunkline_listen(rt, address, strlen(address), NULL, &listener, NULL));
  OK(trunkline_listener_address(listener, bound, sizeof bound, &length));
  OK(trunkline_connect(rt, bound, length, NEVER, &near, NULL));
  OK(trunkline_listener_accept(listener, NEVER, &far, NULL));
  OK(trunkline_stream_arm(near, TRUNKLINE_READABLE, cq, 1));
  OK(trunkline_runtime_shutdown(rt, NEVER, NULL));
  event = next_event(cq);
  CHECK(event.tag == 1, "what was owed came");
  trunkline_event_dispose(&event);
  GIVES(TRUNKLINE_E_CLOSED, trunkline_stream_arm(near, TRUNKLINE_READABLE, cq, 2));
  free_streams(near, far);
  OK(trunkline_listener_free(listener));
  OK(trunkline_runtime_free(rt));
  OK(trunkline_cq_free(cq));
}

int main(void) {
  const char *addresses[] = { "tcp://127.0.0.1:0", NULL, "mem:readiness" };
  char abstract[64];
  int i;
  begin();
  snprintf(abstract, sizeof abstract, "unix:@trunkline-readiness-%ld", (long)getpid());
  addresses[1] = abstract;
  for (i = 0; i < 3; i++) {
    an_event_comes_when_a_byte_does(addresses[i]);
    a_close_fires_both_directions(addresses[i]);
    a_listener_tells_who_waits_and_its_end(addresses[i]);
  }
  a_runtime_that_stops_tells_what_is_armed("tcp://127.0.0.1:0");
  what_is_ready_fires_at_once();
  arming_again_gives_the_new_tag_and_one_event();
  a_close_at_the_moment_of_arming_is_told_all_the_same();
  a_queue_that_is_freed_while_armed_takes_its_events_along();
  leave();
  return 0;
}
