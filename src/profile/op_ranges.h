// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace thermoe {

/// A stretch of a host thread's time that belongs to one op.
struct OpRange {
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;
  std::uint32_t thread = 0;  ///< place in the order in which threads came
  std::uint32_t name = 0;    ///< the caller's number of the name
};

/// Ranges of host threads, and which of them owns a call: the innermost that holds the whole call.
/// Push and pop ranges nest; where others overlap, the one that began last owns. 24 bytes a range;
/// a lookup takes logarithmic time whatever the ranges look like.
class OpRanges {
 public:
  void reserve(std::size_t ranges) { ranges_.reserve(ranges); }
  /// Requires start <= end.
  void add(std::uint64_t thread, std::int64_t start_ns, std::int64_t end_ns, std::uint32_t name);
  /// Sorts the ranges by thread and start. Call once, after the last `add`.
  void finish();

  /// Place of the owner in `all()`, after `finish()`.
  std::optional<std::uint32_t> owner(std::uint64_t thread, std::int64_t start_ns,
                                     std::int64_t end_ns) const;
  const std::vector<OpRange>& all() const { return ranges_; }

 private:
  std::vector<OpRange> ranges_{};
  std::unordered_map<std::uint64_t, std::uint32_t> threads_{};
  std::vector<std::pair<std::size_t, std::size_t>> of_thread_{};  // from, to
  /// Latest ends: [0] of blocks of ranges, each next of blocks of those before.
  std::vector<std::vector<std::int64_t>> latest_end_{};
};

}  // namespace thermoe
