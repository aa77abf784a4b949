/* The check callback: the program says how an endpoint is; and what is seen of the endpoints. */
#include "check.h"

#include <sched.h>

#define DOCUMENT(no_answer)                                                                                          \
  "{\"listeners\": {\"in\": {\"address\": \"mem:c-check-in\"}}, \"default_backend\": \"a\","                         \
  " \"backends\": {\"a\": {\"endpoints\": [{\"address\": \"mem:c-check-a\", \"weight\": 3}],"                        \
  "  \"health\": {\"interval\": \"1ms\", \"rise\": 1, \"fall\": 1, \"timeout\": \"1h\","                            \
  "   \"check\": {\"callback\": {\"no_answer\": \"" no_answer "\"}}}}}}"

static trunkline_tcp_manager_t started(const char *document) {
  trunkline_tcp_manager_t manager;
  trunkline_buf_t *bound;
  OK(trunkline_tcp_manager_new(default_runtime(), document, strlen(document), &manager, NULL));
  OK(trunkline_tcp_manager_start(manager, &bound, NULL));
  trunkline_buf_free(bound);
  return manager;
}

/* Whether a text contains this; frees it. */
static int contains(trunkline_buf_t *text, const char *part) {
  char copy[1024];
  size_t length;
  const uint8_t *data = trunkline_buf_data(text, &length);
  CHECK(length < sizeof copy, "it is short");
  memcpy(copy, data, length);
  copy[length] = 0;
  trunkline_buf_free(text);
  return strstr(copy, part) != NULL;
}

static int says(trunkline_tcp_manager_t manager, const char *part) {
  trunkline_buf_t *list;
  OK(trunkline_tcp_manager_endpoints(manager, &list, NULL));
  return contains(list, part);
}

static void until(trunkline_tcp_manager_t manager, const char *part) {
  while (!says(manager, part)) sched_yield();
}

/* How the endpoint is said to be, and how often the function was released. */
typedef struct Doctor {
  int status;
  int releases;
} Doctor;

static void look(void *user_data, trunkline_job_t job, uint32_t what, uint32_t reason, uint64_t about) {
  Doctor *doctor = (Doctor *)user_data;
  trunkline_buf_t *question;
  int status = __atomic_load_n(&doctor->status, __ATOMIC_SEQ_CST);
  CHECK(what == TRUNKLINE_JOB_CHECK_ENDPOINT && reason == 0 && about == 0, "it asks about an endpoint");
  OK(trunkline_check_question(job, &question, NULL));
  CHECK(contains(question, "{\"address\":\"mem:c-check-a\",\"backend\":\"a\",\"host\":null,"), "it says which");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_route_question(job, &question, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_route_decide(job, TRUNKLINE_ROUTE_REFUSE, NULL, 0));
  OK(trunkline_job_done(job, 0, status == TRUNKLINE_OK ? NULL : trunkline_error_new(status, TEXT("it lags"), NULL)));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_job_done(job, 0, NULL));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_check_question(job, &question, NULL));
}

static void release(void *user_data) { ((Doctor *)user_data)->releases++; }

static void a_function_says_how_an_endpoint_is(void) {
  Doctor doctor = { TRUNKLINE_OK, 0 };
  trunkline_job_host_t host = { { 0 }, 0, look, NULL, release };
  trunkline_tcp_manager_t manager = started(DOCUMENT("fail"));
  host.user_data = &doctor;
  until(manager, "\"text\":\"it was not asked\"");
  OK(trunkline_tcp_manager_on_check(manager, &host, NULL));
  until(manager, "\"state\":\"healthy\"");
  CHECK(says(manager, "\"reason\":null"), "nothing is wrong with it");
  CHECK(says(manager, "\"weight\":3") && says(manager, "\"effective_weight\":3.0"), "it has its weight");
  __atomic_store_n(&doctor.status, TRUNKLINE_E_TIMEOUT, __ATOMIC_SEQ_CST);
  until(manager, "\"reason\":{\"kind\":\"check\",\"step\":\"callback\",\"text\":\"it lags\"}");
  CHECK(says(manager, "\"state\":\"unhealthy\""), "it fails");
  __atomic_store_n(&doctor.status, TRUNKLINE_E_LIMIT_EXCEEDED, __ATOMIC_SEQ_CST);
  until(manager, "\"text\":\"it could not be told\"");
  OK(trunkline_tcp_manager_on_check(manager, NULL, NULL));
  until(manager, "\"text\":\"it was not asked\"");
  OK(trunkline_tcp_manager_close(manager));
  CHECK(doctor.releases == 1, "released once");
  GIVES(TRUNKLINE_E_CLOSED, trunkline_tcp_manager_on_check(manager, &host, NULL));
  CHECK(doctor.releases == 2, "also when it is refused");
  OK(trunkline_tcp_manager_free(manager));
}

static void a_queue_takes_the_questions_and_one_that_nobody_waits_for_is_stale(void) {
  trunkline_job_host_t host = { { 0 }, 9, NULL, NULL, NULL };
  trunkline_tcp_manager_t manager = started(DOCUMENT("keep"));
  trunkline_cq_t queue = new_queue();
  trunkline_event_t event;
  trunkline_job_t job;
  trunkline_buf_t *question;
  host.queue = queue;
  OK(trunkline_tcp_manager_on_check(manager, &host, NULL));
  event = next_event(queue);
  CHECK(event.kind == TRUNKLINE_EV_JOB && event.tag == 9 && event.value == TRUNKLINE_JOB_CHECK_ENDPOINT, "a question");
  CHECK(says(manager, "\"state\":\"unchecked\""), "nothing is known yet");
  job.h = event.handle;
  OK(trunkline_job_done(job, 0, NULL));
  until(manager, "\"state\":\"healthy\"");
  event = next_event(queue);
  job.h = event.handle;
  OK(trunkline_tcp_manager_close(manager));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_check_question(job, &question, NULL));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_job_done(job, 0, NULL));
  CHECK(says(manager, "\"state\":\"healthy\""), "what was known is still told");
  OK(trunkline_tcp_manager_free(manager));
  OK(trunkline_cq_free(queue));
}

int main(void) {
  begin();
  a_function_says_how_an_endpoint_is();
  a_queue_takes_the_questions_and_one_that_nobody_waits_for_is_stale();
  leave();
  return 0;
}
