// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

namespace thermoe {

/// Largest head that decode_attention takes.
inline constexpr int kMaxHeadDim = 1024;

/// Where one layer's keys and values of all streams lie. Keys lie in blocks of 16 positions, so
/// that 16 scores are one vector of sums; values lie by position, so that the weighted sum is one
/// vector over head_dim. Both are read in one pass, in order.
///   keys    [streams, heads, blocks, head_dim, 16]
///   values  [streams, heads, context, value_stride]
struct KvLayout {
  static constexpr int kBlock = 16;

  int streams = 1;
  int heads = 1;
  int head_dim = 1;  ///< 1..kMaxHeadDim
  int context = 1;   ///< positions a stream

  int blocks() const { return (context + kBlock - 1) / kBlock; }
  /// head_dim rounded up to whole pairs of vectors; what lies beyond head_dim is read, not used.
  int value_stride() const { return (head_dim + 2 * kBlock - 1) / (2 * kBlock) * (2 * kBlock); }
  /// Floats of one head of one stream.
  std::size_t head_keys() const { return static_cast<std::size_t>(blocks()) * head_dim * kBlock; }
  std::size_t head_values() const { return static_cast<std::size_t>(context) * value_stride(); }
  /// Floats of a layer.
  std::size_t keys() const { return static_cast<std::size_t>(streams) * heads * head_keys(); }
  std::size_t values() const { return static_cast<std::size_t>(streams) * heads * head_values(); }
  /// Floats of scratch that a call needs.
  std::size_t scratch() const { return static_cast<std::size_t>(blocks()) * kBlock; }
};

struct DecodeAttentionArgs {
  KvLayout layout{};
  const float* query = nullptr;   ///< [streams] rows of [heads, head_dim], already rotated
  int query_stride = 0;           ///< floats from a stream's row to the next, >= heads * head_dim
  const float* keys = nullptr;    ///< [layout.keys()], already rotated
  const float* values = nullptr;  ///< [layout.values()]
  std::span<const int> positions{};  ///< [streams] of the queries, each in 0..context-1
  std::span<float> scratch{};        ///< at least layout.scratch()
  float* out = nullptr;              ///< [streams, heads, head_dim]
};

/// One query a stream over that stream's past, itself included: for each head
/// softmax(q · keys / sqrt(head_dim)) · values over positions 0..position. A stream's result does
/// not depend on the other streams. Single-threaded, deterministic on one machine; allocates
/// nothing. Throws PreconditionError for sizes or positions outside the ranges above.
void decode_attention(const DecodeAttentionArgs& args);

}  // namespace thermoe
