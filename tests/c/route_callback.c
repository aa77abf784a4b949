/* The route callback: the program says where a connection goes, and the routes wherever it does not. */
#include "check.h"

static const char DOCUMENT[] =
    "{\"listeners\": {\"in\": {\"address\": \"mem:c-route-in\"}}, \"default_backend\": \"a\","
    " \"route_callback\": {\"timeout\": \"1h\", \"probe\": false},"
    " \"backends\": {\"a\": {\"endpoints\": [{\"address\": \"mem:c-route-a\"}]},"
    "              \"b\": {\"endpoints\": [{\"address\": \"mem:c-route-b\"}]}}}";

/* What is said of each connection, by a function that answers at once, and how often it was released. */
typedef struct Router {
  int32_t decision;
  const char *to;
  int fails, releases;
} Router;

static void decide(void *user_data, trunkline_job_t job, uint32_t what, uint32_t reason, uint64_t about) {
  const Router *router = (const Router *)user_data;
  trunkline_buf_t *question;
  size_t length;
  CHECK(what == TRUNKLINE_JOB_ROUTE && reason == 0 && about != 0, "it asks about a connection");
  OK(trunkline_route_question(job, &question, NULL));
  CHECK(strstr((const char *)trunkline_buf_data(question, &length), "\"listener\":\"in\"") != NULL, "it says by which listener");
  trunkline_buf_free(question);
  if (router->fails) {
    OK(trunkline_job_done(job, 0, trunkline_error_new(TRUNKLINE_E_TIMEOUT, TEXT("no idea"), NULL)));
    return;
  }
  OK(trunkline_route_decide(job, router->decision, router->to, strlen(router->to)));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_route_decide(job, TRUNKLINE_ROUTE_DEFAULT, NULL, 0));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_route_question(job, &question, NULL));
}

static void release(void *user_data) { ((Router *)user_data)->releases++; }

static trunkline_tcp_manager_t started(void) {
  trunkline_tcp_manager_t manager;
  trunkline_buf_t *bound;
  OK(trunkline_tcp_manager_new(default_runtime(), TEXT(DOCUMENT), &manager, NULL));
  OK(trunkline_tcp_manager_start(manager, &bound, NULL));
  trunkline_buf_free(bound);
  return manager;
}

static trunkline_stream_t who_says(const char *said) {
  trunkline_stream_t client;
  OK(trunkline_connect(default_runtime(), TEXT("mem:c-route-in"), NEVER, &client, NULL));
  write_all(client, said, strlen(said));
  return client;
}

/* The next client of a listener has said this, and is told nothing. */
static void reached(trunkline_listener_t listener, trunkline_stream_t client, const char *said) {
  trunkline_stream_t server;
  char heard[16] = "";
  size_t n, have = 0;
  OK(trunkline_listener_accept(listener, NEVER, &server, NULL));
  while (have < strlen(said)) {
    OK(trunkline_stream_read(server, (uint8_t *)heard + have, strlen(said) - have, NEVER, &n));
    CHECK(n > 0, "it has not ended");
    have += n;
  }
  CHECK(strcmp(heard, said) == 0, "what was said is heard");
  OK(trunkline_stream_free(server));
  OK(trunkline_stream_free(client));
}

static void a_function_says_where_each_connection_goes(void) {
  trunkline_listener_t a = listen_on("mem:c-route-a"), b = listen_on("mem:c-route-b"), c = listen_on("mem:c-route-c");
  Router router = { TRUNKLINE_ROUTE_BACKEND, "b", 0, 0 };
  trunkline_job_host_t host = { { 0 }, 0, decide, NULL, release };
  trunkline_tcp_manager_t manager = started();
  trunkline_stream_t client;
  uint8_t byte;
  size_t n;
  host.user_data = &router;
  OK(trunkline_tcp_manager_on_route(manager, &host, NULL));
  reached(b, who_says("to b"), "to b");
  router.decision = TRUNKLINE_ROUTE_ADDRESS, router.to = "mem:c-route-c";
  reached(c, who_says("to c"), "to c");
  router.decision = TRUNKLINE_ROUTE_BACKEND, router.to = "nowhere";
  reached(a, who_says("nowhere"), "nowhere");
  router.decision = TRUNKLINE_ROUTE_DEFAULT, router.to = "";
  reached(a, who_says("default"), "default");
  router.fails = 1;
  reached(a, who_says("fails"), "fails");
  router.fails = 0, router.decision = TRUNKLINE_ROUTE_REFUSE;
  /* It says nothing: that might come after the reset. */
  client = who_says("");
  GIVES(TRUNKLINE_E_BROKEN, trunkline_stream_read(client, &byte, 1, NEVER, &n));
  OK(trunkline_stream_free(client));
  OK(trunkline_tcp_manager_on_route(manager, NULL, NULL));
  reached(a, who_says("no more"), "no more");
  OK(trunkline_tcp_manager_close(manager));
  CHECK(router.releases == 1, "released once");
  GIVES(TRUNKLINE_E_CLOSED, trunkline_tcp_manager_on_route(manager, &host, NULL));
  CHECK(router.releases == 2, "also when it is refused");
  OK(trunkline_tcp_manager_free(manager));
  OK(trunkline_listener_free(a));
  OK(trunkline_listener_free(b));
  OK(trunkline_listener_free(c));
}

static void a_queue_takes_the_questions_and_one_that_nobody_waits_for_is_stale(void) {
  trunkline_listener_t a = listen_on("mem:c-route-a"), b = listen_on("mem:c-route-b");
  trunkline_job_host_t host = { { 0 }, 7, NULL, NULL, NULL };
  trunkline_tcp_manager_t manager = started();
  trunkline_cq_t queue = new_queue();
  trunkline_stream_t client;
  trunkline_event_t event;
  trunkline_job_t job;
  uint64_t cut;
  host.queue = queue;
  OK(trunkline_tcp_manager_on_route(manager, &host, NULL));
  client = who_says("by queue");
  event = next_event(queue);
  CHECK(event.kind == TRUNKLINE_EV_JOB && event.tag == 7 && event.value == TRUNKLINE_JOB_ROUTE, "a question");
  job.h = event.handle;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_route_decide(job, 99, NULL, 0));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_route_decide(job, TRUNKLINE_ROUTE_BACKEND, NULL, 0));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_route_decide(job, TRUNKLINE_ROUTE_ADDRESS, TEXT("no address")));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_route_decide(job, TRUNKLINE_ROUTE_REFUSE, TEXT("a")));
  OK(trunkline_route_decide(job, TRUNKLINE_ROUTE_BACKEND, TEXT("b")));
  reached(b, client, "by queue");

  client = who_says("waits");
  event = next_event(queue);
  job.h = event.handle;
  OK(trunkline_tcp_manager_drain(manager, 0, &cut, NULL));
  CHECK(cut == 1, "a drain ends the question");
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_route_decide(job, TRUNKLINE_ROUTE_BACKEND, TEXT("b")));
  OK(trunkline_stream_free(client));
  OK(trunkline_tcp_manager_free(manager));
  OK(trunkline_cq_free(queue));
  OK(trunkline_listener_free(a));
  OK(trunkline_listener_free(b));
}

static uint64_t made;

static void not_a_question(void *user_data, trunkline_job_t job, uint32_t what, uint32_t reason, uint64_t about) {
  trunkline_buf_t *question;
  (void)user_data, (void)reason, (void)about;
  if (what == TRUNKLINE_JOB_CONNECT) {
    GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_route_question(job, &question, NULL));
    GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_route_decide(job, TRUNKLINE_ROUTE_REFUSE, NULL, 0));
  }
  OK(trunkline_job_done(job, what == TRUNKLINE_JOB_CONNECT ? ++made : 0, NULL));
}

static void a_job_of_a_pool_asks_for_no_decision(void) {
  trunkline_job_host_t host = { { 0 }, 0, not_a_question, NULL, NULL };
  trunkline_pool_t pool;
  trunkline_leased_t leased;
  uint64_t left;
  OK(trunkline_pool_new(default_runtime(), NULL, 0, &host, 0, &pool, NULL));
  OK(trunkline_pool_acquire(pool, NEVER, NULL, 0, &leased, NULL));
  CHECK(leased.value == 1, "it is still answered as it should be");
  OK(trunkline_pool_release(pool, leased.lease, 0));
  OK(trunkline_pool_close(pool, NEVER, &left, NULL));
  OK(trunkline_pool_free(pool));
}

int main(void) {
  begin();
  a_function_says_where_each_connection_goes();
  a_queue_takes_the_questions_and_one_that_nobody_waits_for_is_stale();
  a_job_of_a_pool_asks_for_no_decision();
  leave();
  return 0;
}
