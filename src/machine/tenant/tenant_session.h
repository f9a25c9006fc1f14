// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include "core/clock.h"
#include "core/units.h"
#include "machine/tenant/board_power.h"
#include "machine/tenant/duty_calibration.h"
#include "machine/tenant/tenant_load.h"
#include "machine/tenant/tenant_protocol.h"
#include "telemetry/source.h"

namespace thermoe {

struct TenantSessionOptions {
  /// Added watts of what lies between idle and limit, or a share of the time: one of the two.
  std::optional<double> power_fraction{}, duty{};
  TenantLoadOptions load{};
  CalibrationLengths lengths{};
  Seconds to_settle{0.5};  ///< from a change of the duty to watts that count
};

struct TenantSessionParts {
  std::function<std::unique_ptr<TenantWork>()> make_work;  ///< called in the load's thread
  std::unique_ptr<Source> source;                          ///< reads energy in every poll
  const Clock& clock;                                      ///< must outlive the session; likewise
  const std::atomic<bool>& stop;                           ///< ends what is under way
};

/// What a tenant did in a stretch of time.
struct TenantDone {
  TenantTally tally{};
  std::optional<Watts> mean{};  ///< of the GPU; absent where nobody tells
};

/// A tenant from its calibration to its end.
class TenantSession {
 public:
  /// Returns when it is ready, and rests. `ready` names the GPU. Throws UsageError for what cannot
  /// be had, Error where it is stopped meanwhile.
  TenantSession(const TenantSessionOptions& options, TenantSessionParts parts, TenantReady ready);

  const TenantReady& ready() const { return ready_; }
  /// Works and rests as the lines from `input` say, until its end.
  void obey(int input);
  /// Works so long, or until it is stopped.
  TenantDone work(std::optional<Seconds> length);
  /// All that it did, calibration included.
  TenantTally tally() const { return load_->tally(); }

 private:
  void connect(const TenantSessionOptions& options, std::unique_ptr<Source> source);
  Watts power_at(double duty, Seconds length, Seconds to_settle);
  bool wait(Seconds length) const;

  const Clock& clock_;
  const std::atomic<bool>& stop_;
  TenantReady ready_;
  std::unique_ptr<BoardPower> board_{};  // null where nobody tells watts, and nobody wants them
  std::unique_ptr<TenantLoad> load_{};
};

}  // namespace thermoe
