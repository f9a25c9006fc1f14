// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "core/units.h"

namespace thermoe {

/// Most tokens of a prompt or of an answer.
inline constexpr double kMostRequestTokens = 1e6;

/// Somebody asks for an answer.
struct Request {
  Seconds at{};  ///< when it arrives
  int tokens_in = 1;
  int tokens_out = 1;
  bool operator==(const Request&) const = default;
};

/// How many tokens prompts or answers have: a law of this mean, at least one token.
struct TokenLaw {
  enum class Kind {
    kFixed,
    kGeometric,  ///< each token is the last one with the same chance
    kLogNormal,
  };
  Kind kind = Kind::kFixed;
  double mean = 1.0;
  double spread = 0.0;  ///< kLogNormal: standard deviation of the logarithm
};

/// Which requests arrive, and when (docs/serving.md has the laws).
struct ArrivalSpec {
  enum class Kind {
    kPoisson,
    kBursty,    ///< Poisson at two rates in turn, for exponential times
    kDayCycle,  ///< Poisson whose rate is a sine of time
    kRecorded,
  };
  Kind kind = Kind::kPoisson;
  double rate_per_s = 1.0;  ///< mean, requests
  TokenLaw tokens_in{.mean = 32.0};
  TokenLaw tokens_out{.mean = 256.0};
  // kBursty:
  double burst_factor = 3.0;   ///< rate within a burst over the mean rate, > 1
  double burst_share = 0.25;   ///< of the time that is burst, (0, 1/burst_factor]
  Seconds burst_length{10.0};  ///< mean
  // kDayCycle:
  double swing = 0.8;  ///< (greatest - mean) / mean rate, [0, 1]
  Seconds day{240.0};  ///< length of a cycle; it begins at the mean rate, rising
  // kRecorded:
  std::vector<Request> recorded{};  ///< by time; none comes after the last
  std::uint64_t seed = 1;
};

/// Reads `time, tokens_in, tokens_out` (CSV with a header; seconds from the run's start). Throws
/// FormatError naming file, line, column and value for a time that is negative or before the last
/// one's, a count that is no whole number >= 1, and for a file without a row.
std::vector<Request> read_arrivals(const std::string& path);

/// The requests of a spec in order of time: the same for the same spec, whatever becomes of them.
/// Times and token counts are drawn apart: another law of tokens changes no time.
class Arrivals {
 public:
  /// Throws UsageError naming the field of a spec that is out of its range.
  explicit Arrivals(ArrivalSpec spec);

  /// The next request; absent where no more come.
  std::optional<Request> next();

 private:
  Seconds next_time();
  Seconds next_bursty();
  Seconds next_of_day();
  double exponential();

  ArrivalSpec spec_;
  std::mt19937_64 times_;
  std::mt19937_64 tokens_;
  Seconds now_{};
  bool burst_ = false;     // kBursty
  Seconds turn_{};         // kBursty: when the rate changes
  std::size_t given_ = 0;  // kRecorded
};

}  // namespace thermoe
