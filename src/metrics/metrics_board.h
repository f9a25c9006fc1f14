// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/clock.h"
#include "metrics/control_metrics.h"
#include "metrics/hardware_metrics.h"

namespace thermoe {

/// The newest values of whoever publishes, between them and a server of metrics:
///
///   MetricsBoard board({.version = "0.1.0", .hostname = "node7"}, clock);
///   const MetricsServer server({.port = 9464}, [&board] { return board.collect(); });
///   ... each tick:  board.publish(ControlValues{.labels = {{"model_name", "qwen3"},
///                                                          {"engine", "0"}}, ...});
///
/// An engine publishes as a run and a monitor do. Every member may be called from any thread.
/// `publish` moves the value in under a lock that is held for the exchange of a pointer alone; a
/// page is made by whoever collects.
class MetricsBoard {
 public:
  struct Program {
    std::string version{};
    std::string hostname{};
  };

  /// `clock`, in whose time published values age, must outlive the board.
  MetricsBoard(Program program, const Clock& clock);

  void publish(HardwareValues values);
  void publish(ControlValues values);
  /// All that is known now.
  std::vector<MetricFamily> collect() const;

 private:
  template <class Values>
  struct Published {
    Values values{};
    Seconds at{};
  };
  template <class Values>
  using Newest = std::vector<std::shared_ptr<const Published<Values>>>;  // a publisher each

  template <class Values, class Same>
  void put(Newest<Values>& newest, Values values, const Same& same);

  const Program program_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  Newest<HardwareValues> hardware_{};
  Newest<ControlValues> control_{};
};

}  // namespace thermoe
