// SPDX-License-Identifier: Apache-2.0
// The server among clients that are many, slow, silent or rude. No test waits longer than kPatience
// for a word.
#include "metrics/metrics_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "core/errors.h"

namespace thermoe {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr int kPatienceMs = 60'000;
constexpr const char* kScrape = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

std::uint16_t port_of(const MetricsServer& server) {
  const std::string& url = server.url();
  return static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
}

/// A connection that says what it is told to.
class Client {
 public:
  explicit Client(const MetricsServer& server, int family = AF_INET)
      : fd_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(port_of(server));
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = four.sin_port;
    six.sin6_addr = in6addr_loopback;
    const bool is_six = family == AF_INET6;
    connected_ =
        ::connect(fd_,
                  is_six ? reinterpret_cast<sockaddr*>(&six) : reinterpret_cast<sockaddr*>(&four),
                  is_six ? sizeof six : sizeof four) == 0;
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  /// Whether the server still took it.
  bool send(std::string_view text) const {
    return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }
  /// Everything up to the end of the connection; absent if it does not end.
  std::optional<std::string> answer() const {
    std::string all;
    while (true) {
      pollfd watched{.fd = fd_, .events = POLLIN, .revents = 0};
      if (::poll(&watched, 1, kPatienceMs) <= 0) return std::nullopt;
      char bytes[65536];
      const ssize_t count = ::recv(fd_, bytes, sizeof bytes, 0);
      if (count <= 0) return all;
      all.append(bytes, static_cast<std::size_t>(count));
    }
  }

 private:
  int fd_;
  bool connected_ = false;
};

std::string ask(const MetricsServer& server, std::string_view request) {
  const Client client(server);
  client.send(request);
  return client.answer().value_or("no end");
}

std::vector<MetricFamily> a_page() {
  return {
      {.name = "x_total", .type = MetricType::kCounter, .help = "h", .samples = {{.value = 7.0}}}};
}

TEST(MetricsServer, GivesThePageAndEndsTheConnection) {
  const MetricsServer server({}, a_page);
  EXPECT_THAT(server.url(), AllOf(StartsWith("http://127.0.0.1:"), EndsWith("/metrics")));
  EXPECT_THAT(ask(server, kScrape),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Connection: close"),
                    HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"),
                    EndsWith("\r\n\r\n# HELP x_total h\n# TYPE x_total counter\nx_total 7\n")));
  EXPECT_THAT(ask(server, "GET /metrics?name=x HTTP/1.0\r\n\r\n"), HasSubstr("x_total 7\n"));
}

TEST(MetricsServer, GivesOpenMetricsToWhomAsksForIt) {
  const MetricsServer server({}, a_page);
  EXPECT_THAT(ask(server,
                  "GET /metrics HTTP/1.1\r\nHost: a\r\n"
                  "Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n\r\n"),
              AllOf(HasSubstr("Content-Type: application/openmetrics-text; version=1.0.0"),
                    EndsWith("# TYPE x counter\nx_total 7\n# EOF\n")));
}

TEST(MetricsServer, HeadHasTheHeadAlone) {
  const MetricsServer server({}, a_page);
  EXPECT_THAT(
      ask(server, "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
      AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("Content-Length: 50\r\n"), EndsWith("\r\n\r\n")));
}

TEST(MetricsServer, AnotherPathIsNotFoundAndAnotherMethodNotAllowed) {
  const MetricsServer server({}, a_page);
  for (const char* path : {"/", "/metrics/", "/metric", "//metrics", "/../metrics"}) {
    EXPECT_THAT(ask(server, std::string("GET ") + path + " HTTP/1.1\r\nHost: a\r\n\r\n"),
                StartsWith("HTTP/1.1 404 "))
        << path;
  }
  for (const char* method : {"PUT", "DELETE", "OPTIONS", "BREW"}) {
    EXPECT_THAT(ask(server, std::string(method) + " /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
                AllOf(StartsWith("HTTP/1.1 405 "), HasSubstr("Allow: GET, HEAD\r\n")))
        << method;
  }
  EXPECT_THAT(ask(server, "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
              StartsWith("HTTP/1.1 405 "));
}

TEST(MetricsServer, WhatIsNoRequestGetsNoPageAndTheNextOneDoes) {
  const MetricsServer server({}, a_page, {.time = Seconds(0.5)});
  const std::string garbage[] = {std::string("\0\x01\xff\r\n\r\n", 7),
                                 "\x16\x03\x01\x02",  // TLS
                                 "GET\r\n\r\n",
                                 "GET /metrics\r\n\r\n",
                                 "GET /metrics HTTP/9.9\r\n\r\n",
                                 "GET /metrics HTTP/1.1\r\n no name\r\n\r\n",
                                 "\r\n\r\n\r\n",
                                 "GET /metr"};
  for (const std::string& request : garbage) {
    EXPECT_THAT(ask(server, request), AllOf(Not(HasSubstr("x_total")), Not("no end")));
    EXPECT_THAT(ask(server, kScrape), HasSubstr("x_total 7\n"));
  }
}

TEST(MetricsServer, AHeadWithoutEndIsRefusedAtItsLimit) {
  const MetricsServer server({}, a_page);
  const std::string block(65536, 'a');
  std::string headers;
  while (headers.size() < 65536) headers += "A: b\r\n";
  const std::pair<std::string, std::string> endless[] = {{"GET /", block},
                                                         {"GET /metrics HTTP/1.1\r\nX: ", block},
                                                         {"GET /metrics HTTP/1.1\r\n", headers},
                                                         {"", block}};
  for (const auto& [first, rest] : endless) {
    const Client client(server);
    client.send(first);
    int blocks = 0;
    while (blocks < 1000 && client.send(rest)) ++blocks;  // 64 MB
    EXPECT_LT(blocks, 1000) << first;
    EXPECT_THAT(ask(server, kScrape), HasSubstr("x_total 7\n"));
  }
}

TEST(MetricsServer, ASilentClientAndOneThatNeverFinishesAreClosedInTime) {
  const MetricsServer server({}, a_page, {.time = Seconds(0.3)});
  const Client silent(server), slow(server);
  std::atomic<bool> closed{false};
  // A byte at a time, none of which is too late by itself.
  std::jthread drip([&](const std::stop_token& stop) {
    slow.send("GET /metrics HTTP/1.1\r\nX: ");
    while (!stop.stop_requested() && slow.send("x")) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    closed = !stop.stop_requested();
  });
  EXPECT_EQ(silent.answer(), "");
  EXPECT_THAT(slow.answer(), testing::Optional(Not(HasSubstr("x_total"))));
  drip.join();
  EXPECT_TRUE(closed);
}

TEST(MetricsServer, SlowClientsHoweverManyKeepNobodyOut) {
  const MetricsServer server({}, a_page, {.connections = 8, .time = Seconds(3600.0)});
  std::vector<std::unique_ptr<Client>> slow;
  for (int i = 0; i < 30; ++i) {
    slow.push_back(std::make_unique<Client>(server));
    ASSERT_TRUE(slow.back()->connected());
    slow.back()->send("GET /metrics HT");
  }
  for (int i = 0; i < 10; ++i) EXPECT_THAT(ask(server, kScrape), HasSubstr("x_total 7\n"));
}

TEST(MetricsServer, AClientThatReadsNothingDelaysNobody) {
  std::vector<MetricFamily> large = a_page();
  large.front().samples.resize(400'000, {.value = 7.0});  // more than the sockets' buffers hold
  const MetricsServer server({}, [&] { return large; }, {.time = Seconds(3600.0)});
  const Client deaf(server);
  deaf.send(kScrape);
  EXPECT_THAT(ask(server, "GET /other HTTP/1.1\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(ask(server, kScrape), EndsWith("\nx_total 7\n"));
}

TEST(MetricsServer, ManyClientsEachGetAWholePage) {
  const MetricsServer server({}, a_page);
  std::atomic<int> whole{0};
  std::vector<std::jthread> clients;
  for (int c = 0; c < 16; ++c) {
    clients.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        if (ask(server, kScrape).ends_with("\nx_total 7\n")) ++whole;
      }
    });
  }
  clients.clear();
  EXPECT_EQ(whole, 16 * 20);
}

TEST(MetricsServer, WhatThePageThrowsIsAnsweredWith500AndServingGoesOn) {
  int calls = 0;
  const MetricsServer server({}, [&]() -> std::vector<MetricFamily> {
    if (++calls == 1) throw std::runtime_error("no values");
    return a_page();
  });
  EXPECT_THAT(ask(server, kScrape), AllOf(StartsWith("HTTP/1.1 500 "), EndsWith("no values\n")));
  EXPECT_THAT(ask(server, kScrape), EndsWith("\nx_total 7\n"));
}

TEST(MetricsServer, EndsWithConnectionsOpenAndItsPortIsFreeAgain) {
  std::optional<MetricsServer> server;
  server.emplace(MetricsAddress{}, a_page, MetricsServerLimits{.time = Seconds(3600.0)});
  const std::uint16_t port = port_of(*server);
  const Client silent(*server), half(*server);
  half.send("GET /metr");
  EXPECT_THAT(ask(*server, kScrape), HasSubstr("x_total"));
  server.reset();
  EXPECT_EQ(silent.answer(), "");
  EXPECT_THAT(half.answer(), testing::Optional(Not(HasSubstr("x_total"))));
  const MetricsServer again({.port = port}, a_page);
  EXPECT_THAT(ask(again, kScrape), HasSubstr("x_total"));
}

TEST(MetricsServer, EndsWhileNothingHappens) {
  for (int i = 0; i < 20; ++i) {
    const MetricsServer server({}, a_page);
    if (i % 2 == 0) continue;  // at its start
    EXPECT_THAT(ask(server, kScrape), HasSubstr("x_total"));
  }
}

TEST(MetricsServer, ServesOnIPv6WhereThereIs) {
  std::optional<MetricsServer> server;
  try {
    server.emplace(MetricsAddress{.host = "::1"}, a_page);
  } catch (const UsageError& error) {
    GTEST_SKIP() << error.what();
  }
  EXPECT_THAT(server->url(), StartsWith("http://[::1]:"));
  const Client client(*server, AF_INET6);
  client.send(kScrape);
  EXPECT_THAT(client.answer(), testing::Optional(HasSubstr("x_total 7\n")));
}

std::string refusal(const MetricsAddress& address) {
  try {
    const MetricsServer server(address, a_page);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(MetricsServer, RefusesAnAddressThatItCannotHaveWithTheRemedy) {
  const MetricsServer server({}, a_page);
  const std::uint16_t port = port_of(server);
  EXPECT_THAT(refusal({.port = port}),
              AllOf(HasSubstr("127.0.0.1:" + std::to_string(port)), HasSubstr("taken"),
                    HasSubstr("or 0 for any that is free")));
  EXPECT_THAT(refusal({.host = "localhost"}), HasSubstr("metrics on localhost: is no IPv4"));
  EXPECT_THAT(refusal({.host = ""}), HasSubstr("is no IPv4"));
  EXPECT_THAT(refusal({.host = "127.0.0.1:80"}), HasSubstr("is no IPv4"));
  EXPECT_THAT(refusal({.host = "192.0.2.1"}), HasSubstr("no such address"));
  EXPECT_THAT(ask(server, kScrape), HasSubstr("x_total")) << "the first goes on";
}

TEST(MetricsServer, ASignalIsForTheProgramAndNotForItsThread) {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  const MetricsServer server({}, a_page);  // made before the program blocks the signal
  pthread_sigmask(SIG_BLOCK, &set, &before);
  EXPECT_THAT(ask(server, kScrape), HasSubstr("x_total")) << "the thread is at work";
  ::kill(::getpid(), SIGTERM);
  const timespec patience{.tv_sec = kPatienceMs / 1000, .tv_nsec = 0};
  EXPECT_EQ(sigtimedwait(&set, nullptr, &patience), SIGTERM);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_THAT(ask(server, kScrape), HasSubstr("x_total"));
}

}  // namespace
}  // namespace thermoe
