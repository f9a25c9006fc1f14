// SPDX-License-Identifier: Apache-2.0
#include "engine/step_log.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/half_float.h"

namespace thermoe {
namespace {

template <class Bits, class Widen>
void widen(const std::byte* bytes, std::span<float> out, const Widen& widened) {
  for (float& value : out) {
    Bits bits;
    std::memcpy(&bits, bytes, sizeof bits);
    bytes += sizeof bits;
    value = widened(bits);
  }
}

}  // namespace

std::size_t byte_size(LogitType type) { return type == LogitType::kF32 ? 4 : 2; }

void StepTotals::add(const EngineStep& step) {
  ++steps;
  tokens += static_cast<std::uint64_t>(step.tokens);
  if (step.mixed) {
    ++mixed;
  } else {
    ++decoded;
    decode_tokens += static_cast<std::uint64_t>(step.tokens);
    rows += static_cast<std::uint64_t>(step.rows);
    if (step.time > Seconds(0)) ++timed, time += step.time;
    if (step.period > Seconds(0)) ++periods, period += step.period;
  }
  if (!step.serving) return;
  arrived += static_cast<std::uint64_t>(step.serving->arrived);
  finished += static_cast<std::uint64_t>(step.serving->finished);
  serving = step.serving;
}

void StepTotals::add(const StepTotals& more) {
  steps += more.steps, mixed += more.mixed, tokens += more.tokens, skipped += more.skipped;
  decoded += more.decoded, decode_tokens += more.decode_tokens, rows += more.rows;
  timed += more.timed, time += more.time, periods += more.periods, period += more.period;
  arrived += more.arrived, finished += more.finished;
  if (more.serving) serving = more.serving;
}

StepLog::StepLog(int layers, int experts, int most_tokens)
    : layers_(layers), experts_(experts), most_tokens_(most_tokens), slots_(kSlots) {
  const std::size_t cells = static_cast<std::size_t>(layers) * static_cast<std::size_t>(experts);
  for (Slot& slot : slots_) slot.counts.resize(cells);
  sample_slot_.counts.resize(cells);
  sample_bytes_ = std::make_unique_for_overwrite<std::byte[]>(
      cells * static_cast<std::size_t>(most_tokens) * sizeof(float));
}

void StepLog::fill(Slot& slot, const EngineStep& step) const {
  slot.version = step.version;
  slot.tokens = step.tokens;
  slot.quality_loss = step.quality_loss;
  slot.counted = !step.counts.empty() && !step.mixed;
  if (slot.counted) std::copy(step.counts.begin(), step.counts.end(), slot.counts.begin());
}

void StepLog::add(const EngineStep& step) {
  add_sample(step);
  pending_.add(step);
  const std::uint64_t at = written_.load(std::memory_order_relaxed);
  if (at - read_.load(std::memory_order_acquire) == kSlots) {
    if (!step.counts.empty() && !step.mixed) ++pending_.skipped;
    return;
  }
  Slot& slot = slots_[at % kSlots];
  fill(slot, step);
  slot.totals = std::exchange(pending_, {});
  written_.store(at + 1, std::memory_order_release);
}

void StepLog::add_sample(const EngineStep& step) {
  if (!step.logits || step.mixed || step.tokens > most_tokens_ || !wants_sample()) return;
  fill(sample_slot_, step);
  sample_type_ = step.logits->type;
  const std::size_t row = static_cast<std::size_t>(experts_) * byte_size(sample_type_);
  const std::size_t kept = row * static_cast<std::size_t>(step.tokens);
  const auto* from = static_cast<const std::byte*>(step.logits->data);
  for (int l = 0; l < layers_; ++l) {
    std::memcpy(sample_bytes_.get() + kept * static_cast<std::size_t>(l), from, kept);
    from += row * static_cast<std::size_t>(step.logits->rows);
  }
  sampled_.store(true, std::memory_order_release);
}

LoggedLoads StepLog::loads_of(const Slot& slot) const {
  return {.version = slot.version,
          .stats = {.layers = layers_,
                    .experts = experts_,
                    .tokens = slot.tokens,
                    .counts = slot.counts,
                    .quality_loss = slot.quality_loss}};
}

StepTotals StepLog::drain(std::vector<LoggedLoads>& loads) {
  StepTotals totals;
  std::uint64_t at = read_.load(std::memory_order_relaxed);
  const std::uint64_t end = written_.load(std::memory_order_acquire);
  for (; at < end; ++at) {
    const Slot& slot = slots_[at % kSlots];
    totals.add(slot.totals);
    if (slot.counted) loads.push_back(loads_of(slot));
    read_.store(at + 1, std::memory_order_release);
  }
  return totals;
}

std::optional<LoggedSample> StepLog::take_sample() {
  if (!sampled_.load(std::memory_order_acquire)) return std::nullopt;
  LoggedSample taken{
      .ran = loads_of(sample_slot_),
      .sample = {.layers = layers_, .tokens = sample_slot_.tokens, .experts = experts_}};
  std::vector<float>& logits = taken.sample.logits;
  logits.resize(sample_slot_.counts.size() * static_cast<std::size_t>(sample_slot_.tokens));
  switch (sample_type_) {
    case LogitType::kF32:
      std::memcpy(logits.data(), sample_bytes_.get(), logits.size() * sizeof(float));
      break;
    case LogitType::kF16:
      widen<std::uint16_t>(sample_bytes_.get(), logits, f16_to_float);
      break;
    case LogitType::kBf16:
      widen<std::uint16_t>(sample_bytes_.get(), logits, bf16_to_float);
      break;
  }
  sampled_.store(false, std::memory_order_release);
  return taken;
}

}  // namespace thermoe
