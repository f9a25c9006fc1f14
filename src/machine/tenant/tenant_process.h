// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "core/units.h"
#include "machine/tenant/tenant.h"
#include "machine/tenant/tenant_protocol.h"

namespace thermoe {

struct TenantProcessOptions {
  std::string program{};  ///< `thermoe`: a path, or found on the PATH
  double power_fraction =
      0.0;      ///< that its work alone is to add of what lies between idle and limit
  int gpu = 0;  ///< CUDA's index
  std::string nvml_library{};  ///< empty: the driver's
  Seconds patience{90.0};      ///< with its calibration
};

/// A process `thermoe load --commands`, which has calibrated itself and rests until it is told to
/// work. It ends with this object, with this program, and with the thread that made it; Ctrl-C in
/// the terminal does not reach it.
class TenantProcess final : public Tenant {
 public:
  /// Returns when it is ready. Throws UsageError with its words where it refuses what is asked for
  /// (exit code 2), Error where it cannot be started, ends otherwise or takes too long.
  explicit TenantProcess(const TenantProcessOptions& options);
  ~TenantProcess() override;  // within some 3 s, if need be by killing it

  void set_working(bool working) override;
  Watts added_power() const override { return *ready_.added; }
  const TenantReady& ready() const { return ready_; }

 private:
  /// Ends the process and closes its streams.
  struct Child {
    ~Child();
    bool reap();

    pid_t pid = -1;
    int input = -1, output = -1, errors = -1;
    std::optional<int> status{};  // of waitpid, once it has ended
  };
  void start(const TenantProcessOptions& options);
  std::string first_line(Seconds patience);
  [[noreturn]] void fail(const std::string& what);

  Child child_{};
  std::string said_{};  // on its standard error
  TenantReady ready_{};
};

}  // namespace thermoe
