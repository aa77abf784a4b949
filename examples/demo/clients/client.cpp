// The demo's client in C++. README.md beside it says what it does.
#include "common.h"
#include "trunkline.hpp"

#include <algorithm>
#include <iostream>
#include <map>
#include <sstream>
#include <thread>

namespace {

using trunkline::Stream;

void expect(bool is_true, const char *what) {
  if (!is_true) throw std::runtime_error(what);
}

std::string key_of(std::size_t i) { return "echo-" + std::to_string(i % STREAMS); }

// The 4 streams live in the pool; whoever uses one takes it out and puts it back.
Stream take(trunkline::KeyedPool &pool, std::size_t i) {
  uint64_t handle;
  expect(pool.remove(key_of(i), handle), "a stream is missing");
  return Stream(trunkline_stream_t{handle});
}

void put_back(trunkline::KeyedPool &pool, std::size_t i, Stream stream) {
  pool.insert(key_of(i), stream.get().h);
  stream.release();
}

void echoed(trunkline::KeyedPool &pool, std::size_t i, const uint8_t *bytes, uint8_t *back, std::size_t n) {
  Stream stream = take(pool, i);
  stream.write_all(bytes, n);
  stream.read_exact(back, n);
  put_back(pool, i, std::move(stream));
}

void same(const std::vector<uint8_t> &sent, const std::vector<uint8_t> &received, const char *what) {
  char a[65], b[65];
  sha256_of(sent.data(), sent.size(), a);
  sha256_of(received.data(), received.size(), b);
  expect(std::strcmp(a, b) == 0, what);
}

double bulk(trunkline::KeyedPool &pool, const std::vector<uint8_t> &random, std::vector<uint8_t> &back) {
  double started = seconds();
  for (std::size_t i = 0; i < TOTAL / CHUNK; i++) {
    echoed(pool, i, random.data() + i * CHUNK, back.data() + i * CHUNK, CHUNK);
    if (i % 256 == 255) std::cerr << "c++: " << (i + 1) * CHUNK / MIB << " of 64 MiB echoed" << std::endl;
  }
  double took = seconds() - started;
  same(random, back, "the echo differs");
  return took;
}

std::vector<double> round_trips(trunkline::KeyedPool &pool, const uint8_t *ping) {
  std::vector<double> times;
  uint8_t pong[64];
  for (std::size_t i = 0; i < ROUND_TRIPS; i++) {
    double started = seconds();
    echoed(pool, i, ping, pong, sizeof pong);
    times.push_back(seconds() - started);
    expect(std::memcmp(ping, pong, sizeof pong) == 0, "a small echo differs");
  }
  std::sort(times.begin(), times.end());
  return times;
}

struct Totals {
  unsigned long long connections = 0, sent = 0, received = 0;
  std::map<std::string, int> reasons;

  void end_in_order(Stream stream) {
    static const char *const names[] = {"", "finished", "local", "reset", "idle_timeout", "half_close_timeout",
                                        "connect_failed", "drained", "cancelled"};
    uint8_t byte;
    stream.finish();
    expect(stream.read(&byte, 1) == 0, "the peer said more than it should");
    stream.close();
    trunkline_stream_stats_t stats = stream.stats();
    connections++;
    sent += stats.bytes_sent;
    received += stats.bytes_received;
    reasons[names[stats.close_reason]]++;
  }
};

Stream download(const std::string &address) {
  Stream stream = Stream::connect(address);
  stream.write_all("GET\n");
  std::string head;
  do {
    head.push_back('\0');
    stream.read_exact(&head.back(), 1);
  } while (head.back() != '\n');
  std::istringstream words(head);
  std::string expected;
  std::size_t length = 0;
  expect(static_cast<bool>(words >> expected >> length), "the file server's answer is odd");
  std::vector<uint8_t> bytes(length);
  stream.read_exact(bytes.data(), length);
  char found[65];
  sha256_of(bytes.data(), length, found);
  expect(expected == found, "the file differs");
  std::cerr << "c++: file of " << length / MIB << " MiB checked" << std::endl;
  return stream;
}

double through_a_pipe(const std::vector<uint8_t> &random, std::vector<uint8_t> &back) {
  std::pair<Stream, Stream> ends = trunkline::pipe();
  double started = seconds();
  std::thread writer([&] {
    ends.first.write_all(random.data(), random.size());
    ends.first.finish();
  });
  uint8_t byte;
  ends.second.read_exact(back.data(), back.size());
  bool is_end = ends.second.read(&byte, 1) == 0;
  writer.join();
  double took = seconds() - started;
  expect(is_end, "the pipe holds more than it should");
  same(random, back, "the pipe's bytes differ");
  std::cerr << "c++: 64 MiB through a pipe" << std::endl;
  return took;
}

void run(const std::string &echo, const std::string &file) {
  std::vector<uint8_t> random(TOTAL), back(TOTAL);
  random_bytes(random.data(), random.size());
  trunkline::KeyedPool pool;
  for (std::size_t i = 0; i < STREAMS; i++) put_back(pool, i, Stream::connect(echo));
  double relay = bulk(pool, random, back);
  std::vector<double> times = round_trips(pool, random.data());
  Totals totals;
  totals.end_in_order(download(file));
  double pipe = through_a_pipe(random, back);
  for (std::size_t i = 0; i < STREAMS; i++) totals.end_in_order(take(pool, i));

  std::cout << "{\"connections\":" << totals.connections << ",\"bytes_sent\":" << totals.sent
            << ",\"bytes_received\":" << totals.received << ",\"relay_seconds\":" << relay
            << ",\"pipe_bytes\":" << TOTAL << ",\"pipe_seconds\":" << pipe
            << ",\"p50_us\":" << times[ROUND_TRIPS / 2] * 1e6 << ",\"p99_us\":" << times[ROUND_TRIPS * 99 / 100] * 1e6
            << ",\"close_reasons\":{";
  const char *comma = "";
  for (const std::pair<const std::string, int> &reason : totals.reasons) {
    std::cout << comma << '"' << reason.first << "\":" << reason.second;
    comma = ",";
  }
  std::cout << "}}" << std::endl;
}

void flood(const std::string &sink) {
  std::vector<uint8_t> block(CHUNK);
  for (std::size_t i = 0; i < CHUNK; i++) block[i] = static_cast<uint8_t>(i * 31 + (i >> 8));
  Stream stream = Stream::connect(sink);
  for (;;) stream.write_all(block.data(), block.size());
}

}  // namespace

int main(int argc, char **argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    if (arguments.size() == 3 && arguments[0] == "run") {
      run(arguments[1], arguments[2]);
    } else if (arguments.size() == 2 && arguments[0] == "flood") {
      flood(arguments[1]);
    } else {
      std::cerr << "usage: client run ECHO FILE | client flood SINK" << std::endl;
      return 2;
    }
  } catch (const std::exception &error) {
    std::cerr << "c++: " << error.what() << std::endl;
    return 1;
  }
}
