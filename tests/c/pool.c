/* Checkout pools: each connection to one caller at a time, in order, and closed exactly once. */
#include "calls.h"

/* A host that makes numbers as connections, at once, in the callback. */
typedef struct Host {
  pthread_mutex_t mutex;
  uint64_t made;
  int closed, reasons[16], checked, releases;
  int fails;   /* so many connects fail */
  int holds;   /* so many connects are not answered; their jobs wait here */
  trunkline_job_t held[8];
  int held_len;
} Host;

static void answer(trunkline_job_t job, uint64_t value, int fails) {
  trunkline_error_t *error = NULL;
  if (fails) error = trunkline_error_new(TRUNKLINE_E_CONNECTION_FAILED, TEXT("the host refuses"), NULL);
  OK(trunkline_job_done(job, value, error));
}

static void on_job(void *user_data, trunkline_job_t job, uint32_t what, uint32_t reason, uint64_t about) {
  Host *host = (Host *)user_data;
  uint64_t value = about;
  int fails = 0, holds = 0;
  pthread_mutex_lock(&host->mutex);
  switch (what) {
    case TRUNKLINE_JOB_CONNECT:
      fails = host->fails > 0;
      holds = !fails && host->holds > 0;
      if (fails) host->fails--;
      if (holds) host->holds--, host->held[host->held_len++] = job;
      value = fails || holds ? 0 : ++host->made;
      break;
    case TRUNKLINE_JOB_CHECK: host->checked++; break;
    case TRUNKLINE_JOB_CLOSE:
      CHECK(reason >= 1 && reason < 16, "reasons are known");
      host->closed++;
      host->reasons[reason]++;
      break;
    default: CHECK(0, "no other job is asked for");
  }
  pthread_mutex_unlock(&host->mutex);
  if (!holds) answer(job, value, fails);
}

static void on_release(void *user_data) { ((Host *)user_data)->releases++; }

static trunkline_pool_t new_pool(const char *json, Host *host, uint32_t abilities) {
  trunkline_job_host_t registration = { { 0 }, 0, on_job, NULL, on_release };
  trunkline_pool_t pool;
  memset(host, 0, sizeof *host);
  pthread_mutex_init(&host->mutex, NULL);
  registration.user_data = host;
  OK(trunkline_pool_new(default_runtime(), json, strlen(json), &registration, abilities, &pool, NULL));
  return pool;
}

static trunkline_leased_t acquire(trunkline_pool_t pool) {
  trunkline_leased_t leased;
  OK(trunkline_pool_acquire(pool, TRUNKLINE_DEADLINE_DEFAULT, TEXT("pool.c"), &leased, NULL));
  CHECK(leased.lease.h != 0 && leased.value != 0, "a lease and what is lent");
  return leased;
}

static trunkline_pool_stats_t stats_of(trunkline_pool_t pool) {
  trunkline_pool_stats_t stats = TRUNKLINE_POOL_STATS_INIT;
  OK(trunkline_pool_stats(pool, &stats));
  CHECK(stats.created - stats.closed == stats.idle + stats.used + stats.validating + stats.closing, "the books balance");
  CHECK(stats.idle + stats.used + stats.validating + stats.connecting + stats.closing <= stats.max_size, "never more");
  return stats;
}

/* Closes a pool whose leases are all back, and sees that every connection was closed once. */
static void close_and_free(trunkline_pool_t pool, Host *host) {
  uint64_t left = 9;
  OK(trunkline_pool_close(pool, in_ms(20000), &left, NULL));
  CHECK(left == 0, "nothing is left of a closed pool");
  OK(trunkline_pool_free(pool));
  while (host->releases == 0) sched_yield();
  CHECK(host->closed == (int)host->made, "each connection is closed once");
  pthread_mutex_destroy(&host->mutex);
}

static void a_connection_is_lent_released_and_lent_again(void) {
  Host host;
  trunkline_pool_t pool = new_pool("{\"max_size\": 2}", &host, 0);
  trunkline_leased_t first = acquire(pool), second = acquire(pool), again;
  trunkline_pool_stats_t stats;
  CHECK(first.value == 1 && second.value == 2, "the host's numbers");
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_pool_acquire(pool, 0, NULL, 0, &again, NULL));
  CHECK(again.lease.h == 0 && again.value == 0, "outputs are blank after a failure");
  OK(trunkline_pool_release(pool, first.lease, 0));
  again = acquire(pool);
  CHECK(again.value == 1 && again.lease.h != first.lease.h, "the same connection under another lease");
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_pool_release(pool, first.lease, 0));
  OK(trunkline_pool_release(pool, again.lease, TRUNKLINE_POOL_DISCARD));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_pool_release(pool, again.lease, 0));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_pool_release(pool, second.lease, 8));
  OK(trunkline_pool_release(pool, second.lease, 0));
  stats = stats_of(pool);
  CHECK(stats.acquired == 3 && stats.used == 0, "leases are counted");
  close_and_free(pool, &host);
  CHECK(host.reasons[TRUNKLINE_POOL_CLOSE_DISCARDED] == 1, "one was discarded");
  CHECK(host.reasons[TRUNKLINE_POOL_CLOSE_POOL_CLOSED] == 1, "one went with the pool");
}

static void a_lease_of_another_pool_is_refused(void) {
  Host a, b;
  trunkline_pool_t one = new_pool("", &a, 0), other = new_pool("", &b, 0);
  trunkline_leased_t leased = acquire(one);
  uint64_t value = 7;
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_pool_release(other, leased.lease, 0));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_pool_detach(other, leased.lease, &value));
  CHECK(value == 0, "an output is blank after a failure");
  OK(trunkline_pool_release(one, leased.lease, 0));
  close_and_free(one, &a);
  close_and_free(other, &b);
}

/* The buffer has this text somewhere. */
static void has(const trunkline_buf_t *buf, const char *text) {
  size_t length, at, wanted = strlen(text);
  const uint8_t *data = trunkline_buf_data(buf, &length);
  for (at = 0; at + wanted <= length; at++)
    if (memcmp(data + at, text, wanted) == 0) return;
  CHECK(0, text);
}

static void a_timeout_says_the_numbers_and_who_holds_for_longest(void) {
  Host host;
  trunkline_pool_t pool = new_pool("{\"name\": \"db\", \"max_size\": 1}", &host, 0);
  trunkline_leased_t held = acquire(pool), none;
  trunkline_error_t *err = NULL;
  const char *said;
  trunkline_buf_t *json = NULL;
  size_t length;
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_pool_acquire(pool, in_ms(30), NULL, 0, &none, &err));
  said = trunkline_error_message(trunkline_error_cause(err), NULL);
  CHECK(strstr(said, "pool \"db\": 1 of 1 in use, 0 idle, 0 connecting, 0 waiting") != NULL, said);
  CHECK(strstr(said, "by pool.c") != NULL, "who holds it for longest");
  CHECK(trunkline_error_flags(err) & TRUNKLINE_ERR_RETRYABLE, "nothing was done: a retry is safe");
  trunkline_error_free(err);
  OK(trunkline_pool_leases(pool, &json));
  has(json, "\"holder\":\"pool.c\"");
  trunkline_buf_free(json);
  OK(trunkline_pool_advice(pool, &json));
  CHECK(memcmp(trunkline_buf_data(json, &length), "[]", 2) == 0 && length == 2, "nothing was advised yet");
  trunkline_buf_free(json);
  OK(trunkline_pool_release(pool, held.lease, 0));
  close_and_free(pool, &host);
}

static void a_failing_host_is_the_cause_and_then_an_open_circuit(void) {
  Host host;
  trunkline_pool_t pool =
      new_pool("{\"backoff\": {\"base_delay\": \"1ms\", \"max_delay\": \"1ms\"}, \"breaker\": {\"open\": \"1h\", "
               "\"max_open\": \"1h\"}}", &host, 0);
  trunkline_leased_t none;
  trunkline_error_t *err = NULL;
  const trunkline_error_t *cause;
  host.fails = 1000;
  GIVES(TRUNKLINE_E_LIMIT_EXCEEDED, trunkline_pool_acquire(pool, NEVER, NULL, 0, &none, &err));
  CHECK(trunkline_error_flags(err) & TRUNKLINE_ERR_CIRCUIT_OPEN, "every attempt failed");
  for (cause = err; trunkline_error_cause(cause) != NULL;) cause = trunkline_error_cause(cause);
  CHECK(strcmp(trunkline_error_message(cause, NULL), "the host refuses") == 0, "what the host said");
  trunkline_error_free(err);
  OK(trunkline_pool_clear(pool));
  pthread_mutex_lock(&host.mutex);
  host.fails = 0;
  pthread_mutex_unlock(&host.mutex);
  OK(trunkline_pool_release(pool, acquire(pool).lease, 0));
  close_and_free(pool, &host);
}

static trunkline_op_t acquire_async(trunkline_pool_t pool, trunkline_cq_t cq, uint64_t tag) {
  trunkline_completion_t completion = { { 0 }, 0, NULL, NULL };
  trunkline_leased_t now;
  trunkline_op_t op;
  completion.queue = cq;
  completion.tag = tag;
  OK(trunkline_pool_acquire_async(pool, NEVER, NULL, 0, &completion, &now, &op, NULL));
  CHECK((now.lease.h == 0) == (op.h != 0), "a lease now or an operation");
  return op;
}

static void those_in_line_are_served_in_order_through_the_queue(void) {
  Host host;
  trunkline_pool_t pool = new_pool("{\"max_size\": 1}", &host, 0);
  trunkline_cq_t cq = new_queue();
  trunkline_leased_t held = acquire(pool);
  trunkline_lease_t lease = held.lease;
  trunkline_event_t event;
  uint64_t tag;
  for (tag = 1; tag <= 3; tag++) CHECK(acquire_async(pool, cq, tag).h != 0, "it waits");
  for (tag = 1; tag <= 3; tag++) {
    OK(trunkline_pool_release(pool, lease, 0));
    event = next_event(cq);
    CHECK(event.kind == TRUNKLINE_EV_LEASE && event.tag == tag, "in the order in which they came");
    CHECK(event.value == held.value && event.about == pool.h, "the connection and its pool");
    lease.h = event.handle;
  }
  CHECK(acquire_async(pool, cq, 4).h != 0, "it waits");
  OK(trunkline_pool_release(pool, lease, 0));
  event = next_event(cq);
  trunkline_event_dispose(&event);
  CHECK(stats_of(pool).idle == 1, "a lease in an event that is thrown away is put back");
  CHECK(acquire_async(pool, cq, 5).h == 0, "one that is idle comes at once");
  CHECK(stats_of(pool).used == 1, "and is lent");
  OK(trunkline_cq_free(cq));
  OK(trunkline_pool_free(pool));
  while (host.releases == 0) sched_yield();
  CHECK(host.closed == 1, "also what is still lent is closed with the pool");
}

static void a_release_hands_its_event_over(void) {
  Host host;
  trunkline_pool_t pool = new_pool("{\"max_size\": 1}", &host, 0);
  trunkline_cq_t cq = new_queue(), other = new_queue();
  trunkline_leased_t held = acquire(pool);
  trunkline_lease_t lease;
  trunkline_event_t handed;
  size_t n;
  acquire_async(pool, cq, 1);
  acquire_async(pool, other, 2);
  OK(trunkline_pool_release_handing(pool, held.lease, 0, cq, &handed));
  CHECK(handed.kind == TRUNKLINE_EV_LEASE && handed.tag == 1, "served in the releasing thread");
  lease.h = handed.handle;
  OK(trunkline_pool_release_handing(pool, lease, 0, cq, &handed));
  CHECK(handed.kind == TRUNKLINE_EV_NONE, "what belongs to another queue goes there");
  lease.h = next_event(other).handle;
  OK(trunkline_pool_release_handing(pool, lease, 0, cq, &handed));
  CHECK(handed.kind == TRUNKLINE_EV_NONE, "nobody waits");
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_cq_wait(cq, &handed, 1, 0, &n));
  close_and_free(pool, &host);
  OK(trunkline_cq_free(cq));
  OK(trunkline_cq_free(other));
}

static void a_cancelled_acquire_says_so_and_the_next_is_served(void) {
  Host host;
  trunkline_pool_t pool = new_pool("{\"max_size\": 1, \"max_waiters\": 2}", &host, 0);
  trunkline_cq_t cq = new_queue();
  trunkline_leased_t held = acquire(pool), none;
  trunkline_op_t first = acquire_async(pool, cq, 1);
  trunkline_lease_t lease;
  trunkline_event_t event;
  uint64_t left = 0;
  acquire_async(pool, cq, 2);
  GIVES(TRUNKLINE_E_LIMIT_EXCEEDED, trunkline_pool_acquire(pool, NEVER, NULL, 0, &none, NULL));
  OK(trunkline_op_cancel(first));
  OK(trunkline_op_cancel(first));
  event = next_event(cq);
  CHECK(event.tag == 1 && event.status == TRUNKLINE_E_CANCELLED, "exactly one completion");
  trunkline_event_dispose(&event);
  OK(trunkline_pool_release(pool, held.lease, 0));
  event = next_event(cq);
  CHECK(event.tag == 2 && event.status == TRUNKLINE_OK, "the next in line");
  lease.h = event.handle;
  acquire_async(pool, cq, 3);
  OK(trunkline_pool_close(pool, 0, &left, NULL));
  CHECK(left == 1, "one is still lent");
  event = next_event(cq);
  CHECK(event.tag == 3 && event.status == TRUNKLINE_E_CLOSED, "closing refuses those in line");
  trunkline_event_dispose(&event);
  OK(trunkline_pool_release(pool, lease, 0));
  close_and_free(pool, &host);
  OK(trunkline_cq_free(cq));
}

static void a_connection_comes_late_and_serves_the_next(void) {
  Host host;
  trunkline_pool_t pool = new_pool("{\"max_size\": 1}", &host, 0);
  trunkline_leased_t none, leased;
  host.holds = 1;
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_pool_acquire(pool, in_ms(30), NULL, 0, &none, NULL));
  CHECK(host.held_len == 1 && stats_of(pool).connecting == 1, "the attempt outlives who asked");
  answer(host.held[0], ++host.made, 0);
  leased = acquire(pool);
  CHECK(leased.value == 1, "it was of use");
  OK(trunkline_pool_release(pool, leased.lease, 0));
  close_and_free(pool, &host);
}

static void idle_connections_are_checked_when_asked_for(void) {
  Host host;
  /* No room for a third, which would be new and so be lent unchecked. */
  const char *config = "{\"min_idle\": 2, \"max_size\": 2, \"check_after\": \"0s\"}";
  trunkline_pool_t pool = new_pool(config, &host, TRUNKLINE_POOL_CHECKS);
  OK(trunkline_pool_wait_ready(pool, in_ms(20000), NULL));
  OK(trunkline_pool_release(pool, acquire(pool).lease, 0));
  CHECK(host.checked >= 1, "each is checked before it is lent");
  OK(trunkline_pool_check(pool));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_pool_resize(pool, 0, 0, NULL));
  OK(trunkline_pool_resize(pool, 1, 0, NULL));
  close_and_free(pool, &host);
}

static void a_detached_connection_is_the_callers(void) {
  Host host;
  trunkline_pool_t pool = new_pool("{\"max_size\": 1}", &host, 0);
  uint64_t value = 0;
  OK(trunkline_pool_detach(pool, acquire(pool).lease, &value));
  CHECK(value == 1, "by its number");
  OK(trunkline_pool_release(pool, acquire(pool).lease, 0));
  host.closed++; /* the caller closes what it has detached */
  close_and_free(pool, &host);
}

static void no_stream_to_an_endpoint_that_was_taken_out_is_lent(void) {
  trunkline_listener_t one = listen_on("mem:pool.c-one"), two = listen_on("mem:pool.c-two");
  trunkline_str_t first = { "mem:pool.c-one", 14 }, second = { "mem:pool.c-two", 14 };
  trunkline_pool_t pool, own;
  trunkline_pool_stats_t stats = TRUNKLINE_POOL_STATS_INIT;
  trunkline_leased_t before, after;
  trunkline_stream_t near, far, other;
  Host host;
  uint64_t left = 9;
  OK(trunkline_pool_open(default_runtime(), NULL, 0, &first, 1, &pool, NULL));
  before = acquire(pool);
  OK(trunkline_listener_accept(one, NEVER, &other, NULL));
  OK(trunkline_pool_set_endpoints(pool, &second, 1, NULL));
  after = acquire(pool);
  OK(trunkline_listener_accept(two, NEVER, &far, NULL));
  near.h = after.value;
  say(near, "to the new one");
  hears(far, "to the new one");
  OK(trunkline_pool_release(pool, before.lease, 0));
  hears_the_end(other);
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_pool_set_endpoints(pool, NULL, 0, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_pool_set_endpoints(pool, &(trunkline_str_t){ "x", 1 }, 1, NULL));
  own = new_pool("{}", &host, 0);
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_pool_set_endpoints(own, &first, 1, NULL));
  close_and_free(own, &host);
  OK(trunkline_pool_release(pool, after.lease, 0));
  OK(trunkline_pool_close(pool, in_ms(20000), &left, NULL));
  OK(trunkline_pool_stats(pool, &stats));
  CHECK(left == 0 && stats.closed_endpoint_removed == 1, "it was closed when it came back");
  OK(trunkline_pool_free(pool));
  free_streams(other, far);
  OK(trunkline_listener_free(one));
  OK(trunkline_listener_free(two));
}

static void streams_are_lent_while_the_peer_keeps_them(void) {
  trunkline_listener_t listener = listen_on("mem:pool.c");
  trunkline_str_t address = { "mem:pool.c", 10 };
  trunkline_pool_t pool;
  trunkline_leased_t leased;
  trunkline_stream_t near, far, detached;
  uint64_t first, left = 9;
  int fd = -1;
  OK(trunkline_pool_open(default_runtime(), NULL, 0, &address, 1, &pool, NULL));
  leased = acquire(pool);
  first = leased.value;
  near.h = leased.value;
  OK(trunkline_listener_accept(listener, NEVER, &far, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_stream_to_socket(near, &fd, NULL));
  say(near, "question");
  hears(far, "question");
  OK(trunkline_pool_release(pool, leased.lease, 0));
  leased = acquire(pool);
  CHECK(leased.value == first, "the same stream");
  say(far, "too late");
  OK(trunkline_pool_release(pool, leased.lease, 0));
  leased = acquire(pool);
  CHECK(leased.value != first, "one with something left over from its last use is not lent");
  OK(trunkline_pool_detach(pool, leased.lease, &detached.h));
  OK(trunkline_stream_free(far));
  OK(trunkline_listener_accept(listener, NEVER, &far, NULL));
  OK(trunkline_pool_close(pool, in_ms(20000), &left, NULL));
  CHECK(left == 0, "what is detached is not the pool's");
  OK(trunkline_pool_free(pool));
  say(detached, "still there");
  hears(far, "still there");
  OK(trunkline_stream_to_socket(detached, &fd, NULL));
  CHECK(write(fd, "as a socket", 11) == 11, "what is detached may have a socket");
  hears(far, "as a socket");
  CHECK(close(fd) == 0, "a descriptor is closed once");
  hears_the_end(far);
  free_streams(detached, far);
  OK(trunkline_listener_free(listener));
}

typedef struct Crowd {
  trunkline_pool_t pool;
  int inside, most;
  pthread_mutex_t mutex;
} Crowd;

static void *come_and_go(void *argument) {
  Crowd *crowd = (Crowd *)argument;
  int turn;
  for (turn = 0; turn < 200; turn++) {
    trunkline_leased_t leased = acquire(crowd->pool);
    pthread_mutex_lock(&crowd->mutex);
    if (++crowd->inside > crowd->most) crowd->most = crowd->inside;
    pthread_mutex_unlock(&crowd->mutex);
    sched_yield();
    pthread_mutex_lock(&crowd->mutex);
    crowd->inside--;
    pthread_mutex_unlock(&crowd->mutex);
    OK(trunkline_pool_release(crowd->pool, leased.lease, turn % 50 == 7 ? TRUNKLINE_POOL_DISCARD : 0));
  }
  return NULL;
}

static void no_crowd_gets_more_than_there_may_be(void) {
  Host host;
  Crowd crowd;
  pthread_t threads[8];
  int i;
  memset(&crowd, 0, sizeof crowd);
  pthread_mutex_init(&crowd.mutex, NULL);
  crowd.pool = new_pool("{\"max_size\": 3}", &host, 0);
  for (i = 0; i < 8; i++) pthread_create(&threads[i], NULL, come_and_go, &crowd);
  for (i = 0; i < 8; i++) pthread_join(threads[i], NULL);
  CHECK(crowd.most <= 3, "never more than there may be");
  CHECK(stats_of(crowd.pool).acquired == 8 * 200, "everybody was served");
  close_and_free(crowd.pool, &host);
  pthread_mutex_destroy(&crowd.mutex);
}

static void a_drain_serves_those_in_line_and_waits(void) {
  Host host;
  trunkline_pool_t pool = new_pool("{\"max_size\": 1}", &host, 0);
  trunkline_cq_t cq = new_queue();
  trunkline_completion_t completion = { { 0 }, 9, NULL, NULL };
  trunkline_leased_t held = acquire(pool), none;
  trunkline_event_t event;
  trunkline_lease_t lease;
  trunkline_op_t op;
  completion.queue = cq;
  acquire_async(pool, cq, 1);
  OK(trunkline_pool_drain_async(pool, NEVER, &completion, &op, NULL));
  while (trunkline_pool_acquire(pool, 0, NULL, 0, &none, NULL) == TRUNKLINE_E_WOULD_BLOCK) sched_yield();
  GIVES(TRUNKLINE_E_CLOSED, trunkline_pool_acquire(pool, NEVER, NULL, 0, &none, NULL));
  OK(trunkline_pool_release(pool, held.lease, 0));
  event = next_event(cq);
  CHECK(event.tag == 1 && event.kind == TRUNKLINE_EV_LEASE, "who was in line is served");
  lease.h = event.handle;
  OK(trunkline_pool_release(pool, lease, 0));
  event = next_event(cq);
  CHECK(event.tag == 9 && event.kind == TRUNKLINE_EV_DRAINED && event.value == 0, "then it has drained");
  close_and_free(pool, &host);
  OK(trunkline_cq_free(cq));
}

static void the_registry_shows_the_pool(void) {
  Host host;
  trunkline_pool_t pool = new_pool("{\"name\": \"seen\"}", &host, 0);
  trunkline_metrics_t *metrics = NULL;
  const char *text;
  OK(trunkline_pool_release(pool, acquire(pool).lease, 0));
  OK(trunkline_metrics_snapshot(default_runtime(), &metrics, NULL));
  text = trunkline_metrics_prometheus(metrics, NULL);
  CHECK(strstr(text, "db_client_connection_count{db_client_connection_pool_name=\"seen\",db_client_connection_state="
                     "\"idle\"} 1") != NULL, "one is idle");
  trunkline_metrics_free(metrics);
  close_and_free(pool, &host);
}

static void bad_registrations_are_refused_and_released(void) {
  Host host;
  trunkline_job_host_t registration = { { 0 }, 0, on_job, NULL, on_release };
  trunkline_str_t address = { "nonsense", 8 };
  trunkline_pool_t pool;
  memset(&host, 0, sizeof host);
  registration.user_data = &host;
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_pool_new(default_runtime(), TEXT("{\"max_size\": 0}"), &registration, 0, &pool, &err));
  CHECK(host.releases == 1 && pool.h == 0, "released though nothing was made");
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_pool_new(default_runtime(), NULL, 0, &registration, 64, &pool, &err));
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_pool_new(default_runtime(), NULL, 0, NULL, 0, &pool, &err));
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_pool_open(default_runtime(), NULL, 0, NULL, 0, &pool, &err));
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_pool_open(default_runtime(), NULL, 0, &address, 1, &pool, &err));
  CHECK(host.releases == 2, "each registration is released once");
}

int main(void) {
  begin();
  a_connection_is_lent_released_and_lent_again();
  a_lease_of_another_pool_is_refused();
  a_timeout_says_the_numbers_and_who_holds_for_longest();
  a_failing_host_is_the_cause_and_then_an_open_circuit();
  those_in_line_are_served_in_order_through_the_queue();
  a_release_hands_its_event_over();
  a_cancelled_acquire_says_so_and_the_next_is_served();
  a_connection_comes_late_and_serves_the_next();
  idle_connections_are_checked_when_asked_for();
  a_detached_connection_is_the_callers();
  no_stream_to_an_endpoint_that_was_taken_out_is_lent();
  streams_are_lent_while_the_peer_keeps_them();
  no_crowd_gets_more_than_there_may_be();
  a_drain_serves_those_in_line_and_waits();
  the_registry_shows_the_pool();
  bad_registrations_are_refused_and_released();
  leave();
  return 0;
}
