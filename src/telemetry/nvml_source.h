// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/units.h"
#include "telemetry/source.h"

namespace thermoe {

struct NvmlOptions {
  std::string library = "libnvidia-ml.so.1";       ///< a name for the loader to find, or a path
  std::string library_setting = "--nvml-library";  ///< that people name it with, for remedies
  /// Time between two reads of the energy counter, the one slow call (4 ms on H100); >= 0, and 0
  /// reads it in every poll.
  Seconds energy_period{1.0};
  Seconds reconnect_period{1.0};       ///< before the first attempt to reconnect; > 0. Doubles ...
  Seconds reconnect_period_max{30.0};  ///< ... with each that fails, up to this
};

class NvmlGpu;
class NvmlSession;

/// The GPUs of this machine as the NVIDIA driver tells. Nothing is loaded before the first read().
///
/// Which readings there are depends on chip, driver and permission: one that NVML refuses
/// (NOT_SUPPORTED, NO_PERMISSION, a function that an older driver lacks) is absent and is not asked
/// for again until NVML is initialised anew; one that fails otherwise is absent in that poll. The
/// energy counter is present only in the polls that read it (see `request_energy`).
///
/// A GPU that is lost keeps its place, name and UUID, its readings are absent, `problems` of the
/// snapshot says so, and the others go on. While one is lost, NVML is shut down and initialised
/// again (the driver tells of a GPU that came back only then) after `reconnect_period`, then at
/// growing distances. A GPU has the index that NVML gave it when it was first seen, and keeps it:
/// it is known by its UUID, and one never seen before whose index another has gets the next free
/// one. One that NVML lists and that cannot be opened has its index and an empty place. If all are
/// lost, or NVML cannot be initialised, read() throws TelemetryError with cause and remedy, and
/// later calls try again at the same distances.
///
/// read() is for one thread at a time and may block as long as the driver does; `request_energy`
/// may be called from any thread. `GpuSystemMonitor` keeps these rules.
class NvmlSource final : public Source {
 public:
  /// Throws PreconditionError for periods out of range.
  explicit NvmlSource(NvmlOptions options);
  ~NvmlSource() override;  // nvmlShutdown
  NvmlSource(const NvmlSource&) = delete;
  NvmlSource& operator=(const NvmlSource&) = delete;

  std::string_view name() const override { return "nvml"; }

  /// Makes the next read() read the energy counter, whenever it was read last: for the edges of a
  /// run, where joules are counted. Call it, poll, and take `energy` of the snapshot.
  void request_energy() { energy_requested_.store(true, std::memory_order_relaxed); }

 private:
  Snapshot poll(Seconds now) override;
  struct Slot;
  /// A GPU that NVML lists and that could not be opened in this session.
  struct Unopened {
    unsigned index = 0;
    bool lost = false;
    std::string problem{};
  };

  void connect_if_due(Seconds now);
  std::optional<std::string> connect();
  void place(std::unique_ptr<NvmlGpu> gpu, unsigned index);
  void keep_place(const Unopened& failure);
  Slot& add_place(unsigned index);
  std::optional<std::string> read_slots(Snapshot& snapshot, bool with_energy);
  void schedule(Seconds now, bool all_well);

  const NvmlOptions options_;
  std::atomic<bool> energy_requested_{false};
  std::unique_ptr<NvmlSession> session_;  // null while not connected
  std::vector<Slot> slots_;               // every GPU ever listed, by index
  std::vector<std::string> unplaced_{};   // could not be opened, and which they were is not known
  bool some_lost_ = false;                // ... one of them for being lost
  std::optional<Seconds> energy_read_at_{};
  std::optional<Seconds> retry_at_{};  // set while anything is lost
  Seconds retry_period_{};             // before the next attempt
  std::string fault_{};                // why there is no session, and the remedy
};

}  // namespace thermoe
