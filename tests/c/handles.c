/* A handle that is stale, freed twice, of another type or from nowhere is an error, in every call. */
#include "calls.h"

#define BAD TRUNKLINE_E_INVALID_HANDLE

/* Handles that were never given out: every type tag, a far index, a far generation. */
static uint64_t garbage(int i) {
  static const uint64_t NUMBERS[] = { 1, UINT64_MAX, (uint64_t)4 << 56, (uint64_t)4 << 56 | 0xffffffff,
                                      (uint64_t)1 << 32, (uint64_t)0xff << 56 | (uint64_t)1 << 32 };
  return NUMBERS[i];
}

static void stale_handles_are_refused(void) {
  trunkline_stream_t ends[2];
  trunkline_listener_t listener = listen_on("mem:stale");
  trunkline_cq_t cq = new_queue();
  trunkline_runtime_t rt;
  OK(trunkline_runtime_new(NULL, &rt, NULL));
  pair_of(ends);
  OK(trunkline_stream_free(ends[0]));
  every_stream_call(ends[0], BAD, BAD);
  OK(trunkline_stream_free(ends[1]));
  OK(trunkline_listener_free(listener));
  every_listener_call(listener, BAD, BAD);
  OK(trunkline_cq_free(cq));
  every_cq_call(cq, BAD, BAD);
  OK(trunkline_runtime_free(rt));
  every_runtime_call(rt, BAD, BAD);
}

static void a_stale_handle_never_names_what_took_its_place(void) {
  trunkline_stream_t old[2], fresh[2];
  int i;
  pair_of(old);
  free_streams(old[0], old[1]);
  for (i = 0; i < 200; i++) {
    pair_of(fresh);
    CHECK(fresh[0].h != old[0].h && fresh[0].h != old[1].h, "a number does not come back");
    GIVES(BAD, trunkline_stream_close(old[0]));
    GIVES(BAD, trunkline_stream_free(old[1]));
    say(fresh[0], "alive");
    hears(fresh[1], "alive");
    free_streams(fresh[0], fresh[1]);
  }
}

static void zero_and_garbage_are_refused(void) {
  int i;
  for (i = -1; i < 6; i++) {
    uint64_t h = i < 0 ? 0 : garbage(i);
    trunkline_stream_t stream = { 0 };
    trunkline_listener_t listener = { 0 };
    trunkline_cq_t cq = { 0 };
    trunkline_runtime_t rt = { 0 };
    trunkline_op_t op = { 0 };
    trunkline_job_t job = { 0 };
    stream.h = h;
    listener.h = h;
    cq.h = h;
    rt.h = h;
    op.h = h;
    job.h = h;
    GIVES(BAD, trunkline_job_done(job, 1, NULL));
    GIVES(BAD, trunkline_job_done(job, 0, trunkline_error_new(TRUNKLINE_E_BROKEN, TEXT("taken"), NULL)));
    every_stream_call(stream, BAD, BAD);
    every_listener_call(listener, BAD, BAD);
    every_cq_call(cq, BAD, BAD);
    GIVES(BAD, trunkline_op_cancel(op));
    GIVES(BAD, trunkline_runtime_free(rt));
    if (h != 0) every_runtime_call(rt, BAD, BAD);
  }
}

static void a_handle_of_another_type_is_refused_and_survives(void) {
  trunkline_stream_t ends[2], as_stream;
  trunkline_listener_t as_listener;
  trunkline_cq_t cq = new_queue(), as_cq;
  trunkline_op_t as_op;
  trunkline_runtime_t as_runtime;
  pair_of(ends);
  as_stream.h = cq.h;
  as_listener.h = ends[0].h;
  as_cq.h = ends[0].h;
  as_op.h = ends[0].h;
  as_runtime.h = ends[0].h;
  every_stream_call(as_stream, BAD, BAD);
  every_listener_call(as_listener, BAD, BAD);
  every_cq_call(as_cq, BAD, BAD);
  GIVES(BAD, trunkline_op_cancel(as_op));
  every_runtime_call(as_runtime, BAD, BAD);
  say(ends[0], "untouched");
  hears(ends[1], "untouched");
  OK(trunkline_cq_wake(cq));

  /* Even a number with a forged type leaves alone what it really names. */
  as_stream.h = (cq.h & ~((uint64_t)0xff << 56)) | (ends[0].h & (uint64_t)0xff << 56);
  every_stream_call(as_stream, BAD, BAD);
  OK(trunkline_cq_wake(cq));
  free_streams(ends[0], ends[1]);
  OK(trunkline_cq_free(cq));
}

#define THREADS 8
#define ROUNDS 300

typedef struct Race {
  pthread_barrier_t barrier;
  trunkline_stream_t ends[2];
  int freed[THREADS];
} Race;

typedef struct Racer {
  Race *race;
  int number;
} Racer;

static void *free_both(void *argument) {
  const Racer *racer = (const Racer *)argument;
  Race *race = racer->race;
  int round;
  for (round = 0; round < ROUNDS; round++) {
    pthread_barrier_wait(&race->barrier);
    race->freed[racer->number] = (trunkline_stream_free(race->ends[0]) == TRUNKLINE_OK);
    race->freed[racer->number] += (trunkline_stream_free(race->ends[1]) == TRUNKLINE_OK);
    pthread_barrier_wait(&race->barrier);
  }
  return NULL;
}

static void of_many_frees_at_once_one_is_right(void) {
  Race race;
  Racer racers[THREADS];
  pthread_t threads[THREADS];
  int i, round;
  memset(&race, 0, sizeof race);
  pthread_barrier_init(&race.barrier, NULL, THREADS + 1);
  for (i = 0; i < THREADS; i++) {
    racers[i].race = &race;
    racers[i].number = i;
    CHECK(pthread_create(&threads[i], NULL, free_both, &racers[i]) == 0, "a thread starts");
  }
  for (round = 0; round < ROUNDS; round++) {
    int freed = 0;
    pair_of(race.ends);
    pthread_barrier_wait(&race.barrier);
    pthread_barrier_wait(&race.barrier);
    for (i = 0; i < THREADS; i++) freed += race.freed[i];
    CHECK(freed == 2, "each handle is freed by exactly one thread");
  }
  for (i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  pthread_barrier_destroy(&race.barrier);
}

static void handles_are_limited_and_the_limit_is_exact(void) {
  trunkline_runtime_options_t options = TRUNKLINE_RUNTIME_OPTIONS_INIT;
  trunkline_runtime_t rt;
  trunkline_stream_t ends[2], more[2];
  trunkline_cq_t cq;
  options.max_handles = 3;
  options.worker_threads = 1;
  OK(trunkline_runtime_new(&options, &rt, NULL));
  OK(trunkline_pipe_pair(rt, NULL, &ends, NULL));
  GIVES(TRUNKLINE_E_LIMIT_EXCEEDED, trunkline_pipe_pair(rt, NULL, &more, NULL));
  CHECK(more[0].h == 0 && more[1].h == 0, "outputs are blank after a failure");
  OK(trunkline_cq_new(rt, 0, &cq, NULL));
  OK(trunkline_stream_free(ends[0]));
  GIVES(TRUNKLINE_E_LIMIT_EXCEEDED, trunkline_pipe_pair(rt, NULL, &more, NULL));
  OK(trunkline_cq_free(cq));
  OK(trunkline_pipe_pair(rt, NULL, &more, NULL));
  OK(trunkline_stream_free(ends[1]));
  free_streams(more[0], more[1]);
  OK(trunkline_runtime_shutdown(rt, NEVER, NULL));
  OK(trunkline_runtime_free(rt));
}

int main(void) {
  begin();
  stale_handles_are_refused();
  a_stale_handle_never_names_what_took_its_place();
  zero_and_garbage_are_refused();
  a_handle_of_another_type_is_refused_and_survives();
  of_many_frees_at_once_one_is_right();
  handles_are_limited_and_the_limit_is_exact();
  leave();
  return 0;
}
