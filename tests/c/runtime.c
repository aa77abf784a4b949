/* Runtimes: explicit and default, configured before use, shut down with work under way, gone without a trace. */
#include "check.h"

/* Threads of this process with that name. */
static int threads_named(const char *name) {
  DIR *dir = opendir("/proc/self/task");
  struct dirent *entry;
  int count = 0;
  CHECK(dir != NULL, "/proc can be read");
  while ((entry = readdir(dir)) != NULL) {
    char path[300], found[32] = { 0 };
    FILE *file;
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
    file = fopen(path, "r");
    if (file == NULL) continue;
    if (fgets(found, sizeof found, file) != NULL && strncmp(found, name, strlen(name)) == 0) count++;
    fclose(file);
  }
  closedir(dir);
  return count;
}

static void nothing_happens_before_the_first_use(void) {
  CHECK(threads_named("trunkline") == 0, "loading the library starts no thread");
}

static void the_default_runtime_is_configured_before_its_first_use(void) {
  trunkline_runtime_options_t options = TRUNKLINE_RUNTIME_OPTIONS_INIT;
  trunkline_stream_t ends[2];
  options.worker_threads = 3;
  options.thread_name.ptr = "mine-by-default";
  options.thread_name.len = 15;
  OK(trunkline_runtime_configure(&options, NULL));
  pair_of(ends);
  while (threads_named("mine-by-default") != 3) sched_yield();
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_runtime_configure(&options, NULL));
  say(ends[0], "works");
  hears(ends[1], "works");

  OK(trunkline_runtime_shutdown(default_runtime(), NEVER, NULL));
  while (threads_named("mine-by-default") != 0) sched_yield();
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_runtime_free(default_runtime()));
  OK(trunkline_runtime_shutdown(default_runtime(), NEVER, NULL));
  OK(trunkline_runtime_configure(NULL, NULL));
  free_streams(ends[0], ends[1]);
  pair_of(ends);
  while (threads_named("trunkline") != 2) sched_yield();
  free_streams(ends[0], ends[1]);
  OK(trunkline_runtime_shutdown(default_runtime(), NEVER, NULL));
}

static void options_are_checked(void) {
  trunkline_runtime_options_t options = TRUNKLINE_RUNTIME_OPTIONS_INIT;
  trunkline_runtime_t rt;
  trunkline_error_t *err = NULL;
  options.worker_threads = 1025;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_runtime_new(&options, &rt, &err));
  CHECK(strstr(trunkline_error_message(err, NULL), "worker_threads") != NULL, "the field is named");
  trunkline_error_free(err);
  options.worker_threads = 1;
  options.thread_name.ptr = "a\0b";
  options.thread_name.len = 3;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_runtime_new(&options, &rt, NULL));
  options.thread_name.ptr = "\xff";
  options.thread_name.len = 1;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_runtime_new(&options, &rt, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_runtime_configure(&options, NULL));
}

static void every_operation_under_way_completes_once_when_the_runtime_stops(void) {
  enum { OPERATIONS = 50 };
  Stuck stuck;
  trunkline_runtime_t rt;
  trunkline_cq_t cq = new_queue();
  trunkline_event_t events[MANY];
  int seen[OPERATIONS] = { 0 }, cancelled = 0, i;
  size_t n, total = 0;
  get_stuck(&stuck);
  OK(trunkline_runtime_new(NULL, &rt, NULL));
  for (i = 0; i < OPERATIONS; i++) connect_async(rt, stuck.address, stuck.length, cq, (uint64_t)i);
  CHECK(counts().operations == OPERATIONS, "all of them are under way");
  OK(trunkline_runtime_shutdown(rt, NEVER, NULL));
  CHECK(counts().operations == 0, "none is after the shutdown");
  while (total < OPERATIONS) {
    OK(trunkline_cq_wait(cq, events, MANY, 0, &n));
    for (i = 0; i < (int)n; i++) {
      CHECK(events[i].tag < OPERATIONS, "tags come back as they are");
      seen[events[i].tag]++;
      cancelled += events[i].status == TRUNKLINE_E_CANCELLED;
      CHECK(events[i].kind == TRUNKLINE_EV_CONNECTED, "a failure keeps the kind of its operation");
      CHECK((events[i].handle == 0) == (events[i].status != TRUNKLINE_OK), "a handle comes with success only");
      trunkline_event_dispose(&events[i]);
    }
    total += n;
  }
  for (i = 0; i < OPERATIONS; i++) CHECK(seen[i] == 1, "each operation completes exactly once");
  CHECK(cancelled > 0, "those that hung were cancelled");
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_cq_wait(cq, events, MANY, 0, &n));
  OK(trunkline_runtime_shutdown(rt, NEVER, NULL));
  OK(trunkline_runtime_free(rt));
  OK(trunkline_cq_free(cq));
  get_unstuck(&stuck);
}

static void *waits_for_a_byte(void *argument) {
  const trunkline_stream_t *stream = (const trunkline_stream_t *)argument;
  uint8_t byte;
  size_t n;
  GIVES(TRUNKLINE_E_CLOSED, trunkline_stream_read(*stream, &byte, 1, NEVER, &n));
  return NULL;
}

static void who_waits_is_told_when_the_runtime_stops(void) {
  trunkline_runtime_t rt;
  trunkline_stream_t ends[2], more[2];
  trunkline_listener_t listener;
  trunkline_cq_t cq;
  pthread_t thread;
  OK(trunkline_runtime_new(NULL, &rt, NULL));
  OK(trunkline_pipe_pair(rt, NULL, &ends, NULL));
  CHECK(pthread_create(&thread, NULL, waits_for_a_byte, &ends[0]) == 0, "a thread starts");
  OK(trunkline_runtime_shutdown(rt, NEVER, NULL));
  pthread_join(thread, NULL);
  GIVES(TRUNKLINE_E_CLOSED, trunkline_pipe_pair(rt, NULL, &more, NULL));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_listen(rt, TEXT("mem:late"), NULL, &listener, NULL));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_cq_new(rt, 0, &cq, NULL));
  free_streams(ends[0], ends[1]);
  OK(trunkline_runtime_free(rt));
}

static void objects_keep_alive_what_they_need(void) {
  trunkline_runtime_t rt;
  trunkline_stream_t near, far;
  trunkline_listener_t listener;
  char address[320];
  size_t length;
  OK(trunkline_runtime_new(NULL, &rt, NULL));
  OK(trunkline_listen(rt, TEXT("tcp://127.0.0.1:0"), NULL, &listener, NULL));
  OK(trunkline_listener_address(listener, address, sizeof address, &length));
  OK(trunkline_connect(rt, address, length, NEVER, &near, NULL));
  OK(trunkline_runtime_free(rt));
  OK(trunkline_listener_accept(listener, NEVER, &far, NULL));
  OK(trunkline_listener_free(listener));
  say(near, "still here");
  hears(far, "still here");
  free_streams(near, far);
}

static void a_thousand_lives_leave_no_descriptor_and_no_thread(int fds, int threads) {
  int i;
  trunkline_runtime_options_t options = TRUNKLINE_RUNTIME_OPTIONS_INIT;
  options.worker_threads = 1;
  for (i = 0; i < 1000; i++) {
    trunkline_runtime_t rt;
    trunkline_cq_t cq;
    trunkline_stream_t ends[2];
    trunkline_listener_t listener;
    OK(trunkline_runtime_new(&options, &rt, NULL));
    OK(trunkline_cq_new(rt, 0, &cq, NULL));
    OK(trunkline_pipe_pair(rt, NULL, &ends, NULL));
    OK(trunkline_listen(rt, TEXT("tcp://127.0.0.1:0"), NULL, &listener, NULL));
    say(ends[0], "x");
    OK(trunkline_stream_arm(ends[1], TRUNKLINE_READABLE, cq, 1));
    CHECK(next_event(cq).status == TRUNKLINE_OK, "it is readable");
    if (i % 2 == 0) OK(trunkline_runtime_shutdown(rt, NEVER, NULL));
    OK(trunkline_cq_free(cq));
    OK(trunkline_runtime_free(rt));
    OK(trunkline_listener_free(listener));
    free_streams(ends[0], ends[1]);
  }
  settles_at("task", threads);
  settles_at("fd", fds);
}

int main(void) {
  int fds, threads;
  begin();
  nothing_happens_before_the_first_use();
  count_before(&fds, &threads);
  the_default_runtime_is_configured_before_its_first_use();
  options_are_checked();
  every_operation_under_way_completes_once_when_the_runtime_stops();
  who_waits_is_told_when_the_runtime_stops();
  objects_keep_alive_what_they_need();
  OK(trunkline_runtime_shutdown(default_runtime(), NEVER, NULL));
  a_thousand_lives_leave_no_descriptor_and_no_thread(fds, threads);
  leave();
  return 0;
}
