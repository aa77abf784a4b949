/* Keyed pools: one maker for each key, whoever comes, and a line of those who wait for a place. */
#include "calls.h"

typedef struct Closed {
  pthread_mutex_t mutex;
  int calls, releases, reasons[16];
  uint64_t last;
} Closed;

static void on_close(void *user_data, uint64_t value, uint32_t reason) {
  Closed *closed = (Closed *)user_data;
  pthread_mutex_lock(&closed->mutex);
  closed->calls++;
  closed->reasons[reason % 16]++;
  closed->last = value;
  pthread_mutex_unlock(&closed->mutex);
}

static void on_release(void *user_data) { ((Closed *)user_data)->releases++; }

static trunkline_keyed_pool_t new_pool(const char *json, Closed *closed) {
  trunkline_pool_closer_t closer = { { 0 }, 0, on_close, NULL, on_release };
  trunkline_keyed_pool_t pool;
  memset(closed, 0, sizeof *closed);
  pthread_mutex_init(&closed->mutex, NULL);
  closer.user_data = closed;
  OK(trunkline_keyed_pool_new(default_runtime(), json, strlen(json), &closer, &pool, NULL));
  return pool;
}

static trunkline_status_t ask(trunkline_keyed_pool_t pool, const char *key, int64_t deadline, uint64_t *value,
                              trunkline_job_t *job) {
  return trunkline_keyed_pool_get_or_create(pool, (const uint8_t *)key, strlen(key), deadline, deadline, value, job,
                                            NULL);
}

static trunkline_status_t insert_wait(trunkline_keyed_pool_t pool, const char *key, uint64_t value, int64_t deadline) {
  return trunkline_keyed_pool_insert_wait(pool, (const uint8_t *)key, strlen(key), value, 0, deadline, NULL);
}

/* Asks, and must get the job. */
static trunkline_job_t job_for(trunkline_keyed_pool_t pool, const char *key, int64_t deadline) {
  trunkline_job_t job;
  uint64_t value = 9;
  OK(ask(pool, key, deadline, &value, &job));
  CHECK(job.h != 0 && value == 0, "it is the caller's turn");
  return job;
}

/* Asks, and must get the value. */
static void finds(trunkline_keyed_pool_t pool, const char *key, int64_t deadline, uint64_t expected) {
  trunkline_job_t job = { 9 };
  uint64_t value = 0;
  OK(ask(pool, key, deadline, &value, &job));
  CHECK(job.h == 0 && value == expected, "the value is there");
}

static void fills(trunkline_job_t job, uint64_t value, uint64_t expected) {
  uint64_t kept = 0;
  OK(trunkline_keyed_pool_fill(job, value, &kept, NULL));
  CHECK(kept == expected, "that one is under the key");
}

static void fails(trunkline_job_t job) {
  OK(trunkline_job_done(job, 0, trunkline_error_new(TRUNKLINE_E_CONNECTION_FAILED, TEXT("no luck"), NULL)));
}

static void the_caller_makes_what_is_not_there(void) {
  Closed closed;
  trunkline_keyed_pool_t pool = new_pool("", &closed);
  trunkline_job_t first = job_for(pool, "a", NEVER), job;
  uint64_t value, kept;
  GIVES(TRUNKLINE_E_WOULD_BLOCK, ask(pool, "a", 0, &value, &job));
  CHECK(value == 0 && job.h == 0, "outputs are blank after a failure");
  job = job_for(pool, "b", 0);
  fills(job, 2, 2);
  finds(pool, "b", 0, 2);
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_keyed_pool_fill(job, 3, &kept, NULL));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_job_done(job, 3, NULL));
  CHECK(closed.calls == 0, "what is refused stays the caller's");
  fails(first);
  OK(trunkline_keyed_pool_free(pool));
  CHECK(closed.calls == 1 && closed.releases == 1, "each once");
}

static void a_job_outlives_its_pool_and_what_it_brings_is_given_up(void) {
  Closed closed;
  trunkline_keyed_pool_t pool = new_pool("", &closed);
  trunkline_job_t first = job_for(pool, "a", NEVER), second = job_for(pool, "b", NEVER);
  uint64_t kept = 9;
  OK(trunkline_keyed_pool_free(pool));
  TELLS(TRUNKLINE_E_CLOSED, trunkline_keyed_pool_fill(first, 5, &kept, &err));
  CHECK(kept == 0 && closed.last == 5, "the value went to the closer");
  CHECK(closed.reasons[TRUNKLINE_POOL_CLOSE_POOL_CLOSED] == 1 && closed.releases == 0, "one job is still out");
  OK(trunkline_job_done(second, 6, NULL));
  CHECK(closed.reasons[TRUNKLINE_POOL_CLOSE_POOL_CLOSED] == 2 && closed.last == 6, "and so did the other");
  CHECK(closed.calls == 2 && closed.releases == 1, "released after the last");
}

static void a_value_inserted_meanwhile_stays(void) {
  Closed closed;
  trunkline_keyed_pool_t pool = new_pool("", &closed);
  trunkline_job_t job = job_for(pool, "a", NEVER);
  OK(trunkline_keyed_pool_insert(pool, (const uint8_t *)"a", 1, 7, NULL));
  fills(job, 8, 7);
  CHECK(closed.reasons[TRUNKLINE_POOL_CLOSE_DUPLICATE] == 1 && closed.last == 8, "the one that was made is given up");
  OK(trunkline_keyed_pool_free(pool));
}

static void a_deadline_ends_the_wait_and_the_making(void) {
  Closed closed;
  trunkline_keyed_pool_t pool = new_pool("", &closed);
  trunkline_job_t slow = job_for(pool, "a", in_ms(300)), next;
  trunkline_error_t *err = NULL;
  uint64_t value;
  GIVES(TRUNKLINE_E_TIMEOUT, ask(pool, "a", 1, &value, &next));
  GIVES(TRUNKLINE_E_TIMEOUT,
        trunkline_keyed_pool_get_or_create(pool, (const uint8_t *)"a", 1, in_ms(1), 0, &value, &next, &err));
  CHECK(trunkline_error_step(err) == TRUNKLINE_STEP_ACQUIRE, "the step is acquire");
  trunkline_error_free(err);
  next = job_for(pool, "a", NEVER); /* once the slow one's time is over */
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_keyed_pool_fill(slow, 1, &value, NULL));
  CHECK(closed.reasons[TRUNKLINE_POOL_CLOSE_UNWANTED] == 1 && closed.last == 1, "it came too late");
  fills(next, 2, 2);
  finds(pool, "a", 0, 2);
  slow = job_for(pool, "b", in_ms(1));
  fails(job_for(pool, "b", NEVER));
  OK(trunkline_job_done(slow, 3, NULL));
  CHECK(closed.reasons[TRUNKLINE_POOL_CLOSE_UNWANTED] == 2 && closed.last == 3, "however it is answered");
  OK(trunkline_keyed_pool_free(pool));
}

enum { THREADS = 6, KEYS = 4, ROUNDS = 200 };

typedef struct Makers {
  trunkline_keyed_pool_t pool;
  int at_work[KEYS];
  uint64_t made;
} Makers;

/* Every third maker fails. */
static void *gets_or_makes(void *argument) {
  Makers *makers = (Makers *)argument;
  int round;
  for (round = 0; round < ROUNDS; round++) {
    int key = round % KEYS;
    char name[8];
    uint64_t value, number, kept;
    trunkline_job_t job;
    trunkline_status_t status;
    snprintf(name, sizeof name, "%d", key);
    status = ask(makers->pool, name, NEVER, &value, &job);
    /* Every place may be that of a maker, or of a value that is just leaving. */
    if (status == TRUNKLINE_E_LIMIT_EXCEEDED) continue;
    OK(status);
    if (job.h == 0) {
      CHECK(value != 0, "a value is under the key");
      if (round % 5 == 0) trunkline_keyed_pool_remove(makers->pool, (const uint8_t *)name, strlen(name), &value);
      continue;
    }
    CHECK(__atomic_add_fetch(&makers->at_work[key], 1, __ATOMIC_SEQ_CST) == 1, "one maker for each key at a time");
    sched_yield();
    number = __atomic_add_fetch(&makers->made, 1, __ATOMIC_SEQ_CST);
    __atomic_sub_fetch(&makers->at_work[key], 1, __ATOMIC_SEQ_CST);
    if (number % 3 == 0) {
      fails(job);
    } else {
      OK(trunkline_keyed_pool_fill(job, number, &kept, NULL));
      CHECK(kept == number, "nobody inserts");
    }
  }
  return NULL;
}

static void under_many_threads_one_makes_and_the_others_get_it(void) {
  Closed closed;
  Makers makers;
  trunkline_keyed_pool_stats_t stats = TRUNKLINE_KEYED_POOL_STATS_INIT;
  pthread_t threads[THREADS];
  int i;
  memset(&makers, 0, sizeof makers);
  makers.pool = new_pool("{\"max_size\": 3, \"when_full\": \"evict_lru\"}", &closed);
  for (i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, gets_or_makes, &makers) == 0, "a thread starts");
  for (i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  OK(trunkline_keyed_pool_stats(makers.pool, &stats));
  CHECK(stats.entries <= 3, "never too many");
  CHECK(stats.inserted == stats.entries + stats.taken + stats.closed, "the counts add up");
  CHECK(stats.inserted == makers.made - makers.made / 3, "what was made went in");
  OK(trunkline_keyed_pool_free(makers.pool));
  CHECK((uint64_t)closed.calls == stats.closed + stats.entries, "each ended once");
}

static trunkline_op_t ask_async(trunkline_keyed_pool_t pool, const char *key, int64_t deadline, trunkline_cq_t cq,
                                uint64_t tag) {
  trunkline_completion_t completion = { { 0 }, 0, NULL, NULL };
  trunkline_op_t op;
  completion.queue = cq;
  completion.tag = tag;
  OK(trunkline_keyed_pool_get_or_create_async(pool, (const uint8_t *)key, strlen(key), deadline, 0, &completion, &op,
                                              NULL));
  return op;
}

static void as_operations_too(void) {
  Closed closed;
  trunkline_keyed_pool_t pool = new_pool("", &closed);
  trunkline_cq_t cq = new_queue();
  trunkline_event_t event;
  trunkline_job_t job;
  ask_async(pool, "a", NEVER, cq, 1);
  event = next_event(cq);
  OK(event.status);
  CHECK(event.tag == 1 && event.kind == TRUNKLINE_EV_JOB && event.value == TRUNKLINE_JOB_MAKE, "the job");
  job.h = event.handle;
  ask_async(pool, "a", in_ms(1), cq, 2);
  event = next_event(cq);
  CHECK(event.tag == 2 && event.status == TRUNKLINE_E_TIMEOUT, "in time or not at all");
  trunkline_event_dispose(&event);
  OK(trunkline_op_cancel(ask_async(pool, "a", NEVER, cq, 3)));
  event = next_event(cq);
  CHECK(event.tag == 3 && event.status == TRUNKLINE_E_CANCELLED, "cancelled");
  trunkline_event_dispose(&event);
  ask_async(pool, "a", NEVER, cq, 4);
  fails(job);
  event = next_event(cq);
  CHECK(event.tag == 4 && event.kind == TRUNKLINE_EV_JOB, "after a failure the next one has the job");
  ask_async(pool, "a", NEVER, cq, 5);
  trunkline_event_dispose(&event);
  CHECK(event.handle == 0, "disposed of");
  event = next_event(cq);
  CHECK(event.tag == 5 && event.kind == TRUNKLINE_EV_JOB, "also after one that was thrown away");
  job.h = event.handle;
  ask_async(pool, "a", NEVER, cq, 6);
  fills(job, 4, 4);
  event = next_event(cq);
  CHECK(event.tag == 6 && event.kind == TRUNKLINE_EV_POOL_VALUE && event.value == 4, "the value");
  CHECK(event.handle == 0 && event.object == NULL, "and nothing to free");
  trunkline_event_dispose(&event);
  ask_async(pool, "b", NEVER, cq, 7);
  while (counts().jobs == 0) sched_yield();
  OK(trunkline_cq_free(cq));
  fails(job_for(pool, "b", NEVER));
  OK(trunkline_keyed_pool_free(pool));
  CHECK(closed.calls == 1 && closed.releases == 1, "each once");
}

static void a_full_queue_of_the_closer_lets_nobody_make(void) {
  trunkline_pool_closer_t closer = { { 0 }, 0, NULL, NULL, NULL };
  trunkline_keyed_pool_t pool;
  trunkline_event_t event;
  trunkline_job_t job, other;
  uint64_t value;
  OK(trunkline_cq_new(default_runtime(), 1, &closer.queue, NULL));
  OK(trunkline_keyed_pool_new(default_runtime(), NULL, 0, &closer, &pool, NULL));
  job = job_for(pool, "a", NEVER);
  GIVES(TRUNKLINE_E_LIMIT_EXCEEDED, ask(pool, "b", NEVER, &value, &other));
  fails(job);
  job = job_for(pool, "b", NEVER);
  fills(job, 3, 3);
  OK(trunkline_keyed_pool_free(pool));
  event = next_event(closer.queue);
  CHECK(event.handle == 3 && event.value == TRUNKLINE_POOL_CLOSE_POOL_CLOSED, "the place was free again");
  trunkline_event_dispose(&event);
  OK(trunkline_cq_free(closer.queue));
}

typedef struct Inserting {
  trunkline_keyed_pool_t pool;
  const char *key;
  uint64_t value;
} Inserting;

static void *inserts(void *argument) {
  Inserting *inserting = (Inserting *)argument;
  OK(insert_wait(inserting->pool, inserting->key, inserting->value, NEVER));
  return NULL;
}

static void a_full_pool_lets_its_callers_wait(void) {
  Closed closed;
  trunkline_keyed_pool_t pool = new_pool("{\"max_size\": 1, \"when_full\": \"wait\"}", &closed);
  trunkline_completion_t completion = { { 0 }, 0, NULL, NULL };
  trunkline_cq_t cq = new_queue();
  Inserting second;
  trunkline_event_t event;
  trunkline_op_t op;
  pthread_t thread;
  uint64_t value;
  OK(insert_wait(pool, "a", 1, 0));
  OK(insert_wait(pool, "a", 2, 0));
  CHECK(closed.calls == 1 && closed.last == 1, "a key that is there needs no place");
  GIVES(TRUNKLINE_E_WOULD_BLOCK, insert_wait(pool, "b", 3, 0));
  GIVES(TRUNKLINE_E_TIMEOUT, insert_wait(pool, "b", 3, 1));
  GIVES(TRUNKLINE_E_TIMEOUT, insert_wait(pool, "b", 3, in_ms(2)));
  GIVES(TRUNKLINE_E_LIMIT_EXCEEDED, trunkline_keyed_pool_insert(pool, (const uint8_t *)"b", 1, 3, NULL));
  second.pool = pool;
  second.key = "b";
  second.value = 4;
  CHECK(pthread_create(&thread, NULL, inserts, &second) == 0, "a thread starts");
  OK(trunkline_keyed_pool_remove(pool, (const uint8_t *)"a", 1, &value));
  pthread_join(thread, NULL);
  OK(trunkline_keyed_pool_get(pool, (const uint8_t *)"b", 1, &value));
  CHECK(value == 4, "it went in");
  completion.queue = cq;
  completion.tag = 8;
  OK(trunkline_keyed_pool_insert_async(pool, (const uint8_t *)"c", 1, 5, TRUNKLINE_NEVER, NEVER, &completion, &op, NULL));
  OK(trunkline_keyed_pool_remove(pool, (const uint8_t *)"b", 1, &value));
  event = next_event(cq);
  OK(event.status);
  CHECK(event.tag == 8 && event.kind == TRUNKLINE_EV_DONE, "as an operation");
  OK(trunkline_keyed_pool_insert_async(pool, (const uint8_t *)"d", 1, 6, 0, NEVER, &completion, &op, NULL));
  OK(trunkline_op_cancel(op));
  event = next_event(cq);
  GIVES(TRUNKLINE_E_CANCELLED, event.status);
  trunkline_event_dispose(&event);
  OK(trunkline_keyed_pool_insert_async(pool, (const uint8_t *)"d", 1, 6, 0, NEVER, &completion, &op, NULL));
  OK(trunkline_keyed_pool_free(pool));
  event = next_event(cq);
  GIVES(TRUNKLINE_E_CLOSED, event.status);
  trunkline_event_dispose(&event);
  CHECK(closed.calls == 2 && closed.last == 5 && closed.releases == 1, "what did not go in is not given up");
  OK(trunkline_cq_free(cq));
}

static void a_value_may_have_a_lifetime_of_its_own(void) {
  Closed closed;
  trunkline_keyed_pool_t pool = new_pool("", &closed);
  uint64_t value;
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_keyed_pool_insert_wait(pool, (const uint8_t *)"a", 1, 1, -1, NEVER, &err));
  OK(trunkline_keyed_pool_insert_wait(pool, (const uint8_t *)"a", 1, 1, 1, NEVER, NULL));
  GIVES(TRUNKLINE_E_NOT_FOUND, trunkline_keyed_pool_get(pool, (const uint8_t *)"a", 1, &value));
  CHECK(closed.reasons[TRUNKLINE_POOL_CLOSE_LIFETIME] == 1, "a nanosecond is over");
  OK(trunkline_keyed_pool_insert_wait(pool, (const uint8_t *)"a", 1, 2, TRUNKLINE_NEVER, NEVER, NULL));
  OK(trunkline_keyed_pool_get(pool, (const uint8_t *)"a", 1, &value));
  OK(trunkline_keyed_pool_free(pool));
}

static void each_count_can_be_asked_for(void) {
  Closed closed;
  trunkline_keyed_pool_t pool = new_pool("{\"max_size\": 4}", &closed);
  uint64_t size = 9, most = 9;
  double part = 9, ratio = 9;
  OK(trunkline_keyed_pool_insert_wait(pool, (const uint8_t *)"a", 1, 1, 0, 0, NULL));
  OK(trunkline_keyed_pool_insert_wait(pool, (const uint8_t *)"b", 1, 2, 1, 0, NULL));
  OK(trunkline_keyed_pool_size(pool, &size));
  OK(trunkline_keyed_pool_max_size(pool, &most));
  OK(trunkline_keyed_pool_utilization(pool, &part));
  CHECK(size == 2 && most == 4 && part > 0.49 && part < 0.51, "two of four");
  OK(trunkline_keyed_pool_prune_expired(pool, &size));
  OK(trunkline_keyed_pool_expiration_ratio(pool, &ratio));
  CHECK(size == 1 && ratio > 0.49 && ratio < 0.51, "one of two expired");
  OK(trunkline_keyed_pool_free(pool));
}

static void every_call_that_makes_or_waits(trunkline_keyed_pool_t pool, trunkline_status_t bad) {
  trunkline_completion_t completion = { { 0 }, 0, NULL, NULL };
  trunkline_job_t job;
  trunkline_op_t op;
  uint64_t value;
  double ratio;
  GIVES(bad, ask(pool, "a", NEVER, &value, &job));
  GIVES(bad, insert_wait(pool, "a", 1, NEVER));
  TELLS(bad, trunkline_keyed_pool_get_or_create_async(pool, (const uint8_t *)"a", 1, NEVER, 0, &completion, &op, &err));
  TELLS(bad, trunkline_keyed_pool_insert_async(pool, (const uint8_t *)"a", 1, 1, 0, NEVER, &completion, &op, &err));
  GIVES(bad, trunkline_keyed_pool_size(pool, &value));
  GIVES(bad, trunkline_keyed_pool_max_size(pool, &value));
  GIVES(bad, trunkline_keyed_pool_utilization(pool, &ratio));
  GIVES(bad, trunkline_keyed_pool_expiration_ratio(pool, &ratio));
}

static void bad_handles_and_null_are_errors(void) {
  Closed closed;
  trunkline_keyed_pool_t pool = new_pool("", &closed), zero = { 0 };
  trunkline_job_t job;
  trunkline_op_t op;
  uint64_t value;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, ask(pool, "a", NEVER, NULL, &job));
  CHECK(job.h == 0, "outputs are blank after a failure");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, ask(pool, "a", NEVER, &value, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_keyed_pool_get_or_create(pool, NULL, 3, NEVER, NEVER, &value, &job, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_keyed_pool_insert_wait(pool, NULL, 3, 1, 0, NEVER, NULL));
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_keyed_pool_get_or_create_async(pool, (const uint8_t *)"a", 1, NEVER, NEVER, NULL, &op, &err));
  job = job_for(pool, "a", NEVER);
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_keyed_pool_fill(job, 1, NULL, NULL));
  fills(job, 1, 1);
  OK(trunkline_keyed_pool_free(pool));
  every_call_that_makes_or_waits(pool, TRUNKLINE_E_INVALID_HANDLE);
  every_call_that_makes_or_waits(zero, TRUNKLINE_E_INVALID_HANDLE);
}

int main(void) {
  begin();
  the_caller_makes_what_is_not_there();
  a_job_outlives_its_pool_and_what_it_brings_is_given_up();
  a_value_inserted_meanwhile_stays();
  a_deadline_ends_the_wait_and_the_making();
  under_many_threads_one_makes_and_the_others_get_it();
  as_operations_too();
  a_full_queue_of_the_closer_lets_nobody_make();
  a_full_pool_lets_its_callers_wait();
  a_value_may_have_a_lifetime_of_its_own();
  each_count_can_be_asked_for();
  bad_handles_and_null_are_errors();
  leave();
  return 0;
}
