/* A plugin's way: load at run time, use, unload while threads of the library run, load again. */
#include "check.h"

#include <dlfcn.h>

typedef trunkline_status_t pipe_pair_fn(trunkline_runtime_t, const trunkline_pipe_options_t *, trunkline_stream_t (*)[2],
                                        trunkline_error_t **);
typedef trunkline_status_t stream_free_fn(trunkline_stream_t);
typedef trunkline_status_t shutdown_fn(trunkline_runtime_t, int64_t, trunkline_error_t **);

/* POSIX promises that this works; C has no word for it. */
static void find(void *library, const char *name, void *function) {
  void *found = dlsym(library, name);
  CHECK(found != NULL, name);
  memcpy(function, &found, sizeof found);
}

int main(int argc, char **argv) {
  int round, threads;
  begin();
  CHECK(argc == 2, "the path of the library is given");
  threads = entries("task");
  for (round = 0; round < 21; round++) {
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    trunkline_stream_t ends[2];
    pipe_pair_fn *pipe_pair;
    stream_free_fn *stream_free;
    shutdown_fn *shut_down;
    CHECK(library != NULL, "it loads");
    find(library, "trunkline_pipe_pair", &pipe_pair);
    find(library, "trunkline_stream_free", &stream_free);
    find(library, "trunkline_runtime_shutdown", &shut_down);
    CHECK(pipe_pair(default_runtime(), NULL, &ends, NULL) == TRUNKLINE_OK, "it works");
    CHECK(stream_free(ends[0]) == TRUNKLINE_OK && stream_free(ends[1]) == TRUNKLINE_OK, "it frees");
    CHECK(entries("task") > threads, "it runs threads");
    if (round % 3 == 2) CHECK(shut_down(default_runtime(), NEVER, NULL) == TRUNKLINE_OK, "it stops");
    CHECK(dlclose(library) == 0, "it unloads");
    sched_yield();
  }
  return 0;
}
