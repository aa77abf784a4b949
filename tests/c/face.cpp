// trunkline.hpp: every class, what it throws, and that nothing is freed twice or left.
#include "check.h"
#include "trunkline.hpp"

#include <sys/socket.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace trunkline;
using std::chrono::milliseconds;

// Runs `call` and returns the status of the Error that it throws.
template <class Call>
trunkline_status_t thrown(Call call) {
  try {
    call();
  } catch (const Error &error) {
    CHECK(std::string(error.what()).size() > 3, "an error says more than a number");
    return error.status();
  }
  return TRUNKLINE_OK;
}

void streams_carry_text_both_ways(const std::string &address) {
  Listener listener(address);
  Stream near = Stream::connect(listener.address());
  Stream far = listener.accept(milliseconds(5000));
  near.write_all("question");
  near.finish();
  char text[16] = "";
  far.read_exact(text, 8);
  CHECK(std::string(text) == "question", "what was written is read");
  CHECK(far.read(text, sizeof text) == 0, "the end follows the last byte");
  far.write_all(std::string("answer"));
  near.read_exact(text, 6);
  CHECK(near.stats().bytes_sent == 8 && near.stats().bytes_received == 6, "the counts are exact");
  std::size_t n;
  CHECK(!near.try_read(text, sizeof text, n), "nothing is there to try");
  Stream moved = std::move(near);
  CHECK(!near && moved, "a moved stream has one owner");
  moved.close();
  CHECK(thrown([&] { moved.read(text, 1); }) == TRUNKLINE_E_CLOSED, "a closed stream says so");
}

void bytes_are_told_what_they_speak() {
  Probed request = Probed::tcp("GET / HTTP/1.1\r\nHost: A.example\r\n");
  CHECK(request.verdict() == TRUNKLINE_PROBE_IS && request.protocol() == "http1", "a request is HTTP/1");
  CHECK(request.host() == "a.example" && request.alpn().empty(), "to a host, without protocols inside");
  CHECK(request.json() == "{\"verdict\":\"is\",\"protocol\":\"http1\",\"host\":\"a.example\"}", "as JSON");
  Probed nothing = Probed::udp({});
  CHECK(nothing.verdict() == TRUNKLINE_PROBE_NEED_MORE && nothing.protocol().empty(), "nothing says nothing");
  std::vector<uint8_t> initiation(148, 0);
  initiation[0] = 1;
  CHECK(Probed::udp({initiation}).protocol() == "wireguard", "one datagram is enough");
  Probed moved = std::move(request);
  CHECK(moved.protocol() == "http1" && request.json().empty(), "a moved result has one owner");
}

void errors_say_what_failed_and_whether_to_retry() {
  try {
    Stream::connect("mem:nobody-is-here");
    CHECK(false, "nobody listens");
  } catch (const Error &error) {
    CHECK(error.status() == TRUNKLINE_E_CONNECTION_FAILED, "the status");
    CHECK(error.step() == TRUNKLINE_STEP_CONNECT && error.os_code() == ECONNREFUSED, "the step and the cause");
    CHECK(error.is_safe_to_retry() && error.is_nothing_sent(), "a retry is safe");
    CHECK(error.destination() == "mem:nobody-is-here" && error.source().empty(), "the ends");
  }
  CHECK(thrown([] { Stream::connect("nonsense"); }) == TRUNKLINE_E_INVALID_ARGUMENT, "no address");
  CHECK(thrown([] { Stream().read(nullptr, 0); }) == TRUNKLINE_E_INVALID_HANDLE, "no stream");
  std::pair<Stream, Stream> ends = pipe();
  char byte;
  CHECK(thrown([&] { ends.first.read(&byte, 1, milliseconds(10)); }) == TRUNKLINE_E_TIMEOUT, "a deadline");
  CHECK(thrown([&] { ends.first.read(&byte, 1, Deadline::now()); }) == TRUNKLINE_E_WOULD_BLOCK, "a past deadline");
  ends.second.abort();
  CHECK(thrown([&] { ends.first.read(&byte, 1); }) == TRUNKLINE_E_BROKEN, "a reset");
}

void a_pipe_is_bounded_and_its_reader_frees_its_writer() {
  std::pair<Stream, Stream> ends = pipe(7);
  std::thread writer([&] {
    ends.first.write_all(std::string(1000, 'x'));
    ends.first.finish();
  });
  std::string all(1000, ' ');
  ends.second.read_exact(&all[0], all.size());
  writer.join();
  CHECK(all == std::string(1000, 'x'), "every byte came through 7 places");
  try {
    char byte;
    ends.second.read_exact(&byte, 1);
    CHECK(false, "the end is no byte");
  } catch (const std::length_error &) {
  }
}

void a_queue_brings_connections_and_readiness() {
  Queue queue(16);
  Listener listener("mem:cpp-queue");
  queue.connect("mem:cpp-queue", 7);
  std::vector<Event> events = queue.wait(milliseconds(5000));
  CHECK(events.size() == 1 && events[0].tag() == 7 && events[0].kind() == TRUNKLINE_EV_CONNECTED, "connected");
  Stream near = events[0].take_stream();
  Stream far = listener.accept();
  queue.arm(near, TRUNKLINE_READABLE, 8);
  CHECK(queue.wait(Deadline::now()).empty(), "nothing is readable yet");
  far.write_all("x");
  events = queue.wait(milliseconds(5000));
  CHECK(events.size() == 1 && events[0].tag() == 8 && events[0].kind() == TRUNKLINE_EV_READABLE, "readable");
  queue.connect("mem:nobody", 9);
  events = queue.wait(milliseconds(5000));
  CHECK(thrown([&] { events.at(0).take_stream(); }) == TRUNKLINE_E_CONNECTION_FAILED, "a failure is thrown");
  queue.connect("mem:cpp-queue", 10);
  events = queue.wait(milliseconds(5000));  // never taken: the event frees its stream
  queue.wake();
  CHECK(queue.wait().empty(), "a wake brings nothing");
  queue.shutdown();
  CHECK(thrown([&] { queue.wait(); }) == TRUNKLINE_E_CLOSED, "a drained queue is closed");
}

void a_tunnel_reaches_what_its_agent_serves() {
  Hub hub("{\"agents\": {\"c1\": [\"a token that is long enough\"]}, \"max_connections\": 2}");
  std::string at = hub.listen("tcp://127.0.0.1:0");
  Agent agent("{\"cluster\": \"c1\", \"token\": \"a token that is long enough\", \"hubs\": [\"" + at +
              "\"], \"targets\": [\"mem:cpp-target\"]}");
  agent.wait_ready(milliseconds(20000));
  Listener listener = agent.listener(), target("mem:cpp-target");
  Stream user = hub.dial("c1");
  Stream served = listener.accept(milliseconds(5000));
  user.write_all("through");
  char text[16] = "";
  served.read_exact(text, 7);
  CHECK(std::string(text) == "through", "what was written is read");
  std::string front = hub.forward("mem:cpp-front", "c1", "mem:cpp-target");
  Stream client = Stream::connect(front);
  target.accept(milliseconds(5000)).write_all("forwarded");
  client.read_exact(text, 9);
  CHECK(hub.stats().active == 2 && agent.stats().opened == 2, "both are counted");
  CHECK(thrown([&] { hub.dial("c1"); }) == TRUNKLINE_E_LIMIT_EXCEEDED, "the limit holds");
  client.close();
  CHECK(thrown([&] { hub.dial("c1", "mem:other"); }) != TRUNKLINE_OK, "only what is listed is dialled");
  CHECK(hub.drain(milliseconds(50)) == 1, "a drain cuts what does not end");
  served.close();
  CHECK(agent.drain() == 0, "nothing is left");
  agent.close();
  hub.close();
}

void a_host_is_reached_by_memory_or_over_a_socket() {
  Hub hub("{\"agents\": {\"c1\": [\"a token that is long enough\"]}}");
  Agent agent("{\"cluster\": \"c1\", \"token\": \"a token that is long enough\", \"hubs\": [\"" +
              hub.listen("mem:cpp-comm") + "\"], \"memory_comm\": {}}");
  agent.wait_ready(milliseconds(20000));
  Listener listener = agent.listener();
  for (double share : {0.0, 1.0}) {
    agent.use_memory_comm(share);
    Stream user = hub.dial("c1");
    Stream served = listener.accept(milliseconds(20000));
    served.write_all("answer");
    char text[8] = "";
    user.read_exact(text, 6);
    CHECK(std::string(text) == "answer", "what was written is read");
  }
  trunkline_memory_comm_stats_t stats = agent.memory_comm_stats();
  CHECK(stats.socket_opened == 1 && stats.memory_opened == 1 && stats.memory_share == 1.0, "one each way");
  CHECK(thrown([&] { agent.use_memory_comm(2.0); }) == TRUNKLINE_E_INVALID_ARGUMENT, "a share is within 0 and 1");
}

void a_user_of_socks5_is_connected_where_it_asks_to() {
  Hub hub("{\"agents\": {\"c1\": [\"a token that is long enough\"]}, \"anonymous\": [\"c1\"]}");
  std::string at = hub.listen("mem:cpp-socks-hub");
  Agent agent("{\"cluster\": \"c1\", \"token\": \"a token that is long enough\", \"hubs\": [\"" + at + "\"]}");
  agent.wait_ready(milliseconds(20000));
  Listener listener = agent.listener();
  Stream user = Stream::connect(hub.listen_socks("mem:cpp-socks"));
  user.write_all(std::string("\5\1\0\5\1\0\3\11c1.tunnel\0\120early", 24));
  Stream served = listener.accept(milliseconds(20000));
  char text[16] = "";
  served.read_exact(text, 5);
  CHECK(std::string(text) == "early", "what it says at once arrives");
  user.read_exact(text, 12);
  CHECK(text[1] == 0 && text[3] == 0, "nobody has to say who it is, and it is connected");
  CHECK(thrown([&] { hub.listen_socks("tcp://0.0.0.0:0"); }) == TRUNKLINE_E_INVALID_ARGUMENT, "in reach of others");
}

void a_memory_proxy_asks_a_function_where_requests_go() {
  Listener at("mem:cpp-proxy"), service("mem:cpp-proxied");
  MemoryProxy proxy("{\"routes\": [{\"path\": \"/x\", \"target\": \"mem:cpp-proxied\"}]}",
                    TRUNKLINE_HOOK_ROUTE | TRUNKLINE_HOOK_PROCESS, [](ProxyJob job) {
                      std::string known = job.question();
                      if (known.find("\"path\":\"/throws\"") != std::string::npos) throw 1;
                      if (job.what() == TRUNKLINE_JOB_PROXY_PROCESS) return job.answer("{\"set\": [[\"x-who\", \"cpp\"]]}");
                      CHECK(thrown([&] { job.answer("{\"target\": 1}"); }) == TRUNKLINE_E_INVALID_ARGUMENT, "still owed");
                      job.answer("{}");
                    });
  proxy.serve(at);
  auto asks = [](const std::string &path) {
    Stream client = Stream::connect("mem:cpp-proxy");
    client.write_all("GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    return client;
  };
  Stream client = asks("/x");
  Stream served = service.accept(milliseconds(20000));
  std::string heard;
  char byte;
  while (heard.find("\r\n\r\n") == std::string::npos) {
    served.read_exact(&byte, 1);
    heard += byte;
  }
  CHECK(heard.find("GET /x HTTP/1.1\r\n") == 0 && heard.find("x-who: cpp\r\n") != std::string::npos, "as the function says");
  served.write_all("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  CHECK(client.read_to_end(2000).find("HTTP/1.1 200 OK\r\n") == 0, "the answer");
  CHECK(asks("/throws").read_to_end(2000).find("HTTP/1.1 500 ") == 0, "what it throws lets nothing through");
  CHECK(asks("/none").read_to_end(2000).find("HTTP/1.1 404 ") == 0, "no route");
  trunkline_memory_proxy_stats_t stats = proxy.stats();
  CHECK(stats.requests == 3 && stats.denied == 2 && stats.hooks_failed == 1, "the counts");
  CHECK(proxy.drain() == 0, "nothing is cut");
  CHECK(thrown([&] { proxy.serve(at); }) == TRUNKLINE_E_CLOSED, "nothing new");
  CHECK(thrown([] { MemoryProxy bad("{"); }) == TRUNKLINE_E_INVALID_ARGUMENT, "no JSON");
  MemoryProxy plain;
  plain.close();
}

void packets_carry_what_streams_do() {
  Hub hub("{\"agents\": {\"c1\": [\"a token that is long enough\"]}, \"carriers\": [\"packet\"]}");
  Agent agent("{\"cluster\": \"c1\", \"token\": \"a token that is long enough\", \"carrier\": \"packet\", \"hubs\": [\"" +
              hub.listen("tcp://127.0.0.1:0") + "\"], \"link\": {\"max_packet\": 65536}}");
  agent.wait_ready(milliseconds(20000));
  Listener listener = agent.listener();
  Stream user = hub.dial("c1");
  Stream served = listener.accept(milliseconds(20000));
  served.write_all("answer");
  char text[8] = "";
  user.read_exact(text, 6);
  CHECK(std::string(text) == "answer", "what was written is read");
  CHECK(thrown([] { Hub bad("{\"carriers\": []}"); }) == TRUNKLINE_E_INVALID_ARGUMENT, "there is one at least");
}

void a_manager_relays_limits_counts_and_drains() {
  TcpConnectionManager manager("{\"max_connections\": 2}");
  Listener server("mem:cpp-server");
  std::string relayed = manager.relay("tcp://127.0.0.1:0", "mem:cpp-server");
  Stream client = Stream::connect(relayed);
  client.write_all("through");
  Stream behind = server.accept(milliseconds(5000));
  char text[8] = "";
  behind.read_exact(text, 7);
  CHECK(std::string(text) == "through", "the relay carries it");
  Listener listener = manager.listen("mem:cpp-managed");
  Stream dialled = manager.connect("mem:cpp-managed");
  CHECK(thrown([&] { manager.connect("mem:cpp-managed"); }) == TRUNKLINE_E_LIMIT_EXCEEDED, "the limit holds");
  trunkline_tcp_manager_stats_t stats = manager.stats();
  CHECK(stats.active == 2 && stats.limit == 2 && stats.opened == 2 && stats.bytes_received == 7, "the counts");
  manager.reconfigure("{\"max_connections\": 3, \"tcp\": {\"nodelay\": false, \"backlog\": 7}}");
  CHECK(manager.stats().limit == 3 && manager.stats().active == 2, "another limit, and both stay");
  CHECK(thrown([&] { manager.reconfigure("{\"tcp\": {\"backlog\": 0}}"); }) == TRUNKLINE_E_INVALID_ARGUMENT,
        "what is out of range");
  std::string live = manager.live();
  uint64_t id = std::stoull(live.substr(live.find("\"id\":") + 5));
  CHECK(manager.inspect(id).find("\"bytes_received\":7") != std::string::npos, "one of them is looked at");
  CHECK(manager.live(id, 10).find("\"held\"") != std::string::npos, "the next page");
  manager.kill(id);
  CHECK(behind.read(text, 1) == 0, "it ends at the server");
  while (manager.stats().active != 1) sched_yield();
  CHECK(thrown([&] { manager.kill(id); }) == TRUNKLINE_E_NOT_FOUND, "and stands no more");
  CHECK(thrown([&] { manager.inspect(id); }) == TRUNKLINE_E_NOT_FOUND, "and is not found");
  CHECK(manager.drain(milliseconds(50)) == 1, "a drain cuts what does not end");
  CHECK(manager.stats().active == 0 && manager.stats().closed == 2, "nothing is left");
  CHECK(manager.stats().closed_killed == 1, "each for its reason");
  manager.close();
  CHECK(thrown([] { TcpConnectionManager bad("{\"max_conections\": 2}"); }) == TRUNKLINE_E_INVALID_ARGUMENT,
        "a key that is misspelt");
}

// Adds its mark to every call, denies one method, and remembers how the last call ended.
struct Watchman : trunkline::Interceptor {
  std::atomic<int32_t> last{-1};
  void begin(trunkline::Beginning &call) override {
    if (call.method() == "/test.Service/Denied") return call.deny(7, "not today");
    if (call.method() == "/test.Service/Thrown") throw std::runtime_error("it throws");
    CHECK(!call.is_secured() && call.metadata().empty(), "nothing was there before");
    try {
      call.add_credentials("token", "hush");
      CHECK(false, "it throws");
    } catch (const Error &error) {
      CHECK(error.status() == TRUNKLINE_E_TLS, "not in the clear");
    }
    call.add("echo-text", "added");
  }
  void end(const trunkline::Ending &end) override {
    CHECK(end.took.count() > 0 && !end.method.empty(), "which, and how long");
    last = end.rpc_code;
  }
};

void an_interceptor_sees_every_call() {
  const char *server = std::getenv("TRUNKLINE_TEST_SERVER");
  CHECK(server != nullptr, "somebody serves");
  Channel channel(server);
  std::shared_ptr<Watchman> watchman = std::make_shared<Watchman>();
  channel.intercept(watchman);
  std::string told;
  for (const auto &pair : channel.call("/test.Service/Echo", "x").initial()) {
    if (pair.first == "echo-text") told = pair.second;
  }
  CHECK(told == "added" && watchman->last == 0, "what was added was sent, and the end heard");
  for (const auto &denied : {std::make_pair("Denied", 7), std::make_pair("Thrown", 13)}) {
    try {
      channel.call(std::string("/test.Service/") + denied.first, "");
      CHECK(false, "it throws");
    } catch (const Error &error) {
      CHECK(error.rpc_code() == denied.second, "with its status");
    }
  }
  channel.close();
}

void a_channel_calls_streams_and_tells_statuses() {
  const char *server = std::getenv("TRUNKLINE_TEST_SERVER");
  CHECK(server != nullptr, "somebody serves");
  Channel channel(server, R"({"preset": "development"})");
  CHECK(channel.state() == TRUNKLINE_CHANNEL_IDLE, "it rests until it is used");
  channel.wait_ready(milliseconds(5000));
  CHECK(channel.wait_for_state_change(TRUNKLINE_CHANNEL_IDLE) == TRUNKLINE_CHANNEL_READY, "it is ready");
  CallOptions options;
  options.deadline = milliseconds(5000);
  options.metadata.emplace_back("echo-text", "hi");
  Reply reply = channel.call("/test.Service/Echo", "hello", options);
  bool came_back = false;
  for (const auto &pair : reply.initial()) came_back |= pair.first == "echo-text" && pair.second == "hi";
  CHECK(reply.message() == "hello" && came_back, "message and metadata come back");
  try {
    channel.call("/test.Service/Fail", "");
    CHECK(false, "it fails");
  } catch (const Error &error) {
    CHECK(error.is(TRUNKLINE_E_RPC) && error.rpc_code() == 5, "NOT_FOUND");
    CHECK(error.rpc_message() == "no such thing", "in the server's own words");
    bool has_hint = false;
    for (const auto &pair : error.metadata()) has_hint |= pair.first == "hint";
    CHECK(has_hint, "with what the server sent");
  }
  std::atomic<int> done(0);
  channel.call("/test.Service/Echo", "later", [&](Event event) {
    done = event.take_reply().message() == "later" ? 1 : -1;
  });
  while (done == 0) std::this_thread::yield();
  CHECK(done == 1, "a reply comes to a function");

  Call call = channel.open("/test.Service/Talk");
  call.send("a");
  CHECK(call.receive().message() == "you said a", "the first answer");
  call.finish_sending();
  CHECK(!call.receive() && !call.initial().empty(), "the end is no message");
  call.trailing();
  call.cancel();
  channel.reset_connect_backoff();
  channel.connect();
  channel.close();
  CHECK(channel.state(true) == TRUNKLINE_CHANNEL_SHUTDOWN, "closed for good");
  CHECK(thrown([&] { channel.call("/test.Service/Echo", ""); }) == TRUNKLINE_E_CLOSED, "no call after it");
}

void a_manager_starts_what_its_document_says() {
  TcpConnectionManager manager(
      "{\"listeners\": {\"in\": {\"address\": \"mem:cpp-in\"}}, \"default_backend\": \"b\","
      " \"backends\": {\"b\": {\"endpoints\": [{\"address\": \"mem:cpp-backend\"}], \"send_proxy_protocol\": \"v1\"}}}");
  Listener backend("mem:cpp-backend");
  CHECK(thrown([&] { manager.listener_address("in"); }) == TRUNKLINE_E_NOT_FOUND, "nothing listens yet");
  CHECK(manager.start() == "{\"in\":\"mem:cpp-in\"}", "each listener by its name");
  Stream client = Stream::connect(manager.listener_address("in"));
  client.write_all("data");
  Stream server = backend.accept(milliseconds(5000));
  char text[32] = "";
  server.read_exact(text, 19);
  CHECK(std::string(text) == "PROXY UNKNOWN\r\ndata", "for whom it speaks, then what was said");
  CHECK(thrown([&] { manager.start(); }) == TRUNKLINE_E_INVALID_ARGUMENT, "it starts once");
  manager.reconfigure(
      "{\"listeners\": {\"in\": {\"address\": \"mem:cpp-in\"}}, \"default_backend\": \"b\", \"backends\": {\"b\":"
      " {\"endpoints\": [{\"address\": \"mem:cpp-backend\"}], \"max_connections\": 1, \"queue\": {\"timeout\": \"never\"}}}}");
  Stream more = Stream::connect(manager.listener_address("in"));
  while (manager.stats().waiting != 1) sched_yield();
  CHECK(manager.live().find("\"waiting\"") != std::string::npos, "it waits for the place of the first");
  client.close();
  server.close();
  Stream next = backend.accept(milliseconds(5000));
  CHECK(manager.stats().waiting == 0, "and gets it");
}

void a_function_says_where_connections_go() {
  TcpConnectionManager manager(
      "{\"listeners\": {\"in\": {\"address\": \"mem:cpp-routed\"}}, \"default_backend\": \"a\","
      " \"route_callback\": {\"timeout\": \"1h\", \"probe\": false}, \"backends\": {"
      " \"a\": {\"endpoints\": [{\"address\": \"mem:cpp-a\"}]}, \"b\": {\"endpoints\": [{\"address\": \"mem:cpp-b\"}]}}}");
  Listener a("mem:cpp-a"), b("mem:cpp-b"), c("mem:cpp-c");
  manager.start();
  auto goes_to = [](Listener &listener) {
    Stream client = Stream::connect("mem:cpp-routed");
    listener.accept(milliseconds(5000));
  };
  manager.on_route([](RouteJob job) {
    CHECK(job.arrival().find("\"listener\":\"in\"") != std::string::npos, "it is told what is known");
    CHECK(thrown([&] { job.decide(Route::to_address("none")); }) == TRUNKLINE_E_INVALID_ARGUMENT, "and still owed");
    job.decide(Route::to_backend("b"));
  });
  goes_to(b);
  manager.on_route([](RouteJob job) { job.decide(Route::to_address("mem:cpp-c")); });
  goes_to(c);
  manager.on_route([](RouteJob job) { job.decide(Route::by_default()); });
  goes_to(a);
  manager.on_route([](RouteJob job) { job.fail(TRUNKLINE_E_TIMEOUT, "no idea"); });
  goes_to(a);
  manager.on_route([](RouteJob) { throw 1; });
  goes_to(a);
  manager.on_route([](RouteJob job) { job.decide(Route::refuse()); });
  Stream refused = Stream::connect("mem:cpp-routed");
  char byte;
  CHECK(thrown([&] { refused.read(&byte, 1); }) == TRUNKLINE_E_BROKEN, "it is reset");
  manager.on_route(nullptr);
  goes_to(a);
}

void a_function_says_how_endpoints_are_and_it_is_seen() {
  TcpConnectionManager manager(
      "{\"listeners\": {\"in\": {\"address\": \"mem:cpp-checked\"}}, \"default_backend\": \"a\", \"backends\": {\"a\": {"
      " \"endpoints\": [{\"address\": \"mem:cpp-a\"}], \"health\": {\"interval\": \"1ms\", \"fall\": 1, \"rise\": 1,"
      " \"check\": {\"callback\": {\"no_answer\": \"keep\"}}}}}}");
  manager.start();
  auto until = [&](const char *text) {
    while (manager.endpoints().find(text) == std::string::npos) sched_yield();
  };
  until("\"state\":\"unchecked\"");
  manager.on_check([](CheckJob job) {
    CHECK(job.endpoint().find("\"address\":\"mem:cpp-a\"") != std::string::npos, "it is told which");
    job.fail("it lags");
  });
  until("\"reason\":{\"kind\":\"check\",\"step\":\"callback\",\"text\":\"it lags\"}");
  manager.on_check([](CheckJob job) { job.pass(); });
  until("\"state\":\"healthy\"");
  std::atomic<int> thrown_by(0);
  manager.on_check([&](CheckJob) {
    thrown_by++;
    throw 1;
  });
  while (thrown_by < 3) sched_yield();
  CHECK(manager.endpoints().find("\"state\":\"healthy\"") != std::string::npos, "it stays what it was");
  manager.on_check(nullptr);
  manager.close();
}

void a_pool_gives_each_value_up_exactly_once() {
  std::atomic<int> closed(0), sum(0);
  {
    KeyedPool pool("{\"max_size\": 2}", [&](uint64_t value, uint32_t) {
      closed++;
      sum += static_cast<int>(value);
    });
    pool.insert("a", 1);
    pool.insert("b", 2);
    CHECK(thrown([&] { pool.insert("c", 3); }) == TRUNKLINE_E_LIMIT_EXCEEDED, "a full pool refuses");
    uint64_t value = 0;
    CHECK(pool.get_value("a", value) && value == 1, "a value is found");
    CHECK(!pool.get_value("c", value), "what was refused is not there");
    CHECK(pool.remove("a", value) && !pool.remove("a", value), "a value is taken once");
    pool.insert("b", 4);
    CHECK(pool.stats().entries == 1 && pool.stats().max_entries == 2, "the counts");
    CHECK(pool.prune_expired() == 0, "nothing has expired");
    pool.clear();
    pool.insert("d", 8);
  }
  CHECK(closed == 3 && sum == 2 + 4 + 8, "each value that was not taken was given up once");
  CHECK(thrown([] { KeyedPool bad("{", [](uint64_t, uint32_t) {}); }) == TRUNKLINE_E_INVALID_ARGUMENT, "no JSON");
}

void a_stream_has_a_socket_for_code_that_takes_nothing_else() {
  std::pair<Stream, Stream> ends = pipe();
  int fd = ends.first.to_socket();
  CHECK(::write(fd, "question", 8) == 8, "a socket takes bytes");
  ends.second.write_all("answer");
  ends.second.finish();
  char answer[6];
  CHECK(::recv(fd, answer, 6, MSG_WAITALL) == 6 && std::string(answer, 6) == "answer", "what the peer says");
  CHECK(thrown([&] { ends.first.write_all("x"); }) == TRUNKLINE_E_CLOSED, "the stream is the socket's");
  CHECK(thrown([&] { ends.first.to_socket(); }) == TRUNKLINE_E_CLOSED, "there is one");
  ends.first = Stream();
  CHECK(::close(fd) == 0, "it outlives the object");
  CHECK(ends.second.read_to_end(100) == "question", "and its end is the stream's");
}

void a_runtime_of_its_own_ends_with_what_lives_on_it() {
  Runtime runtime(1);
  std::pair<Stream, Stream> ends = pipe(0, runtime.get());
  runtime.shutdown(milliseconds(5000));
  CHECK(thrown([&] { ends.first.write_all("x"); }) == TRUNKLINE_E_CLOSED, "its streams are closed");
  CHECK(thrown([&] { pipe(0, runtime.get()); }) == TRUNKLINE_E_CLOSED, "nothing new is made on it");
}

}  // namespace

int main() {
  begin();
  for (const char *address : {"tcp://127.0.0.1:0", "unix:@trunkline-face", "mem:face"}) {
    streams_carry_text_both_ways(address);
  }
  bytes_are_told_what_they_speak();
  errors_say_what_failed_and_whether_to_retry();
  a_pipe_is_bounded_and_its_reader_frees_its_writer();
  a_queue_brings_connections_and_readiness();
  a_manager_relays_limits_counts_and_drains();
  a_channel_calls_streams_and_tells_statuses();
  an_interceptor_sees_every_call();
  a_manager_starts_what_its_document_says();
  a_function_says_where_connections_go();
  a_function_says_how_endpoints_are_and_it_is_seen();
  a_tunnel_reaches_what_its_agent_serves();
  a_host_is_reached_by_memory_or_over_a_socket();
  packets_carry_what_streams_do();
  a_user_of_socks5_is_connected_where_it_asks_to();
  a_memory_proxy_asks_a_function_where_requests_go();
  a_pool_gives_each_value_up_exactly_once();
  a_stream_has_a_socket_for_code_that_takes_nothing_else();
  a_runtime_of_its_own_ends_with_what_lives_on_it();
  trunkline_debug_counts_t counts = TRUNKLINE_DEBUG_COUNTS_INIT;
  OK(trunkline_debug_counts(&counts));
  CHECK(counts.streams == 0 && counts.listeners == 0 && counts.queues == 0, "nothing is left");
  CHECK(counts.keyed_pools == 0 && counts.tcp_managers == 0 && counts.runtimes == 0, "nothing is left");
  CHECK(counts.channels == 0 && counts.calls == 0, "nothing is left");
  CHECK(counts.agents == 0 && counts.hubs == 0 && counts.memory_proxies == 0, "nothing is left");
  OK(trunkline_runtime_shutdown(default_runtime(), NEVER, nullptr));
  return 0;
}
