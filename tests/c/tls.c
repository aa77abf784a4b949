/* TLS from C: configurations from files, streams both ways, who the peer is, whose fault a failure is. */
#include "check.h"

static const char *folder;

/* A document of both sides, with the client's certificate if it has one. */
static void document(char *out, size_t cap, const char *client_auth, int with_client_certificate) {
  char certificate[512] = "null";
  int length;
  if (with_client_certificate) {
    length = snprintf(certificate, sizeof certificate,
                      "{\"chain\": {\"file\": \"%s/client.pem\"}, \"key\": {\"file\": \"%s/client-key.pem\"}}", folder, folder);
    CHECK(length > 0 && (size_t)length < sizeof certificate, "the paths fit");
  }
  length = snprintf(out, cap,
                    "{\"client\": {\"roots\": {\"file\": \"%s/ca.pem\"}, \"alpn\": [\"echo\"], \"certificate\": %s}, "
                    "\"server\": {\"certificate\": {\"chain\": {\"file\": \"%s/chain.pem\"}, \"key\": {\"file\": \"%s/key.pem\"}}, "
                    "\"alpn\": [\"echo\"], \"client_auth\": \"%s\", \"client_roots\": {\"file\": \"%s/ca.pem\"}}}",
                    folder, certificate, folder, folder, client_auth, folder);
  CHECK(length > 0 && (size_t)length < cap, "the document fits");
}

static trunkline_tls_t tls_of(const char *json) {
  trunkline_tls_t tls;
  trunkline_error_t *err = NULL;
  if (trunkline_tls_new(default_runtime(), json, strlen(json), &tls, &err) != TRUNKLINE_OK) {
    fprintf(stderr, "%s\n", trunkline_error_message(err, NULL));
    abort();
  }
  return tls;
}

static trunkline_listener_t listen_tls(trunkline_tls_t tls, char *address, size_t cap, size_t *length) {
  trunkline_listen_options_t options = TRUNKLINE_LISTEN_OPTIONS_INIT;
  trunkline_listener_t listener;
  options.tls = tls;
  OK(trunkline_listen(default_runtime(), TEXT("tls://127.0.0.1:0"), &options, &listener, NULL));
  OK(trunkline_listener_address(listener, address, cap, length));
  return listener;
}

static void carry(trunkline_stream_t from, trunkline_stream_t to, const char *text) {
  trunkline_bytes_t part;
  char heard[64];
  size_t n;
  part.ptr = (const uint8_t *)text;
  part.len = strlen(text);
  OK(trunkline_stream_write(from, &part, 1, in_ms(10000), &n));
  CHECK(n == part.len, "a few bytes are written at once");
  OK(trunkline_stream_read(to, (uint8_t *)heard, sizeof heard, in_ms(10000), &n));
  CHECK(n == part.len && memcmp(heard, text, n) == 0, "what was written is read");
}

static void streams_carry_bytes_and_tell_who_is_there(void) {
  char json[4096], address[128];
  size_t length, n;
  uint8_t byte;
  trunkline_tls_t tls;
  trunkline_listener_t listener;
  trunkline_stream_t near, far;
  trunkline_connect_options_t options = TRUNKLINE_CONNECT_OPTIONS_INIT;
  trunkline_stream_stats_t stats = TRUNKLINE_STREAM_STATS_INIT;
  trunkline_tls_session_t *session = NULL;
  int64_t ns;
  document(json, sizeof json, "required", 1);
  tls = tls_of(json);
  OK(trunkline_tls_expires_in(tls, &ns));
  CHECK(ns > 0 && ns < TRUNKLINE_NEVER, "the certificates have some time left");
  OK(trunkline_tls_reload(tls, NULL));
  listener = listen_tls(tls, address, sizeof address, &length);
  options.tls = tls;
  OK(trunkline_connect_with(default_runtime(), address, length, &options, in_ms(10000), &near, NULL));
  OK(trunkline_tls_free(tls)); /* what was made with it has its own share */
  OK(trunkline_listener_accept(listener, in_ms(10000), &far, NULL));
  carry(near, far, "question");
  carry(far, near, "answer");

  OK(trunkline_stream_stats(near, &stats));
  CHECK(stats.protocol == TRUNKLINE_PROTOCOL_TLS && stats.bytes_sent == 8, "plain bytes are counted");
  OK(trunkline_stream_tls(far, &session));
  CHECK(strcmp(trunkline_tls_session_version(session, NULL), "TLSv1.3") == 0, "the newest version");
  CHECK(strcmp(trunkline_tls_session_alpn(session, &n), "echo") == 0 && n == 4, "what both speak");
  CHECK(trunkline_tls_session_server_name(session, NULL) == NULL, "an IP address is no name");
  CHECK(strcmp(trunkline_tls_session_peer_uri(session, NULL), "spiffe://example.test/client") == 0, "who it is");
  CHECK(trunkline_tls_session_peer_certificate(session, 0, &n) != NULL && n > 100, "its certificate");
  CHECK(trunkline_tls_session_peer_certificate(session, 1, &n) == NULL && n == 0, "and no other");
  trunkline_tls_session_free(session);
  trunkline_tls_session_free(NULL);
  CHECK(trunkline_tls_session_version(NULL, &n) == NULL && n == 0, "NULL has nothing to tell");

  OK(trunkline_stream_shutdown(near, TRUNKLINE_WRITABLE));
  OK(trunkline_stream_read(far, &byte, 1, in_ms(10000), &n));
  CHECK(n == 0, "the end is an end");
  free_streams(near, far);
  OK(trunkline_listener_free(listener));
}

static void a_failure_says_whose_fault_it_is(void) {
  char json[4096], address[128];
  size_t length;
  uint8_t byte;
  trunkline_tls_t demanding, plain, other;
  trunkline_listener_t listener;
  trunkline_stream_t stream;
  trunkline_connect_options_t options = TRUNKLINE_CONNECT_OPTIONS_INIT;
  trunkline_error_t *err = NULL;
  document(json, sizeof json, "required", 0);
  demanding = tls_of(json);
  listener = listen_tls(demanding, address, sizeof address, &length);

  snprintf(json, sizeof json, "{\"client\": {\"roots\": {\"file\": \"%s/client.pem\"}}}", folder);
  other = tls_of(json); /* trusts somebody else */
  options.tls = other;
  GIVES(TRUNKLINE_E_TLS, trunkline_connect_with(default_runtime(), address, length, &options, in_ms(10000), &stream, &err));
  CHECK(trunkline_error_tls_fault(err) == TRUNKLINE_TLS_FAULT_PEER_CERTIFICATE, "it is not trusted");
  CHECK(trunkline_error_step(err) == TRUNKLINE_STEP_CONNECT, "the step");
  CHECK(trunkline_error_flags(err) == TRUNKLINE_ERR_NOT_SENT, "nothing was sent, and trying again is of no use");
  CHECK(trunkline_error_cause(err) != NULL, "with its cause");
  trunkline_error_free(err);

  snprintf(json, sizeof json, "{\"client\": {\"roots\": {\"file\": \"%s/ca.pem\"}, \"server_name\": \"other.test\"}}", folder);
  plain = tls_of(json);
  options.tls = plain;
  GIVES(TRUNKLINE_E_TLS, trunkline_connect_with(default_runtime(), address, length, &options, in_ms(10000), &stream, &err));
  CHECK(trunkline_error_tls_fault(err) == TRUNKLINE_TLS_FAULT_NAME_MISMATCH, "it is for another name");
  trunkline_error_free(err);
  OK(trunkline_tls_free(plain));

  /* With TLS 1.3 a client stands before the server has seen that it shows nothing. */
  options.tls = demanding;
  OK(trunkline_connect_with(default_runtime(), address, length, &options, in_ms(10000), &stream, NULL));
  GIVES(TRUNKLINE_E_TLS, trunkline_stream_read(stream, &byte, 1, in_ms(10000), &length));
  GIVES(TRUNKLINE_E_TLS, trunkline_stream_error(stream, &err));
  CHECK(trunkline_error_tls_fault(err) == TRUNKLINE_TLS_FAULT_OWN_CERTIFICATE, "it was asked for one");
  CHECK(trunkline_error_tls_fault(NULL) == 0, "no error, no fault");
  trunkline_error_free(err);
  OK(trunkline_stream_free(stream));
  OK(trunkline_tls_free(other));
  OK(trunkline_tls_free(demanding));
  OK(trunkline_listener_free(listener));
}

static void what_is_wrong_with_a_document_is_named(void) {
  trunkline_listen_options_t listen = TRUNKLINE_LISTEN_OPTIONS_INIT;
  trunkline_connect_options_t connect = TRUNKLINE_CONNECT_OPTIONS_INIT;
  trunkline_runtime_t rt = default_runtime();
  trunkline_listener_t listener;
  trunkline_stream_t stream;
  trunkline_tls_t tls;
  trunkline_error_t *err = NULL;
  char json[4096];
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_tls_new(rt, TEXT("{\"client\": {\"roots\": {\"file\": \"/nonexistent\"}}}"), &tls, &err));
  CHECK(strstr(trunkline_error_message(err, NULL), "client.roots") != NULL, "the field is named");
  CHECK(trunkline_error_os_code(err) == ENOENT, "and what the system said");
  trunkline_error_free(err);
  snprintf(json, sizeof json, "{\"server\": {\"certificate\": {\"chain\": {\"file\": \"%s/chain.pem\"}, \"key\": {\"file\": \"%s/client-key.pem\"}}}}", folder, folder);
  GIVES(TRUNKLINE_E_TLS, trunkline_tls_new(rt, json, strlen(json), &tls, &err));
  CHECK(trunkline_error_tls_fault(err) == TRUNKLINE_TLS_FAULT_OWN_CERTIFICATE, "the key is another one's");
  trunkline_error_free(err);

  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_listen(rt, TEXT("tls://127.0.0.1:0"), NULL, &listener, NULL));
  snprintf(json, sizeof json, "{\"client\": {\"roots\": {\"file\": \"%s/ca.pem\"}}}", folder);
  tls = tls_of(json);
  listen.tls = tls;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_listen(rt, TEXT("tls://127.0.0.1:0"), &listen, &listener, NULL));
  OK(trunkline_tls_free(tls));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_listen(rt, TEXT("tls://127.0.0.1:0"), &listen, &listener, NULL));
  connect.tls = tls;
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_connect_with(rt, TEXT("mem:x"), &connect, NEVER, &stream, NULL));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_tls_reload(tls, NULL));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_tls_free(tls));
}

/* A manager that relays from TLS to plain, and a pool of streams of TLS to it; operations on a queue. */
static void managers_and_pools_use_it(void) {
  char json[4096], address[128];
  size_t length;
  trunkline_tls_t tls;
  trunkline_tcp_manager_t manager;
  trunkline_pool_t pool;
  trunkline_leased_t leased;
  trunkline_listener_t plain;
  trunkline_stream_t far, lent;
  trunkline_connect_options_t options = TRUNKLINE_CONNECT_OPTIONS_INIT;
  trunkline_completion_t completion = { { 0 }, 0, NULL, NULL };
  trunkline_str_t target;
  trunkline_event_t event;
  trunkline_op_t op;
  trunkline_cq_t cq;
  uint64_t left = 9;
  size_t n;
  document(json, sizeof json, "off", 0);
  tls = tls_of(json);
  options.tls = tls;
  OK(trunkline_listen(default_runtime(), TEXT("mem:behind-tls"), NULL, &plain, NULL));
  OK(trunkline_tcp_manager_new_with(default_runtime(), NULL, 0, &options, &manager, NULL));
  OK(trunkline_tcp_manager_relay(manager, TEXT("tls://127.0.0.1:0"), TEXT("mem:behind-tls"), address, sizeof address,
                                 &length, NULL));
  target.ptr = address;
  target.len = length;
  OK(trunkline_pool_open_with(default_runtime(), NULL, 0, &target, 1, &options, &pool, NULL));
  OK(trunkline_pool_acquire(pool, in_ms(10000), NULL, 0, &leased, NULL));
  OK(trunkline_listener_accept(plain, in_ms(10000), &far, NULL));
  lent.h = leased.value;
  carry(lent, far, "through all of it");
  carry(far, lent, "and back");
  OK(trunkline_pool_release(pool, leased.lease, 0));
  OK(trunkline_stream_free(far));

  OK(trunkline_cq_new(default_runtime(), 0, &cq, NULL));
  completion.queue = cq;
  OK(trunkline_connect_with_async(default_runtime(), address, length, &options, in_ms(10000), &completion, &op, NULL));
  OK(trunkline_cq_wait(cq, &event, 1, in_ms(10000), &n));
  CHECK(n == 1 && event.kind == TRUNKLINE_EV_CONNECTED && event.status == TRUNKLINE_OK, "connected");
  trunkline_event_dispose(&event);
  OK(trunkline_cq_shutdown(cq));
  OK(trunkline_cq_free(cq));
  OK(trunkline_pool_close(pool, in_ms(10000), &left, NULL)); /* freeing alone would close the stream in a while */
  CHECK(left == 0, "the stream is closed");
  OK(trunkline_pool_free(pool));
  OK(trunkline_tcp_manager_close(manager));
  OK(trunkline_tcp_manager_free(manager));
  OK(trunkline_listener_free(plain));
  OK(trunkline_tls_free(tls));
}

/* Makes an agent that no hub lets in; the error of a wait says why, somewhere down its causes. */
static void is_not_let_in(const char *json, const trunkline_connect_options_t *options, const char *why) {
  trunkline_agent_stats_t stats = TRUNKLINE_AGENT_STATS_INIT;
  trunkline_agent_t agent;
  trunkline_error_t *err = NULL;
  const trunkline_error_t *cause;
  int is_said = 0;
  OK(trunkline_agent_new_with(default_runtime(), json, strlen(json), options, &agent, NULL));
  while (stats.links_failed == 0) {
    sched_yield();
    OK(trunkline_agent_stats(agent, &stats));
  }
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_agent_wait_ready(agent, in_ms(10), &err));
  for (cause = err; cause != NULL; cause = trunkline_error_cause(cause)) {
    if (strstr(trunkline_error_message(cause, NULL), why) != NULL) is_said = 1;
  }
  CHECK(is_said, why);
  trunkline_error_free(err);
  OK(trunkline_agent_close(agent));
  OK(trunkline_agent_free(agent));
}

/* A hub that lets in whose certificate has the cluster's name, and an agent that shows one, or none, or speaks no TLS. */
static void a_tunnel_is_secured_and_an_agent_known_by_its_certificate(void) {
  static const char hub_json[] = "{\"agent_certificates\": {\"c1\": [\"spiffe://example.test/client\"]}}";
  char json[4096], nobody[4096], address[320];
  size_t length;
  trunkline_tls_t known, unknown;
  trunkline_hub_t hub;
  trunkline_agent_t agent;
  trunkline_listener_t listener;
  trunkline_stream_t user, served;
  trunkline_connect_options_t options = TRUNKLINE_CONNECT_OPTIONS_INIT;
  document(json, sizeof json, "optional", 1);
  known = tls_of(json);
  options.tls = known;
  OK(trunkline_hub_new_with(default_runtime(), TEXT(hub_json), &options, &hub, NULL));
  OK(trunkline_hub_listen(hub, TEXT("tls://127.0.0.1:0"), address, sizeof address, &length, NULL));
  snprintf(json, sizeof json, "{\"cluster\": \"c1\", \"hubs\": [\"%s\"]}", address);
  OK(trunkline_agent_new_with(default_runtime(), json, strlen(json), &options, &agent, NULL));
  OK(trunkline_agent_wait_ready(agent, in_ms(20000), NULL));
  OK(trunkline_agent_listener(agent, &listener, NULL));
  OK(trunkline_hub_dial(hub, TEXT("c1"), NULL, 0, in_ms(20000), &user, NULL));
  OK(trunkline_listener_accept(listener, in_ms(20000), &served, NULL));
  carry(user, served, "question");
  carry(served, user, "answer");
  free_streams(user, served);
  OK(trunkline_listener_free(listener));
  OK(trunkline_agent_close(agent));
  OK(trunkline_agent_free(agent));

  document(nobody, sizeof nobody, "optional", 0);
  unknown = tls_of(nobody);
  options.tls = unknown;
  is_not_let_in(json, &options, "has not proved");
  snprintf(json, sizeof json, "{\"cluster\": \"c1\", \"hubs\": [\"tcp%s\"]}", address + 3);
  is_not_let_in(json, NULL, "a tls:// address is needed");
  OK(trunkline_hub_close(hub));
  OK(trunkline_hub_free(hub));
  OK(trunkline_tls_free(unknown));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_agent_new_with(default_runtime(), json, strlen(json), &options, &agent, NULL));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_hub_new_with(default_runtime(), NULL, 0, &options, &hub, NULL));
  OK(trunkline_tls_free(known));
}

/* The server on the other side asks for a certificate, and knows one method that says what it is told. */
static void channels_are_secured(void) {
  const char *server = getenv("TRUNKLINE_TEST_SECURED_SERVER");
  trunkline_connect_options_t options = TRUNKLINE_CONNECT_OPTIONS_INIT;
  trunkline_call_options_t terms = TRUNKLINE_CALL_OPTIONS_INIT;
  trunkline_kv_t kv = { { TEXT("echo-text") }, { (const uint8_t *)"hush", 4 } };
  char json[4096];
  trunkline_channel_t channel;
  trunkline_reply_t *reply;
  trunkline_error_t *err = NULL;
  trunkline_tls_t tls;
  CHECK(server != NULL, "somebody serves");
  document(json, sizeof json, "off", 1);
  tls = tls_of(json);
  options.tls = tls;
  OK(trunkline_channel_new_with(default_runtime(), server, strlen(server), NULL, 0, &options, &channel, NULL));
  OK(trunkline_tls_free(tls)); /* the channel has its own share */
  terms.credentials = &kv;
  terms.credentials_len = 1;
  OK(trunkline_channel_call(channel, TEXT("/test.Service/Echo"), (const uint8_t *)"hello", 5, &terms, &reply, NULL));
  OK(trunkline_reply_metadata(reply, TRUNKLINE_METADATA_INITIAL, 0, &kv));
  trunkline_reply_free(reply);
  OK(trunkline_channel_close(channel, 0, NULL));
  OK(trunkline_channel_free(channel));

  document(json, sizeof json, "off", 0);
  tls = tls_of(json);
  options.tls = tls;
  OK(trunkline_channel_new_with(default_runtime(), server, strlen(server), TEXT("{\"service_config\": {\"document\": {}}}"),
                                &options, &channel, NULL));
  GIVES(TRUNKLINE_E_RPC, trunkline_channel_call(channel, TEXT("/test.Service/Echo"), NULL, 0, NULL, &reply, &err));
  CHECK(trunkline_error_rpc_code(err) == 14, "UNAVAILABLE");
  CHECK(strstr(trunkline_error_message(err, NULL), "our own certificate") != NULL, "the call says why");
  trunkline_error_free(err);
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_channel_wait_ready(channel, in_ms(-1), &err));
  CHECK(trunkline_error_tls_fault(err) == TRUNKLINE_TLS_FAULT_OWN_CERTIFICATE, "and so does who waits");
  trunkline_error_free(err);
  OK(trunkline_channel_close(channel, 0, NULL));
  OK(trunkline_channel_free(channel));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_new_with(default_runtime(), TEXT("tls://a:1,tcp://b:1"), NULL, 0,
                                                                  &options, &channel, NULL));
  OK(trunkline_tls_free(tls));
  GIVES(TRUNKLINE_E_INVALID_HANDLE, trunkline_channel_new_with(default_runtime(), TEXT("mem:x"), NULL, 0, &options, &channel, NULL));
}

static void credentials_are_not_sent_in_the_clear(void) {
  const char *server = getenv("TRUNKLINE_TEST_SERVER");
  trunkline_call_options_t terms = TRUNKLINE_CALL_OPTIONS_INIT;
  trunkline_kv_t kv = { { TEXT("echo-text") }, { (const uint8_t *)"hush", 4 } };
  trunkline_channel_t channel;
  trunkline_reply_t *reply;
  trunkline_error_t *err = NULL;
  CHECK(server != NULL, "somebody serves");
  OK(trunkline_channel_new(default_runtime(), server, strlen(server), NULL, 0, &channel, NULL));
  terms.credentials = &kv;
  terms.credentials_len = 1;
  GIVES(TRUNKLINE_E_RPC, trunkline_channel_call(channel, TEXT("/test.Service/Echo"), NULL, 0, &terms, &reply, &err));
  CHECK(trunkline_error_rpc_code(err) == 16, "UNAUTHENTICATED");
  CHECK((trunkline_error_flags(err) & TRUNKLINE_ERR_NOT_SENT) != 0, "nothing was sent");
  trunkline_error_free(err);
  terms.flags = TRUNKLINE_CALL_PLAINTEXT_CREDENTIALS;
  OK(trunkline_channel_call(channel, TEXT("/test.Service/Echo"), NULL, 0, &terms, &reply, NULL));
  trunkline_reply_free(reply);
  terms.credentials = NULL;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_channel_call(channel, TEXT("/test.Service/Echo"), NULL, 0, &terms, &reply, NULL));
  OK(trunkline_channel_close(channel, 0, NULL));
  OK(trunkline_channel_free(channel));
}

int main(void) {
  begin();
  folder = getenv("TRUNKLINE_TEST_CERTIFICATES");
  CHECK(folder != NULL, "there is a folder of certificates");
  streams_carry_bytes_and_tell_who_is_there();
  a_failure_says_whose_fault_it_is();
  what_is_wrong_with_a_document_is_named();
  managers_and_pools_use_it();
  a_tunnel_is_secured_and_an_agent_known_by_its_certificate();
  channels_are_secured();
  credentials_are_not_sent_in_the_clear();
  leave();
  return 0;
}
