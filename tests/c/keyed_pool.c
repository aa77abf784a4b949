/* Keyed pools: bounded, expiring, and every value given up exactly once with its reason. */
#include "calls.h"

typedef struct Closed {
  pthread_mutex_t mutex;
  int calls, releases, reasons[16];
  uint64_t last;
} Closed;

static void on_close(void *user_data, uint64_t value, uint32_t reason) {
  Closed *closed = (Closed *)user_data;
  CHECK(reason >= 1 && reason < 16, "reasons are known");
  CHECK(trunkline_in_callback() == 1, "a closer is a callback");
  pthread_mutex_lock(&closed->mutex);
  closed->calls++;
  closed->reasons[reason]++;
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

static trunkline_status_t insert(trunkline_keyed_pool_t pool, const char *key, uint64_t value) {
  return trunkline_keyed_pool_insert(pool, (const uint8_t *)key, strlen(key), value, NULL);
}

static trunkline_status_t get(trunkline_keyed_pool_t pool, const char *key, uint64_t *value) {
  return trunkline_keyed_pool_get(pool, (const uint8_t *)key, strlen(key), value);
}

static void values_are_found_replaced_removed_and_cleared(void) {
  Closed closed;
  trunkline_keyed_pool_t pool = new_pool("", &closed);
  trunkline_keyed_pool_stats_t stats = TRUNKLINE_KEYED_POOL_STATS_INIT;
  uint64_t value = 9;
  OK(insert(pool, "a", 1));
  OK(insert(pool, "b", 2));
  OK(insert(pool, "", 3));
  OK(get(pool, "a", &value));
  CHECK(value == 1, "under its key");
  OK(get(pool, "", &value));
  CHECK(value == 3, "an empty key is a key");
  GIVES(TRUNKLINE_E_NOT_FOUND, get(pool, "c", &value));
  CHECK(value == 0, "outputs are blank after a failure");
  OK(insert(pool, "a", 4));
  CHECK(closed.calls == 1 && closed.last == 1, "what is replaced is given up");
  CHECK(closed.reasons[TRUNKLINE_POOL_CLOSE_REPLACED] == 1, "with its reason");
  OK(trunkline_keyed_pool_remove(pool, (const uint8_t *)"b", 1, &value));
  CHECK(value == 2 && closed.calls == 1, "what is removed is the caller's");
  GIVES(TRUNKLINE_E_NOT_FOUND, trunkline_keyed_pool_remove(pool, (const uint8_t *)"b", 1, &value));
  OK(trunkline_keyed_pool_stats(pool, &stats));
  CHECK(stats.entries == 2 && stats.inserted == 4 && stats.taken == 1 && stats.closed == 1, "the counts add up");
  CHECK(stats.hits == 2 && stats.misses == 1, "gets are counted");
  OK(trunkline_keyed_pool_clear(pool));
  CHECK(closed.reasons[TRUNKLINE_POOL_CLOSE_CLEARED] == 2, "all are cleared");
  OK(insert(pool, "d", 5));
  OK(trunkline_keyed_pool_free(pool));
  CHECK(closed.reasons[TRUNKLINE_POOL_CLOSE_POOL_CLOSED] == 1 && closed.calls == 4, "the rest goes with the pool");
  CHECK(closed.releases == 1, "released exactly once");
}

static void a_full_pool_refuses_and_the_value_stays_the_callers(void) {
  Closed closed;
  trunkline_keyed_pool_t pool = new_pool("{\"max_size\": 2}", &closed);
  trunkline_error_t *err = NULL;
  uint64_t value;
  OK(insert(pool, "a", 1));
  OK(insert(pool, "b", 2));
  GIVES(TRUNKLINE_E_LIMIT_EXCEEDED, trunkline_keyed_pool_insert(pool, (const uint8_t *)"c", 1, 3, &err));
  CHECK(trunkline_error_flags(err) & TRUNKLINE_ERR_RETRYABLE, "it may work later");
  trunkline_error_free(err);
  CHECK(closed.calls == 0, "a refused value is not given up");
  OK(trunkline_keyed_pool_remove(pool, (const uint8_t *)"a", 1, &value));
  OK(insert(pool, "c", 3));
  OK(trunkline_keyed_pool_free(pool));
  CHECK(closed.calls == 2 && closed.releases == 1, "each once");
}

static void a_queue_takes_what_is_given_up(void) {
  trunkline_pool_closer_t closer = { { 0 }, 7, NULL, NULL, NULL };
  trunkline_keyed_pool_t pool;
  trunkline_stream_t ends[2];
  trunkline_event_t event;
  closer.queue = new_queue();
  pair_of(ends);
  OK(trunkline_keyed_pool_new(default_runtime(), NULL, 0, &closer, &pool, NULL));
  OK(insert(pool, "near", ends[0].h));
  OK(insert(pool, "near", ends[1].h));
  event = next_event(closer.queue);
  CHECK(event.kind == TRUNKLINE_EV_POOL_CLOSED && event.tag == 7, "as it was registered");
  CHECK(event.handle == ends[0].h && event.value == TRUNKLINE_POOL_CLOSE_REPLACED, "the value and its reason");
  trunkline_event_dispose(&event);
  OK(trunkline_stream_close(ends[0]));
  OK(trunkline_keyed_pool_free(pool));
  event = next_event(closer.queue);
  CHECK(event.handle == ends[1].h && event.value == TRUNKLINE_POOL_CLOSE_POOL_CLOSED, "the rest goes with the pool");
  trunkline_event_dispose(&event);
  OK(trunkline_cq_free(closer.queue));
  free_streams(ends[0], ends[1]);
}

static void a_failing_registration_releases_too(void) {
  Closed closed;
  trunkline_pool_closer_t closer = { { 0 }, 0, on_close, NULL, on_release };
  trunkline_keyed_pool_t pool;
  memset(&closed, 0, sizeof closed);
  closer.user_data = &closed;
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_keyed_pool_new(default_runtime(), TEXT("{\"max_size\": 0}"), &closer, &pool, &err));
  CHECK(closed.releases == 1, "a bad document");
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_keyed_pool_new(default_runtime(), TEXT(""), &closer, NULL, &err));
  CHECK(closed.releases == 2, "no output");
  closer.queue.h = 12345;
  TELLS(TRUNKLINE_E_INVALID_HANDLE, trunkline_keyed_pool_new(default_runtime(), TEXT(""), &closer, &pool, &err));
  CHECK(closed.releases == 3 && pool.h == 0, "a stale queue");
}

static void every_pool_call(trunkline_keyed_pool_t pool, trunkline_status_t bad) {
  trunkline_keyed_pool_stats_t stats = TRUNKLINE_KEYED_POOL_STATS_INIT;
  uint64_t value;
  GIVES(bad, insert(pool, "a", 1));
  GIVES(bad, get(pool, "a", &value));
  GIVES(bad, trunkline_keyed_pool_remove(pool, (const uint8_t *)"a", 1, &value));
  GIVES(bad, trunkline_keyed_pool_clear(pool));
  GIVES(bad, trunkline_keyed_pool_prune_expired(pool, &value));
  GIVES(bad, trunkline_keyed_pool_stats(pool, &stats));
  GIVES(bad, trunkline_keyed_pool_free(pool));
}

static void bad_handles_and_null_are_errors(void) {
  Closed closed;
  trunkline_keyed_pool_t pool = new_pool("", &closed), zero = { 0 };
  uint64_t value;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_keyed_pool_insert(pool, NULL, 3, 1, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_keyed_pool_get(pool, NULL, 3, &value));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_keyed_pool_remove(pool, NULL, 3, &value));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, get(pool, "a", NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_keyed_pool_prune_expired(pool, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_keyed_pool_stats(pool, NULL));
  OK(trunkline_keyed_pool_free(pool));
  every_pool_call(pool, TRUNKLINE_E_INVALID_HANDLE);
  every_pool_call(zero, TRUNKLINE_E_INVALID_HANDLE);
}

enum { THREADS = 4, VALUES = 500 };

static trunkline_keyed_pool_t shared;

static void *inserts_and_removes(void *argument) {
  uint64_t base = (uint64_t)(size_t)argument * VALUES, i, value;
  for (i = 0; i < VALUES; i++) {
    char key[16];
    trunkline_status_t status;
    snprintf(key, sizeof key, "%d", (int)(i % 37));
    OK(insert(shared, key, base + i));
    if (i % 3 == 0) {
      status = trunkline_keyed_pool_remove(shared, (const uint8_t *)key, strlen(key), &value);
      CHECK(status == TRUNKLINE_OK || status == TRUNKLINE_E_NOT_FOUND, "one thread has it");
    }
  }
  return NULL;
}

static void under_many_threads_each_value_ends_once(void) {
  Closed closed;
  trunkline_keyed_pool_stats_t stats = TRUNKLINE_KEYED_POOL_STATS_INIT;
  pthread_t threads[THREADS];
  size_t i;
  shared = new_pool("{\"max_size\": 20, \"when_full\": \"evict_lru\"}", &closed);
  for (i = 0; i < THREADS; i++) {
    CHECK(pthread_create(&threads[i], NULL, inserts_and_removes, (void *)i) == 0, "a thread starts");
  }
  for (i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  OK(trunkline_keyed_pool_stats(shared, &stats));
  CHECK(stats.inserted == THREADS * VALUES, "all went in");
  CHECK(stats.entries <= 20, "and never too many");
  CHECK(stats.inserted == stats.entries + stats.taken + stats.closed, "the counts add up");
  CHECK((uint64_t)closed.calls == stats.closed, "the closer saw what was given up");
  OK(trunkline_keyed_pool_free(shared));
  CHECK((uint64_t)closed.calls == stats.closed + stats.entries, "and the rest");
  CHECK(closed.releases == 1, "released exactly once");
}

int main(void) {
  begin();
  values_are_found_replaced_removed_and_cleared();
  a_full_pool_refuses_and_the_value_stays_the_callers();
  a_queue_takes_what_is_given_up();
  a_failing_registration_releases_too();
  bad_handles_and_null_are_errors();
  under_many_threads_each_value_ends_once();
  leave();
  return 0;
}
