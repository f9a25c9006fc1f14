// SPDX-License-Identifier: Apache-2.0
#include "moe/logit_rows.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "core/errors.h"
#include "core/router_score.h"

namespace thermoe {
namespace {

/// Sums of probabilities that were rounded to bf16 differ from 1 by up to 0.4 %.
constexpr double kSumTolerance = 0.01;

enum class RowKind { kLogits, kConstant, kProbabilities, kScattered };

RowKind kind_of(std::span<const float> row, int k) {
  if (is_constant(row)) return RowKind::kConstant;
  if (*std::ranges::min_element(row) < 0.0F) return RowKind::kLogits;
  const double sum = std::accumulate(row.begin(), row.end(), 0.0);
  const auto zeros = std::ranges::count(row, 0.0F);
  const auto width = std::ssize(row);
  if (2 * zeros >= width && (sum <= 1.0 + kSumTolerance || width - zeros <= k)) {
    return RowKind::kScattered;
  }
  return std::abs(sum - 1.0) <= kSumTolerance ? RowKind::kProbabilities : RowKind::kLogits;
}

void check_numbers(const LogitRows& rows, int k, int sample, int layer, int token) {
  const auto fail = [&](const std::string& problem) {
    throw FormatError(
        rows.path, rows.tensor,
        fmt::format("sample {}, layer {}, token {}: {}", sample, layer, token, problem));
  };
  const std::span<const float> row = rows.row(sample, layer, token);
  const auto bad = std::ranges::find_if(
      row, [](float x) { return std::isnan(x) || (std::isinf(x) && x > 0.0F); });
  if (bad != row.end()) {
    fail(
        fmt::format("is {} at expert {}; logits are finite, or -inf for an expert that cannot be "
                    "chosen",
                    *bad, bad - row.begin()));
  }
  const auto finite = std::ranges::count_if(row, [](float x) { return std::isfinite(x); });
  if (finite < k) {
    fail(
        fmt::format("has {} finite logits, top-{} needs {}; the others are -inf, which is "
                    "probability 0",
                    finite, k, k));
  }
}

/// A sigmoid of -200 is 0 and of 100 it is 1, whatever stands beside it: no token is routed by such
/// scores, and one whose scores all are 0 would lose nothing with any expert.
void check_scores(const LogitRows& rows, int k, ScoreFunction score, int sample, int layer,
                  int token) {
  constexpr float kFar = 1.0F;  // nearer logits may be one number when rounded
  const std::span<const float> row = rows.row(sample, layer, token);
  if (is_constant(row)) return;
  std::vector<float> best(std::min(static_cast<std::size_t>(k) + 1, row.size()));
  std::ranges::partial_sort_copy(row, best, std::greater<>());
  const auto fail = [&](const std::string& problem) {
    throw FormatError(
        rows.path, rows.tensor,
        fmt::format("sample {}, layer {}, token {}: {}; write the logits as the model's router has "
                    "them, and name its score function",
                    sample, layer, token, problem));
  };
  const auto p = [&](float x) { return score_of(score, x, best.front()); };
  const float pick = best[static_cast<std::size_t>(k) - 1];
  if (p(pick) == 0.0F) {
    fail(fmt::format("the {} of {}, its best logit number {}, is 0 in float, no weight for a pick",
                     to_string(score), pick, k));
  }
  const float next = best.back();
  if (std::ssize(row) > k && best.front() - next > kFar && p(best.front()) == p(next)) {
    fail(
        fmt::format("the {} of {} and of {}, its best logit and number {}, are both {} in float, "
                    "which chooses none",
                    to_string(score), best.front(), next, best.size(), p(next)));
  }
}

/// What the rows of a layer are, if they all are the same.
void check_layer(const LogitRows& rows, int k, int layer) {
  std::int64_t constant = 0, probabilities = 0, scattered = 0;
  for (int s = 0; s < rows.samples; ++s) {
    for (int t = 0; t < rows.tokens; ++t) {
      switch (kind_of(rows.row(s, layer, t), k)) {
        case RowKind::kLogits:
          return;
        case RowKind::kConstant:
          ++constant;
          break;
        case RowKind::kProbabilities:
          ++probabilities;
          break;
        case RowKind::kScattered:
          ++scattered;
      }
    }
  }
  const auto fail = [&](const char* problem) {
    throw FormatError(rows.path, rows.tensor, fmt::format("layer {}: {}", layer, problem));
  };
  if (scattered > probabilities) {
    fail(
        "rows are >= 0 and mostly 0: these are the probabilities of the chosen experts, not "
        "logits; write the logits of all experts, before the score function and top-k");
  }
  if (probabilities > 0) {
    fail(
        "rows are >= 0 and sum to 1: these are probabilities, not logits; write the logits before "
        "softmax, or the probabilities' logarithm");
  }
  fail(
      "every row is constant, so its router prefers no expert; is it a dense layer? Leave it out, "
      "and rows of padding too");
}

/// Calls `see` with every row that is not constant.
template <class F>
void each_row(const LogitRows& rows, F see) {
  for (int s = 0; s < rows.samples; ++s) {
    for (int l = 0; l < rows.layers; ++l) {
      for (int t = 0; t < rows.tokens; ++t) {
        if (const auto row = rows.row(s, l, t); !is_constant(row)) see(row);
      }
    }
  }
}

/// Probabilities in percent, say: no row of logits keeps the sum of another.
void check_sums(const LogitRows& rows) {
  constexpr std::int64_t kFewest = 4;  // fewer may have one sum by chance
  constexpr double kSame = 1e-3;
  std::span<const float> first;
  std::int64_t count = 0;
  double low = HUGE_VAL, high = 0.0;
  bool positive = true, differ = false;
  each_row(rows, [&](std::span<const float> row) {
    if (count++ == 0) first = row;
    differ = differ || !std::ranges::equal(row, first);
    positive = positive && *std::ranges::min_element(row) >= 0.0F;
    const double sum = std::accumulate(row.begin(), row.end(), 0.0);
    low = std::min(low, sum);
    high = std::max(high, sum);
  });
  if (count < kFewest || !positive || !differ || high - low > kSame * high) return;
  throw FormatError(rows.path, rows.tensor,
                    fmt::format("rows are >= 0 and all sum to {:.4g}: these look like "
                                "probabilities times {:.4g}, not logits; write the logits before "
                                "softmax, or the probabilities' logarithm",
                                high, high));
}

}  // namespace

std::span<const float> LogitRows::row(int sample, int layer, int token) const {
  const auto width = static_cast<std::size_t>(experts);
  const auto index = (static_cast<std::size_t>(sample) * layers + layer) * tokens + token;
  return std::span(values).subspan(index * width, width);
}

bool is_constant(std::span<const float> row) {
  std::size_t finite = 0;
  float first = 0.0F;
  for (const float x : row) {
    if (!std::isfinite(x)) continue;
    if (finite++ == 0) first = x;
    if (x != first) return false;
  }
  return finite > 1;
}

void check_logit_rows(const LogitRows& rows, int k, ScoreFunction score) {
  for (int s = 0; s < rows.samples; ++s) {
    for (int l = 0; l < rows.layers; ++l) {
      for (int t = 0; t < rows.tokens; ++t) {
        check_numbers(rows, k, s, l, t);
        check_scores(rows, k, score, s, l, t);
      }
    }
  }
  for (int l = 0; l < rows.layers; ++l) check_layer(rows, k, l);
  check_sums(rows);
}

bool look_like_scores(const LogitRows& rows) {
  bool within = true;
  each_row(rows, [&](std::span<const float> row) {
    within = within && std::ranges::all_of(row, [](float x) { return x > 0.0F && x < 1.0F; });
  });
  return within;
}

}  // namespace thermoe
