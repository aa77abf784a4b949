/*
 * Trunkline for C++11 and later: RAII over trunkline.h, header only, without an ABI of its own.
 *
 * Every object owns one handle, can be moved and not copied, and frees what it owns when it goes. Any thread may
 * use an object at any time, except that one must not be moved from or destroyed while another uses it.
 *
 * Calls that fail throw trunkline::Error. Calls that "try" return false where they would block, and throw for anything
 * else. Exceptions never leave a callback: the pool's closer must not throw.
 *
 * Deadlines are steady_clock time points or durations from now; the default is to wait without limit.
 */
#ifndef TRUNKLINE_HPP
#define TRUNKLINE_HPP

#include "trunkline.h"

#include <chrono>
#include <cstring>
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
        flags_(trunkline_error_flags(error)),
        source_(optional(trunkline_error_source(error, nullptr))),
        destination_(optional(trunkline_error_destination(error, nullptr))) {
    trunkline_error_free(error);
  }

  /** One of TRUNKLINE_E_*. */
  trunkline_status_t status() const noexcept { return status_; }
  /** What was being done, one of TRUNKLINE_STEP_*; 0 where it is not known. */
  int32_t step() const noexcept { return step_; }
  /** errno behind the failure, 0 if there is none. */
  int32_t os_code() const noexcept { return os_code_; }
  /** Whether the same operation may be tried again without risk of being applied twice. */
  bool is_safe_to_retry() const noexcept { return (flags_ & TRUNKLINE_ERR_RETRYABLE) != 0; }
  /** Whether it is certain that no byte of the operation left this process. */
  bool is_nothing_sent() const noexcept { return (flags_ & TRUNKLINE_ERR_NOT_SENT) != 0; }
  /** The address that the connection comes from; empty where it is not known. */
  const std::string &source() const noexcept { return source_; }
  /** The address that the connection goes to; empty where it is not known. */
  const std::string &destination() const noexcept { return destination_; }

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
  uint32_t flags_;
  std::string source_, destination_;
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
  /** At `when`; steady_clock is the library's clock. A past one tries once. */
  Deadline(std::chrono::steady_clock::time_point when) noexcept
      : ns_(std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count()) {}
  /** So long from now. */
  template <class Rep, class Period>
  Deadline(std::chrono::duration<Rep, Period> from_now)
      : Deadline(std::chrono::steady_clock::now() +
                 std::chrono::duration_cast<std::chrono::steady_clock::duration>(from_now)) {}
  /** Tries once. */
  static Deadline now() noexcept { return Deadline(std::chrono::steady_clock::time_point()); }
  /** Nanoseconds of CLOCK_MONOTONIC, as the C functions take them. */
  int64_t ns() const noexcept { return ns_; }

 private:
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
  /** Starts `workers` threads; 0 means 2. */
  explicit Runtime(uint32_t workers = 0) {
    trunkline_runtime_options_t options = TRUNKLINE_RUNTIME_OPTIONS_INIT;
    options.worker_threads = workers;
    trunkline_runtime_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_runtime_new(&options, &made, &error), error);
    reset(made);
  }

  /** Closes what lives on it and waits for its threads, until the deadline. */
  void shutdown(Deadline deadline = Deadline()) {
    trunkline_error_t *error = nullptr;
    check(trunkline_runtime_shutdown(get(), deadline.ns(), &error), error);
  }
};

/** A byte stream over TCP, a Unix socket or a pipe. Destroying it closes it. */
class Stream : public detail::Owned<trunkline_stream_t, trunkline_stream_free> {
 public:
  /** No stream. */
  Stream() noexcept {}
  /** Takes the handle over. */
  explicit Stream(trunkline_stream_t handle) noexcept : Owned(handle) {}

  /** Connects to "tcp://host:port", "unix:/path" or "mem:name"; without a deadline for 5 s. */
  static Stream connect(const std::string &address, Deadline deadline = Deadline(),
                        trunkline_runtime_t runtime = trunkline_runtime_t()) {
    trunkline_stream_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_connect(runtime, address.data(), address.size(), deadline.ns(), &made, &error), error);
    return Stream(made);
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
    if (status == TRUNKLINE_E_BROKEN) trunkline_stream_error(get(), &error);
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
                    trunkline_runtime_t runtime = trunkline_runtime_t()) {
    trunkline_listen_options_t options = TRUNKLINE_LISTEN_OPTIONS_INIT;
    options.backlog = backlog;
    trunkline_listener_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_listen(runtime, address.data(), address.size(), &options, &made, &error), error);
    reset(made);
  }

  /** The next connection. */
  Stream accept(Deadline deadline = Deadline()) {
    trunkline_stream_t taken;
    trunkline_error_t *error = nullptr;
    check(trunkline_listener_accept(get(), deadline.ns(), &taken, &error), error);
    return Stream(taken);
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

 private:
  void blank() noexcept {
    event_.handle = 0;
    event_.object = nullptr;
    event_.error = nullptr;
  }

  trunkline_event_t event_;
};

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
};

/** Dials, listens and relays under one limit, counts, and drains. Destroying it ends its relays. */
class TcpConnectionManager : public detail::Owned<trunkline_tcp_manager_t, trunkline_tcp_manager_free> {
 public:
  /** `json` is a document such as {"max_connections": 100}; empty means the defaults. */
  explicit TcpConnectionManager(const std::string &json = std::string(),
                                trunkline_runtime_t runtime = trunkline_runtime_t()) {
    trunkline_tcp_manager_t made;
    trunkline_error_t *error = nullptr;
    check(trunkline_tcp_manager_new(runtime, json.data(), json.size(), &made, &error), error);
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

  /** The counts, all of one moment. */
  trunkline_tcp_manager_stats_t stats() const {
    trunkline_tcp_manager_stats_t stats = TRUNKLINE_TCP_MANAGER_STATS_INIT;
    check(trunkline_tcp_manager_stats(get(), &stats));
    return stats;
  }

  /** Lets nothing new in, waits for what stands, cuts the rest at the deadline and says how many. */
  uint64_t drain(Deadline deadline = Deadline()) {
    uint64_t cut;
    trunkline_error_t *error = nullptr;
    check(trunkline_tcp_manager_drain(get(), deadline.ns(), &cut, &error), error);
    return cut;
  }

  /** Closes every listener and connection of the manager. */
  void close() { check(trunkline_tcp_manager_close(get())); }
};

/** Numbers by key, bounded and expiring: the `h` of a handle, or an id of the program's. */
class KeyedPool : public detail::Owned<trunkline_keyed_pool_t, trunkline_keyed_pool_free> {
 public:
  /** Takes a value that the pool gives up, with one of TRUNKLINE_POOL_CLOSE_*. Must not throw or block. */
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

  static void call_closer(void *user_data, uint64_t value, uint32_t reason) {
    (*static_cast<Closer *>(user_data))(value, reason);
  }

  static void free_closer(void *user_data) { delete static_cast<Closer *>(user_data); }
};

}  // namespace trunkline

#endif
