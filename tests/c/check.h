/* What every program here stands on: assertions that say what they claim, a limit of time, small helpers. */
#ifndef CHECK_H
#define CHECK_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "trunkline.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A claim about what was seen. */
#define CHECK(condition, message) check_((condition) != 0, message, #condition, __FILE__, __LINE__)
/* A call and the status that it must have. */
#define GIVES(expected, call) gives_((expected), (call), #call, __FILE__, __LINE__)
#define OK(call) GIVES(TRUNKLINE_OK, call)
/* A literal as pointer and length. */
#define TEXT(literal) (literal), (sizeof(literal) - 1)

#define NEVER TRUNKLINE_DEADLINE_NONE
#define MANY 64

static inline void check_(int holds, const char *message, const char *condition, const char *file, int line) {
  if (!holds) {
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, message, condition);
    abort();
  }
}

static inline void gives_(trunkline_status_t expected, trunkline_status_t found, const char *call, const char *file,
                          int line) {
  if (expected != found) {
    fprintf(stderr, "%s:%d: %s, expected %s: %s\n", file, line, trunkline_status_name(found),
            trunkline_status_name(expected), call);
    abort();
  }
}

/* Ends a program that hangs; every main begins with it. Under valgrind everything takes its time. */
static inline void begin(void) { alarm(getenv("TRUNKLINE_VALGRIND") == NULL ? 100 : 500); }

/* A deadline so many milliseconds from now. */
static inline int64_t in_ms(int64_t ms) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec + ms * 1000000;
}

static inline trunkline_runtime_t default_runtime(void) {
  trunkline_runtime_t rt = { 0 };
  return rt;
}

/* Entries of a folder of /proc/self: "fd" or "task". */
static inline int entries(const char *folder) {
  char path[64];
  DIR *dir;
  int count = 0;
  snprintf(path, sizeof path, "/proc/self/%s", folder);
  dir = opendir(path);
  CHECK(dir != NULL, "/proc can be read");
  while (readdir(dir) != NULL) count++;
  closedir(dir);
  return count;
}

/* Makes what the calling thread waits with, if it has not waited before; it keeps that until it ends. */
static inline void wait_once(trunkline_runtime_t rt) {
  trunkline_stream_t ends[2];
  uint8_t byte;
  size_t n;
  int before, i;
  OK(trunkline_pipe_pair(rt, NULL, &ends, NULL));
  before = entries("fd");
  /* A deadline that is over when the call begins is not waited for. */
  for (i = 0; i < 10 && entries("fd") == before; i++)
    GIVES(TRUNKLINE_E_TIMEOUT, trunkline_stream_read(ends[0], &byte, 1, in_ms(10), &n));
  OK(trunkline_stream_free(ends[0]));
  OK(trunkline_stream_free(ends[1]));
}

/* Descriptors and threads before anything is made. What the first runtime of a process opens once and for all,
 * with features of tokio that only tests switch on, is part of it, and what this thread waits with. */
static inline void count_before(int *fds, int *threads) {
  trunkline_runtime_t rt;
  *threads = entries("task");
  OK(trunkline_runtime_new(NULL, &rt, NULL));
  wait_once(rt);
  OK(trunkline_runtime_shutdown(rt, NEVER, NULL));
  OK(trunkline_runtime_free(rt));
  *fds = entries("fd");
}

/* Lets other threads run until there are so many entries: a thread that was joined may still be listed. */
static inline void settles_at(const char *folder, int count) {
  while (entries(folder) != count) sched_yield();
}

static inline trunkline_debug_counts_t counts(void) {
  trunkline_debug_counts_t found = TRUNKLINE_DEBUG_COUNTS_INIT;
  OK(trunkline_debug_counts(&found));
  return found;
}

static inline void nothing_is_left(void) {
  trunkline_debug_counts_t found = counts();
  CHECK(found.runtimes == 0, "no runtime is left");
  CHECK(found.queues == 0, "no queue is left");
  CHECK(found.operations == 0, "no operation is left");
  CHECK(found.streams == 0, "no stream is left");
  CHECK(found.listeners == 0, "no listener is left");
  CHECK(found.keyed_pools == 0, "no keyed pool is left");
  CHECK(found.tcp_managers == 0, "no TCP manager is left");
  CHECK(found.jobs == 0, "no job is left");
  CHECK(found.pools == 0, "no pool is left");
  CHECK(found.datagrams == 0, "no datagram socket is left");
  CHECK(found.udp_managers == 0, "no UDP manager is left");
  CHECK(found.channels == 0, "no channel is left");
  CHECK(found.calls == 0, "no call is left");
  CHECK(found.agents == 0, "no agent is left");
  CHECK(found.hubs == 0, "no hub is left");
  CHECK(found.memory_proxies == 0, "no memory proxy is left");
}

/* Ends a program; valgrind sees what a host that stops everything would leave behind. */
static inline void leave(void) {
  nothing_is_left();
  OK(trunkline_runtime_shutdown(default_runtime(), NEVER, NULL));
}

/* Ends a forked child. Leak checkers would look at what its parent owns: another program has none of it. */
static inline void end_child(void) {
  execl("/bin/true", "true", (char *)NULL);
  _exit(0);
}

static inline trunkline_cq_t new_queue(void) {
  trunkline_cq_t cq;
  OK(trunkline_cq_new(default_runtime(), 0, &cq, NULL));
  return cq;
}

/* Waits for one event. */
static inline trunkline_event_t next_event(trunkline_cq_t cq) {
  trunkline_event_t event;
  size_t n = 0;
  OK(trunkline_cq_wait(cq, &event, 1, NEVER, &n));
  CHECK(n == 1, "one event was asked for and waited for");
  return event;
}

static inline trunkline_listener_t listen_on(const char *address) {
  trunkline_listener_t listener;
  OK(trunkline_listen(default_runtime(), address, strlen(address), NULL, &listener, NULL));
  return listener;
}

/* Connects to a listener, with the port that the system chose. */
static inline trunkline_stream_t connect_to(trunkline_listener_t listener) {
  char address[320];
  size_t length = 0;
  trunkline_stream_t stream;
  OK(trunkline_listener_address(listener, address, sizeof address, &length));
  OK(trunkline_connect(default_runtime(), address, length, NEVER, &stream, NULL));
  return stream;
}

static inline void connected(trunkline_listener_t listener, trunkline_stream_t *near, trunkline_stream_t *far) {
  *near = connect_to(listener);
  OK(trunkline_listener_accept(listener, NEVER, far, NULL));
}

static inline void pair_of(trunkline_stream_t ends[2]) {
  trunkline_stream_t both[2];
  OK(trunkline_pipe_pair(default_runtime(), NULL, &both, NULL));
  ends[0] = both[0];
  ends[1] = both[1];
}

static inline void write_all(trunkline_stream_t stream, const void *data, size_t length) {
  const uint8_t *next = (const uint8_t *)data;
  while (length > 0) {
    trunkline_bytes_t iov;
    size_t n = 0;
    iov.ptr = next;
    iov.len = length;
    OK(trunkline_stream_write(stream, &iov, 1, NEVER, &n));
    CHECK(n > 0 && n <= length, "a write that is OK has taken something");
    next += n;
    length -= n;
  }
}

static inline void say(trunkline_stream_t stream, const char *text) { write_all(stream, text, strlen(text)); }

/* Reads exactly this text. */
static inline void hears(trunkline_stream_t stream, const char *text) {
  uint8_t found[256];
  size_t length = strlen(text), have = 0;
  while (have < length) {
    size_t n = 0;
    OK(trunkline_stream_read(stream, found + have, length - have, NEVER, &n));
    CHECK(n > 0, "the stream does not end before the text does");
    have += n;
  }
  CHECK(memcmp(found, text, length) == 0, "what is read is what was written");
}

static inline void hears_the_end(trunkline_stream_t stream) {
  uint8_t byte;
  size_t n = 1;
  OK(trunkline_stream_read(stream, &byte, 1, NEVER, &n));
  CHECK(n == 0, "the end of a stream is OK with no byte");
}

static inline void free_streams(trunkline_stream_t a, trunkline_stream_t b) {
  OK(trunkline_stream_free(a));
  OK(trunkline_stream_free(b));
}

/* A listener of which the backlog is full: connecting to it hangs until the deadline. */
typedef struct Stuck {
  trunkline_listener_t listener;
  char address[320];
  size_t length;
  trunkline_stream_t filling[8];
  int filled;
} Stuck;

static inline void get_stuck(Stuck *stuck) {
  trunkline_listen_options_t options = TRUNKLINE_LISTEN_OPTIONS_INIT;
  trunkline_status_t status = TRUNKLINE_OK;
  options.backlog = 1;
  OK(trunkline_listen(default_runtime(), TEXT("tcp://127.0.0.1:0"), &options, &stuck->listener, NULL));
  OK(trunkline_listener_address(stuck->listener, stuck->address, sizeof stuck->address, &stuck->length));
  for (stuck->filled = 0; stuck->filled < 8; stuck->filled++) {
    status = trunkline_connect(default_runtime(), stuck->address, stuck->length, in_ms(300),
                               &stuck->filling[stuck->filled], NULL);
    if (status != TRUNKLINE_OK) break;
  }
  GIVES(TRUNKLINE_E_TIMEOUT, status);
}

static inline void get_unstuck(Stuck *stuck) {
  OK(trunkline_listener_free(stuck->listener));
  while (stuck->filled > 0) OK(trunkline_stream_free(stuck->filling[--stuck->filled]));
}

/* Submits a connect that goes to a queue. */
static inline trunkline_op_t connect_async(trunkline_runtime_t rt, const char *address, size_t length,
                                           trunkline_cq_t cq, uint64_t tag) {
  trunkline_completion_t completion = { { 0 }, 0, NULL, NULL };
  trunkline_op_t op;
  completion.queue = cq;
  completion.tag = tag;
  OK(trunkline_connect_async(rt, address, length, NEVER, &completion, &op, NULL));
  CHECK(op.h != 0, "an operation that was accepted has a handle");
  return op;
}

#endif
