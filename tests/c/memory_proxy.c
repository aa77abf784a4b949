/* The memory proxy: requests reach what routes and hooks say, hooks come by callback or queue, and nothing is left. */
#include "check.h"

#define BAD TRUNKLINE_E_INVALID_HANDLE

static const char DOCUMENT[] =
    "{\"hook_timeout\": \"1h\", \"routes\": [{\"path\": \"/one\", \"target\": \"mem:c-proxy-one\", \"strip_path\": true}]}";

static trunkline_memory_proxy_stats_t stats_of(trunkline_memory_proxy_t proxy) {
  trunkline_memory_proxy_stats_t stats = TRUNKLINE_MEMORY_PROXY_STATS_INIT;
  OK(trunkline_memory_proxy_stats(proxy, &stats));
  CHECK(stats.opened - stats.closed == stats.active, "the counts agree");
  return stats;
}

static trunkline_stream_t asks(const char *request) {
  trunkline_stream_t client;
  OK(trunkline_connect(default_runtime(), TEXT("mem:c-proxy"), NEVER, &client, NULL));
  write_all(client, request, strlen(request));
  return client;
}

/* All that comes until the end. */
static void hears_all(trunkline_stream_t client, char *heard, size_t size) {
  size_t n, have = 0;
  do {
    OK(trunkline_stream_read(client, (uint8_t *)heard + have, size - 1 - have, NEVER, &n));
    have += n;
  } while (n > 0);
  heard[have] = 0;
  OK(trunkline_stream_free(client));
}

/* The service answers one request, which begins with `said` and has `field` in it. */
static void serves(trunkline_listener_t service, const char *said, const char *field) {
  static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  trunkline_stream_t stream;
  char heard[2000] = "";
  size_t n, have = 0;
  OK(trunkline_listener_accept(service, NEVER, &stream, NULL));
  while (strstr(heard, "\r\n\r\n") == NULL) {
    OK(trunkline_stream_read(stream, (uint8_t *)heard + have, sizeof heard - 1 - have, NEVER, &n));
    CHECK(n > 0, "the request has not ended");
    have += n;
    heard[have] = 0;
  }
  CHECK(strncmp(heard, said, strlen(said)) == 0, "the service sees the path");
  CHECK(strstr(heard, field) != NULL, "and the field");
  write_all(stream, answer, strlen(answer));
  OK(trunkline_stream_free(stream));
}

static void requests_go_where_the_document_says(void) {
  trunkline_listener_t service = listen_on("mem:c-proxy-one"), at = listen_on("mem:c-proxy");
  trunkline_memory_proxy_t proxy;
  trunkline_stream_t client;
  uint64_t cut;
  char heard[2000];
  OK(trunkline_memory_proxy_new(default_runtime(), TEXT(DOCUMENT), NULL, NULL, 0, &proxy, NULL));
  OK(trunkline_memory_proxy_serve(proxy, at, NULL));
  client = asks("GET /one/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  serves(service, "GET /x HTTP/1.1\r\n", "x-forwarded-host: a\r\n");
  hears_all(client, heard, sizeof heard);
  CHECK(strncmp(heard, "HTTP/1.1 200 OK\r\n", 17) == 0 && strstr(heard, "\r\n\r\nok") != NULL, "the answer");
  hears_all(asks("GET /two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), heard, sizeof heard);
  CHECK(strncmp(heard, "HTTP/1.1 404 ", 13) == 0, "no route");
  OK(trunkline_memory_proxy_drain(proxy, NEVER, &cut, NULL));
  CHECK(cut == 0 && stats_of(proxy).requests == 2 && stats_of(proxy).denied == 1, "both were answered");
  GIVES(TRUNKLINE_E_CLOSED, trunkline_memory_proxy_serve(proxy, at, NULL));
  OK(trunkline_memory_proxy_close(proxy));
  OK(trunkline_memory_proxy_free(proxy));
  GIVES(BAD, trunkline_memory_proxy_free(proxy));
  GIVES(BAD, trunkline_memory_proxy_close(proxy));
  OK(trunkline_listener_free(at));
  OK(trunkline_listener_free(service));
}

/* What a function answers to each kind of question, and how often it was released. */
typedef struct Host {
  const char *route, *process;
  int releases;
} Host;

static int tells(trunkline_job_t job, const char *text) {
  trunkline_buf_t *question;
  char copy[2000] = "";
  size_t length;
  const uint8_t *data;
  OK(trunkline_memory_proxy_question(job, &question, NULL));
  data = trunkline_buf_data(question, &length);
  CHECK(length < sizeof copy, "it is short");
  memcpy(copy, data, length);
  trunkline_buf_free(question);
  return strstr(copy, text) != NULL;
}

static void answers(void *user_data, trunkline_job_t job, uint32_t what, uint32_t reason, uint64_t about) {
  const Host *host = (const Host *)user_data;
  const char *said = what == TRUNKLINE_JOB_PROXY_ROUTE ? host->route : host->process;
  trunkline_buf_t *question;
  CHECK(reason == 0 && about != 0, "it asks about a connection");
  CHECK(tells(job, "\"path\":\"/any\""), "it says for which path");
  CHECK(tells(job, "\"target\":{") == (what == TRUNKLINE_JOB_PROXY_PROCESS), "and whereto");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_route_question(job, &question, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_route_decide(job, TRUNKLINE_ROUTE_DEFAULT, NULL, 0));
  if (said == NULL) {
    OK(trunkline_job_done(job, 0, trunkline_error_new(TRUNKLINE_E_TIMEOUT, TEXT("no idea"), NULL)));
    return;
  }
  OK(trunkline_memory_proxy_answer(job, said, strlen(said), NULL));
  GIVES(BAD, trunkline_memory_proxy_answer(job, TEXT("{}"), NULL));
}

static void release(void *user_data) { ((Host *)user_data)->releases++; }

static void a_function_says_where_requests_go_and_with_which_fields(void) {
  trunkline_listener_t service = listen_on("mem:c-proxy-other"), at = listen_on("mem:c-proxy");
  Host host = { "{\"target\": \"mem:c-proxy-other\", \"path\": \"/seen\"}", "{\"set\": [[\"x-who\", \"alice\"]]}", 0 };
  trunkline_job_host_t registered = { { 0 }, 0, answers, NULL, release };
  static const char request[] = "GET /any HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  const uint32_t hooks = TRUNKLINE_HOOK_ROUTE | TRUNKLINE_HOOK_PROCESS;
  trunkline_memory_proxy_t proxy;
  trunkline_stream_t client;
  char heard[2000];
  registered.user_data = &host;
  OK(trunkline_memory_proxy_new(default_runtime(), TEXT(DOCUMENT), NULL, &registered, hooks, &proxy, NULL));
  OK(trunkline_memory_proxy_serve(proxy, at, NULL));
  client = asks(request);
  serves(service, "GET /seen HTTP/1.1\r\n", "x-who: alice\r\n");
  hears_all(client, heard, sizeof heard);
  CHECK(strncmp(heard, "HTTP/1.1 200 OK\r\n", 17) == 0, "the answer");
  host.process = "{\"refuse\": {\"status\": 403, \"text\": \"not you\"}}";
  hears_all(asks(request), heard, sizeof heard);
  CHECK(strncmp(heard, "HTTP/1.1 403 ", 13) == 0 && strstr(heard, "\r\n\r\nnot you\n") != NULL, "refused");
  host.process = NULL;
  hears_all(asks(request), heard, sizeof heard);
  CHECK(strncmp(heard, "HTTP/1.1 500 ", 13) == 0 && stats_of(proxy).hooks_failed == 1, "a failure lets nothing through");
  OK(trunkline_memory_proxy_close(proxy));
  OK(trunkline_memory_proxy_free(proxy));
  while (host.releases == 0) sched_yield();
  CHECK(host.releases == 1, "released once");
  OK(trunkline_listener_free(at));
  OK(trunkline_listener_free(service));
}

static void a_queue_takes_the_questions_and_wrong_answers_are_named(void) {
  static const char *const wrong[] = {
    "", "[]", "{\"targets\": 1}", "{\"target\": \"none\"}", "{\"target\": \"udp://127.0.0.1:1\"}", "{\"path\": \"/x\"}",
    "{\"target\": \"mem:x\", \"path\": \"x\"}", "{\"target\": \"mem:x\", \"host\": \"a b\"}", "{\"refuse\": {\"status\": 200}}",
  };
  static const char *const unfit[] = {
    "{\"set\": [[\"content-length\", \"1\"]]}", "{\"set\": [[\"a b\", \"1\"]]}", "{\"set\": [[\"a\", \"\\r\\n\"]]}",
    "{\"remove\": [\"host\"]}", "{\"target\": \"mem:x\"}",
  };
  trunkline_listener_t service = listen_on("mem:c-proxy-one"), at = listen_on("mem:c-proxy");
  trunkline_job_host_t host = { { 0 }, 7, NULL, NULL, NULL };
  trunkline_memory_proxy_t proxy;
  trunkline_cq_t queue = new_queue();
  trunkline_error_t *error;
  trunkline_event_t event;
  trunkline_stream_t client;
  trunkline_job_t job;
  size_t i, length;
  char heard[2000];
  host.queue = queue;
  OK(trunkline_memory_proxy_new(default_runtime(), TEXT(DOCUMENT), NULL, &host,
                                TRUNKLINE_HOOK_ROUTE | TRUNKLINE_HOOK_PROCESS, &proxy, NULL));
  OK(trunkline_memory_proxy_serve(proxy, at, NULL));
  client = asks("GET /one HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  event = next_event(queue);
  CHECK(event.kind == TRUNKLINE_EV_JOB && event.tag == 7 && event.value == TRUNKLINE_JOB_PROXY_ROUTE, "a question");
  job.h = event.handle;
  for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_memory_proxy_answer(job, wrong[i], strlen(wrong[i]), &error));
    CHECK(trunkline_error_message(error, &length) != NULL && length > 0, "and says why");
    trunkline_error_free(error);
  }
  OK(trunkline_memory_proxy_answer(job, TEXT("{}"), NULL));
  event = next_event(queue);
  CHECK(event.value == TRUNKLINE_JOB_PROXY_PROCESS, "the next question");
  job.h = event.handle;
  for (i = 0; i < sizeof unfit / sizeof *unfit; i++)
    GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_memory_proxy_answer(job, unfit[i], strlen(unfit[i]), NULL));
  OK(trunkline_job_done(job, 0, NULL));
  serves(service, "GET / HTTP/1.1\r\n", "\r\n");
  hears_all(client, heard, sizeof heard);
  CHECK(strncmp(heard, "HTTP/1.1 200 OK\r\n", 17) == 0, "the answer");

  client = asks("GET /one HTTP/1.1\r\nHost: a\r\n\r\n");
  event = next_event(queue);
  job.h = event.handle;
  OK(trunkline_memory_proxy_close(proxy));
  GIVES(BAD, trunkline_memory_proxy_answer(job, TEXT("{}"), NULL));
  OK(trunkline_stream_free(client));
  OK(trunkline_memory_proxy_free(proxy));
  OK(trunkline_cq_free(queue));
  OK(trunkline_listener_free(at));
  OK(trunkline_listener_free(service));
}

static void wrong_arguments_are_named(void) {
  trunkline_job_host_t host = { { 0 }, 0, answers, NULL, release };
  trunkline_memory_proxy_t proxy, none = { 0 };
  trunkline_listener_t nowhere = { 0 };
  Host told = { NULL, NULL, 0 };
  host.user_data = &told;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_memory_proxy_new(default_runtime(), TEXT("{\"max_head\": 1}"), NULL, NULL, 0, &proxy, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_memory_proxy_new(default_runtime(), NULL, 0, NULL, NULL, 1, &proxy, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_memory_proxy_new(default_runtime(), NULL, 0, NULL, &host, 0, &proxy, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_memory_proxy_new(default_runtime(), NULL, 0, NULL, &host, 8, &proxy, NULL));
  CHECK(told.releases == 2, "released also when it is refused");
  OK(trunkline_memory_proxy_new(default_runtime(), NULL, 0, NULL, NULL, 0, &proxy, NULL));
  GIVES(BAD, trunkline_memory_proxy_serve(proxy, nowhere, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_memory_proxy_stats(proxy, NULL));
  OK(trunkline_memory_proxy_free(proxy));
  GIVES(BAD, trunkline_memory_proxy_close(none));
}

static void the_proxy_of_an_agent_serves_users_of_its_hub(void) {
  static const char agents[] = "{\"agents\": {\"c1\": [\"a token that is long enough\"]}, \"anonymous\": [\"c1\"],"
                               " \"http\": {\"routes\": [{\"cluster\": \"c1\"}]}}";
  static const char agent_of[] = "{\"cluster\": \"c1\", \"token\": \"a token that is long enough\","
                                 " \"hubs\": [\"mem:c-proxy-hub\"], \"use_memory_comm\": true}";
  trunkline_listener_t service = listen_on("mem:c-proxy-one"), at;
  trunkline_memory_proxy_t proxy;
  trunkline_stream_t client;
  trunkline_agent_t agent;
  trunkline_hub_t hub;
  char text[320], heard[2000];
  size_t n;
  OK(trunkline_hub_new(default_runtime(), TEXT(agents), &hub, NULL));
  OK(trunkline_hub_listen(hub, TEXT("mem:c-proxy-hub"), text, sizeof text, &n, NULL));
  OK(trunkline_hub_listen_http(hub, TEXT("mem:c-proxy"), text, sizeof text, &n, NULL));
  OK(trunkline_agent_new(default_runtime(), TEXT(agent_of), &agent, NULL));
  OK(trunkline_agent_wait_ready(agent, in_ms(20000), NULL));
  OK(trunkline_agent_listener(agent, &at, NULL));
  OK(trunkline_memory_proxy_new(default_runtime(), TEXT(DOCUMENT), NULL, NULL, 0, &proxy, NULL));
  OK(trunkline_memory_proxy_serve(proxy, at, NULL));
  client = asks("GET /one/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  serves(service, "GET /x HTTP/1.1\r\n", "via: 1.1 trunkline\r\n");
  hears_all(client, heard, sizeof heard);
  CHECK(strncmp(heard, "HTTP/1.1 200 OK\r\n", 17) == 0, "the answer");
  OK(trunkline_memory_proxy_free(proxy));
  OK(trunkline_listener_free(at));
  OK(trunkline_listener_free(service));
  OK(trunkline_agent_close(agent));
  OK(trunkline_agent_free(agent));
  OK(trunkline_hub_close(hub));
  OK(trunkline_hub_free(hub));
}

int main(void) {
  begin();
  requests_go_where_the_document_says();
  a_function_says_where_requests_go_and_with_which_fields();
  a_queue_takes_the_questions_and_wrong_answers_are_named();
  wrong_arguments_are_named();
  the_proxy_of_an_agent_serves_users_of_its_hub();
  leave();
  return 0;
}
