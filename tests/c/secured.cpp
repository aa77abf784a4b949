// TLS from C++: the objects own what they name, and tell who the peer is and whose fault a failure is.
#include "trunkline.hpp"

#include "check.h"

namespace {

using trunkline::Error;
using trunkline::Listener;
using trunkline::Stream;
using trunkline::Tls;

std::string document(const std::string &folder, const std::string &more = std::string()) {
  return "{\"client\": {\"roots\": {\"file\": \"" + folder + "/ca.pem\"}" + more +
         "}, \"server\": {\"certificate\": {\"chain\": {\"file\": \"" + folder + "/chain.pem\"}, \"key\": {\"file\": \"" +
         folder + "/key.pem\"}}}}";
}

void streams_are_secured(const std::string &folder) {
  Tls tls(document(folder));
  tls.reload();
  CHECK(tls.expires_in() > std::chrono::hours(24), "there is time left");
  Listener listener("tls://127.0.0.1:0", tls);
  Stream near = Stream::connect(listener.address(), tls);
  Stream far = listener.accept();
  near.write_all("question");
  near.finish();
  CHECK(far.read_to_end(100) == "question", "what was written, and the end");
  trunkline::TlsSession session = near.tls();
  CHECK(session.version == "TLSv1.3" && session.peer_certificates.size() == 1, "the server is known");
  CHECK(session.alpn.empty() && session.peer_uri.empty(), "what is not there is empty");
  CHECK(trunkline::pipe().first.tls().version.empty(), "a pipe has no TLS");
}

void failures_tell_whose_fault_it_is(const std::string &folder) {
  Tls tls(document(folder)), other(document(folder, ", \"server_name\": \"other.test\""));
  Listener listener("tls://127.0.0.1:0", tls);
  try {
    Stream::connect(listener.address(), other);
    CHECK(false, "it throws");
  } catch (const Error &error) {
    GIVES(TRUNKLINE_E_TLS, error.status());
    CHECK(error.tls_fault() == TRUNKLINE_TLS_FAULT_NAME_MISMATCH, "the name");
  }
}

void managers_and_pools_are_secured(const std::string &folder) {
  Tls tls(document(folder));
  Listener plain("mem:secured-cpp");
  trunkline::TcpConnectionManager manager(std::string(), trunkline_runtime_t(), tls);
  std::vector<std::string> addresses(1, manager.relay("tls://127.0.0.1:0", "mem:secured-cpp"));
  trunkline::Pool pool(addresses, std::string(), trunkline_runtime_t(), tls);
  pool.set_endpoints(addresses);
  trunkline::Lease lease = pool.acquire();
  Stream far = plain.accept();
  far.write_all("x");
  trunkline_stream_t lent = {lease.value()};
  uint8_t byte = 0;
  size_t n = 0;
  OK(trunkline_stream_read(lent, &byte, 1, in_ms(10000), &n));
  CHECK(n == 1 && byte == 'x', "from the plain end through TLS to who holds the lease");
  lease.release();
  CHECK(pool.close() == 0, "every connection is closed");
}

/** What the front of a hub answers to a request that nobody has signed. */
std::string status_of(trunkline::Hub &hub, const std::string &address, const Tls &tls) {
  Stream user = Stream::connect(hub.listen_http(address), tls);
  user.write_all("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  return user.read_to_end(10000);
}

void a_tunnel_is_secured(const std::string &folder) {
  const std::string own = ", \"certificate\": {\"chain\": {\"file\": \"" + folder + "/client.pem\"}, \"key\": {\"file\": \"" +
                          folder + "/client-key.pem\"}}";
  const std::string server = "{\"server\": {\"certificate\": {\"chain\": {\"file\": \"" + folder +
                             "/chain.pem\"}, \"key\": {\"file\": \"" + folder +
                             "/key.pem\"}}, \"client_auth\": \"required\", \"client_roots\": {\"file\": \"" + folder +
                             "/ca.pem\"}}}";
  Tls of_agent(document(folder, own)), of_hub(server);
  trunkline::Hub hub("{\"agent_certificates\": {\"c1\": [\"spiffe://example.test/client\"]}, \"http\": {\"routes\": [{\"cluster\": \"c1\"}]}}",
                     trunkline_runtime_t(), of_hub);
  const std::string at = hub.listen("tls://127.0.0.1:0");
  trunkline::Agent agent("{\"cluster\": \"c1\", \"hubs\": [\"" + at + "\"]}", trunkline_runtime_t(), of_agent);
  agent.wait_ready();
  Listener listener = agent.listener();
  Stream user = hub.dial("c1");
  Stream served = listener.accept();
  user.write_all("question");
  user.finish();
  CHECK(served.read_to_end(100) == "question", "through the tunnel");
  CHECK(status_of(hub, "tls://127.0.0.1:0", of_agent).compare(0, 13, "HTTP/1.1 401 ") == 0, "nobody was named");
  agent.close();
  hub.close();
}

void channels_are_secured(const std::string &folder) {
  const char *server = std::getenv("TRUNKLINE_TEST_SECURED_SERVER"), *plain = std::getenv("TRUNKLINE_TEST_SERVER");
  CHECK(server != nullptr && plain != nullptr, "somebody serves");
  Tls tls(document(folder, ", \"certificate\": {\"chain\": {\"file\": \"" + folder +
                               "/client.pem\"}, \"key\": {\"file\": \"" + folder + "/client-key.pem\"}}"));
  trunkline::CallOptions options;
  options.credentials.push_back({"echo-text", "hush"});
  trunkline::Channel channel(server, tls), open(plain);
  trunkline::Metadata told = channel.call("/test.Service/Echo", "hello", options).initial();
  bool is_told = false;
  for (const auto &pair : told) is_told |= pair.first == "echo-text" && pair.second == "hush";
  CHECK(is_told, "credentials travel over TLS");
  try {
    open.call("/test.Service/Echo", "hello", options);
    CHECK(false, "it throws");
  } catch (const Error &error) {
    CHECK(error.rpc_code() == 16, "and not in the clear");
  }
  channel.close();
  open.close();
}

}  // namespace

int main() {
  begin();
  const char *folder = std::getenv("TRUNKLINE_TEST_CERTIFICATES");
  CHECK(folder != nullptr, "there is a folder of certificates");
  streams_are_secured(folder);
  failures_tell_whose_fault_it_is(folder);
  managers_and_pools_are_secured(folder);
  a_tunnel_is_secured(folder);
  channels_are_secured(folder);
  leave();
  return 0;
}
