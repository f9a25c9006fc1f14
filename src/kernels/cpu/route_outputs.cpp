// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/route_outputs.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/widen_logits.h"
#include "kernels/cpu/workspace_rows.h"

namespace thermoe::cpu {
namespace {

std::ptrdiff_t row_of(int t, int length) { return static_cast<std::ptrdiff_t>(t) * length; }

void empty_padding(const TopkRouteArgs& a, int valid) {
  const std::ptrdiff_t first = row_of(valid, a.slots);
  const std::ptrdiff_t cells = row_of(a.tokens - valid, a.slots);
  std::fill_n(a.expert + first, cells, -1);
  std::fill_n(a.weight + first, cells, 0.0F);
  if (a.kept_mass) std::fill_n(a.kept_mass + valid, a.tokens - valid, 1.0F);
}

void fill_slots(const TopkRouteArgs& a) {
  std::int32_t any = 0;
  while (any < a.router.experts && a.counts[any] == 0) ++any;
  if (any == a.router.experts) any = 0;
  for (int t = 0; t < a.tokens; ++t) {
    std::int32_t* row = a.expert + row_of(t, a.slots);
    std::replace(row, row + a.slots, -1, row[0] >= 0 ? row[0] : any);
  }
}

void write_masked_logits(const TopkRouteArgs& a) {
  const int experts = a.router.experts;
  float* unchosen = WorkspaceRows(a).loss;
  for (int e = 0; e < experts; ++e) {
    unchosen[e] = a.counts[e] > 0 ? kMaskedLogit / 2 : kMaskedLogit;
  }
  for (int t = 0; t < a.tokens; ++t) {
    const std::ptrdiff_t row = row_of(t, experts);
    std::copy_n(unchosen, experts, a.masked_logits + row);
    const std::int32_t* picks = a.expert + row_of(t, a.slots);
    for (int n = 0; n < a.slots && picks[n] >= 0; ++n) {
      a.masked_logits[row + picks[n]] = std::max(logit(a.logits, row + picks[n]), kMaskedLogit / 4);
    }
  }
}

/// Bits as they are: a NaN stays the one that it was.
void write_sample(const TopkRouteArgs& a, int valid) {
  const std::int32_t slot = *a.sample.slot;
  if (slot != 0 && slot != 1) return;
  const std::size_t logit = a.logits.type == FloatType::kF32 ? 4 : 2;
  const auto row = static_cast<std::size_t>(a.router.experts) * logit;
  const auto first = static_cast<std::size_t>(slot * a.sample.distance) * logit;
  const int rows = std::min(valid, a.sample.rows);
  if (rows > 0) {
    std::memcpy(static_cast<std::byte*>(a.sample.logits) + first, a.logits.data,
                static_cast<std::size_t>(rows) * row);
  }
}

}  // namespace

void finish_outputs(const TopkRouteArgs& a, int valid) {
  empty_padding(a, valid);
  std::fill_n(a.counts, a.router.experts, 0);
  const std::ptrdiff_t cells = row_of(a.tokens, a.slots);
  for (std::ptrdiff_t i = 0; i < cells; ++i) {
    if (a.expert[i] >= 0) ++a.counts[a.expert[i]];
  }
  if (a.order.first) order_by_expert(a.expert, a.tokens, a.slots, a.router.experts, a.order);
  if (a.masked_logits) write_masked_logits(a);
  if (a.fill_slots) fill_slots(a);
  if (a.sample.logits) write_sample(a, valid);
}

}  // namespace thermoe::cpu
