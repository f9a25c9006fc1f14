// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/units.h"
#include "metrics/listening_socket.h"
#include "metrics/metric_family.h"

namespace thermoe {

/// What clients may take of the program that they ask.
struct MetricsServerLimits {
  unsigned connections = 32;  ///< one more, and the oldest is closed
  Seconds time{10.0};         ///< of a connection, from its beginning to its end
};

/// Serves GET and HEAD of /metrics in a thread of its own (docs/adr/0020): 404 for another path,
/// 405 for another method, an answer a connection. A client that is slow, silent or talks rubbish
/// costs nobody but itself. Blocks all signals in its thread.
class MetricsServer {
 public:
  /// Called in the server's thread for each page; what it throws is answered with 500.
  using Collect = std::function<std::vector<MetricFamily>()>;

  /// Listens once it returns. Throws UsageError for an address that it cannot have.
  MetricsServer(const MetricsAddress& address, Collect collect, MetricsServerLimits limits = {});
  /// Ends at once, with the connections that are open.
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  /// http://127.0.0.1:9464/metrics, with the port that it got.
  const std::string& url() const { return url_; }

 private:
  class Daemon;

  std::string url_{};
  std::unique_ptr<Daemon> daemon_;
  std::jthread thread_{};  // last: ended before the daemon goes
};

}  // namespace thermoe
