/*
 * Trunkline for C++11 and later: RAII over trunkline.h, header only, without an ABI of its own.
 *
 * Every object owns one handle, can be moved and not copied, and frees what it owns when it goes. Any thread may
 * use an object at any time, except that one must not be moved from or destroyed while another uses it.
 *
 * Calls that fail throw trunkline::Error. Calls that "try" return false where they would block, and throw for anything
 * else. Functions that are called back run on threads of the library and must not wait for it; an exception out of one
 * ends the program by std::terminate, as out of a thread, and never reaches the library.
 *
 * Deadlines are steady_clock time points or durations from now; the default is to wait without limit.
 */
#ifndef TRUNKLINE_HPP
#define TRUNKLINE_HPP

#include "trunkline.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace trunkline {

/** Why a call failed: its text holds the whole chain of causes; decide by status and step, never by the text. */
class Error : public std::runtime_error {
 public:
  /** Takes the error object over, which may be NULL. */
  explicit Error(trunkline_status_t status, trunkline_error_t *error = nullptr)
      : std::runtime_error(text(status, error)),
        status_(status),
        step_(trunkline_error_step(error)),
        os_code_(trunkline_error_os_code(error)),
        rpc_code_(trunkline_error_rpc_code(error)),
        tls_fault_(trunkline_error_tls_fault(error)),
        rpc_message_(optional(trunkline_error_rpc_message(error, nullptr))),
        flags_(trunkline_error_flags(error)),
        source_(optional(trunkline_error_source(error, nullptr))),
        destination_(optional(trunkline_error_destination(error, nullptr))) {
    for (const trunkline_error_t *next = error; next != nullptr; next = trunkline_error_cause(next)) {
      chain_.push_back(trunkline_error_message(next, nullptr));
    }
    trunkline_kv_t kv;
    for (std::size_t i = 0; trunkline_error_metadata(error, i, &kv) == TRUNKLINE_OK; i++) {
      metadata_.emplace_back(std::string(kv.key.ptr, kv.key.len),
                             std::string(reinterpret_cast<const char *>(kv.value.ptr), kv.value.len));
    }
    trunkline_error_free(error);
  }

  /** One of TRUNKLINE_E_*. */
  trunkline_status_t status() const noexcept { return status_; }
  /** Whether it is that one. */
  bool is(trunkline_status_t status) const noexcept { return status_ == status; }
  /** What was being done, one of TRUNKLINE_STEP_*; 0 where it is not known. */
  int32_t step() const noexcept { return step_; }
  /** errno behind the failure, 0 if there is none. */
  int32_t os_code() const noexcept { return os_code_; }
  /** The gRPC status behind it, -1 if there is none. */
  int32_t rpc_code() const noexcept { return rpc_code_; }
  /** Whose fault it is that TLS failed, one of TRUNKLINE_TLS_FAULT_*; 0 if it did not. */
  int32_t tls_fault() const noexcept { return tls_fault_; }
  /** What the server said about it; empty if there is none. */
  const std::string &rpc_message() const noexcept { return rpc_message_; }
  /** What a server sent with a gRPC status, by name; values of "-bin" names are any bytes. */
  const std::vector<std::pair<std::string, std::string>> &metadata() const noexcept { return metadata_; }
  /** Whether the same operation may be tried again without risk of being applied twice. */
  bool is_safe_to_retry() const noexcept { return (flags_ & TRUNKLINE_ERR_RETRYABLE) != 0; }
  /** Whether it is certain that no byte of the operation left this process. */
  bool is_nothing_sent() const noexcept { return (flags_ & TRUNKLINE_ERR_NOT_SENT) != 0; }
  /** The address that the connection comes from; empty where it is not known. */
  const std::string &source() const noexcept { return source_; }
  /** The address that the connection goes to; empty where it is not known. */
  const std::string &destination() const noexcept { return destination_; }
  /** The messages from this error to its last cause; empty where the call has no details. */
  const std::vector<std::string> &chain() const noexcept { return chain_; }

 private:
  static std::string text(trunkline_status_t status, const trunkline_error_t *error) {
    std::string all = trunkline_status_name(status);
    for (; error != nullptr; error = trunkline_error_cause(error)) {
      all += ": ";
      all += trunkline_error_message(error, nullptr);
    }
    return all;
  }

  static std::string optional(const char *text) { return text == nullptr ? std::string() : std::string(text); }

  trunkline_status_t status_;
  int32_t step_;
  int32_t os_code_;
  int32_t rpc_code_;
  int32_t tls_fault_;
  std::string rpc_message_;
  uint32_t flags_;
  std::string source_, destination_;
  std::vector<std::string> chain_;
  std::vector<std::pair<std::string, std::string>> metadata_;
};

/** Throws unless `status` is OK. */
inline void check(trunkline_status_t status) {
  if (status != TRUNKLINE_OK) throw Error(status);
}

/** As above; takes `error` over. By reference, since the call that makes the status may set it after it was named. */
inline void check(trunkline_status_t status, trunkline_error_t *&error) {
  if (status != TRUNKLINE_OK) throw Error(status, error);
}

/** When a call gives up: a time point, a duration from now, or never. */
class Deadline {
 public:
  /** Never. */
  Deadline() noexcept : ns_(TRUNKLINE_DEADLINE_NONE) {}
  /** At `when`; steady_clock is the library's clock. A past one tries once, and then says TIMEOUT. */
  Deadline(std::chrono::steady_clock::time_point when) noexcept : ns_(at(when.time_since_epoch())) {}
  /** So long from now; what no clock can tell is never. */
  template <class Rep, class Period>
  Deadline(std::chrono::duration<Rep, Period> from_now) noexcept : ns_(TRUNKLINE_DEADLINE_NONE) {
    std::chrono::nanoseconds now = std::chrono::steady_clock::now().time_since_epoch();
    std::chrono::duration<double, std::nano> wait = from_now, room = std::chrono::nanoseconds::max() - now;
    if (wait.count() <= 0) {
      ns_ = at(now);
    } else if (wait.count() < room.count() * 0.999) {
      ns_ = at(now + std::chrono::duration_cast<std::chrono::nanoseconds>(from_now));
    }
  }
  /** Tries once, and says WOULD_BLOCK where it would wait. */
  static Deadline now() noexcept {
    Deadline deadline;
    deadline.ns_ = 0;
    return deadline;
  }
  /** Nanoseconds of CLOCK_MONOTONIC, as the C functions take them. */
  int64_t ns() const noexcept { return ns_; }

 private:
  /** Never 0, which has a meaning of its own. */
  static int64_t at(std::chrono::nanoseconds since_boot) noexcept {
    return since_boot.count() > 0 ? since_boot.count() : 1;
  }

  int64_t ns_;
};

namespace detail {

/** A handle that is freed once. */
template <class H, trunkline_status_t (*Free)(H)>
class Owned {
 public:
  explicit Owned(H handle = H()) noexcept : handle_(handle) {}
  Owned(Owned &&other) noexcept : handle_(other.release()) {}
  Owned &operator=(Owned &&other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  Owned(const Owned &) = delete;
  Owned &operator=(const Owned &) = delete;
  ~Owned() { reset(); }

  /** The handle, which stays this object's. */
  H get() const noexcept { return handle_; }
  /** The handle, which is the caller's to free from now on. */
  H release() noexcept {
    H handle = handle_;
    handle_.h = 0;
    return handle;
  }
  /** Whether there is an object. */
  explicit operator bool() const noexcept { return handle_.h != 0; }

 protected:
  void reset(H handle = H()) noexcept {
    if (handle_.h != 0) Free(handle_);
    handle_ = handle;
  }

 private:
  H handle_;
};

/** A value behind a pointer that is freed once. */
template <class T, void (*Free)(T *)>
struct Freed {
  void operator()(T *value) const noexcept { Free(value); }
};
template <class T, void (*Free)(T *)>
using Value = std::unique_ptr<T, Freed<T, Free>>;

/** A text with its length. */
inline std::string text(const char *found, std::size_t length) {
  return found == nullptr ? std::string() : std::string(found, length);
}

/** A text that ends with a NUL; empty for NULL. */
inline std::string text(const char *found) { return found == nullptr ? std::string() : std::string(found); }

/** Calls a function that writes an address into a buffer. */
template <class Call>
std::string address(Call call) {
  char text[512];
  std::size_t length = 0;
  call(text, sizeof text, &length);
  return std::string(text, length);
}

}  // namespace detail

/** A runtime of its own. Everything takes {} for the process's default one, which needs no object. */
class Runtime : public detail::Owned<trunkline_runtime_t, trunkline_runtime_free> {
 public:
  /** Starts `workers` threads; 0 means 2. Debuggers show them by `name`. */
  explicit Runtime(uint32_t workers = 0, const std::string &name = std::string()) {
    trunkline_runtime_options_t options = described(workers, name);
    trunkline_runtime_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_runtime_new(&options, &made, &error), error);
    reset(made);
  }

  /** Passes wherever a runtime is asked for. */
  operator trunkline_runtime_t() const noexcept { return get(); }

  /** Closes what lives on it and waits for its threads, until the deadline. */
  void shutdown(Deadline deadline = Deadline()) { shutdown(get(), deadline); }

  /** The same for the default runtime; the next use makes a new one. */
  static void shutdown_default(Deadline deadline = Deadline()) { shutdown(trunkline_runtime_t(), deadline); }

  /** Says how the default runtime will be made, before its first use. */
  static void configure_default(uint32_t workers, const std::string &name = std::string()) {
    trunkline_runtime_options_t options = described(workers, name);
    trunkline_error_t *error = nullptr;
    check(trunkline_runtime_configure(&options, &error), error);
  }

 private:
  static trunkline_runtime_options_t described(uint32_t workers, const std::string &name) {
    trunkline_runtime_options_t options = TRUNKLINE_RUNTIME_OPTIONS_INIT;
    options.worker_threads = workers;
    options.thread_name.ptr = name.data();
    options.thread_name.len = name.size();
    return options;
  }

  static void shutdown(trunkline_runtime_t runtime, Deadline deadline) {
    trunkline_error_t *error = nullptr;
    check(trunkline_runtime_shutdown(runtime, deadline.ns(), &error), error);
  }
};

/** Immutable bytes that several owners may share. Used by one thread at a time; share() for another. */
class Buffer {
 public:
  /** No bytes. */
  Buffer() noexcept {}
  /** Takes the buffer over. */
  explicit Buffer(trunkline_buf_t *buffer) noexcept : buffer_(buffer) {}

  /** Bytes of the program's, without a copy. */
  static Buffer wrap(std::vector<uint8_t> bytes) {
    std::unique_ptr<std::vector<uint8_t>> owner(new std::vector<uint8_t>(std::move(bytes)));
    const uint8_t *data = owner->data();
    std::size_t size = owner->size();
    return Buffer(trunkline_buf_wrap(data, size, owner.release(), release_bytes));
  }

  /** Another owner of the same bytes. */
  Buffer share() const { return Buffer(trunkline_buf_ref(buffer_.get())); }
  /** The bytes; good until the last owner is gone. */
  const uint8_t *data() const noexcept { return trunkline_buf_data(buffer_.get(), nullptr); }
  /** How many. */
  std::size_t size() const noexcept {
    std::size_t size = 0;
    trunkline_buf_data(buffer_.get(), &size);
    return size;
  }
  /** The buffer itself, which stays this object's. */
  trunkline_buf_t *get() const noexcept { return buffer_.get(); }

 private:
  static void release_bytes(void *owner) noexcept { delete static_cast<std::vector<uint8_t> *>(owner); }

  detail::Value<trunkline_buf_t, trunkline_buf_free> buffer_;
};

/** A TLS configuration with its files read, for any number of connections, listeners, managers and pools. */
class Tls : public detail::Owned<trunkline_tls_t, trunkline_tls_free> {
 public:
  /**
   * `json` is a document such as {"client": {"roots": {"file": "ca.pem"}}, "server": {"certificate": {"chain": {"file":
   * "chain.pem"}, "key": {"file": "key.pem"}}}}; empty means a client that trusts whom the system trusts.
   */
  explicit Tls(const std::string &json = std::string(), trunkline_runtime_t runtime = trunkline_runtime_t()) {
    trunkline_tls_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_tls_new(runtime, json.data(), json.size(), &made, &error), error);
    reset(made);
  }

  /** Passes wherever a TLS configuration is asked for. */
  operator trunkline_tls_t() const noexcept { return get(); }

  /** Reads the files now; new handshakes use what they hold. */
  void reload() {
    trunkline_error_t *error = nullptr;
    check(trunkline_tls_reload(get(), &error), error);
  }

  /** Time until the first of our own certificates expires; nanoseconds::max() if there is none. */
  std::chrono::nanoseconds expires_in() const {
    int64_t ns = 0;
    check(trunkline_tls_expires_in(get(), &ns));
    return ns == TRUNKLINE_NEVER ? std::chrono::nanoseconds::max() : std::chrono::nanoseconds(ns);
  }
};

namespace detail {

/** Options with this TLS; {} is none. */
inline trunkline_connect_options_t secured_by(trunkline_tls_t tls) noexcept {
  trunkline_connect_options_t options = TRUNKLINE_CONNECT_OPTIONS_INIT;
  options.tls = tls;
  return options;
}

}  // namespace detail

/** Who the peer of a TLS stream is, and what was agreed with it. */
struct TlsSession {
  /** "TLSv1.3" or "TLSv1.2"; empty for a stream without TLS. */
  std::string version;
  /** The application protocol that both agreed on; empty if there is none. */
  std::string alpn;
  /** The name that the client asked for; empty if it asked for none. */
  std::string server_name;
  /** The first URI that the peer's certificate is for; empty if there is none. */
  std::string peer_uri;
  /** The certificates that the peer showed, in DER, its own first. */
  std::vector<std::vector<uint8_t>> peer_certificates;
};

/** A byte stream over TCP, TLS, a Unix socket or a pipe. Destroying it closes it. */
class Stream : public detail::Owned<trunkline_stream_t, trunkline_stream_free> {
 public:
  /** No stream. */
  Stream() noexcept {}
  /** Takes the handle over. */
  explicit Stream(trunkline_stream_t handle) noexcept : Owned(handle) {}

  /** Connects to "tcp://host:port", "tls://host:port", "unix:/path" or "mem:name"; without a deadline for 5 s. */
  static Stream connect(const std::string &address, Deadline deadline = Deadline(),
                        trunkline_runtime_t runtime = trunkline_runtime_t(),
                        trunkline_tls_t tls = trunkline_tls_t()) {
    trunkline_connect_options_t options = detail::secured_by(tls);
    trunkline_stream_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_connect_with(runtime, address.data(), address.size(), &options, deadline.ns(), &made, &error),
          error);
    return Stream(made);
  }

  /** Connects to a tls:// address, secured by `tls`. */
  static Stream connect(const std::string &address, const Tls &tls, Deadline deadline = Deadline()) {
    return connect(address, deadline, trunkline_runtime_t(), tls);
  }

  /** Reads at least one byte and at most `size`; 0 is the end of the stream. */
  std::size_t read(void *buffer, std::size_t size, Deadline deadline = Deadline()) {
    std::size_t n;
    settle(trunkline_stream_read(get(), static_cast<uint8_t *>(buffer), size, deadline.ns(), &n));
    return n;
  }

  /** Reads what is there into `n`; false if nothing is. */
  bool try_read(void *buffer, std::size_t size, std::size_t &n) {
    trunkline_status_t status = trunkline_stream_read(get(), static_cast<uint8_t *>(buffer), size, 0, &n);
    if (status == TRUNKLINE_E_WOULD_BLOCK) return false;
    settle(status);
    return true;
  }

  /** Reads everything to the end of the stream; more than `most` bytes throw std::length_error. */
  std::string read_to_end(std::size_t most, Deadline deadline = Deadline()) {
    std::string all;
    char chunk[16384];
    for (;;) {
      std::size_t n = read(chunk, sizeof chunk, deadline);
      if (n == 0) return all;
      if (n > most - all.size()) throw std::length_error("the stream is too long");
      all.append(chunk, n);
    }
  }

  /** Reads what is there, at most `most` bytes, into a buffer of the library's; an empty one is the end. */
  Buffer read_buffer(std::size_t most, Deadline deadline = Deadline()) {
    trunkline_buf_t *found = nullptr;
    settle(trunkline_stream_recv_buf(get(), most, deadline.ns(), &found));
    return Buffer(found);
  }

  /**
   * Writes all of a buffer, which is empty then. Through a pipe, 4 KiB and more are handed over without a copy. What was
   * not written when this throws is left in it.
   */
  void write_buffer(Buffer &buffer, Deadline deadline = Deadline()) {
    while (buffer.size() > 0) {
      std::size_t n;
      settle(trunkline_stream_send_buf(get(), buffer.get(), deadline.ns(), &n));
    }
  }

  /** Reads exactly `size` bytes; an earlier end throws std::length_error. */
  void read_exact(void *buffer, std::size_t size, Deadline deadline = Deadline()) {
    char *at = static_cast<char *>(buffer);
    while (size > 0) {
      std::size_t n = read(at, size, deadline);
      if (n == 0) throw std::length_error("the stream ended early");
      at += n;
      size -= n;
    }
  }

  /** Writes at least one byte of a non-empty buffer and says how many. */
  std::size_t write(const void *data, std::size_t size, Deadline deadline = Deadline()) {
    trunkline_bytes_t part = {static_cast<const uint8_t *>(data), size};
    std::size_t n;
    settle(trunkline_stream_write(get(), &part, 1, deadline.ns(), &n));
    return n;
  }

  /** Writes what fits and says in `n` how much; false if nothing does. */
  bool try_write(const void *data, std::size_t size, std::size_t &n) {
    trunkline_bytes_t part = {static_cast<const uint8_t *>(data), size};
    trunkline_status_t status = trunkline_stream_write(get(), &part, 1, 0, &n);
    if (status == TRUNKLINE_E_WOULD_BLOCK) return false;
    settle(status);
    return true;
  }

  /** Writes all; a part may have been written when it throws. */
  void write_all(const void *data, std::size_t size, Deadline deadline = Deadline()) {
    const char *at = static_cast<const char *>(data);
    while (size > 0) {
      std::size_t n = write(at, size, deadline);
      at += n;
      size -= n;
    }
  }

  /** Writes all of a text. */
  void write_all(const std::string &text, Deadline deadline = Deadline()) {
    write_all(text.data(), text.size(), deadline);
  }

  /** Ends what is written, in order: the peer reads the rest and then the end. */
  void finish() { check(trunkline_stream_shutdown(get(), TRUNKLINE_WRITABLE)); }
  /** Closes it; whoever waits gets CLOSED. The counts can still be read. */
  void close() { check(trunkline_stream_close(get())); }
  /** Closes it with a reset. */
  void abort() { check(trunkline_stream_abort(get())); }

  /**
   * A socket for what the stream carries, for code that takes nothing else; the caller closes the descriptor, which closes
   * the stream. Reads and writes of this object throw CLOSED from then on, and its end leaves the socket alone.
   */
  int to_socket() {
    int32_t descriptor = -1;
    trunkline_error_t *error = nullptr;
    check(trunkline_stream_to_socket(get(), &descriptor, &error), error);
    return descriptor;
  }

  /** What the handshake has shown; all empty for a stream without TLS. */
  TlsSession tls() const {
    trunkline_tls_session_t *found = nullptr;
    check(trunkline_stream_tls(get(), &found));
    detail::Value<trunkline_tls_session_t, trunkline_tls_session_free> owned(found);
    TlsSession session;
    std::size_t length = 0;
    const char *text = trunkline_tls_session_version(found, &length);
    session.version = detail::text(text, length);
    text = trunkline_tls_session_alpn(found, &length);
    session.alpn = detail::text(text, length);
    text = trunkline_tls_session_server_name(found, &length);
    session.server_name = detail::text(text, length);
    text = trunkline_tls_session_peer_uri(found, &length);
    session.peer_uri = detail::text(text, length);
    const uint8_t *der;
    for (std::size_t i = 0; (der = trunkline_tls_session_peer_certificate(found, i, &length)) != nullptr; i++) {
      session.peer_certificates.push_back(std::vector<uint8_t>(der, der + length));
    }
    return session;
  }

  /** The near address; empty for an end without a name. */
  std::string local() const { return address(TRUNKLINE_LOCAL); }
  /** The far address; empty for an end without a name. */
  std::string peer() const { return address(TRUNKLINE_PEER); }

  /** The counts, exact also after a close. */
  trunkline_stream_stats_t stats() const {
    trunkline_stream_stats_t stats = TRUNKLINE_STREAM_STATS_INIT;
    check(trunkline_stream_stats(get(), &stats));
    return stats;
  }

 private:
  std::string address(uint32_t which) const {
    trunkline_stream_t handle = get();
    return detail::address([handle, which](char *text, std::size_t size, std::size_t *length) {
      check(trunkline_stream_address(handle, which, text, size, length));
    });
  }

  /** The hot calls have no error object: the stream says in full why it broke. */
  void settle(trunkline_status_t status) const {
    if (status == TRUNKLINE_OK) return;
    trunkline_error_t *error = nullptr;
    if (status == TRUNKLINE_E_BROKEN || status == TRUNKLINE_E_TLS) trunkline_stream_error(get(), &error);
    throw Error(status, error);
  }
};

/** Both ends of a new in-memory pipe; `capacity` bytes each way, 0 means 64 KiB. */
inline std::pair<Stream, Stream> pipe(uint64_t capacity = 0, trunkline_runtime_t runtime = trunkline_runtime_t()) {
  trunkline_pipe_options_t options = TRUNKLINE_PIPE_OPTIONS_INIT;
  options.capacity = capacity;
  trunkline_stream_t ends[2];
  trunkline_error_t *error = nullptr;
  check(trunkline_pipe_pair(runtime, &options, &ends, &error), error);
  return std::pair<Stream, Stream>(Stream(ends[0]), Stream(ends[1]));
}

/** Accepts streams on an address. Destroying it closes it. */
class Listener : public detail::Owned<trunkline_listener_t, trunkline_listener_free> {
 public:
  /** Takes the handle over. */
  explicit Listener(trunkline_listener_t handle) noexcept : Owned(handle) {}

  /** Listens on `address`; port 0 means a free port. A backlog of 0 means 1024. */
  explicit Listener(const std::string &address, uint32_t backlog = 0,
                    trunkline_runtime_t runtime = trunkline_runtime_t(), trunkline_tls_t tls = trunkline_tls_t()) {
    trunkline_listen_options_t options = TRUNKLINE_LISTEN_OPTIONS_INIT;
    options.backlog = backlog;
    options.tls = tls;
    trunkline_listener_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_listen(runtime, address.data(), address.size(), &options, &made, &error), error);
    reset(made);
  }

  /** Listens on a tls:// address, secured by `tls`. */
  Listener(const std::string &address, const Tls &tls) : Listener(address, 0, trunkline_runtime_t(), tls) {}

  /** The next connection. */
  Stream accept(Deadline deadline = Deadline()) {
    trunkline_stream_t taken;
    trunkline_error_t *error = nullptr;
    check(trunkline_listener_accept(get(), deadline.ns(), &taken, &error), error);
    return Stream(taken);
  }

  /** The next connection, if one waits; else false. */
  bool try_accept(Stream &stream) {
    trunkline_stream_t taken;
    trunkline_error_t *error = nullptr;
    trunkline_status_t status = trunkline_listener_accept(get(), 0, &taken, &error);
    if (status == TRUNKLINE_E_WOULD_BLOCK) {
      trunkline_error_free(error);
      return false;
    }
    check(status, error);
    stream = Stream(taken);
    return true;
  }

  /** The address that is listened on, with the real port. */
  std::string address() const {
    trunkline_listener_t handle = get();
    return detail::address([handle](char *text, std::size_t size, std::size_t *length) {
      check(trunkline_listener_address(handle, text, size, length));
    });
  }

  /** Stops listening; whoever waits gets CLOSED. */
  void close() { check(trunkline_listener_close(get())); }
};

/** One datagram, with who sent it and to which of our addresses. */
struct Received {
  /** Its bytes. */
  std::vector<uint8_t> data;
  /** Who sent it. */
  trunkline_socket_address_t source;
  /** Where an answer should leave from; family 0 where the system does not say. */
  trunkline_socket_address_t to;
};

/** A datagram socket. Destroying it closes it. */
class Datagram : public detail::Owned<trunkline_datagram_t, trunkline_datagram_free> {
 public:
  /** Takes the handle over. */
  explicit Datagram(trunkline_datagram_t handle) noexcept : Owned(handle) {}

  /** Binds to `address`, such as "udp://127.0.0.1:0"; port 0 means a free port. */
  explicit Datagram(const std::string &address, trunkline_runtime_t runtime = trunkline_runtime_t()) {
    trunkline_datagram_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_datagram_bind(runtime, address.data(), address.size(), &made, &error), error);
    reset(made);
  }

  /** Sends one datagram; it leaves from `from`, or from what the system chooses. */
  void send_to(const void *data, std::size_t size, const trunkline_socket_address_t &to,
               const trunkline_socket_address_t *from = nullptr, Deadline deadline = Deadline()) {
    trunkline_error_t *error = nullptr;
    check(trunkline_datagram_send_to(get(), static_cast<const uint8_t *>(data), size, &to, from, deadline.ns(), &error),
          error);
  }

  /** As above. */
  void send_to(const std::string &data, const trunkline_socket_address_t &to) { send_to(data.data(), data.size(), to); }

  /** The next datagram; throws UDP if it is longer than `max`. */
  Received recv_from(std::size_t max = 65536, Deadline deadline = Deadline()) {
    Received received;
    received.data.resize(max);
    trunkline_received_t told;
    trunkline_error_t *error = nullptr;
    check(trunkline_datagram_recv_from(get(), received.data.data(), max, deadline.ns(), &told, &error), error);
    received.data.resize(told.len);
    received.source = told.source;
    received.to = told.to;
    return received;
  }

  /** The datagrams that are there, as many as there are rooms; waits for the first alone, and says how many. */
  std::size_t recv_many(const std::vector<trunkline_room_t> &rooms, std::vector<trunkline_received_t> &received,
                        Deadline deadline = Deadline()) {
    received.resize(rooms.size());
    std::size_t count;
    trunkline_error_t *error = nullptr;
    check(trunkline_datagram_recv_many(get(), rooms.data(), received.data(), rooms.size(), deadline.ns(), &count,
                                       &error),
          error);
    received.resize(count);
    return count;
  }

  /** The address that it is bound to, with the real port. */
  std::string address() const {
    trunkline_datagram_t handle = get();
    return detail::address([handle](char *text, std::size_t size, std::size_t *length) {
      check(trunkline_datagram_address(handle, text, size, length));
    });
  }

  /** The same as a struct, for others to send to. */
  trunkline_socket_address_t socket_address() const {
    trunkline_socket_address_t address;
    check(trunkline_datagram_socket_address(get(), &address));
    return address;
  }

  /** The counts. */
  trunkline_datagram_stats_t stats() const {
    trunkline_datagram_stats_t stats = TRUNKLINE_DATAGRAM_STATS_INIT;
    check(trunkline_datagram_stats(get(), &stats));
    return stats;
  }

  /** Closes the socket; whoever waits gets CLOSED. */
  void close() { check(trunkline_datagram_close(get())); }
};

/** Work that a pool asks for, to be answered once. Destroyed without an answer, it has failed. */
class Job {
 public:
  /** Takes the handle over. */
  explicit Job(trunkline_job_t handle = trunkline_job_t()) noexcept : handle_(handle) {}
  Job(Job &&other) noexcept : handle_(other.release()) {}
  Job &operator=(Job &&other) noexcept {
    if (this != &other) {
      give_up();
      handle_ = other.release();
    }
    return *this;
  }
  Job(const Job &) = delete;
  Job &operator=(const Job &) = delete;
  ~Job() { give_up(); }

  /** The handle, which stays this object's. */
  trunkline_job_t get() const noexcept { return handle_; }
  /** The handle, which is the caller's to answer from now on. */
  trunkline_job_t release() noexcept {
    trunkline_job_t handle = handle_;
    handle_.h = 0;
    return handle;
  }
  /** Whether an answer is owed. */
  explicit operator bool() const noexcept { return handle_.h != 0; }

  /** Answers with a value, which is the pool's from then on. */
  void done(uint64_t value = 0) { check(trunkline_job_done(release(), value, nullptr)); }

  /** Answers with why it could not be done, one of TRUNKLINE_E_*. */
  void fail(trunkline_status_t status, const std::string &message) {
    trunkline_error_t *error = trunkline_error_new(status, message.data(), message.size(), nullptr);
    check(trunkline_job_done(release(), 0, error));
  }

  /**
   * Answers TRUNKLINE_JOB_MAKE with a value and returns the one under the key: an earlier one stays. TIMEOUT and CLOSED
   * mean that the value came too late and was given up.
   */
  uint64_t fill(uint64_t value) {
    uint64_t kept = 0;
    trunkline_error_t *error = nullptr;
    check(trunkline_keyed_pool_fill(release(), value, &kept, &error), error);
    return kept;
  }

 private:
  void give_up() noexcept {
    if (handle_.h == 0) return;
    trunkline_job_done(release(), 0, trunkline_error_new(TRUNKLINE_E_CALLBACK, nullptr, 0, nullptr));
  }

  trunkline_job_t handle_;
};

/** Where a connection goes, as a function given to TcpConnectionManager::on_route says. */
class Route {
 public:
  /** Where the routes of the document say. */
  static Route by_default() { return Route(TRUNKLINE_ROUTE_DEFAULT, std::string()); }
  /** To the backend of this name; where there is none, the routes decide. */
  static Route to_backend(const std::string &name) { return Route(TRUNKLINE_ROUTE_BACKEND, name); }
  /** To an address, past the backends and their limits. */
  static Route to_address(const std::string &address) { return Route(TRUNKLINE_ROUTE_ADDRESS, address); }
  /** Nowhere: the connection is reset as TRUNKLINE_CLOSE_REFUSED. */
  static Route refuse() { return Route(TRUNKLINE_ROUTE_REFUSE, std::string()); }

  /** One of TRUNKLINE_ROUTE_*. */
  int32_t decision() const noexcept { return decision_; }
  /** The backend or the address; empty for the others. */
  const std::string &to() const noexcept { return to_; }

 private:
  Route(int32_t decision, const std::string &to) : decision_(decision), to_(to) {}

  int32_t decision_;
  std::string to_;
};

/** The question where a connection goes, to be answered once. Destroyed without an answer, it leaves that to the routes. */
class RouteJob {
 public:
  /** Takes the job over. */
  explicit RouteJob(Job job) noexcept : job_(std::move(job)) {}

  /**
   * What is known of the connection, as a JSON object: {"id", "listener", "source", "local", "protocol", "host", "alpn",
   * "timeout_ns"}; INVALID_HANDLE if nobody waits for the answer any more.
   */
  std::string arrival() const {
    trunkline_buf_t *known = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_route_question(job_.get(), &known, &error), error);
    Buffer held(known);
    return std::string(reinterpret_cast<const char *>(held.data()), held.size());
  }

  /** Answers; INVALID_HANDLE if it comes too late, INVALID_ARGUMENT for an address that is none, and then it is still owed. */
  void decide(const Route &route) {
    check(trunkline_route_decide(job_.get(), route.decision(), route.to().data(), route.to().size()));
    job_.release();
  }

  /** Answers that it could not be decided, for one of TRUNKLINE_E_*: the routes decide. */
  void fail(trunkline_status_t status, const std::string &message) { job_.fail(status, message); }

 private:
  Job job_;
};

/** A question where a channel's target is. Destroyed without an answer, it has failed, and is put again after a while. */
class ResolveJob {
 public:
  /** Takes the job over. */
  explicit ResolveJob(Job job) noexcept : job_(std::move(job)) {}

  /** What is asked, as a JSON object: {"target", "number", "timeout_ns"}; INVALID_HANDLE if nobody waits for the answer any more. */
  std::string question() const {
    trunkline_buf_t *known = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_resolve_question(job_.get(), &known, &error), error);
    Buffer held(known);
    return std::string(reinterpret_cast<const char *>(held.data()), held.size());
  }

  /**
   * Answers with addresses such as "tcp://10.0.0.1:443", a comma between each two; INVALID_HANDLE if it comes too late,
   * INVALID_ARGUMENT for what is no address, and then it is still owed.
   */
  void answer(const std::string &addresses) {
    check(trunkline_resolve_answer(job_.get(), addresses.data(), addresses.size()));
    job_.release();
  }

  /** Answers that it could not be found out, for one of TRUNKLINE_E_*. */
  void fail(trunkline_status_t status, const std::string &message) { job_.fail(status, message); }

 private:
  Job job_;
};

/** The question how an endpoint is, to be answered once. Destroyed without an answer, it could not be told. */
class CheckJob {
 public:
  /** Takes the job over. */
  explicit CheckJob(Job job) noexcept : job_(std::move(job)) {}

  /**
   * What is known of the endpoint, as a JSON object: {"backend", "address", "host", "timeout_ns"}; INVALID_HANDLE if nobody
   * waits for the answer any more.
   */
  std::string endpoint() const {
    trunkline_buf_t *known = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_check_question(job_.get(), &known, &error), error);
    Buffer held(known);
    return std::string(reinterpret_cast<const char *>(held.data()), held.size());
  }

  /** Answers that it passes. An answer that comes too late is none. */
  void pass() { trunkline_job_done(job_.release(), 0, nullptr); }

  /** Answers that it fails, and why in words. */
  void fail(const std::string &reason) { job_.fail(TRUNKLINE_E_CONNECTION_FAILED, reason); }

 private:
  Job job_;
};

/** What a memory proxy asks its host, to be answered once. Destroyed without an answer, it has failed: nothing is let through. */
class ProxyJob {
 public:
  /** Takes the job over; `what` is one of TRUNKLINE_JOB_PROXY_*. */
  ProxyJob(Job job, uint32_t what) noexcept : job_(std::move(job)), what_(what) {}

  /** One of TRUNKLINE_JOB_PROXY_*. */
  uint32_t what() const noexcept { return what_; }

  /** What is known, as a JSON object; INVALID_HANDLE if nobody waits for the answer any more. */
  std::string question() const {
    trunkline_buf_t *known = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_memory_proxy_question(job_.get(), &known, &error), error);
    Buffer held(known);
    return std::string(reinterpret_cast<const char *>(held.data()), held.size());
  }

  /** Answers with a JSON object; "{}" is as the document says. INVALID_ARGUMENT says what is wrong, and then it is still owed. */
  void answer(const std::string &json) {
    trunkline_error_t *error = nullptr;
    check(trunkline_memory_proxy_answer(job_.get(), json.data(), json.size(), &error), error);
    job_.release();
  }

  /** Answers that there is none, for one of TRUNKLINE_E_*: nothing is let through. */
  void fail(trunkline_status_t status, const std::string &message) { job_.fail(status, message); }

 private:
  Job job_;
  uint32_t what_;
};

/** A connection that is lent; destroyed, it is put back. Its pool must be there for as long as it is used. */
class Lease {
 public:
  /** No lease. */
  Lease() noexcept : pool_(), leased_() {}
  /** Takes a lease of the pool over. */
  Lease(trunkline_pool_t pool, trunkline_leased_t leased) noexcept : pool_(pool), leased_(leased) {}
  Lease(Lease &&other) noexcept : pool_(other.pool_), leased_(other.take()) {}
  Lease &operator=(Lease &&other) noexcept {
    if (this != &other) {
      end(0);
      pool_ = other.pool_;
      leased_ = other.take();
    }
    return *this;
  }
  Lease(const Lease &) = delete;
  Lease &operator=(const Lease &) = delete;
  ~Lease() { end(0); }

  /** Whether there is a connection. */
  explicit operator bool() const noexcept { return leased_.lease.h != 0; }
  /** The program's number of the connection, or the `h` of the stream. */
  uint64_t value() const noexcept { return leased_.value; }

  /** Puts the connection back before the lease is destroyed; INVALID_HANDLE if the pool was freed. */
  void release() { check(trunkline_pool_release(pool_, take().lease, 0)); }
  /** Closes the connection instead, as after an error that leaves it in doubt. */
  void discard() { check(trunkline_pool_release(pool_, take().lease, TRUNKLINE_POOL_DISCARD)); }

  /** Takes the connection out of the pool for good. */
  uint64_t detach() {
    uint64_t value = 0;
    check(trunkline_pool_detach(pool_, take().lease, &value));
    return value;
  }

 private:
  trunkline_leased_t take() noexcept {
    trunkline_leased_t leased = leased_;
    leased_ = trunkline_leased_t();
    return leased;
  }

  void end(uint32_t flags) noexcept {
    if (*this) trunkline_pool_release(pool_, take().lease, flags);
  }

  trunkline_pool_t pool_;
  trunkline_leased_t leased_;
};

/** Names in lower case and values, any bytes where the name ends in "-bin". */
using Metadata = std::vector<std::pair<std::string, std::string>>;

/** One message of an answer with its metadata; empty where a call has ended well and there is none. */
class Reply {
 public:
  /** Takes the reply over, which may be NULL. */
  explicit Reply(trunkline_reply_t *reply = nullptr) noexcept : reply_(reply) {}

  /** Whether there is one. */
  explicit operator bool() const noexcept { return reply_ != nullptr; }
  /** The message. */
  std::string message() const {
    std::size_t length = 0;
    const uint8_t *data = trunkline_reply_data(reply_.get(), &length);
    return length == 0 ? std::string() : std::string(reinterpret_cast<const char *>(data), length);
  }
  /** What came before the messages. */
  Metadata initial() const { return metadata(TRUNKLINE_METADATA_INITIAL); }
  /** What came behind the messages. */
  Metadata trailing() const { return metadata(TRUNKLINE_METADATA_TRAILING); }

 private:
  Metadata metadata(uint32_t which) const {
    Metadata all;
    trunkline_kv_t kv;
    for (std::size_t i = 0; trunkline_reply_metadata(reply_.get(), which, i, &kv) == TRUNKLINE_OK; i++) {
      all.emplace_back(std::string(kv.key.ptr, kv.key.len),
                       std::string(reinterpret_cast<const char *>(kv.value.ptr), kv.value.len));
    }
    return all;
  }

  detail::Value<trunkline_reply_t, trunkline_reply_free> reply_;
};

/** One completion. What it owns is freed with it, unless it was taken. */
class Event {
 public:
  /** Takes over what is in the event. */
  explicit Event(const trunkline_event_t &event) noexcept : event_(event) {}
  Event(Event &&other) noexcept : event_(other.event_) { other.blank(); }
  Event &operator=(Event &&other) noexcept {
    if (this != &other) {
      trunkline_event_dispose(&event_);
      event_ = other.event_;
      other.blank();
    }
    return *this;
  }
  Event(const Event &) = delete;
  Event &operator=(const Event &) = delete;
  ~Event() { trunkline_event_dispose(&event_); }

  /** The caller's value. */
  uint64_t tag() const noexcept { return event_.tag; }
  /** One of TRUNKLINE_EV_*. */
  uint32_t kind() const noexcept { return event_.kind; }
  /** The outcome. */
  trunkline_status_t status() const noexcept { return event_.status; }
  /** A number, by kind. */
  uint64_t value() const noexcept { return event_.value; }
  /** The raw event, which keeps what it owns. */
  const trunkline_event_t &raw() const noexcept { return event_; }

  /** Throws the error that it carries, if it carries one. */
  void check() {
    if (event_.status == TRUNKLINE_OK) return;
    trunkline_error_t *error = event_.error;
    event_.error = nullptr;
    throw Error(event_.status, error);
  }

  /** The new stream of a TRUNKLINE_EV_CONNECTED; throws the error that it carries instead, if there is one. */
  Stream take_stream() {
    check();
    trunkline_stream_t handle = {event_.handle};
    event_.handle = 0;
    return Stream(handle);
  }

  /** The job of a TRUNKLINE_EV_JOB; throws the error that it carries instead, if there is one. */
  Job take_job() {
    check();
    trunkline_job_t handle = {event_.handle};
    event_.handle = 0;
    return Job(handle);
  }

  /** The reply of a TRUNKLINE_EV_REPLY; throws the error that it carries instead, if there is one. */
  Reply take_reply() {
    check();
    trunkline_reply_t *reply = static_cast<trunkline_reply_t *>(event_.object);
    event_.object = nullptr;
    return Reply(reply);
  }

  /** The lease of a TRUNKLINE_EV_LEASE; throws the error that it carries instead, if there is one. */
  Lease take_lease() {
    check();
    trunkline_pool_t pool = {event_.about};
    trunkline_leased_t leased = {{event_.handle}, event_.value};
    event_.handle = 0;
    return Lease(pool, leased);
  }

 private:
  void blank() noexcept {
    event_.handle = 0;
    event_.object = nullptr;
    event_.error = nullptr;
  }

  trunkline_event_t event_;
};

/** Asks an operation to end. Its completion still arrives, with CANCELLED or with what came first. */
inline void cancel(trunkline_op_t op) { check(trunkline_op_cancel(op)); }

namespace detail {

using OnEvent = std::function<void(Event)>;

inline void call_once(void *user_data, trunkline_event_t *event) noexcept {
  std::unique_ptr<OnEvent> function(static_cast<OnEvent *>(user_data));
  (*function)(Event(*event));
}

/** Submits an operation whose event goes to a function; one that is refused drops the function at once. */
template <class Submit>
trunkline_op_t call_back(std::function<void(Event)> function, Submit submit) {
  // From the submit on it belongs to the callback, which may be over before the submit returns.
  OnEvent *owed = new OnEvent(std::move(function));
  trunkline_completion_t completion = {trunkline_cq_t(), 0, call_once, owed};
  trunkline_op_t op;
  trunkline_error_t *error = nullptr;
  trunkline_status_t status = submit(&completion, &op, &error);
  if (status != TRUNKLINE_OK) delete owed;
  check(status, error);
  return op;
}

}  // namespace detail

/** Connects; `function` is called with the event, once, on a thread of the library. The operation can be cancelled. */
inline trunkline_op_t connect(const std::string &address, std::function<void(Event)> function,
                              Deadline deadline = Deadline(), trunkline_runtime_t runtime = trunkline_runtime_t()) {
  return detail::call_back(
      std::move(function), [&](const trunkline_completion_t *completion, trunkline_op_t *op, trunkline_error_t **error) {
        return trunkline_connect_async(runtime, address.data(), address.size(), deadline.ns(), completion, op, error);
      });
}

/** Where asynchronous results arrive. One thread at a time waits on it. */
class Queue : public detail::Owned<trunkline_cq_t, trunkline_cq_free> {
 public:
  /** `max_pending` outstanding operations at most; 0 means 65536. */
  explicit Queue(uint32_t max_pending = 0, trunkline_runtime_t runtime = trunkline_runtime_t()) {
    trunkline_cq_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_cq_new(runtime, max_pending, &made, &error), error);
    reset(made);
  }

  /** Waits for events, at most `max` of them. Empty after a wake() and at the deadline. */
  std::vector<Event> wait(Deadline deadline = Deadline(), std::size_t max = 64) {
    std::vector<trunkline_event_t> room(max);
    std::vector<Event> events;
    events.reserve(max);
    std::size_t n;
    trunkline_status_t status = trunkline_cq_wait(get(), room.data(), max, deadline.ns(), &n);
    if (status != TRUNKLINE_E_TIMEOUT && status != TRUNKLINE_E_WOULD_BLOCK) check(status);
    for (std::size_t i = 0; i < n; i++) events.emplace_back(room[i]);
    return events;
  }

  /** The descriptor to poll for reading; borrowed, and never to be read. */
  int fd() const {
    int fd;
    check(trunkline_cq_fd(get(), &fd));
    return fd;
  }

  /** Makes a wait() return. */
  void wake() { check(trunkline_cq_wake(get())); }
  /** Ends it: submits fail, and wait() throws CLOSED once it is drained. */
  void shutdown() { check(trunkline_cq_shutdown(get())); }

  /** Connects; the result is an event with `tag`, for Event::take_stream. The operation can be cancelled. */
  trunkline_op_t connect(const std::string &address, uint64_t tag, Deadline deadline = Deadline(),
                         trunkline_runtime_t runtime = trunkline_runtime_t()) {
    trunkline_completion_t completion = {get(), tag, nullptr, nullptr};
    trunkline_op_t op;
    trunkline_error_t *error = nullptr;
    check(trunkline_connect_async(runtime, address.data(), address.size(), deadline.ns(), &completion, &op, &error),
          error);
    return op;
  }

  /** Asks for one event with `tag` when the stream is ready for `interest`: TRUNKLINE_READABLE, TRUNKLINE_WRITABLE. */
  void arm(const Stream &stream, uint32_t interest, uint64_t tag) {
    check(trunkline_stream_arm(stream.get(), interest, get(), tag));
  }

  /** Asks for one event with `tag` when a connection waits. */
  void arm(const Listener &listener, uint64_t tag) { check(trunkline_listener_arm(listener.get(), get(), tag)); }

  /** Asks for one event with `tag` when the socket is ready for `interest`: TRUNKLINE_READABLE, TRUNKLINE_WRITABLE. */
  void arm(const Datagram &datagram, uint32_t interest, uint64_t tag) {
    check(trunkline_datagram_arm(datagram.get(), interest, get(), tag));
  }
};

/** Dials, listens and relays under one limit, counts, and drains. Destroying it ends its relays. */
class TcpConnectionManager : public detail::Owned<trunkline_tcp_manager_t, trunkline_tcp_manager_free> {
 public:
  /** `json` is a document such as {"max_connections": 100}; empty means the defaults. */
  explicit TcpConnectionManager(const std::string &json = std::string(),
                                trunkline_runtime_t runtime = trunkline_runtime_t(),
                                trunkline_tls_t tls = trunkline_tls_t()) {
    trunkline_connect_options_t options = detail::secured_by(tls);
    trunkline_tcp_manager_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_tcp_manager_new_with(runtime, json.data(), json.size(), &options, &made, &error), error);
    reset(made);
  }

  /** Connects under a permit; LIMIT_EXCEEDED at once if none is free. */
  Stream connect(const std::string &address, Deadline deadline = Deadline()) {
    trunkline_stream_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_tcp_manager_connect(get(), address.data(), address.size(), deadline.ns(), &made, &error), error);
    return Stream(made);
  }

  /** Listens; what it accepts holds a permit. */
  Listener listen(const std::string &address) {
    trunkline_listener_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_tcp_manager_listen(get(), address.data(), address.size(), &made, &error), error);
    return Listener(made);
  }

  /** Relays every connection to `listen` to `destination`; returns the address that is listened on. */
  std::string relay(const std::string &listen, const std::string &destination) {
    trunkline_tcp_manager_t handle = get();
    return detail::address([&](char *text, std::size_t size, std::size_t *length) {
      trunkline_error_t *error = nullptr;
      check(trunkline_tcp_manager_relay(handle, listen.data(), listen.size(), destination.data(), destination.size(),
                                        text, size, length, &error),
            error);
    });
  }

  /**
   * Listens where the document says, and passes every connection on to the backend that its routes say; returns one
   * JSON object with the address of each listener by its name.
   */
  std::string start() {
    trunkline_buf_t *made = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_tcp_manager_start(get(), &made, &error), error);
    Buffer bound(made);
    return std::string(reinterpret_cast<const char *>(bound.data()), bound.size());
  }

  /**
   * Has `function` say where each connection goes that is accepted for a listener of the document, from now on and before
   * the routes. It is called on a thread of the library, any number of times at once: it must not block, and answers now or
   * later, from any thread. What it throws leaves the connection to the routes, as does no answer within
   * `route_callback.timeout`. An empty function ends that.
   */
  void on_route(std::function<void(RouteJob)> function) {
    trunkline_error_t *error = nullptr;
    if (!function) {
      check(trunkline_tcp_manager_on_route(get(), nullptr, &error), error);
      return;
    }
    typedef std::function<void(RouteJob)> Function;
    trunkline_job_host_t host = {trunkline_cq_t(), 0, call_router, new Function(std::move(function)), free_router};
    check(trunkline_tcp_manager_on_route(get(), &host, &error), error);
  }

  /**
   * Has `function` say how each endpoint is of the backends whose `health.check` is `callback`, from now on. It is called on
   * a thread of the library, any number of times at once: it must not block, and answers now or later, from any thread. What
   * it throws could not be told, as where there is no answer within `health.timeout`. An empty function ends that.
   */
  void on_check(std::function<void(CheckJob)> function) {
    trunkline_error_t *error = nullptr;
    if (!function) {
      check(trunkline_tcp_manager_on_check(get(), nullptr, &error), error);
      return;
    }
    typedef std::function<void(CheckJob)> Function;
    trunkline_job_host_t host = {trunkline_cq_t(), 0, call_checker, new Function(std::move(function)), free_checker};
    check(trunkline_tcp_manager_on_check(get(), &host, &error), error);
  }

  /**
   * The endpoints of every backend at one moment, as a JSON array of {"backend", "address", "host", "state", "state_age_ns",
   * "reason", "remaining_ns", "active", "weight", "effective_weight"}.
   */
  std::string endpoints() const {
    trunkline_buf_t *list = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_tcp_manager_endpoints(get(), &list, &error), error);
    Buffer held(list);
    return std::string(reinterpret_cast<const char *>(held.data()), held.size());
  }

  /** The address of a listener of the document, once it is started. */
  std::string listener_address(const std::string &name) const {
    trunkline_tcp_manager_t handle = get();
    return detail::address([&](char *text, std::size_t size, std::size_t *length) {
      check(trunkline_tcp_manager_listener_address(handle, name.data(), name.size(), text, size, length));
    });
  }

  /** The counts, all of one moment. */
  trunkline_tcp_manager_stats_t stats() const {
    trunkline_tcp_manager_stats_t stats = TRUNKLINE_TCP_MANAGER_STATS_INIT;
    check(trunkline_tcp_manager_stats(get(), &stats));
    return stats;
  }

  /** Goes by another document from now on, and drops no connection for it; INVALID_ARGUMENT names what cannot change. */
  void reconfigure(const std::string &json) {
    trunkline_error_t *error = nullptr;
    check(trunkline_tcp_manager_reconfigure(get(), json.data(), json.size(), &error), error);
  }

  /**
   * Connections that stand and have a number above `after`, `max` of them at most, as a JSON array; a shorter one is the
   * last, and the last number in it begins the next.
   */
  std::string live(uint64_t after = 0, std::size_t max = 1000) const {
    trunkline_buf_t *list = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_tcp_manager_live(get(), after, max, &list, &error), error);
    Buffer held(list);
    return std::string(reinterpret_cast<const char *>(held.data()), held.size());
  }

  /** The connection with this number, as one object of live(); NOT_FOUND if none stands. */
  std::string inspect(uint64_t id) const {
    trunkline_buf_t *one = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_tcp_manager_inspect(get(), id, &one, &error), error);
    Buffer held(one);
    return std::string(reinterpret_cast<const char *>(held.data()), held.size());
  }

  /** Ends the connection with this number; NOT_FOUND if none stands. */
  void kill(uint64_t id) {
    trunkline_error_t *error = nullptr;
    check(trunkline_tcp_manager_kill(get(), id, &error), error);
  }

  /** Lets nothing new in, waits for what stands, cuts the rest at the deadline and says how many. */
  uint64_t drain(Deadline deadline = Deadline()) {
    uint64_t cut;
    trunkline_error_t *error = nullptr;
    check(trunkline_tcp_manager_drain(get(), deadline.ns(), &cut, &error), error);
    return cut;
  }

  /** As connect(); `function` is called with the event, once, on a thread of the library. */
  trunkline_op_t connect(const std::string &address, std::function<void(Event)> function,
                         Deadline deadline = Deadline()) {
    trunkline_tcp_manager_t handle = get();
    return detail::call_back(std::move(function), [&](const trunkline_completion_t *completion, trunkline_op_t *op,
                                                      trunkline_error_t **error) {
      return trunkline_tcp_manager_connect_async(handle, address.data(), address.size(), deadline.ns(), completion, op,
                                                 error);
    });
  }

  /** As drain(); `function` is called with the event, whose value says how many were cut. */
  trunkline_op_t drain(std::function<void(Event)> function, Deadline deadline = Deadline()) {
    trunkline_tcp_manager_t handle = get();
    return detail::call_back(std::move(function), [&](const trunkline_completion_t *completion, trunkline_op_t *op,
                                                      trunkline_error_t **error) {
      return trunkline_tcp_manager_drain_async(handle, deadline.ns(), completion, op, error);
    });
  }

  /** Closes every listener and connection of the manager. */
  void close() { check(trunkline_tcp_manager_close(get())); }

 private:
  static void call_router(void *user_data, trunkline_job_t handle, uint32_t, uint32_t, uint64_t) noexcept {
    // Destroyed by what is thrown, the job has failed.
    Job job(handle);
    try {
      (*static_cast<std::function<void(RouteJob)> *>(user_data))(RouteJob(std::move(job)));
    } catch (...) {
    }
  }

  static void free_router(void *user_data) noexcept { delete static_cast<std::function<void(RouteJob)> *>(user_data); }

  static void call_checker(void *user_data, trunkline_job_t handle, uint32_t, uint32_t, uint64_t) noexcept {
    // Destroyed by what is thrown, the job could not be done.
    Job job(handle);
    try {
      (*static_cast<std::function<void(CheckJob)> *>(user_data))(CheckJob(std::move(job)));
    } catch (...) {
    }
  }

  static void free_checker(void *user_data) noexcept { delete static_cast<std::function<void(CheckJob)> *>(user_data); }
};

/** Relays datagrams by session under its limits, counts, lists, kills, and drains. Destroying it ends its relays. */
class UdpConnectionManager : public detail::Owned<trunkline_udp_manager_t, trunkline_udp_manager_free> {
 public:
  /** `json` is a document such as {"max_sessions": 100}; empty means the defaults. */
  explicit UdpConnectionManager(const std::string &json = std::string(),
                                trunkline_runtime_t runtime = trunkline_runtime_t()) {
    trunkline_udp_manager_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_udp_manager_new(runtime, json.data(), json.size(), &made, &error), error);
    reset(made);
  }

  /** Binds a socket that closes with the manager. */
  Datagram bind(const std::string &address) {
    trunkline_datagram_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_udp_manager_bind(get(), address.data(), address.size(), &made, &error), error);
    return Datagram(made);
  }

  /** Relays what comes to `listen` to `destination`; returns the address that is bound. An `idle_timeout` of 0 is the
   * manager's own, TRUNKLINE_NEVER none. */
  std::string relay(const std::string &listen, const std::string &destination, int64_t idle_timeout_ns = 0) {
    trunkline_udp_relay_options_t options = TRUNKLINE_UDP_RELAY_OPTIONS_INIT;
    options.idle_timeout_ns = idle_timeout_ns;
    trunkline_udp_manager_t handle = get();
    return detail::address([&](char *text, std::size_t size, std::size_t *length) {
      trunkline_error_t *error = nullptr;
      check(trunkline_udp_manager_relay(handle, listen.data(), listen.size(), destination.data(), destination.size(),
                                        &options, text, size, length, &error),
            error);
    });
  }

  /** The counts, all of one moment. */
  trunkline_udp_manager_stats_t stats() const {
    trunkline_udp_manager_stats_t stats = TRUNKLINE_UDP_MANAGER_STATS_INIT;
    check(trunkline_udp_manager_stats(get(), &stats));
    return stats;
  }

  /** The sessions that stand, as a JSON array. */
  std::string live() const {
    trunkline_buf_t *list;
    trunkline_error_t *error = nullptr;
    check(trunkline_udp_manager_live(get(), &list, &error), error);
    Buffer owner(list);
    return std::string(reinterpret_cast<const char *>(owner.data()), owner.size());
  }

  /** Ends the session with this number; throws UDP if there is none. */
  void kill(uint64_t id) {
    trunkline_error_t *error = nullptr;
    check(trunkline_udp_manager_kill(get(), id, &error), error);
  }

  /** Lets no session begin, waits for those that stand, cuts the rest at the deadline and says how many. */
  uint64_t drain(Deadline deadline = Deadline()) {
    uint64_t cut;
    trunkline_error_t *error = nullptr;
    check(trunkline_udp_manager_drain(get(), deadline.ns(), &cut, &error), error);
    return cut;
  }

  /** As drain(); `function` is called with the event, whose value says how many were cut. */
  trunkline_op_t drain(std::function<void(Event)> function, Deadline deadline = Deadline()) {
    trunkline_udp_manager_t handle = get();
    return detail::call_back(std::move(function), [&](const trunkline_completion_t *completion, trunkline_op_t *op,
                                                      trunkline_error_t **error) {
      return trunkline_udp_manager_drain_async(handle, deadline.ns(), completion, op, error);
    });
  }

  /** Closes every socket and session of the manager. */
  void close() { check(trunkline_udp_manager_close(get())); }
};

/** How one call is made. */
struct CallOptions {
  /** When it is given up, all its attempts included. */
  Deadline deadline;
  /** What is sent with it. */
  Metadata metadata;
  /** TRUNKLINE_CALL_*, together; 0 leaves the choice to the service config. */
  uint32_t flags = 0;
  /** Largest message of the answer, in bytes; 0 means the channel's limit. */
  uint32_t max_reply = 0;
  /** What proves who calls, as metadata: never sent without TLS, unless flags ask for it. */
  Metadata credentials;
};

namespace detail {

/** Options in C's form, which borrow from those of C++. */
class Options {
 public:
  explicit Options(const CallOptions &given)
      : metadata_(views(given.metadata)), credentials_(views(given.credentials)) {
    trunkline_call_options_t options = TRUNKLINE_CALL_OPTIONS_INIT;
    options.deadline_ns = given.deadline.ns();
    options.metadata = metadata_.data();
    options.metadata_len = metadata_.size();
    options.credentials = credentials_.data();
    options.credentials_len = credentials_.size();
    options.flags = given.flags;
    options.max_reply = given.max_reply;
    options_ = options;
  }
  Options(const Options &) = delete;
  Options &operator=(const Options &) = delete;

  const trunkline_call_options_t *get() const noexcept { return &options_; }

 private:
  static std::vector<trunkline_kv_t> views(const Metadata &pairs) {
    std::vector<trunkline_kv_t> views;
    for (const auto &pair : pairs) {
      trunkline_kv_t kv = {{pair.first.data(), pair.first.size()},
                           {reinterpret_cast<const uint8_t *>(pair.second.data()), pair.second.size()}};
      views.push_back(kv);
    }
    return views;
  }

  std::vector<trunkline_kv_t> metadata_, credentials_;
  trunkline_call_options_t options_;
};

inline const uint8_t *bytes(const std::string &text) noexcept {
  return reinterpret_cast<const uint8_t *>(text.data());
}

}  // namespace detail

/** One of the calls that begin together; see Channel::call_many. */
struct CallRequest {
  std::string method, message;
  CallOptions options;
};

namespace detail {

/** Takes the events of calls that began together, and goes with the last of them. */
class OnEach {
 public:
  OnEach(std::function<void(Event)> function, std::size_t left) : function_(std::move(function)), left_(left) {}

  static void call(void *user_data, trunkline_event_t *raw) noexcept {
    OnEach *self = static_cast<OnEach *>(user_data);
    self->function_(Event(*raw));
    if (self->left_.fetch_sub(1) == 1) delete self;
  }

 private:
  std::function<void(Event)> function_;
  std::atomic<std::size_t> left_;
};

}  // namespace detail

/** A call with any number of messages each way. Destroying it gives the call up if it has not ended. */
class Call : public detail::Owned<trunkline_call_t, trunkline_call_free> {
 public:
  /** Takes the handle over. */
  explicit Call(trunkline_call_t handle) noexcept : Owned(handle) {}

  /** Sends one message, waiting while several are on their way. CLOSED once the call has ended. */
  void send(const std::string &message, Deadline deadline = Deadline()) {
    trunkline_error_t *error = nullptr;
    check(trunkline_call_send(get(), detail::bytes(message), message.size(), deadline.ns(), &error), error);
  }
  /** Says that no more messages follow. */
  void finish_sending() { check(trunkline_call_finish_sending(get())); }
  /** The next message; an empty reply is the end of a call that ended well. Throws the status of any other end. */
  Reply receive(Deadline deadline = Deadline()) {
    trunkline_reply_t *reply = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_call_receive(get(), deadline.ns(), &reply, &error), error);
    return Reply(reply);
  }
  /** What the server sends before its first message. */
  Metadata initial(Deadline deadline = Deadline()) {
    trunkline_reply_t *reply = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_call_initial(get(), deadline.ns(), &reply, &error), error);
    return Reply(reply).initial();
  }
  /** What the server sent behind its last message, once receive() has told the end. */
  Metadata trailing() {
    trunkline_reply_t *reply = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_call_trailing(get(), &reply, &error), error);
    return Reply(reply).trailing();
  }
  /** Gives the call up. */
  void cancel() { check(trunkline_call_cancel(get())); }
};

/** A call that is about to be sent. Good until Interceptor::begin returns. */
class Beginning {
 public:
  explicit Beginning(trunkline_beginning_t *call) noexcept : call_(call) {}

  /** Such as "/package.Service/Method". */
  std::string method() const {
    std::size_t length = 0;
    const char *text = trunkline_beginning_method(call_, &length);
    return std::string(text, length);
  }
  /** What goes with the call so far. */
  Metadata metadata() const {
    Metadata all;
    trunkline_kv_t kv;
    for (std::size_t i = 0; trunkline_beginning_metadata(call_, i, &kv) == TRUNKLINE_OK; i++) {
      all.push_back({std::string(kv.key.ptr, kv.key.len),
                     std::string(reinterpret_cast<const char *>(kv.value.ptr), kv.value.len)});
    }
    return all;
  }
  /** Whether it goes over TLS. */
  bool is_secured() const noexcept { return trunkline_beginning_is_secured(call_) != 0; }
  /** Adds metadata. */
  void add(const std::string &name, const std::string &value) {
    check(trunkline_beginning_add(call_, name.data(), name.size(), reinterpret_cast<const uint8_t *>(value.data()),
                                  value.size()));
  }
  /** Adds what proves who calls; TLS where it would go in the clear. */
  void add_credentials(const std::string &name, const std::string &value) {
    check(trunkline_beginning_add_credentials(call_, name.data(), name.size(), value.data(), value.size()));
  }
  /** Denies the call with a status of gRPC, 1 to 16. */
  void deny(int32_t rpc_code, const std::string &message) {
    check(trunkline_beginning_deny(call_, rpc_code, message.data(), message.size()));
  }

 private:
  trunkline_beginning_t *call_;
};

/** How a call ended. */
struct Ending {
  /** Such as "/package.Service/Method". */
  std::string method;
  /** gRPC's status; 0 is OK, 1 a call that was given up. */
  int32_t rpc_code;
  /** What is said about it. */
  std::string message;
  /** Time since it began, all attempts included. */
  std::chrono::nanoseconds took;
};

/** Sees the calls of a channel, on the thread that makes one or on threads of the library, several at once. What `begin`
 *  throws denies the call with INTERNAL; what `end` throws is dropped. */
class Interceptor {
 public:
  virtual ~Interceptor() = default;
  /** A call is about to be sent. */
  virtual void begin(Beginning &call) { (void)call; }
  /** One that this interceptor did not deny has ended. */
  virtual void end(const Ending &end) { (void)end; }
};

namespace detail {

inline void begin_call(void *user_data, trunkline_beginning_t *call) noexcept {
  Beginning beginning(call);
  try {
    (*static_cast<std::shared_ptr<Interceptor> *>(user_data))->begin(beginning);
  } catch (const std::exception &error) {
    trunkline_beginning_deny(call, 13, error.what(), std::strlen(error.what()));
  } catch (...) {
    trunkline_beginning_deny(call, 13, nullptr, 0);
  }
}

inline void end_call(void *user_data, const trunkline_ending_t *end) noexcept {
  try {
    Ending told = {std::string(end->method.ptr, end->method.len), end->rpc_code,
                   std::string(end->message.ptr, end->message.len), std::chrono::nanoseconds(end->took_ns)};
    (*static_cast<std::shared_ptr<Interceptor> *>(user_data))->end(told);
  } catch (...) {
  }
}

inline void forget_interceptor(void *user_data) noexcept { delete static_cast<std::shared_ptr<Interceptor> *>(user_data); }

}  // namespace detail

/** A channel to a gRPC server: it connects when it is called, and again whenever a connection is lost. */
class Channel : public detail::Owned<trunkline_channel_t, trunkline_channel_free> {
 public:
  /** `target` is such as "dns:api.internal:443" or "unix:/run/app.sock"; `json` as for Config::from_json. With `tls` every
   *  connection is secured by it. */
  explicit Channel(const std::string &target, const std::string &json = std::string(),
                   trunkline_runtime_t runtime = trunkline_runtime_t(), trunkline_tls_t tls = trunkline_tls_t()) {
    trunkline_connect_options_t options = detail::secured_by(tls);
    trunkline_channel_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_channel_new_with(runtime, target.data(), target.size(), json.data(), json.size(), &options, &made,
                                     &error),
          error);
    reset(made);
  }
  /**
   * A channel whose addresses `resolver` says: it is called on a thread of the library, must not block, and answers at once or
   * later from any thread. `target` is for it, and may be any text; see trunkline_channel_new_resolved.
   */
  Channel(const std::string &target, std::function<void(ResolveJob)> resolver, const std::string &json = std::string(),
          trunkline_runtime_t runtime = trunkline_runtime_t(), trunkline_tls_t tls = trunkline_tls_t()) {
    typedef std::function<void(ResolveJob)> Function;
    trunkline_connect_options_t options = detail::secured_by(tls);
    trunkline_job_host_t host = {trunkline_cq_t(), 0, call_resolver, new Function(std::move(resolver)), free_resolver};
    trunkline_channel_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_channel_new_resolved(runtime, target.data(), target.size(), json.data(), json.size(), &options, &host,
                                         &made, &error),
          error);
    reset(made);
  }
  /** Every connection is secured by `tls`. */
  Channel(const std::string &target, const Tls &tls) : Channel(target, std::string(), trunkline_runtime_t(), tls) {}

  /** One of TRUNKLINE_CHANNEL_*; with `try_to_connect` an idle channel begins to connect. */
  int32_t state(bool try_to_connect = false) const {
    int32_t state;
    check(trunkline_channel_state(get(), try_to_connect ? 1 : 0, &state));
    return state;
  }
  /** Begins to connect. */
  void connect() { check(trunkline_channel_connect(get())); }
  /** Tries at once what would have waited after a failure. */
  void reset_connect_backoff() { check(trunkline_channel_reset_connect_backoff(get())); }
  /** Waits until the state is another than `last_seen`, and returns it. */
  int32_t wait_for_state_change(int32_t last_seen, Deadline deadline = Deadline()) {
    int32_t state;
    trunkline_error_t *error = nullptr;
    check(trunkline_channel_wait_for_state_change(get(), last_seen, deadline.ns(), &state, &error), error);
    return state;
  }
  /** What the channel looks like now, its addresses and the connections to each, as a JSON object; see trunkline_channel_inspect. */
  std::string inspect() const {
    trunkline_buf_t *json = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_channel_inspect(get(), &json, &error), error);
    Buffer held(json);
    return std::string(reinterpret_cast<const char *>(held.data()), held.size());
  }

  /**
   * The changes of the state with a number above `after`, `max` of them at most, and how many are kept no longer, as a JSON
   * object; see trunkline_channel_history.
   */
  std::string history(uint64_t after = 0, std::size_t max = 1000) const {
    trunkline_buf_t *json = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_channel_history(get(), after, max, &json, &error), error);
    Buffer held(json);
    return std::string(reinterpret_cast<const char *>(held.data()), held.size());
  }

  /** Waits until there is a change of the state with a number above `after`, and returns the number of the latest. */
  uint64_t wait_history(uint64_t after, Deadline deadline = Deadline()) {
    uint64_t last = 0;
    trunkline_error_t *error = nullptr;
    check(trunkline_channel_wait_history(get(), after, deadline.ns(), &last, &error), error);
    return last;
  }

  /** Connects, and waits until calls can be sent; a TIMEOUT says why they cannot. */
  void wait_ready(Deadline deadline = Deadline()) {
    trunkline_error_t *error = nullptr;
    check(trunkline_channel_wait_ready(get(), deadline.ns(), &error), error);
  }

  /** Calls a method such as "/package.Service/Method" with one message, and waits for one. */
  Reply call(const std::string &method, const std::string &message, const CallOptions &options = CallOptions()) {
    trunkline_reply_t *reply = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_channel_call(get(), method.data(), method.size(), detail::bytes(message), message.size(),
                                 detail::Options(options).get(), &reply, &error),
          error);
    return Reply(reply);
  }
  /** As call(); `function` is called with the event, once, on a thread of the library. */
  trunkline_op_t call(const std::string &method, const std::string &message, std::function<void(Event)> function,
                      const CallOptions &options = CallOptions()) {
    trunkline_channel_t handle = get();
    return detail::call_back(std::move(function), [&](const trunkline_completion_t *completion, trunkline_op_t *op,
                                                      trunkline_error_t **error) {
      return trunkline_channel_call_async(handle, method.data(), method.size(), detail::bytes(message),
                                          message.size(), detail::Options(options).get(), completion, op, error);
    });
  }
  /**
   * As call() for several that begin together and go to the server together: either all begin, or none. `function` is
   * called once for each, with the event whose tag is the place of its request, on threads of the library, perhaps on
   * several at once.
   */
  std::vector<trunkline_op_t> call_many(const std::vector<CallRequest> &requests, std::function<void(Event)> function) {
    std::deque<detail::Options> options;
    std::vector<trunkline_call_request_t> given;
    for (const CallRequest &request : requests) {
      options.emplace_back(request.options);
      trunkline_call_request_t one = {{request.method.data(), request.method.size()},
                                      {detail::bytes(request.message), request.message.size()},
                                      options.back().get(),
                                      given.size()};
      given.push_back(one);
    }
    std::vector<trunkline_op_t> ops(given.size());
    detail::OnEach *owed = new detail::OnEach(std::move(function), given.size());
    trunkline_completion_t completion = {trunkline_cq_t(), 0, detail::OnEach::call, owed};
    trunkline_error_t *error = nullptr;
    trunkline_status_t status =
        trunkline_channel_call_many_async(get(), given.data(), given.size(), &completion, ops.data(), &error);
    if (status != TRUNKLINE_OK) delete owed;
    check(status, error);
    return ops;
  }
  /** Begins a call with any number of messages each way. */
  Call open(const std::string &method, const CallOptions &options = CallOptions()) {
    trunkline_call_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_channel_open(get(), method.data(), method.size(), detail::Options(options).get(), &made, &error),
          error);
    return Call(made);
  }

  /** Has `interceptor` see every call that begins from now on, behind those that do already. */
  void intercept(std::shared_ptr<Interceptor> interceptor) {
    trunkline_interceptor_t hooks = TRUNKLINE_INTERCEPTOR_INIT;
    hooks.begin = detail::begin_call;
    hooks.end = detail::end_call;
    hooks.release = detail::forget_interceptor;
    hooks.user_data = new std::shared_ptr<Interceptor>(std::move(interceptor));
    trunkline_error_t *error = nullptr;
    check(trunkline_channel_intercept(get(), &hooks, &error), error);
  }

  /** Says where the target is without being asked, where the channel was made with a resolver: as an answer of it would. */
  void push_addresses(const std::string &addresses) {
    trunkline_error_t *error = nullptr;
    check(trunkline_channel_push_addresses(get(), addresses.data(), addresses.size(), &error), error);
  }

  /** Takes no new calls, lets those under way finish until `deadline`, and ends the rest. */
  void close(Deadline deadline = Deadline::now()) {
    trunkline_error_t *error = nullptr;
    check(trunkline_channel_close(get(), deadline.ns(), &error), error);
  }

 private:
  static void call_resolver(void *user_data, trunkline_job_t handle, uint32_t, uint32_t, uint64_t) noexcept {
    // Destroyed by what is thrown, the job has failed.
    Job job(handle);
    try {
      (*static_cast<std::function<void(ResolveJob)> *>(user_data))(ResolveJob(std::move(job)));
    } catch (...) {
    }
  }

  static void free_resolver(void *user_data) noexcept { delete static_cast<std::function<void(ResolveJob)> *>(user_data); }
};

/** Stands for a cluster at its hubs, and serves what they open. Destroying it ends its tunnels. */
class Agent : public detail::Owned<trunkline_agent_t, trunkline_agent_free> {
 public:
  /** `json` is a document such as {"cluster": "c1", "token": "...", "hubs": ["tls://hub.example:7000"]}. */
  explicit Agent(const std::string &json, trunkline_runtime_t runtime = trunkline_runtime_t(),
                 trunkline_tls_t tls = trunkline_tls_t()) {
    trunkline_connect_options_t options = detail::secured_by(tls);
    trunkline_agent_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_agent_new_with(runtime, json.data(), json.size(), &options, &made, &error), error);
    reset(made);
  }

  /** Waits until a tunnel to any hub stands; an error says why the last attempt failed. */
  void wait_ready(Deadline deadline = Deadline()) {
    trunkline_error_t *error = nullptr;
    check(trunkline_agent_wait_ready(get(), deadline.ns(), &error), error);
  }

  /** As wait_ready(); `function` is called with the event, once, on a thread of the library. */
  trunkline_op_t wait_ready(std::function<void(Event)> function, Deadline deadline = Deadline()) {
    trunkline_agent_t handle = get();
    return detail::call_back(std::move(function), [&](const trunkline_completion_t *completion, trunkline_op_t *op,
                                                      trunkline_error_t **error) {
      return trunkline_agent_wait_ready_async(handle, deadline.ns(), completion, op, error);
    });
  }

  /** Accepts the connections that name no target; one listener at a time. */
  Listener listener() {
    trunkline_listener_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_agent_listener(get(), &made, &error), error);
    return Listener(made);
  }

  /** Lets `share` of the connections to come, from 0 to 1, reach the listener by a pipe, the others over a Unix socket. */
  void use_memory_comm(double share) {
    trunkline_error_t *error = nullptr;
    check(trunkline_agent_use_memory_comm(get(), share, &error), error);
  }

  /** The counts of both ways to the listener. */
  trunkline_memory_comm_stats_t memory_comm_stats() const {
    trunkline_memory_comm_stats_t stats = TRUNKLINE_MEMORY_COMM_STATS_INIT;
    check(trunkline_agent_memory_comm_stats(get(), &stats));
    return stats;
  }

  /** The counts, all of one moment. */
  trunkline_agent_stats_t stats() const {
    trunkline_agent_stats_t stats = TRUNKLINE_AGENT_STATS_INIT;
    check(trunkline_agent_stats(get(), &stats));
    return stats;
  }

  /** Lets the hubs open nothing new, waits for what stands, cuts the rest at the deadline and says how many. */
  uint64_t drain(Deadline deadline = Deadline()) {
    uint64_t cut;
    trunkline_error_t *error = nullptr;
    check(trunkline_agent_drain(get(), deadline.ns(), &cut, &error), error);
    return cut;
  }

  /** As drain(); `function` is called with the event, whose value says how many were cut. */
  trunkline_op_t drain(std::function<void(Event)> function, Deadline deadline = Deadline()) {
    trunkline_agent_t handle = get();
    return detail::call_back(std::move(function), [&](const trunkline_completion_t *completion, trunkline_op_t *op,
                                                      trunkline_error_t **error) {
      return trunkline_agent_drain_async(handle, deadline.ns(), completion, op, error);
    });
  }

  /** Ends every tunnel and connection of the agent. */
  void close() { check(trunkline_agent_close(get())); }
};

/**
 * Serves HTTP/1, HTTP/2, HTTPS and upgrades from them on every connection of its listeners, and passes each request on to a
 * service. Destroying it ends its connections.
 */
class MemoryProxy : public detail::Owned<trunkline_memory_proxy_t, trunkline_memory_proxy_free> {
 public:
  /**
   * `json` is a document such as {"routes": [{"path": "/api", "target": "tls://api.internal:443"}]}; empty means the defaults.
   * `tls` says who it is to clients of TLS, and whom it trusts at tls:// addresses.
   */
  explicit MemoryProxy(const std::string &json = std::string(), trunkline_runtime_t runtime = trunkline_runtime_t(),
                       trunkline_tls_t tls = trunkline_tls_t()) {
    make(json, runtime, tls, nullptr, 0);
  }

  /**
   * As the other one; `function` answers for the hooks that are in `hooks`, TRUNKLINE_HOOK_* added up. It is called on a
   * thread of the library, any number of times at once: it must not block, and answers now or later, from any thread. What
   * it throws lets nothing through, as does no answer within `hook_timeout`.
   */
  MemoryProxy(const std::string &json, uint32_t hooks, std::function<void(ProxyJob)> function,
              trunkline_runtime_t runtime = trunkline_runtime_t(), trunkline_tls_t tls = trunkline_tls_t()) {
    typedef std::function<void(ProxyJob)> Function;
    trunkline_job_host_t host = {trunkline_cq_t(), 0, call_hook, new Function(std::move(function)), free_hook};
    make(json, runtime, tls, &host, hooks);
  }

  /** Serves what comes to `listener`, in the background, until that is closed or destroyed; it is closed when the proxy ends. */
  void serve(const Listener &listener) {
    trunkline_error_t *error = nullptr;
    check(trunkline_memory_proxy_serve(get(), listener.get(), &error), error);
  }

  /** The counts, all of one moment. */
  trunkline_memory_proxy_stats_t stats() const {
    trunkline_memory_proxy_stats_t stats = TRUNKLINE_MEMORY_PROXY_STATS_INIT;
    check(trunkline_memory_proxy_stats(get(), &stats));
    return stats;
  }

  /** Closes its listeners, answers what was asked, cuts the rest at the deadline and says how many connections those were. */
  uint64_t drain(Deadline deadline = Deadline()) {
    uint64_t cut;
    trunkline_error_t *error = nullptr;
    check(trunkline_memory_proxy_drain(get(), deadline.ns(), &cut, &error), error);
    return cut;
  }

  /** As drain(); `function` is called with the event, whose value says how many were cut. */
  trunkline_op_t drain(std::function<void(Event)> function, Deadline deadline = Deadline()) {
    trunkline_memory_proxy_t handle = get();
    return detail::call_back(std::move(function), [&](const trunkline_completion_t *completion, trunkline_op_t *op,
                                                      trunkline_error_t **error) {
      return trunkline_memory_proxy_drain_async(handle, deadline.ns(), completion, op, error);
    });
  }

  /** Closes its listeners and ends every connection. */
  void close() { check(trunkline_memory_proxy_close(get())); }

 private:
  void make(const std::string &json, trunkline_runtime_t runtime, trunkline_tls_t tls, const trunkline_job_host_t *host,
            uint32_t hooks) {
    trunkline_connect_options_t options = detail::secured_by(tls);
    trunkline_memory_proxy_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_memory_proxy_new(runtime, json.data(), json.size(), &options, host, hooks, &made, &error), error);
    reset(made);
  }

  static void call_hook(void *user_data, trunkline_job_t handle, uint32_t what, uint32_t, uint64_t) noexcept {
    // Destroyed by what is thrown, the job has failed.
    Job job(handle);
    try {
      (*static_cast<std::function<void(ProxyJob)> *>(user_data))(ProxyJob(std::move(job), what));
    } catch (...) {
    }
  }

  static void free_hook(void *user_data) noexcept { delete static_cast<std::function<void(ProxyJob)> *>(user_data); }
};

/** Lets agents in, and opens connections to the clusters behind them. Destroying it ends its tunnels and forwards. */
class Hub : public detail::Owned<trunkline_hub_t, trunkline_hub_free> {
 public:
  /** `json` is a document such as {"agents": {"c1": ["token"]}}; empty means the defaults, by which nobody is let in. */
  explicit Hub(const std::string &json = std::string(), trunkline_runtime_t runtime = trunkline_runtime_t(),
               trunkline_tls_t tls = trunkline_tls_t()) {
    trunkline_connect_options_t options = detail::secured_by(tls);
    trunkline_hub_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_hub_new_with(runtime, json.data(), json.size(), &options, &made, &error), error);
    reset(made);
  }

  /** Lets agents in at `address`; returns the address that is listened on. */
  std::string listen(const std::string &address) {
    trunkline_hub_t handle = get();
    return detail::address([&](char *text, std::size_t size, std::size_t *length) {
      trunkline_error_t *error = nullptr;
      check(trunkline_hub_listen(handle, address.data(), address.size(), text, size, length, &error), error);
    });
  }

  /** Serves users who speak HTTP at `address`, by the routes of the document; returns the address that is listened on. */
  std::string listen_http(const std::string &address) {
    trunkline_hub_t handle = get();
    return detail::address([&](char *text, std::size_t size, std::size_t *length) {
      trunkline_error_t *error = nullptr;
      check(trunkline_hub_listen_http(handle, address.data(), address.size(), text, size, length, &error), error);
    });
  }

  /** Serves users who speak SOCKS5 at `address`, by the users and the "socks" of the document; returns the address that is
   *  listened on. */
  std::string listen_socks(const std::string &address) {
    trunkline_hub_t handle = get();
    return detail::address([&](char *text, std::size_t size, std::size_t *length) {
      trunkline_error_t *error = nullptr;
      check(trunkline_hub_listen_socks(handle, address.data(), address.size(), text, size, length, &error), error);
    });
  }

  /** Carries every connection to `listen` to the cluster and its `target`, or where the agent decides; returns the address
   *  that is listened on. */
  std::string forward(const std::string &listen, const std::string &cluster, const std::string &target = std::string()) {
    trunkline_hub_t handle = get();
    return detail::address([&](char *text, std::size_t size, std::size_t *length) {
      trunkline_error_t *error = nullptr;
      check(trunkline_hub_forward(handle, listen.data(), listen.size(), cluster.data(), cluster.size(), target.data(),
                                  target.size(), text, size, length, &error),
            error);
    });
  }

  /** Opens a connection to the cluster and its `target`, or where the agent decides. */
  Stream dial(const std::string &cluster, const std::string &target = std::string(), Deadline deadline = Deadline()) {
    trunkline_stream_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_hub_dial(get(), cluster.data(), cluster.size(), target.data(), target.size(), deadline.ns(), &made,
                             &error),
          error);
    return Stream(made);
  }

  /** As dial(); `function` is called with the event, once, on a thread of the library. */
  trunkline_op_t dial(const std::string &cluster, const std::string &target, std::function<void(Event)> function,
                      Deadline deadline = Deadline()) {
    trunkline_hub_t handle = get();
    return detail::call_back(std::move(function), [&](const trunkline_completion_t *completion, trunkline_op_t *op,
                                                      trunkline_error_t **error) {
      return trunkline_hub_dial_async(handle, cluster.data(), cluster.size(), target.data(), target.size(),
                                      deadline.ns(), completion, op, error);
    });
  }

  /** The counts, all of one moment. */
  trunkline_hub_stats_t stats() const {
    trunkline_hub_stats_t stats = TRUNKLINE_HUB_STATS_INIT;
    check(trunkline_hub_stats(get(), &stats));
    return stats;
  }

  /** Lets nothing new in, waits for what stands, cuts the rest at the deadline and says how many. */
  uint64_t drain(Deadline deadline = Deadline()) {
    uint64_t cut;
    trunkline_error_t *error = nullptr;
    check(trunkline_hub_drain(get(), deadline.ns(), &cut, &error), error);
    return cut;
  }

  /** As drain(); `function` is called with the event, whose value says how many were cut. */
  trunkline_op_t drain(std::function<void(Event)> function, Deadline deadline = Deadline()) {
    trunkline_hub_t handle = get();
    return detail::call_back(std::move(function), [&](const trunkline_completion_t *completion, trunkline_op_t *op,
                                                      trunkline_error_t **error) {
      return trunkline_hub_drain_async(handle, deadline.ns(), completion, op, error);
    });
  }

  /** Ends every listener, tunnel and connection of the hub. */
  void close() { check(trunkline_hub_close(get())); }
};

/** Numbers by key, bounded and expiring: the `h` of a handle, or an id of the program's. */
class KeyedPool : public detail::Owned<trunkline_keyed_pool_t, trunkline_keyed_pool_free> {
 public:
  /** Takes a value that the pool gives up, with one of TRUNKLINE_POOL_CLOSE_*. */
  using Closer = std::function<void(uint64_t value, uint32_t reason)>;

  /** `json` is a document such as {"max_size": 100}; empty means the defaults. */
  explicit KeyedPool(const std::string &json = std::string(), Closer closer = Closer(),
                     trunkline_runtime_t runtime = trunkline_runtime_t()) {
    trunkline_pool_closer_t registration = {trunkline_cq_t(), 0, nullptr, nullptr, nullptr};
    if (closer) {
      registration.fn = call_closer;
      registration.user_data = new Closer(std::move(closer));
      registration.release = free_closer;
    }
    trunkline_keyed_pool_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_keyed_pool_new(runtime, json.data(), json.size(), &registration, &made, &error), error);
    reset(made);
  }

  /** Puts a value under the key; LIMIT_EXCEEDED if the pool is full, and the value stays the caller's. */
  void insert(const std::string &key, uint64_t value) {
    trunkline_error_t *error = nullptr;
    check(trunkline_keyed_pool_insert(get(), bytes(key), key.size(), value, &error), error);
  }

  /**
   * As insert(); a full pool made with "when_full": "wait" lets it wait for a place. `lifetime` is one of the value's own;
   * zero means the pool's.
   */
  void insert_wait(const std::string &key, uint64_t value, Deadline deadline = Deadline(),
                   std::chrono::nanoseconds lifetime = std::chrono::nanoseconds::zero()) {
    trunkline_error_t *error = nullptr;
    check(trunkline_keyed_pool_insert_wait(get(), bytes(key), key.size(), value, lifetime.count(), deadline.ns(), &error),
          error);
  }

  /** The same as an operation: `function` is called with the event, once, on a thread of the library. */
  trunkline_op_t insert_wait_async(const std::string &key, uint64_t value, std::function<void(Event)> function,
                                   Deadline deadline = Deadline(),
                                   std::chrono::nanoseconds lifetime = std::chrono::nanoseconds::zero()) {
    trunkline_keyed_pool_t handle = get();
    return detail::call_back(std::move(function), [&](const trunkline_completion_t *completion, trunkline_op_t *op,
                                                      trunkline_error_t **error) {
      return trunkline_keyed_pool_insert_async(handle, bytes(key), key.size(), value, lifetime.count(), deadline.ns(),
                                               completion, op, error);
    });
  }

  /**
   * The value under the key; `make()` makes it if there is none, here and now, while all others who ask for the key wait.
   * What it throws is thrown here, and the next of them makes one. The deadline is that of the making too: a value that
   * comes later is given up.
   */
  template <class Make>
  uint64_t get_or_create(const std::string &key, Make make, Deadline deadline = Deadline()) {
    uint64_t value = 0;
    trunkline_job_t handle = trunkline_job_t();
    trunkline_error_t *error = nullptr;
    check(trunkline_keyed_pool_get_or_create(get(), bytes(key), key.size(), deadline.ns(), deadline.ns(), &value, &handle,
                                             &error),
          error);
    Job job(handle);
    return job ? job.fill(make()) : value;
  }

  /**
   * The same as an operation: `function` is called with the event, once, on a thread of the library. It carries the value
   * (TRUNKLINE_EV_POOL_VALUE) or the job to make it (TRUNKLINE_EV_JOB), for Event::take_job and Job::fill.
   */
  trunkline_op_t get_or_create_async(const std::string &key, std::function<void(Event)> function,
                                     Deadline deadline = Deadline()) {
    trunkline_keyed_pool_t handle = get();
    return detail::call_back(std::move(function), [&](const trunkline_completion_t *completion, trunkline_op_t *op,
                                                      trunkline_error_t **error) {
      return trunkline_keyed_pool_get_or_create_async(handle, bytes(key), key.size(), deadline.ns(), deadline.ns(),
                                                      completion, op, error);
    });
  }

  /** The value under the key, which stays in the pool; false if there is none. */
  bool get_value(const std::string &key, uint64_t &value) const {
    return found(trunkline_keyed_pool_get(get(), bytes(key), key.size(), &value));
  }

  /** Takes the value under the key out; false if there is none. */
  bool remove(const std::string &key, uint64_t &value) {
    return found(trunkline_keyed_pool_remove(get(), bytes(key), key.size(), &value));
  }

  /** Gives every value up. */
  void clear() { check(trunkline_keyed_pool_clear(get())); }

  /** Gives up values that have expired, and says how many. */
  uint64_t prune_expired() {
    uint64_t count;
    check(trunkline_keyed_pool_prune_expired(get(), &count));
    return count;
  }

  /** How many entries there are. */
  uint64_t size() const {
    uint64_t size;
    check(trunkline_keyed_pool_size(get(), &size));
    return size;
  }

  /** The most entries there can be. */
  uint64_t max_size() const {
    uint64_t most;
    check(trunkline_keyed_pool_max_size(get(), &most));
    return most;
  }

  /** The part of the most entries that there are, from 0 to 1. */
  double utilization() const {
    double part;
    check(trunkline_keyed_pool_utilization(get(), &part));
    return part;
  }

  /** The part of all values that ended because they expired, from 0 to 1. */
  double expiration_ratio() const {
    double part;
    check(trunkline_keyed_pool_expiration_ratio(get(), &part));
    return part;
  }

  /** The counts. */
  trunkline_keyed_pool_stats_t stats() const {
    trunkline_keyed_pool_stats_t stats = TRUNKLINE_KEYED_POOL_STATS_INIT;
    check(trunkline_keyed_pool_stats(get(), &stats));
    return stats;
  }

 private:
  static const uint8_t *bytes(const std::string &key) { return reinterpret_cast<const uint8_t *>(key.data()); }

  static bool found(trunkline_status_t status) {
    if (status == TRUNKLINE_E_NOT_FOUND) return false;
    check(status);
    return true;
  }

  static void call_closer(void *user_data, uint64_t value, uint32_t reason) noexcept {
    (*static_cast<Closer *>(user_data))(value, reason);
  }

  static void free_closer(void *user_data) noexcept { delete static_cast<Closer *>(user_data); }
};

/**
 * Makes the connections of a Pool, and looks after them. Every method runs on a thread of the library: it must not block,
 * an exception out of it ends the program, and it answers its job now or later, from any thread.
 */
class Connector {
 public:
  virtual ~Connector() {}

  /** Makes a connection; the job is done with its number, which is not 0. */
  virtual void connect(Job job) = 0;
  /** Asks the peer whether the connection still works; only with TRUNKLINE_POOL_CHECKS among the abilities. */
  virtual void check(Job job, uint64_t connection) {
    (void)connection;
    job.done();
  }
  /** Takes back what the last holder did to it; only with TRUNKLINE_POOL_RESETS among the abilities. */
  virtual void reset(Job job, uint64_t connection) {
    (void)connection;
    job.done();
  }
  /** Closes it, for one of TRUNKLINE_POOL_CLOSE_*; once for each that was made. */
  virtual void close(Job job, uint64_t connection, uint32_t reason) = 0;
  /** TRUNKLINE_POOL_CHECKS, TRUNKLINE_POOL_RESETS, both or 0. */
  virtual uint32_t abilities() const { return 0; }
};

/** Lends connections, each to one caller at a time, in the order in which they come. */
class Pool : public detail::Owned<trunkline_pool_t, trunkline_pool_free> {
 public:
  /**
   * A pool of the program's connections. `json` is a document such as {"name": "db", "max_size": 20}; empty means the
   * defaults.
   */
  explicit Pool(std::unique_ptr<Connector> connector, const std::string &json = std::string(),
                trunkline_runtime_t runtime = trunkline_runtime_t()) {
    uint32_t abilities = connector->abilities();
    trunkline_job_host_t host = {trunkline_cq_t(), 0, call_connector, connector.release(), free_connector};
    trunkline_pool_t made;
    trunkline_error_t *error = nullptr;
    trunkline::check(trunkline_pool_new(runtime, json.data(), json.size(), &host, abilities, &made, &error), error);
    Owned::reset(made);
  }

  /** A pool of streams to these addresses: each goes to the one with the fewest, of those that work. */
  explicit Pool(const std::vector<std::string> &addresses, const std::string &json = std::string(),
                trunkline_runtime_t runtime = trunkline_runtime_t(), trunkline_tls_t tls = trunkline_tls_t()) {
    trunkline_connect_options_t options = detail::secured_by(tls);
    const std::vector<trunkline_str_t> texts = views(addresses);
    trunkline_pool_t made;
    trunkline_error_t *error = nullptr;
    trunkline::check(trunkline_pool_open_with(runtime, json.data(), json.size(), texts.data(), texts.size(), &options,
                                              &made, &error),
                     error);
    Owned::reset(made);
  }

  /** Takes a connection, waiting for one until the pool's acquire_timeout. `holder` says who takes it, for errors. */
  Lease acquire(const std::string &holder = std::string()) { return take(TRUNKLINE_DEADLINE_DEFAULT, holder); }
  /** The same, until the deadline. */
  Lease acquire(Deadline deadline, const std::string &holder = std::string()) { return take(deadline.ns(), holder); }

  /**
   * The same as an operation: `function` is called with the event, once: before this returns if a connection is ready,
   * else by the thread that puts one back, which it must not block. Event::take_lease gives the lease.
   */
  trunkline_op_t acquire_async(std::function<void(Event)> function, Deadline deadline = Deadline()) {
    trunkline_pool_t pool = get();
    detail::OnEvent at_once = function;
    trunkline_leased_t now = trunkline_leased_t();
    trunkline_op_t op = trunkline_op_t();
    std::unique_ptr<detail::OnEvent> owed(new detail::OnEvent(std::move(function)));
    trunkline_completion_t completion = {trunkline_cq_t(), 0, detail::call_once, owed.get()};
    trunkline_error_t *error = nullptr;
    trunkline::check(
        trunkline_pool_acquire_async(pool, deadline.ns(), nullptr, 0, &completion, &now, &op, &error), error);
    if (now.lease.h == 0) {
      owed.release();
      return op;
    }
    trunkline_event_t event = trunkline_event_t();
    event.kind = TRUNKLINE_EV_LEASE;
    event.handle = now.lease.h;
    event.value = now.value;
    event.about = pool.h;
    at_once(Event(event));
    return op;
  }

  /** The counts. */
  trunkline_pool_stats_t stats() const {
    trunkline_pool_stats_t stats = TRUNKLINE_POOL_STATS_INIT;
    trunkline::check(trunkline_pool_stats(get(), &stats));
    return stats;
  }

  /** The counts; the measurement of the peak starts anew. */
  trunkline_pool_stats_t take_stats() {
    trunkline_pool_stats_t stats = TRUNKLINE_POOL_STATS_INIT;
    trunkline::check(trunkline_pool_take_stats(get(), &stats));
    return stats;
  }

  /** Who holds what, longest first, as JSON. */
  std::string leases() const {
    trunkline_buf_t *json = nullptr;
    trunkline::check(trunkline_pool_leases(get(), &json));
    Buffer buffer(json);
    return std::string(reinterpret_cast<const char *>(buffer.data()), buffer.size());
  }

  /** What the tuner advised lately, oldest first, as JSON. */
  std::string advice() const {
    trunkline_buf_t *json = nullptr;
    trunkline::check(trunkline_pool_advice(get(), &json));
    Buffer buffer(json);
    return std::string(reinterpret_cast<const char *>(buffer.data()), buffer.size());
  }

  /** Changes how many connections there may be, and how many stand ready. */
  void resize(uint32_t max_size, uint32_t min_idle) {
    trunkline_error_t *error = nullptr;
    trunkline::check(trunkline_pool_resize(get(), max_size, min_idle, &error), error);
  }

  /**
   * Connects to these addresses and no others from now on. No connection to another is lent after this; one that is
   * lent is closed when it comes back.
   */
  void set_endpoints(const std::vector<std::string> &addresses) {
    const std::vector<trunkline_str_t> texts = views(addresses);
    trunkline_error_t *error = nullptr;
    trunkline::check(trunkline_pool_set_endpoints(get(), texts.data(), texts.size(), &error), error);
  }

  /** Retires every connection made so far, as after a failover. */
  void clear() { trunkline::check(trunkline_pool_clear(get())); }
  /** Checks every idle connection in the background. */
  void check() { trunkline::check(trunkline_pool_check(get())); }

  /** Waits until as many connections stand ready as min_idle says. */
  void wait_ready(Deadline deadline = Deadline()) {
    trunkline_error_t *error = nullptr;
    trunkline::check(trunkline_pool_wait_ready(get(), deadline.ns(), &error), error);
  }

  /** Lends to nobody who is not in line yet and waits for every connection to be closed; says how many were left. */
  uint64_t drain(Deadline deadline = Deadline()) {
    uint64_t left = 0;
    trunkline_error_t *error = nullptr;
    trunkline::check(trunkline_pool_drain(get(), deadline.ns(), &left, &error), error);
    return left;
  }

  /** Refuses all who wait and waits for every connection to be closed; says how many were left. */
  uint64_t close(Deadline deadline = Deadline()) {
    uint64_t left = 0;
    trunkline_error_t *error = nullptr;
    trunkline::check(trunkline_pool_close(get(), deadline.ns(), &left, &error), error);
    return left;
  }

  /** As wait_ready(); `function` is called with the event, once, on a thread of the library. */
  trunkline_op_t wait_ready_async(std::function<void(Event)> function, Deadline deadline = Deadline()) {
    trunkline_pool_t pool = get();
    return detail::call_back(std::move(function), [&](const trunkline_completion_t *completion, trunkline_op_t *op,
                                                      trunkline_error_t **error) {
      return trunkline_pool_wait_ready_async(pool, deadline.ns(), completion, op, error);
    });
  }

  /** As drain(); `function` is called with the event, whose value says how many were left. */
  trunkline_op_t drain_async(std::function<void(Event)> function, Deadline deadline = Deadline()) {
    trunkline_pool_t pool = get();
    return detail::call_back(std::move(function), [&](const trunkline_completion_t *completion, trunkline_op_t *op,
                                                      trunkline_error_t **error) {
      return trunkline_pool_drain_async(pool, deadline.ns(), completion, op, error);
    });
  }

  /** As close(), closed when this returns; `function` is called with the event, whose value says how many were left. */
  trunkline_op_t close_async(std::function<void(Event)> function, Deadline deadline = Deadline()) {
    trunkline_pool_t pool = get();
    return detail::call_back(std::move(function), [&](const trunkline_completion_t *completion, trunkline_op_t *op,
                                                      trunkline_error_t **error) {
      return trunkline_pool_close_async(pool, deadline.ns(), completion, op, error);
    });
  }

 private:
  /* As long as `addresses` live. */
  static std::vector<trunkline_str_t> views(const std::vector<std::string> &addresses) {
    std::vector<trunkline_str_t> texts;
    for (const std::string &address : addresses) texts.push_back({address.data(), address.size()});
    return texts;
  }

  Lease take(int64_t deadline_ns, const std::string &holder) {
    trunkline_leased_t leased;
    trunkline_error_t *error = nullptr;
    trunkline::check(trunkline_pool_acquire(get(), deadline_ns, holder.data(), holder.size(), &leased, &error), error);
    return Lease(get(), leased);
  }

  static void call_connector(void *user_data, trunkline_job_t handle, uint32_t what, uint32_t reason,
                             uint64_t about) noexcept {
    Connector &connector = *static_cast<Connector *>(user_data);
    Job job(handle);
    switch (what) {
      case TRUNKLINE_JOB_CONNECT: return connector.connect(std::move(job));
      case TRUNKLINE_JOB_CHECK: return connector.check(std::move(job), about);
      case TRUNKLINE_JOB_RESET: return connector.reset(std::move(job), about);
      case TRUNKLINE_JOB_CLOSE: return connector.close(std::move(job), about, reason);
      default: return job.fail(TRUNKLINE_E_UNSUPPORTED, "this job is not known to trunkline.hpp");
    }
  }

  static void free_connector(void *user_data) noexcept { delete static_cast<Connector *>(user_data); }
};

/** How a connection is made, kept alive, retried and given up: checked, and unchanged from then on. */
class Config {
 public:
  /** The presets. */
  static Config production() { return preset("production"); }
  static Config development() { return preset("development"); }
  static Config high_throughput() { return preset("high_throughput"); }

  /** The preset of that name. */
  static Config preset(const std::string &name) {
    trunkline_config_t *made = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_config_preset(name.data(), name.size(), &made, &error), error);
    return Config(made);
  }

  /** A document such as {"preset": "development", "connect_timeout": "2s"}. */
  static Config from_json(const std::string &json) {
    trunkline_config_t *made = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_config_from_json(json.data(), json.size(), &made, &error), error);
    return Config(made);
  }

  /** The preset that the environment variable ENVIRONMENT names. */
  static Config from_env() {
    trunkline_config_t *made = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_config_from_env(&made, &error), error);
    return Config(made);
  }

  /** Every field, for from_json() to read back unchanged. */
  std::string json() const {
    std::size_t length = 0;
    const char *found = trunkline_config_json(config_.get(), &length);
    return detail::text(found, length);
  }

  /** By its path, such as "keepalive.time"; nanoseconds::max() is never. */
  std::chrono::nanoseconds duration(const std::string &path) const {
    int64_t ns = 0;
    check(trunkline_config_get_duration(config_.get(), path.data(), path.size(), &ns));
    return ns == TRUNKLINE_NEVER ? std::chrono::nanoseconds::max() : std::chrono::nanoseconds(ns);
  }

  /** By its path, such as "max_message_size". */
  double number(const std::string &path) const {
    double value = 0;
    check(trunkline_config_get_number(config_.get(), path.data(), path.size(), &value));
    return value;
  }

  /** By its path, such as "pooling.enabled". */
  bool flag(const std::string &path) const { return number(path) > 0; }

 private:
  explicit Config(trunkline_config_t *config) noexcept : config_(config) {}

  detail::Value<trunkline_config_t, trunkline_config_free> config_;
};

/** One series of one metric. */
struct Metric {
  /** A counter's ends in "_total". */
  std::string name;
  /** As in the text formats, such as protocol="tcp". */
  std::string labels;
  /** One of TRUNKLINE_METRIC_*. */
  uint32_t kind;
  /** The count or the level; of a histogram the sum of all values. */
  double value;
  /** How many values a histogram has; else 0. */
  uint64_t count;
};

/** What the first bytes of a connection, or the first datagrams of a flow, say of the protocol that they speak. */
class Probed {
 public:
  /** Looks at all bytes of a stream so far. */
  static Probed tcp(const void *data, std::size_t size) {
    trunkline_probed_t *made = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_probe_tcp(static_cast<const uint8_t *>(data), size, &made, &error), error);
    return Probed(made);
  }
  /** The same of a text. */
  static Probed tcp(const std::string &data) { return tcp(data.data(), data.size()); }

  /** Looks at all datagrams of a flow so far, in the order in which they came. */
  static Probed udp(const std::vector<std::vector<uint8_t>> &datagrams) {
    std::vector<trunkline_bytes_t> views;
    for (const std::vector<uint8_t> &datagram : datagrams) {
      views.push_back(trunkline_bytes_t{datagram.data(), datagram.size()});
    }
    trunkline_probed_t *made = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_probe_udp(views.data(), views.size(), &made, &error), error);
    return Probed(made);
  }

  /** One of TRUNKLINE_PROBE_*; once it is not NEED_MORE, more bytes do not change it. */
  int32_t verdict() const noexcept { return trunkline_probed_verdict(probed_.get()); }
  /** Such as "tls" or "quic"; empty unless the verdict is IS. */
  std::string protocol() const { return detail::text(trunkline_probed_protocol(probed_.get())); }
  /** The host that the client asks for, in lower case; empty without one. */
  std::string host() const { return detail::text(trunkline_probed_host(probed_.get())); }
  /** The protocols that a client of TLS or QUIC offers to speak inside, the best first. */
  std::vector<std::string> alpn() const {
    std::vector<std::string> names;
    while (const char *name = trunkline_probed_alpn(probed_.get(), names.size())) names.push_back(name);
    return names;
  }
  /** All that was found, as one JSON object. */
  std::string json() const {
    std::size_t length = 0;
    const char *found = trunkline_probed_json(probed_.get(), &length);
    return detail::text(found, length);
  }

 private:
  explicit Probed(trunkline_probed_t *probed) noexcept : probed_(probed) {}

  detail::Value<trunkline_probed_t, trunkline_probed_free> probed_;
};

/** What all instruments of a runtime showed at one moment. */
class Metrics {
 public:
  /** Reads them now. */
  explicit Metrics(trunkline_runtime_t runtime = trunkline_runtime_t()) {
    trunkline_metrics_t *made = nullptr;
    trunkline_error_t *error = nullptr;
    check(trunkline_metrics_snapshot(runtime, &made, &error), error);
    metrics_.reset(made);
  }

  /** How many series there are. */
  std::size_t size() const noexcept { return trunkline_metrics_len(metrics_.get()); }

  /** Series number `i`, sorted by name and labels. */
  Metric operator[](std::size_t i) const {
    trunkline_metric_t found;
    check(trunkline_metrics_get(metrics_.get(), i, &found));
    Metric metric = {detail::text(found.name.ptr, found.name.len), detail::text(found.labels.ptr, found.labels.len),
                     found.kind, found.value, found.count};
    return metric;
  }

  /** The value that a share `q` of the values of histogram `i` does not exceed; 0.5 is the median. */
  double quantile(std::size_t i, double q) const {
    double value = 0;
    check(trunkline_metrics_quantile(metrics_.get(), i, q, &value));
    return value;
  }

  /** As text that Prometheus reads. */
  std::string prometheus() const {
    std::size_t length = 0;
    const char *found = trunkline_metrics_prometheus(metrics_.get(), &length);
    return detail::text(found, length);
  }

  /** As OpenMetrics 1.0 text. */
  std::string openmetrics() const {
    std::size_t length = 0;
    const char *found = trunkline_metrics_openmetrics(metrics_.get(), &length);
    return detail::text(found, length);
  }

 private:
  detail::Value<trunkline_metrics_t, trunkline_metrics_free> metrics_;
};

/** Takes one record of the log; its texts are borrowed for the length of the call. */
using OnRecord = std::function<void(const trunkline_log_record_t &record)>;

namespace detail {

inline void call_log(void *user_data, const trunkline_log_record_t *record) noexcept {
  (*static_cast<OnRecord *>(user_data))(*record);
}

inline void free_log(void *user_data) noexcept { delete static_cast<OnRecord *>(user_data); }

}  // namespace detail

/** Sends what the library says, up to `max_level` (TRUNKLINE_LOG_*), to `function`, from any thread, several at once. */
inline void set_log(int32_t max_level, OnRecord function) {
  OnRecord *kept = new OnRecord(std::move(function));
  trunkline_error_t *error = nullptr;
  check(trunkline_log_set(max_level, detail::call_log, kept, detail::free_log, &error), error);
}

/** Makes the library silent again. */
inline void remove_log() { check(trunkline_log_set(TRUNKLINE_LOG_OFF, nullptr, nullptr, nullptr, nullptr)); }

}  // namespace trunkline

#endif
