// SPDX-License-Identifier: Apache-2.0
#include "machine/tenant/tenant_session.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr Seconds kGlance{0.05};  // at whether to stop

void sleep(Seconds length) {
  std::this_thread::sleep_for(std::chrono::duration<double>(std::max(length.value, 0.0)));
}

}  // namespace

TenantSession::TenantSession(const TenantSessionOptions& options, TenantSessionParts parts,
                             TenantReady ready)
    : clock_(parts.clock), stop_(parts.stop), ready_(std::move(ready)) {
  THERMOE_EXPECT(options.power_fraction.has_value() != options.duty.has_value(),
                 "a tenant is given its share of the watts or of the time, one of the two");
  connect(options, std::move(parts.source));
  load_ = std::make_unique<TenantLoad>(parts.make_work, clock_, options.load);
  if (options.duty) {
    ready_.duty = *options.duty;
    return;
  }
  const DutyCalibration found = calibrate_duty(
      *options.power_fraction, board_->limit(),
      [&](double duty, Seconds length) { return power_at(duty, length, options.to_settle); },
      options.lengths);
  load_->set_duty(0.0);
  ready_.duty = found.duty;
  ready_.added = found.added;
  ready_.idle = found.idle;
  ready_.limit = found.limit;
}

void TenantSession::connect(const TenantSessionOptions& options, std::unique_ptr<Source> source) {
  try {
    board_ = std::make_unique<BoardPower>(std::move(source), ready_.uuid, clock_, sleep);
  } catch (const UsageError&) {
    if (options.power_fraction) throw;
  }
}

Watts TenantSession::power_at(double duty, Seconds length, Seconds to_settle) {
  constexpr const char* kStopped = "load: interrupted while it was calibrated";
  load_->set_duty(duty);
  if (!wait(to_settle)) throw Error(kStopped);
  const BoardPower::Mark from = board_->mark();
  if (!wait(length)) throw Error(kStopped);
  return BoardPower::mean(from, board_->mark());
}

/// False if it is stopped. Throws what ended the load.
bool TenantSession::wait(Seconds length) const {
  const Seconds end = clock_.now() + length;
  while (clock_.now() < end) {
    if (stop_.load()) return false;
    load_->tally();
    sleep(std::min(kGlance, end - clock_.now()));
  }
  return true;
}

void TenantSession::obey(int input) {
  const auto set_working = [this](bool working) { load_->set_duty(working ? ready_.duty : 0.0); };
  obey_commands(input, set_working, [this] {
    load_->tally();  // throws what ended the load
    return stop_.load();
  });
}

TenantDone TenantSession::work(std::optional<Seconds> length) {
  const TenantTally before = load_->tally();
  load_->set_duty(ready_.duty);
  const auto mark = [this] { return board_ ? std::optional(board_->mark()) : std::nullopt; };
  const auto from = mark();
  while (wait(length.value_or(Seconds(1.0))) && !length) {
  }
  const auto to = mark();  // still at work
  TenantDone done{.tally = load_->tally() - before};
  load_->set_duty(0.0);
  if (from && to && to->at > from->at) done.mean = BoardPower::mean(*from, *to);
  return done;
}

}  // namespace thermoe
