/* Channels: states, calls of one message, calls with streams, statuses, cancel, close. The tests serve what is called. */
#include "calls.h"

#define ECHO TEXT("/test.Service/Echo")

static const char *server;

static trunkline_channel_t new_channel(const char *target, const char *json) {
  trunkline_channel_t channel;
  OK(trunkline_channel_new(default_runtime(), target, strlen(target), json, strlen(json), &channel, NULL));
  return channel;
}

/* Closes so that nothing is left, and frees. */
static void end(trunkline_channel_t channel) {
  OK(trunkline_channel_close(channel, 0, NULL));
  OK(trunkline_channel_free(channel));
}

static int is_data(const trunkline_reply_t *reply, const char *expected) {
  size_t len;
  const uint8_t *data = trunkline_reply_data(reply, &len);
  return len == strlen(expected) && memcmp(data, expected, len) == 0;
}

static int has_metadata(const trunkline_reply_t *reply, uint32_t which, const char *key, const char *value) {
  trunkline_kv_t kv;
  size_t i;
  for (i = 0; trunkline_reply_metadata(reply, which, i, &kv) == TRUNKLINE_OK; i++) {
    if (kv.key.len == strlen(key) && memcmp(kv.key.ptr, key, kv.key.len) == 0 && kv.value.len == strlen(value) &&
        memcmp(kv.value.ptr, value, kv.value.len) == 0)
      return 1;
  }
  return 0;
}

static void a_channel_rests_connects_and_is_closed_for_good(void) {
  trunkline_channel_t channel = new_channel(server, "");
  trunkline_reply_t *reply;
  int32_t state = 99;
  OK(trunkline_channel_state(channel, 0, &state));
  CHECK(state == TRUNKLINE_CHANNEL_IDLE, "nothing is connected before it is used");
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_channel_wait_for_state_change(channel, TRUNKLINE_CHANNEL_IDLE, in_ms(-1), &state, NULL));
  OK(trunkline_channel_connect(channel));
  OK(trunkline_channel_wait_ready(channel, NEVER, NULL));
  OK(trunkline_channel_wait_for_state_change(channel, TRUNKLINE_CHANNEL_IDLE, NEVER, &state, NULL));
  CHECK(state == TRUNKLINE_CHANNEL_READY, "it is ready");
  OK(trunkline_channel_reset_connect_backoff(channel));
  OK(trunkline_channel_close(channel, 0, NULL));
  OK(trunkline_channel_close(channel, NEVER, NULL));
  OK(trunkline_channel_state(channel, 1, &state));
  CHECK(state == TRUNKLINE_CHANNEL_SHUTDOWN, "it stays closed");
  GIVES(TRUNKLINE_E_CLOSED, trunkline_channel_wait_ready(channel, NEVER, NULL));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_channel_call(channel, ECHO, NULL, 0, NULL, &reply, NULL));
  CHECK(reply == NULL, "outputs are blank after a failure");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_wait_for_state_change(channel, 5, NEVER, &state, NULL));
  OK(trunkline_channel_free(channel));
}

static void a_call_brings_message_and_metadata(void) {
  trunkline_channel_t channel = new_channel(server, "");
  trunkline_call_options_t options = TRUNKLINE_CALL_OPTIONS_INIT;
  trunkline_kv_t kv = { { TEXT("echo-text") }, { (const uint8_t *)"hi", 2 } };
  trunkline_reply_t *reply;
  options.metadata = &kv;
  options.metadata_len = 1;
  options.flags = TRUNKLINE_CALL_WAIT_FOR_READY | TRUNKLINE_CALL_GZIP;
  OK(trunkline_channel_call(channel, ECHO, (const uint8_t *)"hello", 5, &options, &reply, NULL));
  CHECK(is_data(reply, "hello"), "the message came back");
  CHECK(has_metadata(reply, TRUNKLINE_METADATA_INITIAL, "echo-text", "hi"), "metadata travels both ways");
  GIVES(TRUNKLINE_E_NOT_FOUND, trunkline_reply_metadata(reply, TRUNKLINE_METADATA_TRAILING, 1000, &kv));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_reply_metadata(reply, 2, 0, &kv));
  trunkline_reply_free(reply);
  trunkline_reply_free(NULL);
  end(channel);
}

static void a_status_of_grpc_is_told_with_its_code_text_and_metadata(void) {
  trunkline_channel_t channel = new_channel(server, "");
  trunkline_error_t *err = NULL;
  trunkline_reply_t *reply;
  trunkline_kv_t kv;
  size_t i;
  int found = 0;
  GIVES(TRUNKLINE_E_RPC, trunkline_channel_call(channel, TEXT("/test.Service/Fail"), NULL, 0, NULL, &reply, &err));
  CHECK(trunkline_error_rpc_code(err) == 5, "NOT_FOUND");
  CHECK(trunkline_error_step(err) == TRUNKLINE_STEP_CALL, "while calling");
  CHECK(strcmp(trunkline_error_rpc_message(err, NULL), "no such thing") == 0, "the server's own words");
  CHECK(strstr(trunkline_error_message(err, NULL), "NOT_FOUND: no such thing") != NULL, "for people, with the code");
  for (i = 0; trunkline_error_metadata(err, i, &kv) == TRUNKLINE_OK; i++) {
    found |= kv.key.len == 4 && memcmp(kv.key.ptr, "hint", 4) == 0;
  }
  CHECK(found, "and what came with it");
  trunkline_error_free(err);
  end(channel);
}

static void a_deadline_and_a_dead_server_are_statuses_too(void) {
  trunkline_channel_t channel = new_channel(server, "");
  trunkline_channel_t nobody = new_channel("mem:no-server-there", "{\"service_config\": {\"document\": {}}}");
  trunkline_call_options_t options = TRUNKLINE_CALL_OPTIONS_INIT;
  trunkline_error_t *err = NULL;
  trunkline_reply_t *reply;
  options.deadline_ns = in_ms(20);
  GIVES(TRUNKLINE_E_RPC, trunkline_channel_call(channel, TEXT("/test.Service/Hang"), NULL, 0, &options, &reply, &err));
  CHECK(trunkline_error_rpc_code(err) == 4, "DEADLINE_EXCEEDED");
  CHECK((trunkline_error_flags(err) & TRUNKLINE_ERR_NOT_SENT) == 0, "it was sent");
  trunkline_error_free(err);
  GIVES(TRUNKLINE_E_RPC, trunkline_channel_call(nobody, ECHO, NULL, 0, NULL, &reply, &err));
  CHECK(trunkline_error_rpc_code(err) == 14, "UNAVAILABLE");
  CHECK((trunkline_error_flags(err) & TRUNKLINE_ERR_RETRYABLE) != 0, "it was not sent");
  CHECK(strstr(trunkline_error_message(err, NULL), "mem:no-server-there") != NULL, "and says where nobody is");
  trunkline_error_free(err);
  end(channel);
  end(nobody);
}

static void set_mood(trunkline_channel_t channel, const char *mood) {
  trunkline_reply_t *reply;
  OK(trunkline_channel_call(channel, TEXT("/test.Service/Mood"), (const uint8_t *)mood, strlen(mood), NULL, &reply, NULL));
  trunkline_reply_free(reply);
}

static void calls_go_to_a_server_while_it_says_that_it_serves(void) {
  trunkline_channel_t other = new_channel(server, "");
  trunkline_channel_t channel = new_channel(server, "{\"service_config\": {\"document\": {"
                                                    "\"loadBalancingConfig\": [{\"round_robin\": {}}],"
                                                    "\"healthCheckConfig\": {\"serviceName\": \"c.Service\"}}}}");
  trunkline_error_t *err = NULL;
  trunkline_reply_t *reply;
  int32_t state;
  set_mood(other, "c.Service good");
  OK(trunkline_channel_wait_ready(channel, NEVER, NULL));
  set_mood(other, "c.Service bad");
  OK(trunkline_channel_wait_for_state_change(channel, TRUNKLINE_CHANNEL_READY, NEVER, &state, NULL));
  CHECK(state == TRUNKLINE_CHANNEL_TRANSIENT_FAILURE, "the server says that it does not serve");
  GIVES(TRUNKLINE_E_RPC, trunkline_channel_call(channel, ECHO, NULL, 0, NULL, &reply, &err));
  CHECK(trunkline_error_rpc_code(err) == 14, "UNAVAILABLE");
  CHECK(strstr(trunkline_error_rpc_message(err, NULL), "NOT_SERVING") != NULL, "and why");
  trunkline_error_free(err);
  set_mood(other, "c.Service good");
  OK(trunkline_channel_wait_ready(channel, NEVER, NULL));
  OK(trunkline_channel_call(channel, ECHO, NULL, 0, NULL, &reply, NULL));
  trunkline_reply_free(reply);
  end(channel);
  end(other);
}

static void every_policy_carries_calls(void) {
  static const char *const POLICIES[] = {
    "{\"pick_first\": {\"shuffleAddressList\": true}}",
    "{\"round_robin\": {}}",
    "{\"weighted_round_robin\": {\"enableOobLoadReport\": true}}",
    "{\"least_request_experimental\": {\"choiceCount\": 3}}",
    "{\"ring_hash_experimental\": {\"minRingSize\": 16}}",
    "{\"outlier_detection_experimental\": {\"childPolicy\": [{\"round_robin\": {}}]}}",
    "{\"random_subsetting_experimental\": {\"subsetSize\": 1, \"childPolicy\": [{\"round_robin\": {}}]}}",
  };
  char json[512];
  trunkline_reply_t *reply;
  trunkline_channel_t channel;
  size_t i;
  for (i = 0; i < sizeof POLICIES / sizeof *POLICIES; i++) {
    snprintf(json, sizeof json, "{\"service_config\": {\"document\": {\"loadBalancingConfig\": [%s]}}}", POLICIES[i]);
    channel = new_channel(server, json);
    OK(trunkline_channel_call(channel, ECHO, (const uint8_t *)"x", 1, NULL, &reply, NULL));
    CHECK(is_data(reply, "x"), POLICIES[i]);
    trunkline_reply_free(reply);
    end(channel);
  }
}

static void calls_are_kept_away_from_an_address_that_fails_or_has_enough(void) {
  trunkline_channel_t fails = new_channel(server, "{\"circuit\": {\"breaker\": {\"consecutive_failures\": 2, \"open\": \"1h\","
                                                  " \"max_open\": \"1h\"}}, \"service_config\": {\"document\": {}}}");
  trunkline_channel_t full = new_channel(server, "{\"circuit\": {\"max_calls\": 1}}");
  trunkline_error_t *err = NULL;
  trunkline_reply_t *reply;
  trunkline_call_t call;
  int i;
  for (i = 0; i < 3; i++) {
    GIVES(TRUNKLINE_E_RPC, trunkline_channel_call(fails, TEXT("/test.Service/Broken"), NULL, 0, NULL, &reply, &err));
    CHECK(trunkline_error_rpc_code(err) == (i < 2 ? 13 : 14), "INTERNAL twice, and then none goes there: UNAVAILABLE");
    trunkline_error_free(err);
  }
  OK(trunkline_channel_open(full, TEXT("/test.Service/Talk"), NULL, &call, NULL));
  OK(trunkline_call_initial(call, NEVER, &reply, NULL));
  trunkline_reply_free(reply);
  GIVES(TRUNKLINE_E_RPC, trunkline_channel_call(full, ECHO, NULL, 0, NULL, &reply, &err));
  CHECK(trunkline_error_rpc_code(err) == 14, "UNAVAILABLE: one call is under way");
  CHECK((trunkline_error_flags(err) & TRUNKLINE_ERR_RETRYABLE) != 0, "it was not sent");
  trunkline_error_free(err);
  OK(trunkline_call_finish_sending(call));
  OK(trunkline_call_receive(call, NEVER, &reply, NULL));
  CHECK(reply == NULL, "the call has ended");
  OK(trunkline_call_free(call));
  OK(trunkline_channel_call(full, ECHO, NULL, 0, NULL, &reply, NULL));
  trunkline_reply_free(reply);
  end(fails);
  end(full);
}

/* Whether the document of a channel says this; it is one line of JSON. */
static int shows(trunkline_channel_t channel, const char *what) {
  trunkline_buf_t *json;
  size_t len;
  const uint8_t *data;
  int found = 0;
  size_t i;
  OK(trunkline_channel_inspect(channel, &json, NULL));
  data = trunkline_buf_data(json, &len);
  for (i = 0; !found && i + strlen(what) <= len; i++) found = memcmp(data + i, what, strlen(what)) == 0;
  trunkline_buf_free(json);
  return found;
}

static void a_channel_shows_its_calls_its_addresses_and_their_connections(void) {
  char targets[300];
  trunkline_channel_t channel;
  trunkline_reply_t *reply;
  snprintf(targets, sizeof targets, "mem:no-server-there,%s", server);
  channel = new_channel(targets, "{\"service_config\": {\"document\": {}}}");
  CHECK(shows(channel, "\"state\":\"idle\"") && shows(channel, "\"addresses\":[]"), "nothing is connected before it is used");
  OK(trunkline_channel_call(channel, ECHO, NULL, 0, NULL, &reply, NULL));
  trunkline_reply_free(reply);
  GIVES(TRUNKLINE_E_RPC, trunkline_channel_call(channel, TEXT("/test.Service/Fail"), NULL, 0, NULL, &reply, NULL));
  CHECK(shows(channel, "\"state\":\"ready\"") && shows(channel, "\"calls_started\":2") && shows(channel, "\"calls_failed\":1"),
        "its calls");
  CHECK(shows(channel, "\"address\":\"mem:no-server-there\"") && shows(channel, "\"last_error\":\"connect to mem:no-server-there: "),
        "why an address does not work");
  CHECK(shows(channel, "\"security\":null") && shows(channel, "\"retired\":null"), "and the connection that does");
  CHECK(shows(channel, "\"hits\":1") && shows(channel, "\"misses\":1") && shows(channel, "\"created\":1"), "its pool");
  OK(trunkline_channel_close(channel, 0, NULL));
  CHECK(shows(channel, "\"state\":\"shutdown\"") && shows(channel, "\"closed\":{\"closed\":1"), "what it ended with");
  OK(trunkline_channel_free(channel));
}

/* Whether the changes of a channel's state above a number say this; they are one line of JSON. */
static int tells(trunkline_channel_t channel, uint64_t after, const char *what) {
  trunkline_buf_t *json;
  size_t len;
  const uint8_t *data;
  int found = 0;
  size_t i;
  OK(trunkline_channel_history(channel, after, 100, &json, NULL));
  data = trunkline_buf_data(json, &len);
  for (i = 0; !found && i + strlen(what) <= len; i++) found = memcmp(data + i, what, strlen(what)) == 0;
  trunkline_buf_free(json);
  return found;
}

static void no_state_is_missed_unseen(void) {
  trunkline_channel_t channel = new_channel(server, "{\"state_history\": 2}");
  trunkline_buf_t *json;
  trunkline_event_t event;
  trunkline_completion_t to = { { 0 }, 7, NULL, NULL };
  trunkline_op_t op;
  uint64_t last = 99;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_history(channel, 0, 0, &json, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_history(channel, 0, 10001, &json, NULL));
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_channel_wait_history(channel, 0, in_ms(-1), &last, NULL));
  CHECK(last == 0 && tells(channel, 0, "{\"changes\":[],\"lost\":0}"), "nothing has happened");
  OK(trunkline_channel_wait_ready(channel, NEVER, NULL));
  OK(trunkline_channel_wait_history(channel, 1, NEVER, &last, NULL));
  CHECK(last == 2, "connecting and ready");
  CHECK(tells(channel, 0, "\"from\":\"idle\",\"number\":1,\"to\":\"connecting\",\"why\":null"), "the one that was left again");
  CHECK(!tells(channel, 1, "\"number\":1,") && tells(channel, 1, "\"number\":2,\"to\":\"ready\""), "and the one behind it");
  OK(trunkline_cq_new(default_runtime(), 4, &to.queue, NULL));
  OK(trunkline_channel_wait_history_async(channel, 2, NEVER, &to, &op, NULL));
  OK(trunkline_channel_close(channel, 0, NULL));
  event = next_event(to.queue);
  CHECK(event.tag == 7 && event.status == TRUNKLINE_OK && event.value == 3, "the last change comes by queue");
  CHECK(tells(channel, 0, "\"lost\":1") && tells(channel, 0, "\"to\":\"shutdown\""), "two are kept, and one is counted");
  GIVES(TRUNKLINE_E_CLOSED, trunkline_channel_wait_history(channel, 3, NEVER, &last, NULL));
  OK(trunkline_cq_free(to.queue));
  OK(trunkline_channel_free(channel));
}

static void write_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0, "a file");
}

static void a_file_has_the_addresses_and_a_bad_one_says_why(void) {
  char path[] = "/tmp/trunkline-c-XXXXXX";
  char target[100];
  trunkline_channel_t channel;
  trunkline_reply_t *reply;
  int fd = mkstemp(path);
  CHECK(fd >= 0 && close(fd) == 0, "a name");
  write_file(path, "nonsense\n");
  snprintf(target, sizeof target, "file:%s", path);
  channel = new_channel(target, "{\"service_config\": {\"document\": {}}}");
  GIVES(TRUNKLINE_E_RPC, trunkline_channel_call(channel, ECHO, NULL, 0, NULL, &reply, NULL));
  CHECK(shows(channel, "line 1: is no address"), "why there is none");
  write_file(path, server);
  OK(trunkline_channel_wait_ready(channel, NEVER, NULL));
  OK(trunkline_channel_call(channel, ECHO, NULL, 0, NULL, &reply, NULL));
  CHECK(shows(channel, "\"lookup_error\":null"), "it is good now");
  trunkline_reply_free(reply);
  end(channel);
  CHECK(unlink(path) == 0, "it goes");
}

/* What is said of a target, by a function that answers at once. */
typedef struct Resolver {
  const char *addresses;
  int asked;
  int releases; /* by whoever lets go of the channel last: read through released() */
} Resolver;

static void resolve(void *user_data, trunkline_job_t job, uint32_t what, uint32_t reason, uint64_t about) {
  Resolver *resolver = (Resolver *)user_data;
  trunkline_buf_t *question;
  const char *text;
  size_t length;
  resolver->asked++;
  CHECK(what == TRUNKLINE_JOB_RESOLVE && reason == 0 && about == (uint64_t)resolver->asked, "it asks, and counts");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_route_question(job, &question, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_route_decide(job, TRUNKLINE_ROUTE_DEFAULT, NULL, 0));
  OK(trunkline_resolve_question(job, &question, NULL));
  text = (const char *)trunkline_buf_data(question, &length);
  CHECK(strstr(text, "\"target\":\"zone:web\"") && strstr(text, "\"timeout_ns\":30000000000"), "what is asked");
  trunkline_buf_free(question);
  if (resolver->addresses == NULL) {
    OK(trunkline_job_done(job, 0, trunkline_error_new(TRUNKLINE_E_CONNECTION_FAILED, TEXT("no such zone"), NULL)));
    return;
  }
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_resolve_answer(job, TEXT("nonsense")));
  OK(trunkline_resolve_answer(job, resolver->addresses, strlen(resolver->addresses)));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_resolve_answer(job, resolver->addresses, strlen(resolver->addresses)));
}

static void forget_resolver(void *user_data) { __atomic_add_fetch(&((Resolver *)user_data)->releases, 1, __ATOMIC_SEQ_CST); }

static void released(Resolver *resolver, int times) {
  while (__atomic_load_n(&resolver->releases, __ATOMIC_SEQ_CST) != times) sched_yield();
}

static trunkline_channel_t resolved(const trunkline_job_host_t *host) {
  trunkline_channel_t channel;
  OK(trunkline_channel_new_resolved(default_runtime(), TEXT("zone:web"), TEXT("{\"service_config\": {\"document\": {}}}"), NULL, host,
                                    &channel, NULL));
  return channel;
}

static void the_program_says_where_a_target_is_and_again_when_that_does_not_work(void) {
  Resolver resolver = { NULL, 0, 0 };
  trunkline_job_host_t host = { { 0 }, 0, resolve, NULL, forget_resolver };
  trunkline_channel_t channel;
  trunkline_reply_t *reply;
  trunkline_error_t *err;
  host.user_data = &resolver;
  channel = resolved(&host);
  GIVES(TRUNKLINE_E_RPC, trunkline_channel_call(channel, ECHO, NULL, 0, NULL, &reply, &err));
  CHECK(strstr(trunkline_error_message(err, NULL), "no such zone") != NULL, "why there is no address");
  trunkline_error_free(err);
  OK(trunkline_channel_push_addresses(channel, server, strlen(server), NULL));
  OK(trunkline_channel_wait_ready(channel, NEVER, NULL));
  OK(trunkline_channel_call(channel, ECHO, NULL, 0, NULL, &reply, NULL));
  trunkline_reply_free(reply);
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_push_addresses(channel, TEXT("nonsense"), NULL));
  GIVES(TRUNKLINE_E_CONNECTION_FAILED, trunkline_channel_push_addresses(channel, NULL, 0, &err));
  trunkline_error_free(err);
  CHECK(shows(channel, "\"lookup_error\":null"), "and that changes nothing");
  end(channel);
  released(&resolver, 1);
  CHECK(resolver.asked == 1, "asked once");

  resolver.addresses = server, resolver.asked = 0;
  channel = resolved(&host);
  OK(trunkline_channel_call(channel, ECHO, NULL, 0, NULL, &reply, NULL));
  trunkline_reply_free(reply);
  end(channel);
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_new_resolved(default_runtime(), NULL, 0, NULL, 0, NULL, &host, &channel, NULL));
  released(&resolver, 3);
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT,
        trunkline_channel_new_resolved(default_runtime(), TEXT("web"), NULL, 0, NULL, NULL, &channel, NULL));
  channel = new_channel(server, "");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_push_addresses(channel, server, strlen(server), NULL));
  end(channel);
}

static void a_question_by_queue_is_stale_once_its_channel_is_closed(void) {
  trunkline_job_host_t host = { { 0 }, 7, NULL, NULL, NULL };
  trunkline_cq_t queue = new_queue();
  trunkline_channel_t channel;
  trunkline_event_t event;
  trunkline_job_t job;
  host.queue = queue;
  channel = resolved(&host);
  OK(trunkline_channel_connect(channel));
  event = next_event(queue);
  CHECK(event.kind == TRUNKLINE_EV_JOB && event.tag == 7 && event.value == TRUNKLINE_JOB_RESOLVE && event.about == 1, "a question");
  job.h = event.handle;
  OK(trunkline_resolve_answer(job, server, strlen(server)));
  OK(trunkline_channel_wait_ready(channel, NEVER, NULL));
  end(channel);

  channel = resolved(&host);
  OK(trunkline_channel_connect(channel));
  event = next_event(queue);
  job.h = event.handle;
  OK(trunkline_channel_close(channel, 0, NULL));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_resolve_answer(job, server, strlen(server)));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_channel_push_addresses(channel, server, strlen(server), NULL));
  end(channel);
  OK(trunkline_cq_free(queue));
}

/* Counts what is said of calls that ended well, and of metadata with its value and without. */
typedef struct Heard {
  int ended, shown, redacted, secret;
} Heard;

static int says(trunkline_str_t text, const char *part) {
  size_t length = strlen(part), i;
  for (i = 0; i + length <= text.len; i++)
    if (memcmp(text.ptr + i, part, length) == 0) return 1;
  return 0;
}

static void hear(void *user_data, const trunkline_log_record_t *record) {
  Heard *heard = (Heard *)user_data;
  if (says(record->fields, "s3cret")) __atomic_add_fetch(&heard->secret, 1, __ATOMIC_SEQ_CST);
  if (!says(record->fields, "method=/test.Service/Echo")) return;
  if (says(record->message, "call begins") && says(record->fields, "echo-tenant=") && says(record->fields, "t1"))
    __atomic_add_fetch(&heard->shown, 1, __ATOMIC_SEQ_CST);
  if (says(record->fields, "other=redacted")) __atomic_add_fetch(&heard->redacted, 1, __ATOMIC_SEQ_CST);
  if (says(record->message, "call ended")) __atomic_add_fetch(&heard->ended, 1, __ATOMIC_SEQ_CST);
}

static void calls_are_logged_with_what_may_be_shown(void) {
  trunkline_kv_t metadata[] = { { { "echo-tenant", 11 }, { (const uint8_t *)"t1", 2 } }, { { "other", 5 }, { (const uint8_t *)"o", 1 } } };
  trunkline_kv_t credentials[] = { { { "token", 5 }, { (const uint8_t *)"s3cret", 6 } } };
  trunkline_call_options_t options = TRUNKLINE_CALL_OPTIONS_INIT;
  trunkline_channel_t channel =
      new_channel(server, "{\"interceptors\": {\"logging\": {\"slow\": \"never\", \"show_metadata\": [\"echo-tenant\"]}}}");
  trunkline_reply_t *reply;
  Heard heard = { 0, 0, 0, 0 };
  options.metadata = metadata, options.metadata_len = 2;
  options.credentials = credentials, options.credentials_len = 1;
  options.flags = TRUNKLINE_CALL_PLAINTEXT_CREDENTIALS;
  OK(trunkline_log_set(TRUNKLINE_LOG_DEBUG, hear, &heard, NULL, NULL));
  OK(trunkline_channel_call(channel, ECHO, NULL, 0, &options, &reply, NULL));
  trunkline_reply_free(reply);
  while (__atomic_load_n(&heard.ended, __ATOMIC_SEQ_CST) == 0) sched_yield();
  OK(trunkline_log_set(TRUNKLINE_LOG_OFF, NULL, NULL, NULL, NULL));
  CHECK(heard.shown > 0 && heard.redacted > 0 && heard.ended == 1 && heard.secret == 0, "what may be shown");
  end(channel);
}

static void who_waits_for_ready_is_told_why_at_each_address(void) {
  trunkline_channel_t channel = new_channel("mem:no-server-there,mem:nor-there", "");
  const trunkline_error_t *cause;
  trunkline_error_t *err;
  uint64_t last;
  OK(trunkline_channel_connect(channel));
  OK(trunkline_channel_wait_history(channel, 1, NEVER, &last, NULL));
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_channel_wait_ready(channel, in_ms(-1), &err));
  cause = err;
  while (trunkline_error_cause(cause) != NULL && strstr(trunkline_error_message(cause, NULL), "mem:nor-there: ") == NULL)
    cause = trunkline_error_cause(cause);
  CHECK(strstr(trunkline_error_message(cause, NULL), "mem:no-server-there: ") != NULL, "why at the first");
  CHECK(strstr(trunkline_error_message(cause, NULL), "mem:nor-there: ") != NULL, "why at the second");
  CHECK(strstr(trunkline_error_message(cause, NULL), "tried again in ") != NULL, "and when it is tried again");
  trunkline_error_free(err);
  end(channel);
}

static void results_come_by_queue_too(void) {
  trunkline_channel_t channel = new_channel(server, "");
  trunkline_cq_t cq = new_queue();
  trunkline_completion_t to = { { 0 }, 7, NULL, NULL };
  trunkline_op_t op;
  trunkline_event_t event;
  to.queue = cq;
  OK(trunkline_channel_wait_for_state_change_async(channel, TRUNKLINE_CHANNEL_IDLE, NEVER, &to, &op, NULL));
  OK(trunkline_channel_connect(channel));
  event = next_event(cq);
  CHECK(event.kind == TRUNKLINE_EV_STATE && event.value != TRUNKLINE_CHANNEL_IDLE, "the state is another");
  OK(trunkline_channel_wait_ready_async(channel, NEVER, &to, &op, NULL));
  event = next_event(cq);
  CHECK(event.kind == TRUNKLINE_EV_DONE && event.status == TRUNKLINE_OK, "it is ready");
  OK(trunkline_channel_call_async(channel, ECHO, (const uint8_t *)"x", 1, NULL, &to, &op, NULL));
  event = next_event(cq);
  CHECK(event.kind == TRUNKLINE_EV_REPLY && event.tag == 7 && event.status == TRUNKLINE_OK, "the reply is there");
  CHECK(is_data((const trunkline_reply_t *)event.object, "x"), "with its message");
  trunkline_event_dispose(&event);
  CHECK(event.object == NULL, "and is disposed of");

  OK(trunkline_channel_call_async(channel, TEXT("/test.Service/Hang"), NULL, 0, NULL, &to, &op, NULL));
  OK(trunkline_op_cancel(op));
  event = next_event(cq);
  CHECK(event.status == TRUNKLINE_E_CANCELLED && event.object == NULL, "a cancelled call has no reply");
  trunkline_event_dispose(&event);
  OK(trunkline_channel_close_async(channel, 0, &to, &op, NULL));
  event = next_event(cq);
  CHECK(event.kind == TRUNKLINE_EV_DONE && event.status == TRUNKLINE_OK, "it is closed");
  OK(trunkline_channel_free(channel));
  OK(trunkline_cq_free(cq));
}

#define TOGETHER 40

static void calls_that_begin_together_end_in_one_event_each(void) {
  trunkline_channel_t channel = new_channel(server, "");
  trunkline_completion_t to = { { 0 }, 1000, NULL, NULL };
  trunkline_call_request_t requests[TOGETHER];
  trunkline_op_t ops[TOGETHER];
  int seen[TOGETHER] = { 0 };
  trunkline_event_t event;
  char text[TOGETHER];
  int i;
  to.queue = new_queue();
  for (i = 0; i < TOGETHER; i++) {
    trunkline_call_request_t request = { { ECHO }, { NULL, 1 }, NULL, 0 };
    text[i] = (char)('0' + i);
    request.message.ptr = (const uint8_t *)&text[i];
    request.tag = (uint64_t)i;
    requests[i] = request;
  }
  OK(trunkline_channel_call_many_async(channel, requests, TOGETHER, &to, ops, NULL));
  for (i = 0; i < TOGETHER; i++) {
    size_t len;
    const uint8_t *data;
    event = next_event(to.queue);
    CHECK(event.kind == TRUNKLINE_EV_REPLY && event.status == TRUNKLINE_OK && event.tag < TOGETHER, "the tag of a request");
    CHECK(event.op == ops[event.tag].h && seen[event.tag]++ == 0, "each comes once, with what would have cancelled it");
    data = trunkline_reply_data((const trunkline_reply_t *)event.object, &len);
    CHECK(len == 1 && data[0] == (uint8_t)text[event.tag], "the answer to its own request");
    trunkline_event_dispose(&event);
  }
  requests[0].method.ptr = "/test.Service/Hang";
  requests[0].method.len = strlen("/test.Service/Hang");
  OK(trunkline_channel_call_many_async(channel, requests, 2, &to, ops, NULL));
  event = next_event(to.queue);
  CHECK(event.tag == 1 && event.status == TRUNKLINE_OK, "one waits and the other does not");
  trunkline_event_dispose(&event);
  OK(trunkline_op_cancel(ops[0]));
  event = next_event(to.queue);
  CHECK(event.tag == 0 && event.status == TRUNKLINE_E_CANCELLED, "each is cancelled for itself");
  trunkline_event_dispose(&event);
  end(channel);
  OK(trunkline_cq_free(to.queue));
}

static void of_calls_that_begin_together_a_bad_one_keeps_all_from_it(void) {
  trunkline_channel_t channel = new_channel(server, "");
  trunkline_completion_t to = { { 0 }, 0, NULL, NULL };
  trunkline_call_options_t options = TRUNKLINE_CALL_OPTIONS_INIT;
  trunkline_call_request_t requests[3] = { { { ECHO }, { NULL, 0 }, NULL, 0 },
                                           { { ECHO }, { NULL, 0 }, NULL, 1 },
                                           { { ECHO }, { NULL, 0 }, NULL, 2 } };
  trunkline_error_t *err = NULL;
  trunkline_event_t event;
  size_t n;
  OK(trunkline_cq_new(default_runtime(), 2, &to.queue, NULL));
  options.flags = 1u << 30;
  requests[1].options = &options;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_call_many_async(channel, requests, 3, &to, NULL, &err));
  CHECK(strstr(trunkline_error_message(err, NULL), "requests[1]: flags") != NULL, "it says which, and what of it");
  trunkline_error_free(err);
  requests[1].options = NULL;
  TELLS(TRUNKLINE_E_LIMIT_EXCEEDED, trunkline_channel_call_many_async(channel, requests, 3, &to, NULL, &err));
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_call_many_async(channel, requests, 0, &to, NULL, &err));
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_call_many_async(channel, requests, 4097, &to, NULL, &err));
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_call_many_async(channel, NULL, 1, &to, NULL, &err));
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_call_many_async(channel, requests, 1, NULL, NULL, &err));
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_cq_wait(to.queue, &event, 1, 0, &n));
  OK(trunkline_channel_call_many_async(channel, requests, 2, &to, NULL, NULL));
  for (n = 0; n < 2; n++) {
    event = next_event(to.queue);
    CHECK(event.status == TRUNKLINE_OK, "there was room for them all the time");
    trunkline_event_dispose(&event);
  }
  end(channel);
  OK(trunkline_cq_free(to.queue));
}

static void messages_flow_both_ways(void) {
  trunkline_channel_t channel = new_channel(server, "");
  trunkline_call_t call;
  trunkline_reply_t *reply;
  OK(trunkline_channel_open(channel, TEXT("/test.Service/Talk"), NULL, &call, NULL));
  OK(trunkline_call_send(call, (const uint8_t *)"a", 1, NEVER, NULL));
  OK(trunkline_call_receive(call, NEVER, &reply, NULL));
  CHECK(is_data(reply, "you said a"), "the first answer");
  trunkline_reply_free(reply);
  OK(trunkline_call_initial(call, NEVER, &reply, NULL));
  CHECK(has_metadata(reply, TRUNKLINE_METADATA_INITIAL, "first", "yes"), "what came before it");
  trunkline_reply_free(reply);
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_call_receive(call, in_ms(1), &reply, NULL));
  OK(trunkline_call_send(call, (const uint8_t *)"b", 1, NEVER, NULL));
  OK(trunkline_call_finish_sending(call));
  OK(trunkline_call_receive(call, NEVER, &reply, NULL));
  CHECK(is_data(reply, "you said b"), "no message is lost by a wait that was given up");
  trunkline_reply_free(reply);
  OK(trunkline_call_receive(call, NEVER, &reply, NULL));
  CHECK(reply == NULL, "the end is no message");
  OK(trunkline_call_trailing(call, &reply, NULL));
  trunkline_reply_free(reply);
  GIVES(TRUNKLINE_E_CLOSED, trunkline_call_send(call, NULL, 0, NEVER, NULL));
  OK(trunkline_call_free(call));
  end(channel);
}

static void streams_come_by_queue_and_a_cancel_ends_them(void) {
  trunkline_channel_t channel = new_channel(server, "");
  trunkline_cq_t cq = new_queue();
  trunkline_completion_t to = { { 0 }, 0, NULL, NULL };
  trunkline_op_t op;
  trunkline_event_t event;
  trunkline_call_t call;
  trunkline_reply_t *reply;
  to.queue = cq;
  OK(trunkline_channel_open(channel, TEXT("/test.Service/Talk"), NULL, &call, NULL));
  OK(trunkline_call_send_async(call, (const uint8_t *)"a", 1, &to, &op, NULL));
  event = next_event(cq);
  CHECK(event.kind == TRUNKLINE_EV_DONE && event.status == TRUNKLINE_OK, "it is on its way");
  OK(trunkline_call_initial_async(call, &to, &op, NULL));
  event = next_event(cq);
  CHECK(has_metadata((const trunkline_reply_t *)event.object, TRUNKLINE_METADATA_INITIAL, "first", "yes"), "first metadata");
  trunkline_event_dispose(&event);
  OK(trunkline_call_receive_async(call, &to, &op, NULL));
  event = next_event(cq);
  CHECK(event.kind == TRUNKLINE_EV_REPLY && is_data((const trunkline_reply_t *)event.object, "you said a"), "then the message");
  trunkline_event_dispose(&event);
  OK(trunkline_call_cancel(call));
  OK(trunkline_call_cancel(call));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_call_receive(call, NEVER, &reply, NULL));
  OK(trunkline_call_finish_sending(call));
  OK(trunkline_call_free(call));
  end(channel);
  OK(trunkline_cq_free(cq));
}

struct scribe {
  int begun, ended, released, code, is_denying;
};

static void begin_call(void *user_data, trunkline_beginning_t *call) {
  struct scribe *scribe = (struct scribe *)user_data;
  trunkline_kv_t kv;
  size_t len = 0;
  scribe->begun++;
  CHECK(strcmp(trunkline_beginning_method(call, &len), "/test.Service/Echo") == 0 && len == 18, "the method");
  CHECK(trunkline_beginning_is_secured(call) == 0, "it goes in the clear");
  GIVES(TRUNKLINE_E_NOT_FOUND, trunkline_beginning_metadata(call, 0, &kv));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_beginning_add(call, TEXT("grpc-status"), NULL, 0));
  GIVES(TRUNKLINE_E_TLS, trunkline_beginning_add_credentials(call, TEXT("token"), TEXT("hush")));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_beginning_deny(call, 0, NULL, 0));
  OK(trunkline_beginning_add(call, TEXT("echo-text"), (const uint8_t *)"added", 5));
  if (scribe->is_denying) OK(trunkline_beginning_deny(call, 7, TEXT("not today")));
}

static void end_call(void *user_data, const trunkline_ending_t *end) {
  struct scribe *scribe = (struct scribe *)user_data;
  scribe->ended++;
  scribe->code = end->rpc_code;
  CHECK(end->method.len == 18 && end->took_ns > 0, "which call, and how long it took");
}

static void release_scribe(void *user_data) { ((struct scribe *)user_data)->released++; }

static void interceptors_add_deny_and_hear_the_end(void) {
  trunkline_channel_t channel = new_channel(server, "");
  trunkline_interceptor_t hooks = TRUNKLINE_INTERCEPTOR_INIT;
  static struct scribe first = { 0, 0, 0, 99, 0 }, second = { 0, 0, 0, 99, 1 }; /* a release may come late */
  trunkline_reply_t *reply;
  trunkline_error_t *err = NULL;
  hooks.begin = begin_call;
  hooks.end = end_call;
  hooks.release = release_scribe;
  hooks.user_data = &first;
  OK(trunkline_channel_intercept(channel, &hooks, NULL));
  OK(trunkline_channel_call(channel, ECHO, NULL, 0, NULL, &reply, NULL));
  CHECK(has_metadata(reply, TRUNKLINE_METADATA_INITIAL, "echo-text", "added"), "what was added was sent");
  trunkline_reply_free(reply);
  CHECK(first.begun == 1 && first.ended == 1 && first.code == 0, "it ended well");

  hooks.begin = NULL;
  hooks.user_data = &second;
  OK(trunkline_channel_intercept(channel, &hooks, NULL)); /* sees nothing begin, and all end */
  first.is_denying = 1;
  GIVES(TRUNKLINE_E_RPC, trunkline_channel_call(channel, ECHO, NULL, 0, NULL, &reply, &err));
  CHECK(trunkline_error_rpc_code(err) == 7, "PERMISSION_DENIED");
  CHECK(strcmp(trunkline_error_rpc_message(err, NULL), "not today") == 0, "in its words");
  CHECK((trunkline_error_flags(err) & TRUNKLINE_ERR_NOT_SENT) != 0, "nothing was sent");
  trunkline_error_free(err);
  CHECK(first.ended == 1 && second.ended == 0, "who denies is not told, nor who never saw it");

  hooks.user_data = &second;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_intercept(channel, NULL, NULL));
  end(channel);
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_channel_intercept(channel, &hooks, NULL));
  CHECK(second.released > 0, "released also where it was refused");
}

/* The value of a series of this process, 0 if there is none. */
static double measured(const char *name, const char *labels) {
  trunkline_metrics_t *all;
  trunkline_metric_t metric;
  double value = 0;
  size_t i;
  OK(trunkline_metrics_snapshot(default_runtime(), &all, NULL));
  for (i = 0; trunkline_metrics_get(all, i, &metric) == TRUNKLINE_OK; i++) {
    if (metric.name.len == strlen(name) && memcmp(metric.name.ptr, name, metric.name.len) == 0 &&
        metric.labels.len == strlen(labels) && memcmp(metric.labels.ptr, labels, metric.labels.len) == 0)
      value = metric.value;
  }
  trunkline_metrics_free(all);
  return value;
}

static void calls_say_who_makes_them_and_are_counted_by_method(void) {
  trunkline_channel_t channel = new_channel(server, "{\"interceptors\": {\"metrics\": true, \"caller\":"
                                                    " {\"name\": \"orders\", \"prefix\": \"echo-\"}}}");
  trunkline_call_options_t options = TRUNKLINE_CALL_OPTIONS_INIT;
  trunkline_kv_t chain = { { TEXT("echo-call-chain") }, { (const uint8_t *)"shop", 4 } };
  trunkline_error_t *err = NULL;
  trunkline_reply_t *reply;
  options.metadata = &chain;
  options.metadata_len = 1;
  OK(trunkline_channel_call(channel, ECHO, NULL, 0, &options, &reply, NULL));
  CHECK(has_metadata(reply, TRUNKLINE_METADATA_INITIAL, "echo-service-name", "orders"), "the server is told who calls");
  CHECK(has_metadata(reply, TRUNKLINE_METADATA_INITIAL, "echo-call-chain", "shop -> orders"), "and for whom");
  trunkline_reply_free(reply);
  chain.value.ptr = (const uint8_t *)"orders";
  chain.value.len = 6;
  GIVES(TRUNKLINE_E_RPC, trunkline_channel_call(channel, ECHO, NULL, 0, &options, &reply, &err));
  CHECK(trunkline_error_rpc_code(err) == 9, "FAILED_PRECONDITION: it would go in a circle");
  trunkline_error_free(err);
  OK(trunkline_channel_call(channel, ECHO, NULL, 0, NULL, &reply, NULL));
  trunkline_reply_free(reply);
  CHECK(measured("trunkline_channel_method_calls_total", "method=\"/test.Service/Echo\",status=\"OK\"") == 2, "two went well");
  CHECK(measured("trunkline_channel_method_calls_active", "method=\"/test.Service/Echo\"") == 0, "none is under way");
  end(channel);
}

static void attempts_are_counted_under_the_names_of_opentelemetry(void) {
  trunkline_channel_t channel = new_channel(server, "{\"opentelemetry\": true, \"service_config\": {\"document\": {}}}");
  trunkline_reply_t *reply;
  char labels[300];
  OK(trunkline_channel_call(channel, ECHO, (const uint8_t *)"hello", 5, NULL, &reply, NULL));
  trunkline_reply_free(reply);
  GIVES(TRUNKLINE_E_RPC, trunkline_channel_call(channel, TEXT("/test.Service/Fail"), NULL, 0, NULL, &reply, NULL));
  end(channel);
  snprintf(labels, sizeof labels, "grpc_method=\"test.Service/Echo\",grpc_target=\"%s\"", server);
  CHECK(measured("grpc_client_attempt_started_total", labels) == 1, "one attempt");
  snprintf(labels, sizeof labels, "grpc_target=\"%s\"", server);
  CHECK(measured("grpc_subchannel_connection_attempts_succeeded_total", labels) == 1, "over one connection");
}

static void what_is_wrong_is_named(void) {
  trunkline_channel_t channel;
  trunkline_error_t *err = NULL;
  trunkline_call_options_t options = TRUNKLINE_CALL_OPTIONS_INIT;
  trunkline_reply_t *reply;
  static const char JSON[] =
      "{\"service_config\": {\"document\": {\"methodConfig\": [{\"retryPolicy\": {\"maxAttempts\": 1}}]}}}";
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_new(default_runtime(), TEXT("host:http"), NULL, 0, &channel, &err));
  CHECK(strstr(trunkline_error_message(err, NULL), "target") != NULL, "the target");
  trunkline_error_free(err);
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_new(default_runtime(), TEXT("mem:a"), TEXT(JSON), &channel, &err));
  CHECK(strstr(trunkline_error_message(err, NULL), "service_config.document.methodConfig[0].retryPolicy") != NULL, "the path");
  trunkline_error_free(err);
  channel = new_channel("mem:a", "");
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_call(channel, TEXT("Echo"), NULL, 0, NULL, &reply, &err));
  options.flags = 1U << 31;
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_call(channel, ECHO, NULL, 0, &options, &reply, &err));
  options.flags = 0;
  options.metadata_len = 1;
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_call(channel, ECHO, NULL, 0, &options, &reply, &err));
  TELLS(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_call(channel, ECHO, NULL, 1, NULL, &reply, &err));
  end(channel);
}

static void stale_handles_are_refused(void) {
  trunkline_channel_t channel = new_channel("mem:a", "");
  trunkline_call_t call;
  trunkline_reply_t *reply;
  trunkline_op_t op;
  trunkline_buf_t *json;
  uint64_t last;
  int32_t state;
  const trunkline_status_t bad = TRUNKLINE_E_INVALID_HANDLE;
  OK(trunkline_channel_open(channel, ECHO, NULL, &call, NULL));
  OK(trunkline_call_free(call));
  OK(trunkline_channel_free(channel));
  GIVES(bad, trunkline_channel_connect(channel));
  GIVES(bad, trunkline_channel_reset_connect_backoff(channel));
  GIVES(bad, trunkline_channel_state(channel, 0, &state));
  TELLS(bad, trunkline_channel_inspect(channel, &json, &err));
  TELLS(bad, trunkline_channel_history(channel, 0, 1, &json, &err));
  TELLS(bad, trunkline_channel_wait_history(channel, 0, NEVER, &last, &err));
  TELLS(bad, trunkline_channel_wait_history_async(channel, 0, NEVER, NULL, &op, &err));
  TELLS(bad, trunkline_channel_wait_for_state_change(channel, 0, NEVER, &state, &err));
  TELLS(bad, trunkline_channel_wait_for_state_change_async(channel, 0, NEVER, NULL, &op, &err));
  TELLS(bad, trunkline_channel_wait_ready(channel, NEVER, &err));
  TELLS(bad, trunkline_channel_wait_ready_async(channel, NEVER, NULL, &op, &err));
  TELLS(bad, trunkline_channel_call(channel, ECHO, NULL, 0, NULL, &reply, &err));
  TELLS(bad, trunkline_channel_call_async(channel, ECHO, NULL, 0, NULL, NULL, &op, &err));
  TELLS(bad, trunkline_channel_call_many_async(channel, NULL, 0, NULL, NULL, &err));
  TELLS(bad, trunkline_channel_open(channel, ECHO, NULL, &call, &err));
  TELLS(bad, trunkline_channel_close(channel, 0, &err));
  TELLS(bad, trunkline_channel_close_async(channel, 0, NULL, &op, &err));
  GIVES(bad, trunkline_channel_free(channel));
  TELLS(bad, trunkline_call_send(call, NULL, 0, NEVER, &err));
  TELLS(bad, trunkline_call_send_async(call, NULL, 0, NULL, &op, &err));
  TELLS(bad, trunkline_call_receive(call, NEVER, &reply, &err));
  TELLS(bad, trunkline_call_receive_async(call, NULL, &op, &err));
  TELLS(bad, trunkline_call_initial(call, NEVER, &reply, &err));
  TELLS(bad, trunkline_call_initial_async(call, NULL, &op, &err));
  TELLS(bad, trunkline_call_trailing(call, &reply, &err));
  GIVES(bad, trunkline_call_finish_sending(call));
  GIVES(bad, trunkline_call_cancel(call));
  GIVES(bad, trunkline_call_free(call));
}

int main(void) {
  begin();
  server = getenv("TRUNKLINE_TEST_SERVER");
  CHECK(server != NULL, "somebody serves");
  a_channel_rests_connects_and_is_closed_for_good();
  a_call_brings_message_and_metadata();
  a_status_of_grpc_is_told_with_its_code_text_and_metadata();
  a_deadline_and_a_dead_server_are_statuses_too();
  calls_go_to_a_server_while_it_says_that_it_serves();
  every_policy_carries_calls();
  calls_are_kept_away_from_an_address_that_fails_or_has_enough();
  a_channel_shows_its_calls_its_addresses_and_their_connections();
  no_state_is_missed_unseen();
  a_file_has_the_addresses_and_a_bad_one_says_why();
  the_program_says_where_a_target_is_and_again_when_that_does_not_work();
  a_question_by_queue_is_stale_once_its_channel_is_closed();
  calls_are_logged_with_what_may_be_shown();
  who_waits_for_ready_is_told_why_at_each_address();
  results_come_by_queue_too();
  calls_that_begin_together_end_in_one_event_each();
  of_calls_that_begin_together_a_bad_one_keeps_all_from_it();
  messages_flow_both_ways();
  interceptors_add_deny_and_hear_the_end();
  calls_say_who_makes_them_and_are_counted_by_method();
  streams_come_by_queue_and_a_cancel_ends_them();
  attempts_are_counted_under_the_names_of_opentelemetry();
  what_is_wrong_is_named();
  stale_handles_are_refused();
  leave();
  return 0;
}
