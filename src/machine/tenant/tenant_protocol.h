// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/units.h"
#include "telemetry/gpu_processes.h"

namespace thermoe {

// What a run and `thermoe load --commands` say to each other: the load one line of JSON once it is
// ready, then the run "on" and "off" lines until it closes the load's standard input.

inline constexpr std::string_view kCommandOn = "on";
inline constexpr std::string_view kCommandOff = "off";

/// A tenant that is ready for commands.
struct TenantReady {
  double duty = 0.0;
  std::string gpu{};                              ///< its name
  std::string uuid{};                             ///< "GPU-..."
  std::optional<Watts> added{}, idle{}, limit{};  ///< absent where no watts were asked for
  /// On its GPU before it began; absent where nobody tells.
  std::optional<std::vector<GpuProcess>> processes{};
};

/// One line, without its end.
std::string to_line(const TenantReady& ready);
/// Throws FormatError for anything else.
TenantReady tenant_ready_from(std::string_view line);

/// Does what the lines from `fd` say until its end, or until `ended`, which is asked every 50 ms
/// and may throw. Throws UsageError for a line that is no command.
void obey_commands(int fd, const std::function<void(bool working)>& set_working,
                   const std::function<bool()>& ended);

}  // namespace thermoe
