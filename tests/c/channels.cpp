// trunkline.hpp: what a channel's configuration makes of its calls: where they go, what they say, how they are counted.
#include "check.h"
#include "trunkline.hpp"

#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <string>

namespace {

using namespace trunkline;

// Calls, and returns the status of gRPC that the call ended with.
int32_t ended(Channel &channel, const std::string &method, std::string *message = nullptr) {
  try {
    channel.call("/test.Service/" + method, "");
    return 0;
  } catch (const Error &error) {
    if (message != nullptr) *message = error.rpc_message();
    return error.rpc_code();
  }
}

std::string document(const std::string &fields) { return R"({"service_config": {"document": {)" + fields + "}}}"; }

void calls_go_to_a_server_while_it_says_that_it_serves(const char *server) {
  Channel other(server);
  Channel channel(server, document(R"("loadBalancingConfig": [{"round_robin": {}}],
                                      "healthCheckConfig": {"serviceName": "cpp.Service"})"));
  std::string why;
  other.call("/test.Service/Mood", "cpp.Service good");
  channel.wait_ready();
  CHECK(ended(channel, "Echo") == 0, "it serves");
  other.call("/test.Service/Mood", "cpp.Service bad");
  CHECK(channel.wait_for_state_change(TRUNKLINE_CHANNEL_READY) == TRUNKLINE_CHANNEL_TRANSIENT_FAILURE, "it says so");
  CHECK(ended(channel, "Echo", &why) == 14 && why.find("NOT_SERVING") != std::string::npos, "UNAVAILABLE, and why");
  other.call("/test.Service/Mood", "cpp.Service good");
  channel.wait_ready();
  CHECK(ended(channel, "Echo") == 0, "it serves again");
}

void calls_that_begin_together_end_in_one_event_each(const char *server) {
  Channel channel(server);
  std::mutex mutex;
  std::condition_variable ended;
  std::map<uint64_t, std::string> answers;
  const auto take = [&](Event event) {
    std::lock_guard<std::mutex> lock(mutex);
    answers[event.tag()] = event.take_reply().message();
    ended.notify_one();
  };
  channel.call_many({{"/test.Service/Echo", "a", {}}, {"/test.Service/Echo", "b", {}}}, take);
  std::unique_lock<std::mutex> lock(mutex);
  ended.wait(lock, [&] { return answers.size() == 2; });
  CHECK(answers[0] == "a" && answers[1] == "b", "each answer has the place of its request");
  lock.unlock();
  try {
    channel.call_many({}, take);
    CHECK(false, "it throws");
  } catch (const Error &error) {
    CHECK(error.status() == TRUNKLINE_E_INVALID_ARGUMENT, "there are none to make");
  }
  channel.close();
}

void every_policy_carries_calls(const char *server) {
  for (const char *policy : {
           R"({"pick_first": {"shuffleAddressList": true}})",
           R"({"round_robin": {}})",
           R"({"weighted_round_robin": {"blackoutPeriod": "1s"}})",
           R"({"least_request": {"choiceCount": 3}})",
           R"({"ring_hash": {"minRingSize": 16}})",
           R"({"outlier_detection": {"childPolicy": [{"round_robin": {}}]}})",
           R"({"random_subsetting": {"subsetSize": 1, "childPolicy": [{"round_robin": {}}]}})",
       }) {
    Channel channel(server, document(std::string(R"("loadBalancingConfig": [)") + policy + "]"));
    CHECK(ended(channel, "Echo") == 0, policy);
  }
  try {
    Channel channel(server, document(R"("loadBalancingConfig": [{"least_request": {"choiceCount": 1}}])"));
    CHECK(false, "it throws");
  } catch (const Error &error) {
    CHECK(std::string(error.what()).find("least_request.choiceCount") != std::string::npos, "and names the field");
  }
}

void calls_are_kept_away_from_an_address_that_fails_or_has_enough(const char *server) {
  Channel fails(server, R"({"circuit": {"breaker": {"consecutive_failures": 2, "open": "1h", "max_open": "1h"}},
                            "service_config": {"document": {}}})");
  CHECK(ended(fails, "Broken") == 13 && ended(fails, "Broken") == 13, "INTERNAL");
  CHECK(ended(fails, "Echo") == 14, "UNAVAILABLE: none goes there after two failures");
  Channel full(server, R"({"circuit": {"max_calls": 1}})");
  Call call = full.open("/test.Service/Talk");
  call.initial();
  CHECK(ended(full, "Echo") == 14, "UNAVAILABLE: one is under way");
  call.finish_sending();
  CHECK(!call.receive(), "it has ended");
  CHECK(ended(full, "Echo") == 0, "there is room again");
}

void a_channel_shows_its_calls_its_addresses_and_their_connections(const char *server) {
  Channel channel(server);
  auto shows = [&channel](const char *what) { return channel.inspect().find(what) != std::string::npos; };
  CHECK(shows(R"("state":"idle")") && shows(R"("addresses":[])"), "nothing is connected before it is used");
  CHECK(ended(channel, "Echo") == 0 && ended(channel, "Fail") == 5, "one is well, one is not");
  CHECK(shows(R"("calls_started":2)") && shows(R"("calls_failed":1)") && shows(R"("created":1)"), "its calls and its pool");
  CHECK(shows(R"("keepalives_sent":0)") && shows(R"("retired":null)"), "and its connection");
}

void no_state_is_missed_unseen(const char *server) {
  Channel channel(server);
  CHECK(channel.history() == R"({"changes":[],"lost":0})", "nothing has happened");
  channel.wait_ready();
  CHECK(channel.wait_history(1) == 2, "connecting and ready");
  CHECK(channel.history().find(R"("number":1,"to":"connecting")") != std::string::npos, "the one that was left again");
  CHECK(channel.history(1).find(R"("number":1,)") == std::string::npos, "no more than was asked for");
}

void a_file_has_the_addresses(const char *server) {
  char path[] = "/tmp/trunkline-cpp-XXXXXX";
  int fd = mkstemp(path);
  CHECK(fd >= 0 && close(fd) == 0, "a name");
  Channel channel(std::string("file:") + path, document(""));
  std::string why;
  CHECK(ended(channel, "Echo", &why) == 14 && why.find("there is no address in it") != std::string::npos, "UNAVAILABLE, and why");
  std::ofstream(path) << "# where it is\n" << server << "\n";
  channel.wait_ready();
  CHECK(ended(channel, "Echo") == 0, "it is there now");
  CHECK(unlink(path) == 0, "it goes");
}

void the_program_says_where_a_target_is(const std::string &server) {
  int asked = 0;
  Channel channel(
      "zone:web",
      [&](ResolveJob job) {
        CHECK(job.question().find(R"("target":"zone:web")") != std::string::npos, "what is asked");
        if (++asked == 1) job.fail(TRUNKLINE_E_CONNECTION_FAILED, "no such zone");
        else if (asked == 2) throw asked;
        else job.answer(server);
      },
      document(""));
  std::string why;
  CHECK(ended(channel, "Echo", &why) == 14 && why.find("no such zone") != std::string::npos, "UNAVAILABLE, and why");
  channel.wait_ready();
  CHECK(asked == 3 && ended(channel, "Echo") == 0, "asked until it says so");
  channel.push_addresses(server + "," + server);
  CHECK(ended(channel, "Echo") == 0, "it may say so again");
  try {
    channel.push_addresses("nonsense");
    CHECK(false, "that is no address");
  } catch (const Error &error) {
    CHECK(error.status() == TRUNKLINE_E_INVALID_ARGUMENT, "and it is named");
  }
}

// The value of a series of this process, 0 if there is none.
double measured(const std::string &name, const std::string &labels) {
  Metrics metrics;
  for (std::size_t i = 0; i < metrics.size(); i++) {
    Metric metric = metrics[i];
    if (metric.name == name && metric.labels == labels) return metric.value;
  }
  return 0;
}

void calls_say_who_makes_them_and_are_counted_by_method(const char *server) {
  Channel channel(server, R"({"interceptors": {"metrics": true, "caller": {"name": "orders", "prefix": "echo-"}}})");
  CallOptions options;
  options.metadata.emplace_back("echo-call-chain", "shop");
  std::string who, chain;
  for (const auto &pair : channel.call("/test.Service/Echo", "", options).initial()) {
    if (pair.first == "echo-service-name") who = pair.second;
    if (pair.first == "echo-call-chain") chain = pair.second;
  }
  CHECK(who == "orders" && chain == "shop -> orders", "the server is told who calls, and for whom");
  CHECK(ended(channel, "Fail") == 5, "NOT_FOUND");
  const std::string total = "trunkline_channel_method_calls_total";
  CHECK(measured(total, R"(method="/test.Service/Echo",status="OK")") == 1, "one went well");
  CHECK(measured(total, R"(method="/test.Service/Fail",status="NOT_FOUND")") == 1, "one did not");
}

void attempts_are_counted_under_the_names_of_opentelemetry(const char *server) {
  Channel channel(server, R"({"opentelemetry": true})");
  CHECK(ended(channel, "Echo") == 0 && ended(channel, "Fail") == 5, "one is well, one is not");
  const std::string target = std::string(R"(grpc_target=")") + server + '"';
  const std::string started = "grpc_client_attempt_started_total";
  CHECK(measured(started, R"(grpc_method="test.Service/Echo",)" + target) == 1, "one went well");
  CHECK(measured(started, R"(grpc_method="test.Service/Fail",)" + target) == 1, "one did not");
}

}  // namespace

int main() {
  begin();
  const char *server = std::getenv("TRUNKLINE_TEST_SERVER");
  CHECK(server != nullptr, "somebody serves");
  calls_go_to_a_server_while_it_says_that_it_serves(server);
  calls_that_begin_together_end_in_one_event_each(server);
  every_policy_carries_calls(server);
  calls_are_kept_away_from_an_address_that_fails_or_has_enough(server);
  a_channel_shows_its_calls_its_addresses_and_their_connections(server);
  no_state_is_missed_unseen(server);
  a_file_has_the_addresses(server);
  the_program_says_where_a_target_is(server);
  calls_say_who_makes_them_and_are_counted_by_method(server);
  attempts_are_counted_under_the_names_of_opentelemetry(server);
  OK(trunkline_runtime_shutdown(default_runtime(), NEVER, nullptr));
  return 0;
}
