// SPDX-License-Identifier: Apache-2.0
#include "measure/http_get.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <utility>

#include "core/errors.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

constexpr std::size_t kLargestAnswer = std::size_t{16} << 20;

using Time = std::chrono::steady_clock;

/// A socket that closes itself.
class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

/// Waits for the socket; false once `end` has passed.
bool ready(int fd, short events, Time::time_point end) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Time::now());
    if (left.count() <= 0) return false;
    pollfd watched{.fd = fd, .events = events, .revents = 0};
    const int found = ::poll(&watched, 1, static_cast<int>(left.count()));
    if (found > 0) return true;
    if (found < 0 && errno != EINTR) return false;
  }
}

std::string words(int error) { return std::strerror(error); }
const std::string kTooLate = "no answer in time";

/// Connects; returns the system's words where that fails.
std::string connect_to(int fd, const addrinfo& address, Time::time_point end) {
  if (::connect(fd, address.ai_addr, address.ai_addrlen) == 0) return "";
  if (errno != EINPROGRESS) return words(errno);
  if (!ready(fd, POLLOUT, end)) return kTooLate;
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 ? "" : words(error);
}

std::string send_all(int fd, std::string_view text, Time::time_point end) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      text.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno != EINTR && errno != EAGAIN) {
      return words(errno);
    } else if (!ready(fd, POLLOUT, end)) {
      return kTooLate;
    }
  }
  return "";
}

HttpPage receive(int fd, Time::time_point end) {
  std::string answer;
  char bytes[65536];
  while (answer.size() <= kLargestAnswer) {
    const ssize_t count = ::recv(fd, bytes, sizeof bytes, 0);
    if (count >= 0) {
      answer.append(bytes, static_cast<std::size_t>(count));
      HttpPage page = parse_http_answer(answer, count == 0);
      if (page.body || !page.fault.empty()) return page;
    } else if (errno != EINTR && errno != EAGAIN) {
      return {.fault = words(errno)};
    } else if (!ready(fd, POLLIN, end)) {
      return {.fault = kTooLate};
    }
  }
  return {.fault = fmt::format("the answer is larger than {} MiB", kLargestAnswer >> 20)};
}

std::string request_for(const HttpUrl& url) {
  const bool ipv6 = url.host.find(':') != std::string::npos;
  return fmt::format(
      "GET {} HTTP/1.1\r\nHost: {}{}{}:{}\r\nAccept: text/plain\r\nUser-Agent: thermoe\r\n"
      "Connection: close\r\n\r\n",
      url.path, ipv6 ? "[" : "", url.host, ipv6 ? "]" : "", url.port);
}

HttpPage get_from(const addrinfo& address, const HttpUrl& url, Time::time_point end) {
  const Socket socket(::socket(
      address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol));
  if (socket.fd() < 0) return {.fault = words(errno)};
  std::string fault = connect_to(socket.fd(), address, end);
  if (fault.empty()) fault = send_all(socket.fd(), request_for(url), end);
  if (!fault.empty()) return {.fault = std::move(fault)};
  return receive(socket.fd(), end);
}

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
  throw UsageError(fmt::format("--units-url {}: {}", printable(text, true), why));
}

}  // namespace

HttpUrl parse_http_url(std::string_view text) {
  constexpr std::string_view kScheme = "http://";
  if (text.starts_with("https://")) {
    refuse(text, "https is not spoken here; give the server's own http address");
  }
  if (!text.starts_with(kScheme)) {
    refuse(text, "is not of the form http://HOST[:PORT]/PATH, as in http://localhost:8000/metrics");
  }
  const bool clean = std::ranges::all_of(text, [](unsigned char c) { return c > ' ' && c < 0x7f; });
  if (!clean)
    refuse(text, "has a space or a character beyond ASCII; write those as %20 and the like");
  HttpUrl url{.text = std::string(text)};
  text.remove_prefix(kScheme.size());
  text = text.substr(0, text.find('#'));
  const auto path = std::min(text.find_first_of("/?"), text.size());
  std::string_view place = text.substr(0, path);
  if (path < text.size()) {
    url.path = text.substr(path);
    if (url.path.front() == '?') url.path = "/" + url.path;
  }
  if (place.find('@') != std::string_view::npos) refuse(url.text, "names a user; none is sent");
  const auto bracket = place.find(']');
  const auto colon = place.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  if (has_port) {
    url.port = place.substr(colon + 1);
    const bool digits = std::ranges::all_of(url.port, [](char c) { return c >= '0' && c <= '9'; });
    if (url.port.empty() || !digits || url.port.size() > 5 || std::stoi(url.port) > 65535 ||
        std::stoi(url.port) == 0) {
      refuse(url.text, "its port is no number from 1 to 65535");
    }
    place = place.substr(0, colon);
  }
  if (place.starts_with('[') && place.ends_with(']')) place = place.substr(1, place.size() - 2);
  if (place.empty()) refuse(url.text, "names no host");
  url.host = place;
  return url;
}

HttpPage http_get(const HttpUrl& url, Seconds timeout) {
  const auto end = Time::now() + std::chrono::duration_cast<Time::duration>(
                                     std::chrono::duration<double>(timeout.value));
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int found = ::getaddrinfo(url.host.c_str(), url.port.c_str(), &wanted, &list);
  HttpPage page{.fault = found == 0 ? "" : ::gai_strerror(found)};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> keeper(list, &::freeaddrinfo);
  // localhost may be two addresses of which the server listens on one.
  for (const addrinfo* address = list; address != nullptr; address = address->ai_next) {
    page = get_from(*address, url, end);
    if (page.body) break;
  }
  if (!page.body) page.fault = fmt::format("{}: {}", url.text, page.fault);
  return page;
}

}  // namespace thermoe
