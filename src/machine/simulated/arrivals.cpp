// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/arrivals.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "core/errors.h"

namespace thermoe {
namespace {

// Apart from each other and from what else draws with a run's seed.
constexpr std::uint64_t kTimesSeed = 0x61727269ULL;
constexpr std::uint64_t kTokensSeed = 0x746f6b65ULL;

/// NaN is out of every range.
void check(const char* field, double value, bool sound, const char* remedy) {
  if (sound) return;
  throw UsageError(fmt::format("arrivals: {} is {}, must be {}", field, value, remedy));
}

void check(const std::string& name, const TokenLaw& law) {
  check(name.c_str(), law.mean, law.mean >= 1.0 && law.mean <= kMostRequestTokens,
        "within [1, 1e6]");
  check((name + " spread").c_str(), law.spread, law.spread >= 0.0 && law.spread <= 5.0,
        "within [0, 5]");
}

void check(const ArrivalSpec& spec) {
  if (spec.kind == ArrivalSpec::Kind::kRecorded) {
    if (spec.recorded.empty()) throw UsageError("arrivals: none is recorded; name a file of them");
    const auto by_time = [](const Request& a, const Request& b) { return a.at < b.at; };
    THERMOE_EXPECT(std::ranges::is_sorted(spec.recorded, by_time), "arrivals must be by time");
    return;
  }
  check("rate_per_s", spec.rate_per_s, spec.rate_per_s > 0.0 && spec.rate_per_s <= 1e5,
        "above 0 and at most 1e5");
  check("tokens_in", spec.tokens_in);
  check("tokens_out", spec.tokens_out);
  if (spec.kind == ArrivalSpec::Kind::kBursty) {
    const double most = 1.0 / spec.burst_share;
    check("burst_share", spec.burst_share, spec.burst_share > 0.0 && spec.burst_share < 1.0,
          "between 0 and 1");
    check("burst_factor", spec.burst_factor,
          spec.burst_factor > 1.0 && spec.burst_factor <= most * (1.0 + 1e-9),
          "above 1 and at most 1 / burst_share, or the mean rate cannot hold");
    check("burst_s", spec.burst_length.value,
          spec.burst_length > Seconds(0) && std::isfinite(spec.burst_length.value), "above 0");
  }
  if (spec.kind == ArrivalSpec::Kind::kDayCycle) {
    check("swing", spec.swing, spec.swing >= 0.0 && spec.swing <= 1.0, "within [0, 1]");
    check("day_s", spec.day.value, spec.day > Seconds(0) && std::isfinite(spec.day.value),
          "above 0");
  }
}

/// [0, 1).
double uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1.0p-53; }

int drawn_tokens(const TokenLaw& law, std::mt19937_64& random) {
  double tokens = law.mean;
  if (law.kind == TokenLaw::Kind::kGeometric && law.mean > 1.0) {
    tokens = 1.0 + std::floor(std::log1p(-uniform(random)) / std::log1p(-1.0 / law.mean));
  } else if (law.kind == TokenLaw::Kind::kLogNormal) {
    // Box-Muller: the same draws from every standard library.
    const double radius = std::sqrt(-2.0 * std::log1p(-uniform(random)));
    const double z = radius * std::cos(2.0 * std::numbers::pi * uniform(random));
    tokens = law.mean * std::exp(law.spread * z - 0.5 * law.spread * law.spread);
  }
  return static_cast<int>(std::round(std::clamp(tokens, 1.0, kMostRequestTokens)));
}

}  // namespace

Arrivals::Arrivals(ArrivalSpec spec)
    : spec_(std::move(spec)), times_(spec_.seed + kTimesSeed), tokens_(spec_.seed + kTokensSeed) {
  check(spec_);
  // Settled: bursts are under way with their share of the time.
  if (spec_.kind == ArrivalSpec::Kind::kBursty) burst_ = uniform(times_) >= spec_.burst_share;
}

double Arrivals::exponential() { return -std::log1p(-uniform(times_)); }

/// Both lengths are exponential and so is what is left of them: a draw that reaches beyond the turn
/// is drawn anew from there.
Seconds Arrivals::next_bursty() {
  const double share = spec_.burst_share;
  const double calm = std::max(0.0, (1.0 - share * spec_.burst_factor) / (1.0 - share));
  while (true) {
    if (now_ >= turn_) {
      burst_ = !burst_;
      const Seconds mean = burst_ ? spec_.burst_length : (1.0 / share - 1.0) * spec_.burst_length;
      turn_ = now_ + exponential() * mean;
    }
    const double rate = spec_.rate_per_s * (burst_ ? spec_.burst_factor : calm);
    const Seconds at = rate > 0.0 ? now_ + Seconds(exponential() / rate)
                                  : Seconds(std::numeric_limits<double>::infinity());
    if (at < turn_) return at;
    now_ = turn_;
  }
}

/// Thinning: Poisson at the greatest rate, of which each arrival stays with its rate's share.
Seconds Arrivals::next_of_day() {
  const double greatest = spec_.rate_per_s * (1.0 + spec_.swing);
  Seconds at = now_;
  while (true) {
    at += Seconds(exponential() / greatest);
    const double rate = 1.0 + spec_.swing * std::sin(2.0 * std::numbers::pi * (at / spec_.day));
    if (uniform(times_) * (1.0 + spec_.swing) < rate) return at;
  }
}

Seconds Arrivals::next_time() {
  if (spec_.kind == ArrivalSpec::Kind::kBursty) return next_bursty();
  if (spec_.kind == ArrivalSpec::Kind::kDayCycle) return next_of_day();
  return now_ + Seconds(exponential() / spec_.rate_per_s);
}

std::optional<Request> Arrivals::next() {
  if (spec_.kind == ArrivalSpec::Kind::kRecorded) {
    if (given_ == spec_.recorded.size()) return std::nullopt;
    return spec_.recorded[given_++];
  }
  now_ = next_time();
  const int in = drawn_tokens(spec_.tokens_in, tokens_);
  const int out = drawn_tokens(spec_.tokens_out, tokens_);
  return Request{.at = now_, .tokens_in = in, .tokens_out = out};
}

}  // namespace thermoe
