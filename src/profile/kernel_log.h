// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "profile/gpu_samples.h"
#include "profile/op_ranges.h"
#include "profile/parsed_profile.h"

namespace thermoe {

/// What all launches of a record have in common. Names are numbers of the caller's.
struct KernelKind {
  std::int64_t name = 0;
  std::int64_t device = 0;
  std::optional<Extent> grid{};
  std::optional<Extent> block{};
  std::optional<std::int64_t> registers{};
  bool operator==(const KernelKind&) const = default;
};

/// Which call launched a kernel: correlation ids are unique within a process only.
struct LaunchId {
  std::uint64_t process = 0;
  std::uint64_t correlation = 0;
};

/// A host call that may have launched kernels.
struct LaunchCall {
  LaunchId id{};
  std::uint64_t thread = 0;
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;
};

/// Collects a profile's kernels, finds the range that owns each launch, and sums up: first all
/// kernels, then `finish_kernels`, then the host's calls in any order. Holds 40 bytes a kernel and
/// none for a call, however many of those there are.
class KernelLog {
 public:
  void reserve(std::size_t kernels) { kernels_.reserve(kernels); }
  /// Requires start <= end. Without an id the kernel is an orphan.
  void add(const KernelKind& kind, std::int64_t start_ns, std::int64_t end_ns,
           const std::optional<LaunchId>& launch);
  void finish_kernels();
  /// The innermost of `ranges`, which are the same for all calls, owns what the call launched.
  void add_call(const OpRanges& ranges, const LaunchCall& call);
  bool empty() const { return kernels_.empty(); }

  /// The texts of the caller's numbers.
  struct Names {
    std::unordered_map<std::int64_t, std::string> kernels{};  ///< without a text: unknown
    std::vector<std::string> ranges{};                        ///< by OpRange::name
    std::string domain{};
  };
  /// Fills `profile`'s kernels, orphans and ranges, those with their executions if asked for.
  /// Throws FormatError naming the profile's file where sums exceed 2^63 ns.
  void sum_up(const OpRanges& ranges, const Names& names, const SamplesByDevice& samples,
              bool executions, ParsedProfile& profile) const;

 private:
  struct Kernel {
    std::int64_t start_ns = 0;
    std::int64_t end_ns = 0;
    std::uint64_t correlation = 0;
    std::uint32_t process = 0;  // place in processes_, kNone: not known
    std::uint32_t kind = 0;
    std::uint32_t owner = 0;  // place in the ranges, kNone: launched outside of all, or kOrphan
  };
  class Summary;
  static constexpr std::uint32_t kNone = UINT32_MAX;
  static constexpr std::uint32_t kOrphan = UINT32_MAX - 1;
  struct KindHash {
    std::size_t operator()(const KernelKind& kind) const;
  };

  static bool before(const Kernel& a, const Kernel& b);
  std::size_t first_of(std::uint32_t process, std::uint64_t correlation) const;

  std::vector<Kernel> kernels_{};
  std::vector<KernelKind> kinds_{};
  std::unordered_map<KernelKind, std::uint32_t, KindHash> place_of_kind_{};
  std::unordered_map<std::uint64_t, std::uint32_t> processes_{};
  std::size_t cursor_ = 0;  // calls mostly come in the order of their kernels
};

}  // namespace thermoe
