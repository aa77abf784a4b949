// Plays the scripts of tests/pool through the C functions; the README there says what they mean. One thread does it
// all: jobs, answers and drains are events of one queue.
#include "check.h"

#include <algorithm>
#include <deque>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

using Words = std::vector<std::string>;

const int64_t LONGEST_MS = 10000;

// One step: each key with its words, of which a plain value is the only one.
using Step = std::map<std::string, Words>;

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-'; }

// The words and signs of a line; what stood in quotes keeps the first.
Words split(const std::string &line) {
  Words parts;
  for (std::size_t at = 0; at < line.size();) {
    std::size_t end = at + 1;
    if (line[at] == '"') {
      end = line.find('"', at + 1);
      parts.push_back(line.substr(at, end - at));
      end++;
    } else if (is_word(line[at])) {
      while (end < line.size() && is_word(line[end])) end++;
      parts.push_back(line.substr(at, end - at));
    } else if (line[at] != ' ') {
      parts.push_back(line.substr(at, 1));
    }
    at = end;
  }
  return parts;
}

std::string plain(const std::string &word) { return word[0] == '"' ? word.substr(1) : word; }

// A line of the scripts' YAML as JSON.
std::string as_json(const std::string &line) {
  std::string json;
  for (const std::string &part : split(line)) {
    bool is_number = part.find_first_not_of("0123456789") == std::string::npos;
    json += part[0] == '"' || (is_word(part[0]) && !is_number) ? '"' + plain(part) + '"' : part;
  }
  return json;
}

// A step of the form {key: value, key: [value, value]}.
Step as_step(const std::string &line) {
  Step step;
  std::string key;
  bool is_list = false;
  for (const std::string &part : split(line)) {
    if (part == "[" || part == "]") {
      is_list = part == "[";
    } else if (part == "," && !is_list) {
      key.clear();
    } else if (part[0] == '"' || is_word(part[0])) {
      if (key.empty()) step[key = part]; else step[key].push_back(plain(part));
    }
  }
  return step;
}

struct Script {
  std::string config;
  Words abilities;
  std::vector<Step> steps;
};

Script read(const std::string &file) {
  Script script;
  std::ifstream lines(file);
  CHECK(lines.good(), "the script is there");
  for (std::string line; std::getline(lines, line);) {
    if (line.compare(0, 8, "config: ") == 0) script.config = as_json(line.substr(8));
    if (line.compare(0, 11, "abilities: ") == 0) {
      for (const std::string &part : split(line.substr(11)))
        if (is_word(part[0])) script.abilities.push_back(part);
    }
    if (line.compare(0, 2, "- ") == 0) script.steps.push_back(as_step(line.substr(2)));
  }
  return script;
}

bool has(const Words &words, const std::string &word) { return std::count(words.begin(), words.end(), word) > 0; }

const char *reason_name(uint64_t reason) {
  switch (reason) {
    case TRUNKLINE_POOL_CLOSE_IDLE_TIMEOUT: return "idle_timeout";
    case TRUNKLINE_POOL_CLOSE_LIFETIME: return "lifetime";
    case TRUNKLINE_POOL_CLOSE_DISCARDED: return "discarded";
    case TRUNKLINE_POOL_CLOSE_CLEARED: return "cleared";
    case TRUNKLINE_POOL_CLOSE_POOL_CLOSED: return "pool_closed";
    case TRUNKLINE_POOL_CLOSE_UNWANTED: return "unwanted";
    case TRUNKLINE_POOL_CLOSE_BROKEN: return "broken";
    case TRUNKLINE_POOL_CLOSE_INVALID: return "invalid";
    case TRUNKLINE_POOL_CLOSE_SHRUNK: return "shrunk";
    default: return "another";
  }
}

struct Caller {
  bool waits;
  trunkline_op_t op;
  trunkline_leased_t leased;
  trunkline_status_t status;
  uint32_t flags;
  std::string says;
};

const uint64_t JOBS = 0;

class Player {
 public:
  explicit Player(const Script &script) : queue_(new_queue()), made_(0) {
    trunkline_job_host_t host = {queue_, JOBS, NULL, NULL, NULL};
    uint32_t abilities = has(script.abilities, "checks") ? TRUNKLINE_POOL_CHECKS : 0;
    OK(trunkline_pool_new(default_runtime(), script.config.data(), script.config.size(), &host, abilities, &pool_,
                          NULL));
  }

  void play(const Step &step) {
    if (step.count("do")) return act(step.at("do")[0], step);
    std::string surprise;
    for (int64_t end = in_ms(LONGEST_MS); in_ms(0) < end; pump()) {
      surprise = look(step.at("expect")[0], step);
      if (surprise.empty()) return;
    }
    CHECK(false, surprise.c_str());
  }

  // Closes the pool and puts all that is lent back: then nothing is left, and nobody.
  void finish() {
    close();
    until([this] { return waiting().empty(); });
    for (auto &named : callers_) trunkline_pool_release(pool_, named.second.leased.lease, 0);
    until([this] { return stats().closing + stats().used + stats().idle + stats().connecting == 0; });
    for (uint64_t number = 1; number <= made_; number++)
      CHECK(closed_[number].size() == (detached_.count(number) ? 0u : 1u), "each is closed once");
    OK(trunkline_pool_free(pool_));
    OK(trunkline_cq_free(queue_));
  }

 private:
  template <typename Condition>
  void until(Condition condition) {
    for (int64_t end = in_ms(LONGEST_MS); !condition(); pump()) CHECK(in_ms(0) < end, "it comes true in time");
  }

  trunkline_pool_stats_t stats() {
    trunkline_pool_stats_t stats = TRUNKLINE_POOL_STATS_INIT;
    OK(trunkline_pool_stats(pool_, &stats));
    return stats;
  }

  // Takes the events that are there, or waits for a moment.
  void pump() {
    trunkline_event_t events[MANY];
    size_t n = 0;
    if (trunkline_cq_wait(queue_, events, MANY, in_ms(1), &n) != TRUNKLINE_OK) return;
    for (size_t i = 0; i < n; i++) {
      trunkline_event_t &event = events[i];
      if (event.kind == TRUNKLINE_EV_JOB) {
        do_job(event);
      } else if (event.kind == TRUNKLINE_EV_LEASE) {
        answered(tags_.at(event.tag), event.status, event.error);
        trunkline_leased_t leased = {{event.handle}, event.value};
        callers_[tags_.at(event.tag)].leased = leased;
        event.handle = 0;
      } else {
        ended_.insert(tags_.at(event.tag));
      }
      if (event.kind != TRUNKLINE_EV_JOB) trunkline_event_dispose(&event);
    }
  }

  void do_job(const trunkline_event_t &event) {
    trunkline_job_t job = {event.handle};
    switch (static_cast<uint32_t>(event.value)) {
      case TRUNKLINE_JOB_CONNECT: return connect(job);
      case TRUNKLINE_JOB_CLOSE:
        closed_[event.about].push_back(reason_name(event.value >> 32));
        trunkline_job_done(job, 0, NULL);
        return;
      default: return finish_job(job, 0, spoiled_.count(event.about) == 0);
    }
  }

  static void finish_job(trunkline_job_t job, uint64_t value, bool works) {
    trunkline_error_t *error = NULL;
    if (!works) error = trunkline_error_new(TRUNKLINE_E_CONNECTION_FAILED, TEXT("refused by plan"), NULL);
    trunkline_job_done(job, works ? value : 0, error);
  }

  void connect(trunkline_job_t job) {
    std::string plan = "works";
    if (!plans_.empty()) {
      plan = plans_.front();
      plans_.pop_front();
    }
    if (plan != "works" && plan != "fails" && let_go_.count(plan) == 0) {
      held_[plan] = job;
      return;
    }
    stand(job, plan == "works" || (plan != "fails" && let_go_[plan]));
  }

  void stand(trunkline_job_t job, bool works) { finish_job(job, works ? ++made_ : 0, works); }

  void let_go(const std::string &word, bool works) {
    if (held_.count(word) == 0) {
      let_go_[word] = works;
      return;
    }
    stand(held_[word], works);
    held_.erase(word);
  }

  uint64_t tag(const std::string &name) {
    tags_[tags_.size() + 1] = name;
    return tags_.size();
  }

  void answered(const std::string &name, trunkline_status_t status, const trunkline_error_t *error) {
    Caller &caller = callers_[name];
    caller.waits = false;
    caller.status = status;
    caller.flags = error == NULL ? 0 : trunkline_error_flags(error);
    for (; error != NULL; error = trunkline_error_cause(error))
      caller.says += std::string(trunkline_error_message(error, NULL)) + ": ";
  }

  void acquire(const std::string &name, const Step &step) {
    int64_t deadline = TRUNKLINE_DEADLINE_DEFAULT;
    if (step.count("within")) deadline = in_ms(std::stol(step.at("within")[0]));
    trunkline_completion_t completion = {queue_, tag(name), NULL, NULL};
    Caller &caller = callers_[name] = Caller();
    trunkline_error_t *error = NULL;
    trunkline_status_t status = trunkline_pool_acquire_async(pool_, deadline, NULL, 0, &completion, &caller.leased,
                                                             &caller.op, &error);
    caller.waits = caller.op.h != 0;
    if (!caller.waits) answered(name, status, error);
    trunkline_error_free(error);
    until([&] { return !caller.waits || stats().waiting == waiting().size(); });
  }

  trunkline_status_t try_it(trunkline_leased_t *leased) { return trunkline_pool_acquire(pool_, 0, NULL, 0, leased, NULL); }

  void close() {
    uint64_t left = 0;
    OK(trunkline_pool_close(pool_, 0, &left, NULL));
  }

  void act(const std::string &what, const Step &step) {
    auto word = [&step](const char *key) { return step.at(key)[0]; };
    auto number = [&step](const char *key) { return static_cast<uint32_t>(std::stoul(step.at(key)[0])); };
    if (what == "acquire") return acquire(word("as"), step);
    if (what == "try") {
      Caller &caller = callers_[word("as")] = Caller();
      caller.status = try_it(&caller.leased);
    } else if (what == "cancel") {
      Caller &caller = callers_.at(word("of"));
      OK(trunkline_op_cancel(caller.op));
      until([&caller] { return !caller.waits; });
    } else if (what == "release" || what == "discard") {
      uint32_t flags = what == "discard" ? TRUNKLINE_POOL_DISCARD : 0;
      trunkline_pool_release(pool_, callers_.at(word("of")).leased.lease, flags);
    } else if (what == "detach") {
      uint64_t value = 0;
      OK(trunkline_pool_detach(pool_, callers_.at(word("of")).leased.lease, &value));
      detached_.insert(value);
    } else if (what == "clear") {
      OK(trunkline_pool_clear(pool_));
    } else if (what == "check") {
      OK(trunkline_pool_check(pool_));
    } else if (what == "resize") {
      OK(trunkline_pool_resize(pool_, number("max_size"), number("min_idle"), NULL));
    } else if (what == "drain") {
      trunkline_completion_t completion = {queue_, tag(word("as")), NULL, NULL};
      trunkline_op_t op;
      OK(trunkline_pool_drain_async(pool_, NEVER, &completion, &op, NULL));
      trunkline_leased_t none;
      until([&] { return try_it(&none) == TRUNKLINE_E_CLOSED; });
    } else if (what == "close") {
      close();
    } else if (what == "connects") {
      plans_.insert(plans_.end(), step.at("next").begin(), step.at("next").end());
    } else if (what == "let_go" || what == "let_fail") {
      let_go(word("of"), what == "let_go");
    } else if (what == "spoil") {
      spoiled_.insert(number("connection"));
    } else {
      CHECK(false, what.c_str());
    }
  }

  Words waiting() {
    Words names;
    for (const auto &named : callers_)
      if (named.second.waits) names.push_back(named.first);
    return names;
  }

  // Empty if it is so, else what is there instead.
  std::string look(const std::string &what, const Step &step) {
    auto word = [&step](const char *key) { return step.at(key)[0]; };
    if (what == "lent") {
      const Caller &caller = callers_.at(word("to"));
      return caller.leased.value == std::stoul(word("connection")) ? "" : "it was lent another, or none";
    }
    if (what == "nothing") return callers_.at(word("to")).status == TRUNKLINE_E_WOULD_BLOCK ? "" : "it was lent one";
    if (what == "refused") return look_at_error(callers_.at(word("caller")), word("error"), step);
    if (what == "waiting") {
      Words expected = step.count("callers") ? step.at("callers") : Words();
      std::sort(expected.begin(), expected.end());
      return waiting() == expected && stats().waiting == expected.size() ? "" : "others wait";
    }
    if (what == "closed") return closed_[std::stoul(word("connection"))] == Words(1, word("reason")) ? "" : "not closed so";
    if (what == "open") return closed_[std::stoul(word("connection"))].empty() ? "" : "it was closed";
    if (what == "stats") return look_at_stats(step);
    if (what == "stale") {
      uint64_t used = stats().used;
      trunkline_status_t status = trunkline_pool_release(pool_, callers_.at(word("of")).leased.lease, 0);
      return status == TRUNKLINE_E_INVALID_HANDLE && stats().used == used ? "" : "it was put back";
    }
    if (what == "ended") return ended_.count(word("of")) ? "" : "it has not ended";
    return "there is no expectation of " + what;
  }

  static std::string look_at_error(const Caller &caller, const std::string &error, const Step &step) {
    std::map<std::string, trunkline_status_t> statuses = {{"timeout", TRUNKLINE_E_TIMEOUT},
                                                          {"limit_exceeded", TRUNKLINE_E_LIMIT_EXCEEDED},
                                                          {"circuit_open", TRUNKLINE_E_LIMIT_EXCEEDED},
                                                          {"closed", TRUNKLINE_E_CLOSED}};
    bool is_circuit = (caller.flags & TRUNKLINE_ERR_CIRCUIT_OPEN) != 0;
    if (caller.waits || caller.status != statuses.at(error) || is_circuit != (error == "circuit_open"))
      return "it has status " + std::to_string(caller.status);
    bool says_so = !step.count("says") || caller.says.find(step.at("says")[0]) != std::string::npos;
    return says_so ? "" : "it says " + caller.says;
  }

  std::string look_at_stats(const Step &step) {
    trunkline_pool_stats_t s = stats();
    std::map<std::string, uint64_t> counts = {
        {"idle", s.idle},           {"used", s.used},         {"connecting", s.connecting}, {"validating", s.validating},
        {"closing", s.closing},     {"waiting", s.waiting},   {"max_size", s.max_size},     {"created", s.created},
        {"create_failed", s.create_failed}, {"timeouts", s.timeouts}, {"cancelled", s.cancelled}, {"refused", s.refused},
        {"handed_over", s.handed_over}, {"invalid", s.invalid}, {"epoch", s.epoch}};
    for (const auto &field : step) {
      if (field.first == "expect") continue;
      uint64_t found = counts.at(field.first);
      if (found != std::stoul(field.second[0])) return field.first + " is " + std::to_string(found);
    }
    return "";
  }

  trunkline_cq_t queue_;
  trunkline_pool_t pool_;
  std::map<std::string, Caller> callers_;
  std::map<uint64_t, std::string> tags_;
  std::set<std::string> ended_;
  std::deque<std::string> plans_;
  std::map<std::string, trunkline_job_t> held_;
  std::map<std::string, bool> let_go_;
  uint64_t made_;
  std::set<uint64_t> spoiled_, detached_;
  std::map<uint64_t, Words> closed_;
};

}  // namespace

int main() {
  begin();
  DIR *dir = opendir("tests/pool");
  CHECK(dir != NULL, "it runs where tests/pool is");
  Words files;
  while (dirent *entry = readdir(dir)) {
    std::string name = entry->d_name;
    if (name.size() > 5 && name.compare(name.size() - 5, 5, ".yaml") == 0) files.push_back(name);
  }
  closedir(dir);
  std::sort(files.begin(), files.end());
  std::size_t played = 0;
  for (const std::string &file : files) {
    Script script = read("tests/pool/" + file);
    // A host's connections cannot be seen to be broken.
    if (has(script.abilities, "peeks")) continue;
    fprintf(stderr, "%s\n", file.c_str());
    Player player(script);
    for (const Step &step : script.steps) player.play(step);
    player.finish();
    played++;
  }
  CHECK(played >= 20 && played + 1 == files.size(), "every script is played but the one about broken connections");
  leave();
}
