// SPDX-License-Identifier: Apache-2.0
#include "metrics/listening_socket.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/errors.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

constexpr int kWaiting = 64;  // connections that the kernel keeps until they are accepted

/// An address as the system has it.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
  in_port_t& port() {
    return storage.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(storage).sin6_port
                                         : reinterpret_cast<sockaddr_in&>(storage).sin_port;
  }
};

SocketAddress parse(const MetricsAddress& address) {
  SocketAddress parsed;
  auto& four = reinterpret_cast<sockaddr_in&>(parsed.storage);
  auto& six = reinterpret_cast<sockaddr_in6&>(parsed.storage);
  if (::inet_pton(AF_INET, address.host.c_str(), &four.sin_addr) == 1) {
    parsed.storage.ss_family = AF_INET;
    parsed.size = sizeof four;
  } else if (::inet_pton(AF_INET6, address.host.c_str(), &six.sin6_addr) == 1) {
    parsed.storage.ss_family = AF_INET6;
    parsed.size = sizeof six;
  } else {
    throw UsageError(fmt::format(
        "metrics on {}: is no IPv4 or IPv6 address; give one of this machine's, such as 127.0.0.1 "
        "or ::1, or 0.0.0.0 or :: for all of them",
        printable(address.host, true)));
  }
  parsed.port() = htons(address.port);
  return parsed;
}

std::string remedy(int error) {
  switch (error) {
    case EADDRINUSE:
      return "the port is taken by another program; give another one, or 0 for any that is free";
    case EACCES:
      return "the port is not for everyone; give one from 1024 to 65535, or 0 for any that is free";
    case EADDRNOTAVAIL:
      return "this machine has no such address; `ip address` lists those that it has";
    case EAFNOSUPPORT:
      return "this machine does not speak IPv6; give an IPv4 address";
    default:
      return std::strerror(error);
  }
}

[[noreturn]] void refuse(const MetricsAddress& address, int fd, int error) {
  if (fd >= 0) ::close(fd);
  throw UsageError(
      fmt::format("metrics on {}: {}", authority(address.host, address.port), remedy(error)));
}

}  // namespace

std::string authority(const std::string& host, std::uint16_t port) {
  const bool six = host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", six ? "[" : "", host, six ? "]" : "", port);
}

ListeningSocket listen_on(const MetricsAddress& address) {
  SocketAddress place = parse(address);
  const int fd =
      ::socket(place.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
  if (fd < 0) refuse(address, fd, errno);
  const int on = 1, off = 0;
  // A program that is started anew need not wait for its old connections to be forgotten; two that
  // listen are refused all the same.
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (place.storage.ss_family == AF_INET6) {
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);  // whatever the system's default
  }
  if (::bind(fd, place.raw(), place.size) != 0 || ::listen(fd, kWaiting) != 0 ||
      ::getsockname(fd, place.raw(), &place.size) != 0) {
    refuse(address, fd, errno);
  }
  return {.fd = fd, .port = ntohs(place.port())};
}

}  // namespace thermoe
