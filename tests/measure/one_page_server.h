// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace thermoe {

/// A server on 127.0.0.1 that gives one prepared answer a connection, word for word; an empty one
/// keeps the connection open without a word. Ends with the test, whatever its clients do.
/// kEndless is a page that never ends, kDrips one that comes by a byte at a time.
class OnePageServer {
 public:
  static constexpr const char* kEndless = "endless";
  static constexpr const char* kDrips = "drips";

  explicit OnePageServer(std::vector<std::string> answers) : answers_(std::move(answers)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, raw, size) != 0 || ::listen(listener_, 8) != 0 ||
        ::getsockname(listener_, raw, &size) != 0) {
      throw std::runtime_error("no socket on 127.0.0.1");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
  }
  ~OnePageServer() {
    thread_.request_stop();
    thread_.join();
    ::close(listener_);
  }
  OnePageServer(const OnePageServer&) = delete;
  OnePageServer& operator=(const OnePageServer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/metrics"; }
  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  static bool ready(int fd, short events, const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      pollfd watched{.fd = fd, .events = events, .revents = 0};
      if (::poll(&watched, 1, 10) > 0) return true;
    }
    return false;
  }

  void serve(const std::stop_token& stop) {
    for (const std::string& answer : answers_) {
      if (!ready(listener_, POLLIN, stop)) return;
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      converse(client, answer, stop);
      ::close(client);
    }
  }

  void converse(int client, const std::string& answer, const std::stop_token& stop) {
    std::string request;
    while (request.find("\r\n\r\n") == std::string::npos) {
      if (!ready(client, POLLIN, stop)) return;
      char bytes[4096];
      const ssize_t count = ::recv(client, bytes, sizeof bytes, 0);
      if (count <= 0) return;
      request.append(bytes, static_cast<std::size_t>(count));
    }
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    if (answer.empty()) {
      ready(client, POLLIN, stop);  // until the client gives up
    } else if (answer == kEndless) {
      const std::string block(65536, 'x');
      send_all(client, "HTTP/1.1 200 OK\r\n\r\n", stop);
      while (send_all(client, block, stop)) {
      }
    } else if (answer == kDrips) {
      // Whoever waits anew for each byte gets the whole page, after three seconds.
      send_all(client, "HTTP/1.1 200 OK\r\n\r\n", stop);
      for (int bytes = 0; bytes < 60 && send_all(client, "x", stop); ++bytes) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
    } else {
      send_all(client, answer, stop);
    }
  }

  static bool send_all(int client, std::string_view text, const std::stop_token& stop) {
    while (!text.empty()) {
      if (!ready(client, POLLOUT, stop)) return false;
      const ssize_t sent = ::send(client, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent < 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  std::vector<std::string> answers_;
  int listener_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_{};
  std::jthread thread_{};
};

}  // namespace thermoe
