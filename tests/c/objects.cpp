// The C++ objects: each owns what it names, moves it, gives it back, and throws what went wrong.
#include "trunkline.hpp"

#include "check.h"

#include <atomic>
#include <csignal>
#include <future>
#include <sys/wait.h>
#include <thread>

namespace {

using trunkline::Deadline;
using trunkline::Error;
using trunkline::Event;
using trunkline::Listener;
using trunkline::Queue;
using trunkline::Stream;

// Runs `body`, which must throw an Error of this status.
template <typename Body>
Error thrown(trunkline_status_t status, Body body) {
  try {
    body();
  } catch (const Error &error) {
    GIVES(status, error.status());
    return error;
  }
  CHECK(false, "it throws");
  return Error(status);
}

std::string say_and_hear(Stream &from, Stream &to, const std::string &text) {
  std::string heard(text.size(), '\0');
  from.write_all(text);
  to.read_exact(&heard[0], heard.size());
  return heard;
}

void errors_tell_step_ends_and_chain() {
  std::string address;
  {
    Listener listener("tcp://127.0.0.1:0");
    address = listener.address();
  }
  Error error = thrown(TRUNKLINE_E_CONNECTION_FAILED, [&] { Stream::connect(address); });
  CHECK(error.is(TRUNKLINE_E_CONNECTION_FAILED), "it is what it is");
  CHECK(error.step() == TRUNKLINE_STEP_CONNECT, "the step");
  CHECK(error.os_code() == ECONNREFUSED, "errno");
  CHECK(error.rpc_code() == -1, "no gRPC status");
  CHECK(error.is_safe_to_retry() && error.is_nothing_sent(), "may be tried again");
  CHECK(error.destination() == address, "where to");
  CHECK(error.chain().size() >= 2, "with its cause");
  CHECK(std::string(error.what()).find(error.chain().back()) != std::string::npos, "what() has the last cause");
  Error plain = thrown(TRUNKLINE_E_INVALID_HANDLE, [] { Stream().close(); });
  CHECK(std::string(plain.what()) == "INVALID_HANDLE" && plain.chain().empty(), "without details it has its name");
}

void owners_move_and_free() {
  std::pair<Stream, Stream> ends = trunkline::pipe();
  Stream near = std::move(ends.first);
  CHECK(!ends.first && near, "a moved stream leaves an empty one");
  CHECK(counts().streams == 2, "and is one stream");
  near = std::move(ends.second);
  CHECK(counts().streams == 1, "what is replaced is freed");
  Stream &same = near;
  near = std::move(same);
  CHECK(static_cast<bool>(near), "moving to itself keeps it");
  trunkline_stream_t raw = near.release();
  CHECK(!near && counts().streams == 1, "what is released is not freed");
  near = Stream(raw);
  near = Stream();
  CHECK(counts().streams == 0, "what is taken over is");
}

void deadlines_come_from_clocks_and_durations() {
  using namespace std::chrono;
  CHECK(Deadline().ns() == TRUNKLINE_DEADLINE_NONE, "none is never");
  CHECK(Deadline(hours::max()).ns() == TRUNKLINE_DEADLINE_NONE, "what no clock can tell is never");
  CHECK(Deadline(duration<double>(1e300)).ns() == TRUNKLINE_DEADLINE_NONE, "in any unit");
  CHECK(Deadline(steady_clock::time_point::max()).ns() == TRUNKLINE_DEADLINE_NONE, "also as a point of time");
  CHECK(Deadline(steady_clock::time_point()).ns() == 1, "the beginning of time is past, not a try");
  CHECK(Deadline::now().ns() == 0, "which is asked for by its name");
  std::int64_t soon = Deadline(milliseconds(1500)).ns() - in_ms(0);
  CHECK(soon > 1000000000 && soon <= 1500000000, "a duration counts from now, by the clock of the library");
  std::int64_t past = Deadline(hours(-5)).ns();
  CHECK(past > 0 && past <= in_ms(0), "a negative one is past");

  std::pair<Stream, Stream> ends = trunkline::pipe();
  char byte;
  steady_clock::time_point until = steady_clock::now() + milliseconds(10);
  Error error = thrown(TRUNKLINE_E_TIMEOUT, [&] { ends.first.read(&byte, 1, until); });
  CHECK(steady_clock::now() >= until, "not early");
  thrown(TRUNKLINE_E_TIMEOUT, [&] { ends.first.read(&byte, 1, milliseconds(-1)); });
}

void streams_read_write_finish_and_break() {
  Listener listener("tcp://127.0.0.1:0");
  Stream near = Stream::connect(listener.address(), std::chrono::seconds(5));
  Stream far = listener.accept();
  Stream none;
  CHECK(!listener.try_accept(none) && !none, "nobody else is there");
  CHECK(near.peer() == listener.address() && far.local() == listener.address(), "addresses are told");
  CHECK(say_and_hear(near, far, "question") == "question", "bytes cross");
  std::size_t n = 9;
  char byte;
  CHECK(!near.try_read(&byte, 1, n), "nothing is there");
  near.finish();
  far.write_all("answer");
  far.finish();
  CHECK(near.read_to_end(100) == "answer", "a half-close lets the answer through");
  near.close();
  CHECK(near.stats().bytes_sent == 8 && near.stats().bytes_received == 6, "counts are exact");
  CHECK(near.stats().close_reason == TRUNKLINE_CLOSE_FINISHED, "and so is the reason");
  Error closed = thrown(TRUNKLINE_E_CLOSED, [&] { near.read(&byte, 1); });

  near = Stream::connect(listener.address());
  far = listener.accept();
  near.abort();
  Error broken = thrown(TRUNKLINE_E_BROKEN, [&] { far.read(&byte, 1); });
  CHECK(broken.os_code() == ECONNRESET && broken.step() == TRUNKLINE_STEP_READ, "a reset is told in full");

  std::pair<Stream, Stream> ends = trunkline::pipe(1000);
  std::vector<char> much(100000);
  std::size_t fits = ends.first.write(much.data(), much.size());
  CHECK(fits >= 1000 && fits < much.size(), "a pipe is bounded");
  CHECK(!ends.first.try_write(much.data(), much.size(), n), "and full");
  bool is_too_long = false;
  try {
    ends.second.read_to_end(10);
  } catch (const std::length_error &) {
    is_too_long = true;
  }
  CHECK(is_too_long, "more than was asked for is refused");
}

void buffers_share_without_a_copy() {
  std::vector<std::uint8_t> bytes(1000, 7);
  const std::uint8_t *data = bytes.data();
  trunkline::Buffer buffer = trunkline::Buffer::wrap(std::move(bytes));
  trunkline::Buffer other = buffer.share();
  buffer = trunkline::Buffer();
  CHECK(other.data() == data && other.size() == 1000, "no byte was moved");
  std::pair<Stream, Stream> ends = trunkline::pipe();
  ends.first.write_all(other.data(), other.size());
  CHECK(ends.second.read_buffer(5000).size() == 1000, "streams read into buffers");
  CHECK(trunkline::Buffer().size() == 0, "an empty one is empty");
  trunkline::Buffer large = trunkline::Buffer::wrap(std::vector<std::uint8_t>(20000, 9));
  const std::uint8_t *place = large.data();
  ends.first.write_buffer(large);
  CHECK(large.size() == 0, "what was written is taken off");
  trunkline::Buffer arrived = ends.second.read_buffer(65536);
  CHECK(arrived.data() == place && arrived.size() == 20000, "a pipe hands the very bytes over");
}

void queues_carry_connects_and_readiness() {
  Listener listener("mem:objects");
  Queue queue;
  CHECK(queue.wait(Deadline::now()).empty(), "nothing is there");
  CHECK(queue.wait(std::chrono::milliseconds(1), 1).empty(), "nothing came");
  queue.wake();
  CHECK(queue.wait().empty(), "a wake has no event");
  CHECK(queue.fd() >= 0, "it can be polled");
  trunkline_op_t op = queue.connect("mem:objects", 5);
  Stream far = listener.accept();
  std::vector<Event> events = queue.wait();
  CHECK(events.size() == 1 && events[0].tag() == 5 && events[0].raw().op == op.h, "one event, as it was asked for");
  Stream near = events[0].take_stream();
  CHECK(!events[0].take_stream(), "it is taken once");
  trunkline::cancel(op);
  queue.arm(near, TRUNKLINE_READABLE, 6);
  far.write_all("x");
  events = queue.wait();
  CHECK(events.size() == 1 && events[0].tag() == 6 && events[0].kind() == TRUNKLINE_EV_READABLE, "readiness comes");
  queue.connect("mem:nobody", 7);
  events = queue.wait();
  Error refused = thrown(TRUNKLINE_E_CONNECTION_FAILED, [&] { events[0].take_stream(); });
  CHECK(!refused.chain().empty(), "with its details");
  queue.connect("mem:objects", 8);
  listener.accept();
  CHECK(queue.wait().size() == 1, "an event that nobody takes frees its stream");
  queue.shutdown();
  thrown(TRUNKLINE_E_CLOSED, [&] { queue.wait(); });
}

void functions_take_events_once() {
  Listener listener("mem:functions");
  std::promise<Stream> promise;
  std::future<Stream> future = promise.get_future();
  std::shared_ptr<int> captured = std::make_shared<int>(1);
  std::weak_ptr<int> watched = captured;
  trunkline::connect("mem:functions", [&promise, captured](Event event) {
    CHECK(trunkline_in_callback() == 1, "on a thread of the library");
    promise.set_value(event.take_stream());
  });
  captured.reset();
  Stream far = listener.accept();
  Stream near = future.get();
  CHECK(say_and_hear(near, far, "hello") == "hello", "the stream is good");
  while (!watched.expired()) std::this_thread::yield();
  captured = std::make_shared<int>(2);
  watched = captured;
  thrown(TRUNKLINE_E_INVALID_ARGUMENT,
         [&] { trunkline::connect("nonsense", [captured](Event) { CHECK(false, "it is not called"); }); });
  CHECK(captured.use_count() == 1, "a refused submit keeps no function");
}

void managers_relay_limit_and_drain() {
  Listener echo("tcp://127.0.0.1:0");
  std::thread server([&] {
    Stream stream = echo.accept();
    char text[4];
    stream.read_exact(text, 4);
    stream.write_all(text, 4);
  });
  trunkline::TcpConnectionManager manager("{\"max_connections\": 1}");
  std::string front = manager.relay("tcp://127.0.0.1:0", echo.address());
  {
    Stream client = Stream::connect(front);
    client.write_all("ping");
    CHECK(client.read_to_end(100) == "ping", "bytes go round");
  }
  server.join();
  CHECK(manager.drain(std::chrono::seconds(5)) == 0, "nobody had to be cut");
  trunkline_tcp_manager_stats_t stats = manager.stats();
  CHECK(stats.opened == 1 && stats.closed == 1 && stats.active == 0, "the counts are exact");
  CHECK(stats.bytes_received == 4 && stats.bytes_sent == 4, "both ways");
  manager.close();
  Error bad = thrown(TRUNKLINE_E_INVALID_ARGUMENT, [] { trunkline::TcpConnectionManager bad_one("{\"x\": 1}"); });
  CHECK(std::string(bad.what()).find("x") != std::string::npos, "the key is named");

  trunkline::TcpConnectionManager limited("{\"max_connections\": 1}");
  Listener front_door = limited.listen("tcp://127.0.0.1:0");
  Stream only = limited.connect(echo.address());
  thrown(TRUNKLINE_E_LIMIT_EXCEEDED, [&] { limited.connect(echo.address()); });
  std::promise<Event> refused, drained;
  limited.connect(echo.address(), [&refused](Event event) { refused.set_value(std::move(event)); });
  GIVES(TRUNKLINE_E_LIMIT_EXCEEDED, refused.get_future().get().status());
  limited.drain([&drained](Event event) { drained.set_value(std::move(event)); }, std::chrono::milliseconds(1));
  Event event = drained.get_future().get();
  CHECK(event.kind() == TRUNKLINE_EV_DRAINED && event.value() == 1, "one had to be cut");
}

void datagrams_go_by_socket_and_by_manager() {
  trunkline::Datagram server("udp://127.0.0.1:0"), client("udp://127.0.0.1:0");
  trunkline::UdpConnectionManager manager("{\"max_sessions\": 10}");
  trunkline::Datagram front("udp://127.0.0.1:0");
  trunkline_socket_address_t to = front.socket_address();
  front.close();
  CHECK(manager.relay("udp://127.0.0.1:" + std::to_string(to.port), server.address()).find("udp://127.0.0.1:") == 0,
        "the address is told");
  client.send_to("ping", to);
  trunkline::Received question = server.recv_from();
  CHECK(std::string(question.data.begin(), question.data.end()) == "ping", "it arrives");
  CHECK(question.to.port == server.socket_address().port, "at the address that was asked");
  server.send_to("pong", question.source);
  std::vector<uint8_t> room(3);
  std::vector<trunkline_received_t> received;
  std::vector<trunkline_room_t> rooms(1);
  rooms[0].ptr = room.data();
  rooms[0].len = room.size();
  CHECK(client.recv_many(rooms, received) == 1 && received[0].whole_len == 4 && received[0].len == 3, "cut, and told so");
  CHECK(received[0].source.port == to.port, "from the relay");
  client.send_to("too long", client.socket_address());
  thrown(TRUNKLINE_E_UDP, [&] { client.recv_from(2); });
  CHECK(client.stats().truncated == 2 && client.stats().datagrams_sent == 2, "counted");

  CHECK(manager.stats().active == 1 && manager.stats().unverified == 1, "one session");
  CHECK(manager.live().find("\"verified\":false") != std::string::npos, "it is listed");
  thrown(TRUNKLINE_E_UDP, [&] { manager.kill(0); });
  trunkline::Datagram own = manager.bind("udp://127.0.0.1:0");
  std::promise<Event> drained;
  manager.drain([&drained](Event event) { drained.set_value(std::move(event)); }, std::chrono::milliseconds(1));
  CHECK(drained.get_future().get().value() == 1 && manager.drain() == 0, "one had to be cut");
  thrown(TRUNKLINE_E_CLOSED, [&] { own.recv_from(); });
  manager.close();
}

void pools_keep_values_and_give_them_up() {
  std::atomic<int> given_up(0);
  std::shared_ptr<int> captured = std::make_shared<int>(1);
  {
    trunkline::KeyedPool pool("{\"max_size\": 2}", [&given_up, captured](std::uint64_t value, std::uint32_t reason) {
      CHECK(value > 0 && reason > 0, "a value and its reason");
      given_up++;
    });
    std::uint64_t value = 0;
    pool.insert("a", 1);
    pool.insert("b", 2);
    thrown(TRUNKLINE_E_LIMIT_EXCEEDED, [&] { pool.insert("c", 3); });
    CHECK(pool.get_value("a", value) && value == 1, "found");
    CHECK(!pool.get_value("c", value), "not found");
    CHECK(pool.remove("a", value) && value == 1 && !pool.remove("a", value), "removed once");
    CHECK(given_up == 0, "what is removed is the caller's");
    pool.clear();
    CHECK(given_up == 1 && pool.prune_expired() == 0, "cleared");
    pool.insert("d", 4);
    CHECK(pool.stats().entries == 1, "counted");
  }
  CHECK(given_up == 2 && captured.use_count() == 1, "the rest, and the function, go with the pool");
  thrown(TRUNKLINE_E_INVALID_ARGUMENT, [&] {
    trunkline::KeyedPool("{\"max_size\": 0}", [captured](std::uint64_t, std::uint32_t) {});
  });
  CHECK(captured.use_count() == 1, "also when it is refused");
  trunkline::KeyedPool silent;
  silent.insert("a", 1);
}

void values_are_read_by_name() {
  trunkline::Config config = trunkline::Config::from_json("{\"preset\": \"high_throughput\", \"connect_timeout\": \"2s\"}");
  CHECK(config.duration("connect_timeout") == std::chrono::seconds(2), "durations");
  CHECK(config.duration("idle_timeout") == std::chrono::nanoseconds::max(), "never");
  CHECK(config.flag("pooling.enabled") && config.number("pooling.size") == 10, "flags and numbers");
  CHECK(trunkline::Config::from_json(config.json()).json() == config.json(), "JSON both ways");
  CHECK(trunkline::Config::production().json() != trunkline::Config::development().json(), "presets differ");
  thrown(TRUNKLINE_E_NOT_FOUND, [&] { config.number("no.such"); });

  trunkline::Runtime runtime(1, "objects");
  std::pair<Stream, Stream> ends = trunkline::pipe(0, runtime);
  trunkline::Metrics metrics(runtime);
  double active = 0;
  for (std::size_t i = 0; i < metrics.size(); i++) {
    if (metrics[i].name == "trunkline_connections_active") active += metrics[i].value;
  }
  CHECK(active == 2, "both ends are counted");
  CHECK(metrics.prometheus().find("trunkline_connections_active") != std::string::npos, "as text");
  CHECK(metrics.openmetrics().find("# EOF") != std::string::npos, "in both formats");
  thrown(TRUNKLINE_E_NOT_FOUND, [&] { metrics[metrics.size()]; });
  runtime.shutdown();
  thrown(TRUNKLINE_E_CLOSED, [&] { trunkline::pipe(0, runtime); });
}

void the_log_is_heard() {
  std::atomic<int> records(0);
  std::shared_ptr<int> captured = std::make_shared<int>(1);
  trunkline::set_log(TRUNKLINE_LOG_DEBUG, [&records, captured](const trunkline_log_record_t &record) {
    CHECK(record.message.len > 0, "a record says something");
    records++;
  });
  trunkline::pipe();
  CHECK(records == 4, "two ends open and close");
  trunkline::remove_log();
  CHECK(captured.use_count() == 1, "the function is gone");
  thrown(TRUNKLINE_E_INVALID_ARGUMENT, [&] { trunkline::set_log(9, [captured](const trunkline_log_record_t &) {}); });
  CHECK(captured.use_count() == 1, "also when it is refused");
}

// In a child: it dies of SIGABRT.
void a_throwing_function_ends_the_program() {
  pid_t child = fork();
  CHECK(child >= 0, "a fork works");
  if (child == 0) {
    begin();
    std::signal(SIGABRT, SIG_DFL);
    fclose(stderr);
    try {
      trunkline::KeyedPool pool("", [](std::uint64_t, std::uint32_t) { throw std::runtime_error("out of a closer"); });
      pool.insert("a", 1);
      pool.clear();
    } catch (...) {
    }
    end_child();
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child, "the child ends");
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "by std::terminate");
}

void one_caller_makes_what_others_wait_for() {
  std::atomic<int> given_up(0), made(0);
  trunkline::KeyedPool pool("", [&](std::uint64_t, std::uint32_t) { given_up++; });
  auto get = [&] { return pool.get_or_create("a", [&] { return static_cast<std::uint64_t>(++made); }); };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([&] { CHECK(get() == 1, "all get the same"); });
  }
  for (std::thread &thread : threads) thread.join();
  CHECK(made == 1 && given_up == 0, "made once");
  auto fails = [&]() -> std::uint64_t { throw std::runtime_error("no luck"); };
  bool caught = false;
  try {
    pool.get_or_create("b", fails);
  } catch (const std::runtime_error &error) {
    caught = std::string(error.what()) == "no luck";
  }
  CHECK(caught, "what the maker throws");
  std::promise<Event> asked, told;
  pool.get_or_create_async("b", [&](Event event) { asked.set_value(std::move(event)); });
  trunkline::Job job = asked.get_future().get().take_job();
  CHECK(static_cast<bool>(job), "and the next one has the job");
  thrown(TRUNKLINE_E_TIMEOUT, [&] { pool.get_or_create("b", fails, std::chrono::milliseconds(1)); });
  pool.get_or_create_async("b", [&](Event event) { told.set_value(std::move(event)); });
  CHECK(job.fill(7) == 7 && !job, "answered once");
  Event event = told.get_future().get();
  CHECK(event.kind() == TRUNKLINE_EV_POOL_VALUE && event.value() == 7, "the value for who waited");
  thrown(TRUNKLINE_E_TIMEOUT, [&] {
    pool.get_or_create("c", [&] {
      std::promise<Event> next;
      pool.get_or_create_async("c", [&](Event event) { next.set_value(std::move(event)); });
      next.get_future().get().take_job().fail(TRUNKLINE_E_BROKEN, "given back");
      return static_cast<std::uint64_t>(9);
    }, std::chrono::milliseconds(5));
  });
  CHECK(given_up == 1, "what comes too late is given up");
  trunkline::Job moved(std::move(job)), empty;
  moved = std::move(empty);
  CHECK(!moved && pool.size() == 2 && pool.max_size() == 1024, "counted");
  CHECK(pool.utilization() > 0 && pool.expiration_ratio() < 0.1, "in parts");
}

void who_can_wait_for_a_place_does() {
  trunkline::KeyedPool pool("{\"max_size\": 1, \"when_full\": \"wait\"}");
  std::uint64_t value = 0;
  pool.insert_wait("a", 1);
  thrown(TRUNKLINE_E_TIMEOUT, [&] { pool.insert_wait("b", 2, std::chrono::milliseconds(1)); });
  std::thread waits([&] { pool.insert_wait("b", 3); });
  CHECK(pool.remove("a", value), "a place is free");
  waits.join();
  CHECK(pool.get_value("b", value) && value == 3, "and taken");
  pool.insert_wait("b", 4, Deadline::now(), std::chrono::nanoseconds(1));
  CHECK(!pool.get_value("b", value), "a lifetime of its own");
  std::promise<Event> placed;
  pool.insert_wait_async("c", 5, [&](Event event) { placed.set_value(std::move(event)); });
  placed.get_future().get();
  CHECK(pool.get_value("c", value) && value == 5, "as an operation too");
}

/** Counts up, and counts what is closed. */
class Numbers : public trunkline::Connector {
 public:
  explicit Numbers(std::atomic<int> &closed) : made_(0), closed_(closed) {}
  void connect(trunkline::Job job) override { job.done(++made_); }
  void check(trunkline::Job job, std::uint64_t number) override {
    if (number == 2) return job.fail(TRUNKLINE_E_BROKEN, "two is broken");
    job.done();
  }
  void close(trunkline::Job job, std::uint64_t, std::uint32_t) override {
    closed_++;
    job.done();
  }
  std::uint32_t abilities() const override { return TRUNKLINE_POOL_CHECKS; }

 private:
  std::atomic<std::uint64_t> made_;
  std::atomic<int> &closed_;
};

void pools_lend_to_one_caller_at_a_time() {
  std::atomic<int> closed(0);
  trunkline::Pool pool(std::unique_ptr<trunkline::Connector>(new Numbers(closed)), "{\"max_size\": 1}");
  trunkline::Lease lease = pool.acquire("objects.cpp");
  CHECK(lease && lease.value() == 1, "the program's number");
  CHECK(pool.leases().find("objects.cpp") != std::string::npos, "who holds it");
  CHECK(pool.advice() == "[]", "nothing was advised yet");
  thrown(TRUNKLINE_E_WOULD_BLOCK, [&] { pool.acquire(Deadline::now()); });
  thrown(TRUNKLINE_E_TIMEOUT, [&] { pool.acquire(std::chrono::milliseconds(1)); });
  std::uint64_t served = 0;
  CHECK(pool.acquire_async([&](trunkline::Event event) { served = event.take_lease().value(); }).h != 0, "it waits");
  trunkline::Lease moved(std::move(lease));
  lease = std::move(moved);
  lease.release();
  CHECK(!lease && served == 1 && pool.stats().idle == 1, "lent to the next, and put back by its lease");
  pool.acquire_async([&](trunkline::Event event) { event.take_lease().discard(); });
  CHECK(pool.acquire().value() == 2, "what was discarded is made anew");
  pool.check();
  while (pool.take_stats().invalid == 0) std::this_thread::yield();
  CHECK(pool.acquire().detach() == 3, "what does not pass is not lent");
  pool.resize(2, 1);
  pool.wait_ready();
  pool.clear();
  CHECK(pool.acquire().value() > 4, "of a later generation");
  CHECK(pool.drain() == 0 && pool.close() == 0, "all are closed");
  thrown(TRUNKLINE_E_CLOSED, [&] { pool.acquire(); });
  CHECK(closed == static_cast<int>(pool.stats().closed) - 1, "each once; the detached one is the program's");
}

void pools_are_waited_for_without_a_thread() {
  static std::atomic<int> closed(0); /* pools that are freed close what they have later on */
  auto make = [] { return std::unique_ptr<trunkline::Connector>(new Numbers(closed)); };
  trunkline::Pool pool(make(), "{\"min_idle\": 1}"), other(make());
  std::promise<Event> ready, left, none;
  pool.wait_ready_async([&](Event event) { ready.set_value(std::move(event)); });
  CHECK(ready.get_future().get().status() == TRUNKLINE_OK && pool.stats().idle == 1, "one stands ready");
  pool.resize(1, 0);  // so that no second one is made in the place of what is lent
  trunkline::Lease lease = pool.acquire();
  pool.drain_async([&](Event event) { left.set_value(std::move(event)); }, std::chrono::milliseconds(1));
  CHECK(left.get_future().get().value() == 1, "one is lent still");
  lease.release();
  other.close_async([&](Event event) { none.set_value(std::move(event)); });
  thrown(TRUNKLINE_E_CLOSED, [&] { other.acquire(); });
  CHECK(none.get_future().get().value() == 0, "there was none");
}

void pools_lend_streams_too() {
  Listener listener("mem:objects-pool");
  trunkline::Pool pool(std::vector<std::string>(1, "mem:objects-pool"));
  std::uint64_t first = pool.acquire().value();
  trunkline::Stream far = listener.accept();
  CHECK(pool.acquire().value() == first, "the same");
  far = trunkline::Stream();
  CHECK(pool.acquire().value() != first, "its peer is gone");
  CHECK(pool.close() == 0, "every stream is closed");
}

}  // namespace

int main() {
  begin();
  a_throwing_function_ends_the_program();
  errors_tell_step_ends_and_chain();
  owners_move_and_free();
  deadlines_come_from_clocks_and_durations();
  streams_read_write_finish_and_break();
  buffers_share_without_a_copy();
  queues_carry_connects_and_readiness();
  functions_take_events_once();
  managers_relay_limit_and_drain();
  datagrams_go_by_socket_and_by_manager();
  pools_keep_values_and_give_them_up();
  one_caller_makes_what_others_wait_for();
  who_can_wait_for_a_place_does();
  pools_lend_to_one_caller_at_a_time();
  pools_are_waited_for_without_a_thread();
  pools_lend_streams_too();
  values_are_read_by_name();
  the_log_is_heard();
  leave();
  return 0;
}
