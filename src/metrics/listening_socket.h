// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace thermoe {

/// Where metrics are served.
struct MetricsAddress {
  std::string host = "127.0.0.1";  ///< an IPv4 or IPv6 address, no name; :: is all of both
  std::uint16_t port = 0;          ///< 0: any that is free
};

/// A TCP socket that listens, and the port that it got. Who takes the descriptor closes it.
struct ListeningSocket {
  int fd = -1;
  std::uint16_t port = 0;
};
/// Throws UsageError for what is no address, for an address of another machine, for a port that is
/// taken or not ours to take.
ListeningSocket listen_on(const MetricsAddress& address);

/// host:port, with the brackets of IPv6.
std::string authority(const std::string& host, std::uint16_t port);

}  // namespace thermoe
