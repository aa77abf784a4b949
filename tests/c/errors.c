/* Every status can be provoked, has a name, and tells its story in an error object. */
#include "check.h"

static const struct {
  trunkline_status_t status;
  const char *name;
  uint32_t flags;
} TABLE[] = {
  { TRUNKLINE_E_INVALID_ARGUMENT, "INVALID_ARGUMENT", TRUNKLINE_ERR_NOT_SENT },
  { TRUNKLINE_E_INVALID_HANDLE, "INVALID_HANDLE", TRUNKLINE_ERR_NOT_SENT },
  { TRUNKLINE_E_CLOSED, "CLOSED", 0 },
  { TRUNKLINE_E_TIMEOUT, "TIMEOUT", 0 },
  { TRUNKLINE_E_CANCELLED, "CANCELLED", 0 },
  { TRUNKLINE_E_WOULD_BLOCK, "WOULD_BLOCK", TRUNKLINE_ERR_RETRYABLE | TRUNKLINE_ERR_NOT_SENT },
  { TRUNKLINE_E_WOULD_DEADLOCK, "WOULD_DEADLOCK", TRUNKLINE_ERR_NOT_SENT },
  { TRUNKLINE_E_FORKED, "FORKED", TRUNKLINE_ERR_NOT_SENT },
  { TRUNKLINE_E_LIMIT_EXCEEDED, "LIMIT_EXCEEDED", TRUNKLINE_ERR_RETRYABLE | TRUNKLINE_ERR_NOT_SENT },
  { TRUNKLINE_E_CONNECTION_FAILED, "CONNECTION_FAILED", 0 },
  { TRUNKLINE_E_BIND_FAILED, "BIND_FAILED", 0 },
  { TRUNKLINE_E_BROKEN, "BROKEN", 0 },
  { TRUNKLINE_E_TLS, "TLS", 0 },
  { TRUNKLINE_E_PROTOCOL, "PROTOCOL", 0 },
  { TRUNKLINE_E_RPC, "RPC", 0 },
  { TRUNKLINE_E_CALLBACK, "CALLBACK", 0 },
  { TRUNKLINE_E_UNSUPPORTED, "UNSUPPORTED", TRUNKLINE_ERR_NOT_SENT },
  { TRUNKLINE_E_VERSION, "VERSION", TRUNKLINE_ERR_NOT_SENT },
  { TRUNKLINE_E_PANIC, "PANIC", 0 },
  { TRUNKLINE_E_NO_MEMORY, "NO_MEMORY", 0 },
  { TRUNKLINE_E_UDP, "UDP", 0 },
  { TRUNKLINE_E_NOT_FOUND, "NOT_FOUND", 0 },
};

static void every_status_is_provoked_and_named(void) {
  size_t i;
  for (i = 0; i < sizeof TABLE / sizeof *TABLE; i++) {
    trunkline_error_t *err = NULL;
    size_t length = 0;
    const char *message;
    CHECK(TABLE[i].status == (trunkline_status_t)i + 1, "the table has every status in order");
    GIVES(TABLE[i].status, trunkline_debug_fail(TABLE[i].status, NULL));
    GIVES(TABLE[i].status, trunkline_debug_fail(TABLE[i].status, &err));
    CHECK(strcmp(trunkline_status_name(TABLE[i].status), TABLE[i].name) == 0, "names are those of the header");
    CHECK(err != NULL, "a failure that is asked for details gives them");
    CHECK(trunkline_error_status(err) == TABLE[i].status, "object and status agree");
    CHECK(trunkline_error_flags(err) == TABLE[i].flags, "flags are as the table says");
    CHECK(trunkline_error_rpc_code(err) == -1, "there is no gRPC status");
    message = trunkline_error_message(err, &length);
    CHECK(length > 0 && strlen(message) == length, "the message is NUL-terminated and has its length");
    CHECK(strstr(message, "asked for by") != NULL, "the message says what happened");
    trunkline_error_free(err);
  }
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_debug_fail((trunkline_status_t)i + 1000, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_debug_fail(-1, NULL));
  CHECK(strcmp(trunkline_status_name(TRUNKLINE_OK), "OK") == 0, "OK has a name too");
  CHECK(strcmp(trunkline_status_name(-5), "UNKNOWN") == 0, "any number has a name");
}

static void success_clears_the_error(void) {
  trunkline_error_t *err = (trunkline_error_t *)0x1;
  OK(trunkline_debug_fail(TRUNKLINE_OK, &err));
  CHECK(err == NULL, "a call that is OK writes NULL");
}

static void null_is_no_error(void) {
  size_t length = 7;
  CHECK(trunkline_error_status(NULL) == TRUNKLINE_OK, "NULL is OK");
  CHECK(trunkline_error_step(NULL) == 0, "NULL has no step");
  CHECK(trunkline_error_os_code(NULL) == 0, "NULL has no errno");
  CHECK(trunkline_error_rpc_code(NULL) == -1, "NULL has no gRPC status");
  CHECK(trunkline_error_flags(NULL) == 0, "NULL has no flags");
  CHECK(strcmp(trunkline_error_message(NULL, &length), "") == 0 && length == 0, "NULL has an empty message");
  CHECK(trunkline_error_source(NULL, NULL) == NULL, "NULL has no source");
  CHECK(trunkline_error_destination(NULL, NULL) == NULL, "NULL has no destination");
  CHECK(trunkline_error_cause(NULL) == NULL, "NULL has no cause");
  trunkline_error_free(NULL);
}

static void a_refused_connect_tells_step_ends_errno_and_cause(void) {
  trunkline_listener_t listener = listen_on("tcp://127.0.0.1:0");
  trunkline_stream_t stream;
  trunkline_error_t *err = NULL;
  const trunkline_error_t *cause;
  char address[320];
  size_t length = 0;
  OK(trunkline_listener_address(listener, address, sizeof address, &length));
  OK(trunkline_listener_free(listener));
  GIVES(TRUNKLINE_E_CONNECTION_FAILED, trunkline_connect(default_runtime(), address, length, NEVER, &stream, &err));
  CHECK(stream.h == 0, "no stream came of it");
  CHECK(trunkline_error_step(err) == TRUNKLINE_STEP_CONNECT, "the step is connect");
  CHECK(trunkline_error_os_code(err) == ECONNREFUSED, "errno is that of the system");
  CHECK(trunkline_error_flags(err) == (TRUNKLINE_ERR_RETRYABLE | TRUNKLINE_ERR_NOT_SENT), "it may be tried again");
  length = 0;
  CHECK(strcmp(trunkline_error_destination(err, &length), address) == 0, "the destination is told");
  CHECK(length == strlen(address), "with its length");
  for (cause = trunkline_error_cause(err); cause != NULL; cause = trunkline_error_cause(cause)) {
    CHECK(strlen(trunkline_error_message(cause, NULL)) > 0, "every cause says something");
    if (trunkline_error_cause(cause) == NULL) {
      CHECK(trunkline_error_os_code(cause) == ECONNREFUSED, "the last cause is the system's");
    }
  }
  CHECK(trunkline_error_cause(err) != NULL, "there is a cause");
  trunkline_error_free(err);
}

static void what_can_fail_for_real_does(void) {
  trunkline_listener_t first = listen_on("mem:taken"), second;
  trunkline_stream_t stream;
  trunkline_error_t *err = NULL;
  GIVES(TRUNKLINE_E_BIND_FAILED, trunkline_listen(default_runtime(), TEXT("mem:taken"), NULL, &second, &err));
  CHECK(trunkline_error_step(err) == TRUNKLINE_STEP_BIND, "the step is bind");
  CHECK(strcmp(trunkline_error_message(err, NULL), "") != 0, "the message is there");
  trunkline_error_free(err);
  GIVES(TRUNKLINE_E_CONNECTION_FAILED,
        trunkline_connect(default_runtime(), TEXT("mem:nobody-here"), NEVER, &stream, &err));
  trunkline_error_free(err);
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_listener_accept(first, in_ms(5), &stream, &err));
  CHECK(trunkline_error_step(err) == TRUNKLINE_STEP_ACCEPT, "the step is accept");
  trunkline_error_free(err);
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_listener_accept(first, 0, &stream, &err));
  trunkline_error_free(err);
  OK(trunkline_listener_close(first));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_listener_accept(first, NEVER, &stream, &err));
  trunkline_error_free(err);
  OK(trunkline_listener_free(first));
}

static void texts_that_are_no_addresses_are_refused(void) {
  static const char *const BAD[] = { "", "tcp://", "tcp://host", "tcp://host:99999", "unix:", "mem:", "ftp://x:1", " " };
  trunkline_stream_t stream;
  size_t i;
  for (i = 0; i < sizeof BAD / sizeof *BAD; i++) {
    trunkline_error_t *err = NULL;
    GIVES(TRUNKLINE_E_INVALID_ARGUMENT,
          trunkline_connect(default_runtime(), BAD[i], strlen(BAD[i]), NEVER, &stream, &err));
    CHECK(trunkline_error_flags(err) & TRUNKLINE_ERR_NOT_SENT, "nothing was sent");
    trunkline_error_free(err);
  }
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_connect(default_runtime(), TEXT("mem:\xff\xfe"), NEVER, &stream, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_connect(default_runtime(), TEXT("mem:a\0b"), NEVER, &stream, NULL));
}

static void a_host_makes_errors_of_its_own(void) {
  trunkline_error_t *cause = trunkline_error_new(TRUNKLINE_E_BROKEN, TEXT("the line was cut"), NULL);
  trunkline_error_t *error = trunkline_error_new(TRUNKLINE_E_CONNECTION_FAILED, TEXT("no \xff luck"), cause);
  size_t length = 0;
  CHECK(trunkline_error_status(error) == TRUNKLINE_E_CONNECTION_FAILED, "the status that was given");
  CHECK(strcmp(trunkline_error_message(error, &length), "no \xef\xbf\xbd luck") == 0, "as UTF-8");
  CHECK(length == 11 && trunkline_error_step(error) == 0 && trunkline_error_os_code(error) == 0, "and nothing else");
  CHECK(trunkline_error_cause(error) == cause, "the cause was taken over");
  trunkline_error_free(error);
  error = trunkline_error_new(-5, NULL, 3, NULL);
  CHECK(trunkline_error_status(error) == TRUNKLINE_E_CALLBACK, "a number that is no error");
  CHECK(strcmp(trunkline_error_message(error, NULL), "CALLBACK") == 0, "an empty message");
  trunkline_error_free(error);
}

int main(void) {
  begin();
  every_status_is_provoked_and_named();
  success_clears_the_error();
  null_is_no_error();
  a_host_makes_errors_of_its_own();
  a_refused_connect_tells_step_ends_errno_and_cause();
  what_can_fail_for_real_does();
  texts_that_are_no_addresses_are_refused();
  leave();
  return 0;
}
