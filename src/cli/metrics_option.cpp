// SPDX-License-Identifier: Apache-2.0
#include "cli/metrics_option.h"

#include <fmt/format.h>

#include "cli/number_option.h"
#include "cli/version.h"
#include "core/say.h"
#include "metrics/hostname.h"

namespace thermoe {

CLI::Option* add_metrics_options(CLI::App& command, MetricsFlags& flags) {
  CLI::Option* port =
      command
          .add_option("--metrics", flags.port,
                      "Serve Prometheus' metrics at http://127.0.0.1:PORT/metrics meanwhile; 0: a "
                      "port that is free (docs/metrics.md)")
          ->type_name("PORT")
          ->check(whole_number(0, 65535));
  command
      .add_option("--metrics-address", flags.address,
                  "Serve them on this address instead of 127.0.0.1: whoever reaches it reads them")
      ->type_name("ADDRESS")
      ->needs(port);
  return port;
}

ServedMetrics::ServedMetrics(const MetricsFlags& flags)
    : board_({.version = kVersion, .hostname = hostname()}, clock_),
      server_({.host = flags.address, .port = static_cast<std::uint16_t>(flags.port.value())},
              [this] { return board_.collect(); }) {
  say(fmt::format("thermoe: metrics at {}\n", server_.url()));
}

std::unique_ptr<ServedMetrics> serve_metrics(const MetricsFlags& flags) {
  return flags.port ? std::make_unique<ServedMetrics>(flags) : nullptr;
}

}  // namespace thermoe
