/* One program over TCP, Unix sockets and memory: connect, accept, read, write, half-close, reset, time out. */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

static void bytes_cross_both_ways_and_a_half_close_lets_the_answer_through(const char *address) {
  trunkline_listener_t listener = listen_on(address);
  trunkline_stream_t near, far;
  trunkline_stream_stats_t stats = TRUNKLINE_STREAM_STATS_INIT;
  trunkline_error_t *err = (trunkline_error_t *)0x1;
  connected(listener, &near, &far);
  say(near, "question");
  OK(trunkline_stream_shutdown(near, TRUNKLINE_WRITABLE));
  OK(trunkline_stream_shutdown(near, TRUNKLINE_WRITABLE));
  hears(far, "question");
  hears_the_end(far);
  hears_the_end(far);
  say(far, "answer");
  OK(trunkline_stream_close(far));
  hears(near, "answer");
  hears_the_end(near);
  OK(trunkline_stream_error(near, &err));
  CHECK(err == NULL, "a stream that did not break has no error");
  OK(trunkline_stream_close(near));
  OK(trunkline_stream_close(near));
  OK(trunkline_stream_stats(near, &stats));
  CHECK(stats.bytes_sent == 8 && stats.bytes_received == 6, "counts are exact after the close");
  CHECK(stats.close_reason == TRUNKLINE_CLOSE_FINISHED, "both sides had finished");
  CHECK(stats.id > 0, "connections are numbered");
  GIVES(TRUNKLINE_E_CLOSED, trunkline_stream_shutdown(near, TRUNKLINE_WRITABLE));
  free_streams(near, far);
  OK(trunkline_listener_free(listener));
}

static void deadlines_are_kept(const char *address) {
  trunkline_listener_t listener = listen_on(address);
  trunkline_stream_t near, far;
  static uint8_t block[1 << 16];
  trunkline_bytes_t iov = { block, sizeof block };
  trunkline_status_t status;
  trunkline_error_t *err = NULL;
  uint8_t byte;
  size_t n = 9;
  int64_t before = in_ms(0);
  connected(listener, &near, &far);
  GIVES(TRUNKLINE_E_WOULD_BLOCK, trunkline_stream_read(near, &byte, 1, 0, &n));
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_stream_read(near, &byte, 1, before - 1, &n));
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_stream_read(near, &byte, 1, before + 10000000, &n));
  CHECK(in_ms(0) >= before + 10000000, "a deadline is not early");
  CHECK(n == 0, "nothing was read");
  while ((status = trunkline_stream_write(near, &iov, 1, 0, &n)) == TRUNKLINE_OK) CHECK(n > 0, "progress");
  GIVES(TRUNKLINE_E_WOULD_BLOCK, status);
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_stream_write(near, &iov, 1, in_ms(10), &n));
  OK(trunkline_stream_error(near, &err));
  CHECK(err == NULL, "a deadline does not break a stream");
  OK(trunkline_stream_read(far, &byte, 1, 0, &n));
  CHECK(n == 1, "what is there is read without waiting");
  free_streams(near, far);
  OK(trunkline_listener_free(listener));
}

static void many_small_buffers_are_one_stream_of_bytes(const char *address) {
  enum { PIECES = 3000 };
  static trunkline_bytes_t iov[PIECES];
  static uint8_t sent[PIECES], found[PIECES];
  trunkline_listener_t listener = listen_on(address);
  trunkline_stream_t near, far;
  size_t done = 0, have = 0, n;
  int i;
  connected(listener, &near, &far);
  for (i = 0; i < PIECES; i++) {
    sent[i] = (uint8_t)(i % 251);
    iov[i].ptr = &sent[i];
    iov[i].len = i % 7 == 3 ? 0 : 1;
    if (iov[i].len == 0) sent[i] = 0;
  }
  while (done < PIECES) {
    size_t taken;
    OK(trunkline_stream_write(near, iov + done, PIECES - done, NEVER, &taken));
    CHECK(taken > 0 || iov[PIECES - 1].len == 0, "progress");
    while (done < PIECES && taken >= iov[done].len) taken -= iov[done++].len;
  }
  OK(trunkline_stream_shutdown(near, TRUNKLINE_WRITABLE));
  do {
    OK(trunkline_stream_read(far, found + have, sizeof found - have, NEVER, &n));
    have += n;
  } while (n > 0);
  for (i = 0, n = 0; i < PIECES; i++) {
    if (iov[i].len == 1) CHECK(found[n++] == sent[i], "in order, without a gap");
  }
  CHECK(n == have, "and nothing more");
  free_streams(near, far);
  OK(trunkline_listener_free(listener));
}

static void an_abort_is_a_reset_at_the_peer(const char *address) {
  trunkline_listener_t listener = listen_on(address);
  trunkline_stream_t near, far;
  trunkline_stream_stats_t stats = TRUNKLINE_STREAM_STATS_INIT;
  trunkline_error_t *err = NULL;
  uint8_t byte;
  size_t n;
  connected(listener, &near, &far);
  say(near, "unfinished");
  OK(trunkline_stream_abort(near));
  OK(trunkline_stream_abort(near));
  do {
    n = 0;
  } while (trunkline_stream_read(far, &byte, 1, NEVER, &n) == TRUNKLINE_OK && n > 0);
  CHECK(n == 0, "the failure came with no byte");
  /* A second reader must not take what follows a reset for an orderly end. */
  GIVES(TRUNKLINE_E_BROKEN, trunkline_stream_read(far, &byte, 1, NEVER, &n));
  GIVES(TRUNKLINE_E_BROKEN, trunkline_stream_error(far, &err));
  CHECK(trunkline_error_os_code(err) == ECONNRESET, "it was a reset");
  CHECK(trunkline_error_step(err) == TRUNKLINE_STEP_READ, "and seen by the read");
  trunkline_error_free(err);
  OK(trunkline_stream_close(far));
  OK(trunkline_stream_stats(far, &stats));
  CHECK(stats.close_reason == TRUNKLINE_CLOSE_RESET, "the reason is the reset");
  OK(trunkline_stream_stats(near, &stats));
  CHECK(stats.close_reason == TRUNKLINE_CLOSE_LOCAL, "which was local here");
  free_streams(near, far);
  OK(trunkline_listener_free(listener));
}

/* A host in C has not ignored SIGPIPE, and must not have to. */
static void a_write_to_a_peer_that_left_is_an_error_and_no_signal(const char *address) {
  trunkline_listener_t listener = listen_on(address);
  trunkline_stream_t near, far;
  trunkline_bytes_t iov = { (const uint8_t *)"hello?", 6 };
  trunkline_status_t status;
  size_t n;
  CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR, "the default action is to die");
  connected(listener, &near, &far);
  OK(trunkline_stream_free(far));
  do {
    status = trunkline_stream_write(near, &iov, 1, NEVER, &n);
  } while (status == TRUNKLINE_OK);
  GIVES(TRUNKLINE_E_BROKEN, status);
  OK(trunkline_stream_free(near));
  OK(trunkline_listener_free(listener));
}

static void addresses_are_told(const char *address) {
  trunkline_listener_t listener = listen_on(address);
  trunkline_stream_t near, far;
  char bound[320], peer[320], local[320], tiny[4] = { 'd', 'i', 'r', 't' };
  size_t length = 0, n = 9;
  OK(trunkline_listener_address(listener, bound, sizeof bound, &length));
  CHECK(strlen(bound) == length, "the text is NUL-terminated");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_listener_address(listener, tiny, sizeof tiny, &n));
  CHECK(n == 0 && tiny[0] == '\0', "a short buffer gets an empty text");
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_listener_address(listener, bound, length, &n));
  OK(trunkline_listener_address(listener, bound, length + 1, &n));
  connected(listener, &near, &far);
  OK(trunkline_stream_address(near, TRUNKLINE_PEER, peer, sizeof peer, &n));
  CHECK(strcmp(peer, bound) == 0, "the peer is who was asked for");
  OK(trunkline_stream_address(far, TRUNKLINE_LOCAL, local, sizeof local, &n));
  CHECK(strcmp(local, bound) == 0, "and says the same of itself");
  free_streams(near, far);
  OK(trunkline_listener_free(listener));
}

static void *reads_until_closed(void *argument) {
  const trunkline_stream_t *stream = (const trunkline_stream_t *)argument;
  uint8_t byte;
  size_t n;
  GIVES(TRUNKLINE_E_CLOSED, trunkline_stream_read(*stream, &byte, 1, NEVER, &n));
  return NULL;
}

static void *accepts_until_closed(void *argument) {
  const trunkline_listener_t *listener = (const trunkline_listener_t *)argument;
  trunkline_stream_t stream;
  trunkline_status_t status = trunkline_listener_accept(*listener, NEVER, &stream, NULL);
  CHECK(status == TRUNKLINE_E_CLOSED || status == TRUNKLINE_E_INVALID_HANDLE, "the wait ends with the listener");
  return NULL;
}

static void who_waits_is_woken_by_a_close_and_by_a_free(const char *address) {
  trunkline_listener_t listener = listen_on(address);
  trunkline_stream_t near, far;
  pthread_t threads[3];
  int i;
  connected(listener, &near, &far);
  for (i = 0; i < 3; i++) {
    CHECK(pthread_create(&threads[i], NULL, reads_until_closed, &near) == 0, "a thread starts");
  }
  OK(trunkline_stream_close(near));
  for (i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  for (i = 0; i < 2; i++) {
    CHECK(pthread_create(&threads[i], NULL, accepts_until_closed, &listener) == 0, "a thread starts");
  }
  OK(trunkline_listener_free(listener));
  for (i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  free_streams(near, far);
}

static void hundreds_of_connections_leave_no_descriptor(const char *address) {
  int fds = entries("fd"), i;
  trunkline_listener_t listener = listen_on(address);
  for (i = 0; i < 300; i++) {
    trunkline_stream_t near, far;
    connected(listener, &near, &far);
    if (i % 3 == 0) OK(trunkline_stream_abort(near));
    if (i % 3 == 1) OK(trunkline_stream_close(far));
    free_streams(near, far);
  }
  OK(trunkline_listener_free(listener));
  settles_at("fd", fds);
}

static void socket_hears(int fd, const char *text) {
  char found[64];
  size_t length = strlen(text), held = 0;
  while (held < length) {
    ssize_t n = read(fd, found + held, length - held);
    CHECK(n > 0, "a socket blocks until there is something");
    held += (size_t)n;
  }
  CHECK(memcmp(found, text, length) == 0, text);
}

static void a_socket_carries_what_the_stream_does(const char *address) {
  int fd = -1, fds = entries("fd"), again = 9;
  trunkline_listener_t listener = listen_on(address);
  trunkline_stream_t near, far;
  trunkline_stream_stats_t stats = TRUNKLINE_STREAM_STATS_INIT;
  trunkline_cq_t cq = new_queue();
  char byte;
  size_t n;
  connected(listener, &near, &far);
  say(far, "what came before");
  OK(trunkline_stream_to_socket(near, &fd, NULL));
  CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0, "no program that is started inherits it");
  GIVES(TRUNKLINE_E_CLOSED, trunkline_stream_read(near, (uint8_t *)&byte, 1, 0, &n));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_stream_shutdown(near, TRUNKLINE_WRITABLE));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_stream_arm(near, TRUNKLINE_READABLE, cq, 1));
  GIVES(TRUNKLINE_E_CLOSED, trunkline_stream_to_socket(near, &again, NULL));
  CHECK(again == 0, "no second socket");
  socket_hears(fd, "what came before");
  CHECK(write(fd, "question", 8) == 8, "a socket takes bytes");
  CHECK(shutdown(fd, SHUT_WR) == 0, "a socket is ended on one side");
  hears(far, "question");
  hears_the_end(far);
  OK(trunkline_stream_stats(near, &stats));
  CHECK(stats.bytes_received == 16 && stats.bytes_sent == 8, "the stream counts");
  /* The socket outlives the handle. */
  OK(trunkline_stream_free(near));
  say(far, "answer");
  OK(trunkline_stream_close(far));
  socket_hears(fd, "answer");
  CHECK(read(fd, &byte, 1) == 0, "the end of the stream is the socket's");
  CHECK(close(fd) == 0, "a descriptor is closed once");
  OK(trunkline_stream_free(far));

  connected(listener, &near, &far);
  OK(trunkline_stream_to_socket(near, &fd, NULL));
  CHECK(close(fd) == 0, "closed without a word");
  hears_the_end(far);
  free_streams(near, far);

  connected(listener, &near, &far);
  OK(trunkline_stream_to_socket(near, &fd, NULL));
  OK(trunkline_stream_close(near));
  OK(trunkline_stream_abort(near));
  CHECK(write(fd, "still there", 11) == 11, "what the handle says is not the socket's end");
  hears(far, "still there");
  CHECK(close(fd) == 0, "a descriptor is closed once");
  hears_the_end(far);
  GIVES(TRUNKLINE_E_CLOSED, trunkline_stream_to_socket(near, &again, NULL));
  free_streams(near, far);
  OK(trunkline_cq_free(cq));
  OK(trunkline_listener_free(listener));
  settles_at("fd", fds);
}

static void a_connect_does_not_outlast_its_deadline(void) {
  Stuck stuck;
  trunkline_stream_t stream;
  trunkline_error_t *err = NULL;
  int64_t before;
  get_stuck(&stuck);
  before = in_ms(0);
  GIVES(TRUNKLINE_E_TIMEOUT,
        trunkline_connect(default_runtime(), stuck.address, stuck.length, before + 30000000, &stream, &err));
  CHECK(in_ms(0) >= before + 30000000, "a deadline is not early");
  CHECK(trunkline_error_step(err) == TRUNKLINE_STEP_CONNECT, "the step is connect");
  trunkline_error_free(err);
  GIVES(TRUNKLINE_E_TIMEOUT, trunkline_connect(default_runtime(), stuck.address, stuck.length, 0, &stream, NULL));
  get_unstuck(&stuck);
}

int main(void) {
  char unix_path[64], abstract[64];
  const char *addresses[5];
  int i;
  begin();
  snprintf(unix_path, sizeof unix_path, "unix:/tmp/trunkline-c-%ld.sock", (long)getpid());
  snprintf(abstract, sizeof abstract, "unix:@trunkline-c-%ld", (long)getpid());
  addresses[0] = "tcp://127.0.0.1:0";
  addresses[1] = "tcp://[::1]:0";
  addresses[2] = unix_path;
  addresses[3] = abstract;
  addresses[4] = "mem:streams";
  for (i = 0; i < 5; i++) {
    const char *address = addresses[i];
    int is_unix = strncmp(address, "unix:", 5) == 0;
    bytes_cross_both_ways_and_a_half_close_lets_the_answer_through(address);
    deadlines_are_kept(address);
    many_small_buffers_are_one_stream_of_bytes(address);
    if (!is_unix) an_abort_is_a_reset_at_the_peer(address);
    a_write_to_a_peer_that_left_is_an_error_and_no_signal(address);
    addresses_are_told(address);
    who_waits_is_woken_by_a_close_and_by_a_free(address);
    hundreds_of_connections_leave_no_descriptor(address);
    a_socket_carries_what_the_stream_does(address);
  }
  CHECK(access(unix_path + 5, F_OK) != 0, "the socket file is gone with its listener");
  a_connect_does_not_outlast_its_deadline();
  leave();
  return 0;
}
