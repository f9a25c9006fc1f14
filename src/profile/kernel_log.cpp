// SPDX-License-Identifier: Apache-2.0
#include "profile/kernel_log.h"

#include <algorithm>

namespace thermoe {

std::size_t KernelLog::KindHash::operator()(const KernelKind& kind) const {
  std::uint64_t hash = 0x9E3779B97F4A7C15U;
  const auto mix = [&hash](std::int64_t value) {
    hash = (hash ^ static_cast<std::uint64_t>(value)) * 0xFF51AFD7ED558CCDU;
    hash ^= hash >> 32U;
  };
  mix(kind.name);
  mix(kind.device);
  for (const auto& extent : {kind.grid, kind.block}) {
    for (const std::int64_t size : extent.value_or(Extent{})) mix(size);
  }
  mix(kind.registers.value_or(-1));
  return hash;
}

bool KernelLog::before(const Kernel& a, const Kernel& b) {
  if (a.process != b.process) return a.process < b.process;
  return a.correlation < b.correlation;
}

void KernelLog::add(const KernelKind& kind, std::int64_t start_ns, std::int64_t end_ns,
                    const std::optional<LaunchId>& launch) {
  // Neighbours are often alike: that spares most look-ups.
  std::uint32_t place = kernels_.empty() ? kNone : kernels_.back().kind;
  if (place == kNone || kinds_[place] != kind) {
    place =
        place_of_kind_.try_emplace(kind, static_cast<std::uint32_t>(kinds_.size())).first->second;
    if (place == kinds_.size()) kinds_.push_back(kind);
  }
  std::uint32_t process = kNone;
  if (launch) {
    const auto next = static_cast<std::uint32_t>(processes_.size());
    process = processes_.try_emplace(launch->process, next).first->second;
  }
  kernels_.push_back({.start_ns = start_ns,
                      .end_ns = end_ns,
                      .correlation = launch ? launch->correlation : 0,
                      .process = process,
                      .kind = place,
                      .owner = kOrphan});
}

void KernelLog::finish_kernels() {
  if (!std::ranges::is_sorted(kernels_, before)) std::ranges::sort(kernels_, before);
}

std::size_t KernelLog::first_of(std::uint32_t process, std::uint64_t correlation) const {
  const Kernel wanted{.correlation = correlation, .process = process};
  if (cursor_ < kernels_.size() && !before(kernels_[cursor_], wanted) &&
      (cursor_ == 0 || before(kernels_[cursor_ - 1], wanted))) {
    return cursor_;
  }
  const auto found = std::ranges::lower_bound(kernels_, wanted, before);
  return static_cast<std::size_t>(found - kernels_.begin());
}

void KernelLog::add_call(const OpRanges& ranges, const LaunchCall& call) {
  const auto process = processes_.find(call.id.process);
  if (process == processes_.end()) return;
  const Kernel wanted{.correlation = call.id.correlation, .process = process->second};
  const std::size_t first = first_of(wanted.process, wanted.correlation);
  if (first == kernels_.size() || before(wanted, kernels_[first])) return;
  // A call whose kernels have an owner already says nothing new: the driver's call within the
  // runtime's. So no run of kernels is walked more than twice.
  const std::uint32_t known = kernels_[first].owner;
  if (known != kOrphan && known != kNone) return;
  const std::uint32_t owner = ranges.owner(call.thread, call.start_ns, call.end_ns).value_or(kNone);
  if (owner == known) return;
  std::size_t i = first;
  for (; i < kernels_.size() && !before(wanted, kernels_[i]); ++i) kernels_[i].owner = owner;
  cursor_ = i;
}

}  // namespace thermoe
