/* What a child inherits is refused and left alone, what it makes works, and the parent notices nothing. */
#include "calls.h"

#include <sys/wait.h>

typedef struct Inherited {
  trunkline_runtime_t rt;
  trunkline_cq_t cq;
  trunkline_listener_t listener, tcp;
  trunkline_stream_t near, far, ends[2];
  trunkline_op_t op;
  trunkline_keyed_pool_t pool;
  trunkline_job_t job;
  trunkline_listener_t lending;
  trunkline_pool_t lends;
  trunkline_leased_t lent;
  trunkline_stream_t peer;
  trunkline_buf_t *buf;
  trunkline_error_t *error;
} Inherited;

static void new_objects_work(void) {
  trunkline_runtime_t rt;
  trunkline_cq_t cq = new_queue();
  trunkline_listener_t listener = listen_on("tcp://127.0.0.1:0");
  trunkline_stream_t near, far, ends[2];
  trunkline_event_t event;
  connected(listener, &near, &far);
  say(near, "made here");
  hears(far, "made here");
  OK(trunkline_stream_arm(near, TRUNKLINE_READABLE, cq, 1));
  say(far, "x");
  CHECK(next_event(cq).tag == 1, "queues work");
  connect_async(default_runtime(), TEXT("mem:nobody"), cq, 2);
  event = next_event(cq);
  GIVES(TRUNKLINE_E_CONNECTION_FAILED, event.status);
  trunkline_event_dispose(&event);
  OK(trunkline_runtime_new(NULL, &rt, NULL));
  OK(trunkline_pipe_pair(rt, NULL, &ends, NULL));
  say(ends[0], "and here");
  hears(ends[1], "and here");
  free_streams(ends[0], ends[1]);
  free_streams(near, far);
  OK(trunkline_listener_free(listener));
  OK(trunkline_cq_free(cq));
  OK(trunkline_runtime_shutdown(rt, NEVER, NULL));
  OK(trunkline_runtime_free(rt));
  OK(trunkline_runtime_shutdown(default_runtime(), NEVER, NULL));
  nothing_is_left();
}

static void in_the_child(const Inherited *inherited) {
  uint64_t value;
  trunkline_leased_t leased;
  nothing_is_left();
  every_stream_call(inherited->near, TRUNKLINE_E_FORKED, TRUNKLINE_OK);
  every_stream_call(inherited->ends[0], TRUNKLINE_E_FORKED, TRUNKLINE_OK);
  every_listener_call(inherited->listener, TRUNKLINE_E_FORKED, TRUNKLINE_OK);
  every_cq_call(inherited->cq, TRUNKLINE_E_FORKED, TRUNKLINE_OK);
  every_runtime_call(inherited->rt, TRUNKLINE_E_FORKED, TRUNKLINE_OK);
  GIVES(TRUNKLINE_E_FORKED, trunkline_op_cancel(inherited->op));
  GIVES(TRUNKLINE_E_FORKED, trunkline_job_done(inherited->job, 1, NULL));
  GIVES(TRUNKLINE_E_FORKED, trunkline_keyed_pool_fill(inherited->job, 1, &value, NULL));
  GIVES(TRUNKLINE_E_FORKED, trunkline_keyed_pool_size(inherited->pool, &value));
  OK(trunkline_keyed_pool_free(inherited->pool));
  GIVES(TRUNKLINE_E_FORKED, trunkline_pool_acquire(inherited->lends, NEVER, NULL, 0, &leased, NULL));
  GIVES(TRUNKLINE_E_FORKED, trunkline_pool_release(inherited->lends, inherited->lent.lease, TRUNKLINE_POOL_DISCARD));
  GIVES(TRUNKLINE_E_FORKED, trunkline_pool_clear(inherited->lends));
  OK(trunkline_pool_free(inherited->lends));
  /* Freed once more: still nothing. */
  OK(trunkline_stream_free(inherited->near));
  /* Values with one owner are plain memory. */
  CHECK(strcmp(trunkline_error_message(inherited->error, NULL), "") != 0, "errors can be read");
  trunkline_error_free(inherited->error);
  trunkline_buf_free(inherited->buf);
  new_objects_work();
}

static void waits_for(pid_t child) {
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child, "the child ends");
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "all is well in the child");
}

/* A pool of one TCP connection, which is lent. */
static void lend_one(Inherited *all) {
  char address[320];
  trunkline_str_t text = { address, 0 };
  all->lending = listen_on("tcp://127.0.0.1:0");
  OK(trunkline_listener_address(all->lending, address, sizeof address, &text.len));
  OK(trunkline_pool_open(all->rt, TEXT("{\"max_size\": 1}"), &text, 1, &all->lends, NULL));
  OK(trunkline_pool_acquire(all->lends, NEVER, TEXT("the parent"), &all->lent, NULL));
  OK(trunkline_listener_accept(all->lending, NEVER, &all->peer, NULL));
}

static void it_still_lends(const Inherited *all) {
  trunkline_stream_t stream;
  trunkline_leased_t again;
  stream.h = all->lent.value;
  say(stream, "the child closed nothing");
  hears(all->peer, "the child closed nothing");
  OK(trunkline_pool_release(all->lends, all->lent.lease, 0));
  OK(trunkline_pool_acquire(all->lends, NEVER, NULL, 0, &again, NULL));
  CHECK(again.value == all->lent.value, "the same connection is lent again");
  OK(trunkline_pool_free(all->lends));
  OK(trunkline_stream_free(all->peer));
  OK(trunkline_listener_free(all->lending));
}

static void inherit(Inherited *all) {
  uint64_t value;
  OK(trunkline_runtime_new(NULL, &all->rt, NULL));
  all->cq = new_queue();
  all->listener = listen_on("mem:inherited");
  all->tcp = listen_on("tcp://127.0.0.1:0");
  connected(all->tcp, &all->near, &all->far);
  pair_of(all->ends);
  all->op = connect_async(all->rt, TEXT("mem:inherited"), all->cq, 1);
  OK(trunkline_keyed_pool_new(all->rt, NULL, 0, NULL, &all->pool, NULL));
  OK(trunkline_keyed_pool_get_or_create(all->pool, (const uint8_t *)"a", 1, NEVER, 0, &value, &all->job, NULL));
  lend_one(all);
  all->buf = trunkline_buf_wrap((const uint8_t *)"x", 1, NULL, NULL);
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_debug_fail(TRUNKLINE_E_TIMEOUT, &all->error));
}

static void everything_still_works(const Inherited *all) {
  trunkline_stream_t stream;
  trunkline_event_t event;
  uint64_t value;
  say(all->near, "after the fork");
  hears(all->far, "after the fork");
  say(all->ends[0], "and here");
  hears(all->ends[1], "and here");
  OK(trunkline_listener_accept(all->listener, NEVER, &stream, NULL));
  event = next_event(all->cq);
  OK(event.status);
  trunkline_event_dispose(&event);
  OK(trunkline_stream_free(stream));
  OK(trunkline_keyed_pool_fill(all->job, 1, &value, NULL));
  OK(trunkline_keyed_pool_free(all->pool));
  it_still_lends(all);
  free_streams(all->near, all->far);
  free_streams(all->ends[0], all->ends[1]);
  OK(trunkline_listener_free(all->listener));
  OK(trunkline_listener_free(all->tcp));
  OK(trunkline_cq_free(all->cq));
  OK(trunkline_runtime_shutdown(all->rt, NEVER, NULL));
  OK(trunkline_runtime_free(all->rt));
  trunkline_buf_free(all->buf);
  trunkline_error_free(all->error);
}

int main(void) {
  Inherited all;
  int generation;
  begin();
  inherit(&all);
  for (generation = 0; generation < 2; generation++) {
    pid_t child = fork();
    CHECK(child >= 0, "a fork works");
    if (child == 0) {
      pid_t grandchild;
      begin();
      in_the_child(&all);
      grandchild = fork();
      if (grandchild == 0) {
        begin();
        every_stream_call(all.far, TRUNKLINE_E_FORKED, TRUNKLINE_OK);
        new_objects_work();
        end_child();
      }
      waits_for(grandchild);
      new_objects_work();
      end_child();
    }
    waits_for(child);
  }
  everything_still_works(&all);
  leave();
  return 0;
}
