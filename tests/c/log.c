/* The log callback: records of every thread, filtered, without echo, released exactly once. */
#include "check.h"

typedef struct Log {
  pthread_mutex_t mutex;
  int records, opened, closed, worst, releases, library_threads;
  pthread_t host;
  char last[512];
  int echoes;
} Log;

static Log *new_log(void) {
  Log *log = (Log *)calloc(1, sizeof *log);
  CHECK(log != NULL, "there is memory");
  pthread_mutex_init(&log->mutex, NULL);
  log->host = pthread_self();
  return log;
}

static void on_record(void *user_data, const trunkline_log_record_t *record) {
  Log *log = (Log *)user_data;
  char message[256];
  trunkline_stream_t ends[2];
  CHECK(trunkline_in_callback() == 1, "a log function is a callback");
  CHECK(record->size >= sizeof *record, "the record is whole");
  CHECK(record->level >= TRUNKLINE_LOG_ERROR && record->level <= TRUNKLINE_LOG_TRACE, "levels are known");
  CHECK(record->unix_ns > UINT64_C(1700000000000000000), "it carries the time");
  CHECK(record->target.len > 0 && memcmp(record->target.ptr, "trunkline", 9) == 0, "it says who speaks");
  snprintf(message, sizeof message, "%.*s", (int)record->message.len, record->message.ptr);
  pthread_mutex_lock(&log->mutex);
  log->records++;
  log->library_threads += !pthread_equal(pthread_self(), log->host);
  if (record->level > log->worst) log->worst = record->level;
  if (strcmp(message, "connection opened") == 0) {
    log->opened++;
    snprintf(log->last, sizeof log->last, "%.*s", (int)record->fields.len, record->fields.ptr);
  }
  log->closed += strstr(message, "closed") != NULL;
  pthread_mutex_unlock(&log->mutex);
  /* What the callback makes the library say does not come back to it. */
  if (log->echoes > 0) {
    log->echoes--;
    OK(trunkline_pipe_pair(default_runtime(), NULL, &ends, NULL));
    free_streams(ends[0], ends[1]);
  }
}

static void on_release(void *user_data) { ((Log *)user_data)->releases++; }

static void listen_to(Log *log, int32_t level) { OK(trunkline_log_set(level, on_record, log, on_release, NULL)); }

static void open_and_close(void) {
  trunkline_stream_t ends[2];
  pair_of(ends);
  free_streams(ends[0], ends[1]);
}

static void calls_of_the_host_are_logged_with_their_fields(void) {
  Log *log = new_log();
  trunkline_stream_t ends[2];
  trunkline_stream_stats_t stats = TRUNKLINE_STREAM_STATS_INIT;
  char id[64];
  listen_to(log, TRUNKLINE_LOG_DEBUG);
  pair_of(ends);
  CHECK(log->opened == 2, "each end says that it is open");
  OK(trunkline_stream_stats(ends[1], &stats));
  snprintf(id, sizeof id, "connection=%llu", (unsigned long long)stats.id);
  CHECK(strstr(log->last, id) != NULL, "the record names its connection");
  CHECK(strstr(log->last, "protocol=pipe") != NULL, "and its protocol");
  free_streams(ends[0], ends[1]);
  CHECK(log->closed == 2, "each end says that it is closed");
  CHECK(log->worst == TRUNKLINE_LOG_DEBUG, "nothing finer than was asked for");
  OK(trunkline_log_set(TRUNKLINE_LOG_DEBUG, NULL, NULL, NULL, NULL));
  CHECK(log->releases == 1, "released once it is removed");
  open_and_close();
  CHECK(log->opened == 2, "and silent from then on");
  free(log);
}

static void threads_of_the_library_are_logged(void) {
  Log *log = new_log();
  trunkline_listener_t listener = listen_on("tcp://127.0.0.1:0");
  trunkline_cq_t cq = new_queue();
  trunkline_event_t event;
  trunkline_stream_t far;
  char address[320];
  size_t length;
  OK(trunkline_listener_address(listener, address, sizeof address, &length));
  listen_to(log, TRUNKLINE_LOG_DEBUG);
  connect_async(default_runtime(), address, length, cq, 1);
  event = next_event(cq);
  OK(event.status);
  OK(trunkline_listener_accept(listener, NEVER, &far, NULL));
  pthread_mutex_lock(&log->mutex);
  CHECK(log->library_threads > 0, "a worker spoke");
  CHECK(strstr(log->last, "source=tcp://127.0.0.1:") != NULL, "fields tell where from");
  CHECK(strstr(log->last, "destination=tcp://127.0.0.1:") != NULL, "and where to");
  pthread_mutex_unlock(&log->mutex);
  OK(trunkline_stream_free(far));
  trunkline_event_dispose(&event);
  OK(trunkline_log_set(0, NULL, NULL, NULL, NULL));
  OK(trunkline_listener_free(listener));
  OK(trunkline_cq_free(cq));
  OK(trunkline_runtime_shutdown(default_runtime(), NEVER, NULL));
  CHECK(log->releases == 1, "released");
  free(log);
}

static void the_level_filters(void) {
  Log *log = new_log();
  listen_to(log, TRUNKLINE_LOG_INFO);
  open_and_close();
  CHECK(log->records == 0, "the life of a connection is debug");
  listen_to(log, TRUNKLINE_LOG_DEBUG);
  CHECK(log->releases == 1, "a registration that is replaced is released");
  open_and_close();
  CHECK(log->records == 4, "and heard at its level");
  listen_to(log, TRUNKLINE_LOG_OFF);
  open_and_close();
  CHECK(log->records == 4, "off is silent");
  OK(trunkline_log_set(0, NULL, NULL, NULL, NULL));
  CHECK(log->releases == 3, "each registration is released once");
  free(log);
}

static void a_callback_does_not_hear_itself(void) {
  Log *log = new_log();
  log->echoes = 1;
  listen_to(log, TRUNKLINE_LOG_DEBUG);
  open_and_close();
  CHECK(log->records == 4, "only what the host did");
  OK(trunkline_log_set(0, NULL, NULL, NULL, NULL));
  free(log);
}

static void on_record_once(void *user_data, const trunkline_log_record_t *record) {
  Log *log = (Log *)user_data;
  CHECK(record->message.len > 0, "it says something");
  log->records++;
  OK(trunkline_log_set(0, NULL, NULL, NULL, NULL));
}

static void a_callback_may_remove_itself(void) {
  Log *log = new_log();
  OK(trunkline_log_set(TRUNKLINE_LOG_DEBUG, on_record_once, log, on_release, NULL));
  open_and_close();
  CHECK(log->records == 1, "the last record is the first");
  CHECK(log->releases == 1, "released after it returned");
  free(log);
}

static void a_failing_registration_releases_too(void) {
  Log *log = new_log();
  trunkline_error_t *err = NULL;
  listen_to(log, TRUNKLINE_LOG_DEBUG);
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_log_set(6, on_record, log, on_release, &err));
  CHECK(strstr(trunkline_error_message(err, NULL), "max_level") != NULL, "the argument is named");
  trunkline_error_free(err);
  CHECK(log->releases == 1, "the one that failed is released");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_log_set(-1, NULL, log, on_release, NULL));
  CHECK(log->releases == 2, "also one without a function");
  open_and_close();
  CHECK(log->records == 4, "the one before it stays");
  OK(trunkline_log_set(0, NULL, log, on_release, NULL));
  CHECK(log->releases == 4, "both are released in the end");
  free(log);
}

enum { CHANGES = 200 };

static void *open_again_and_again(void *argument) {
  const volatile int *stop = (const volatile int *)argument;
  while (!*stop) open_and_close();
  return NULL;
}

static void the_callback_changes_while_threads_speak(void) {
  static Log *logs[CHANGES];
  pthread_t threads[3];
  volatile int stop = 0;
  int i;
  for (i = 0; i < 3; i++) {
    CHECK(pthread_create(&threads[i], NULL, open_again_and_again, (void *)&stop) == 0, "a thread starts");
  }
  for (i = 0; i < CHANGES; i++) {
    logs[i] = new_log();
    listen_to(logs[i], i % 4 + 1);
  }
  OK(trunkline_log_set(0, NULL, NULL, NULL, NULL));
  stop = 1;
  for (i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  for (i = 0; i < CHANGES; i++) {
    CHECK(logs[i]->releases == 1, "each is released exactly once");
    free(logs[i]);
  }
}

int main(void) {
  begin();
  calls_of_the_host_are_logged_with_their_fields();
  threads_of_the_library_are_logged();
  the_level_filters();
  a_callback_does_not_hear_itself();
  a_callback_may_remove_itself();
  a_failing_registration_releases_too();
  the_callback_changes_while_threads_speak();
  leave();
  return 0;
}
