// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

#include <string>

namespace thermoe {

/// Random windows of a byte file, held on `device` as u8 (a corpus is small beside a GPU).
class TextBatches {
 public:
  /// Throws FormatError when the file is missing or shorter than one window.
  TextBatches(const std::string& path, std::int64_t length, at::Device device);

  /// [sequences, length + 1] i64: inputs and, one later, targets. Depends only on (seed, step).
  at::Tensor draw(std::int64_t sequences, std::uint64_t seed, std::int64_t step) const;
  /// `sequences` windows spread evenly over the file, the same each time.
  at::Tensor spread(std::int64_t sequences) const;

  std::int64_t size() const { return bytes_.size(0); }

 private:
  at::Tensor windows_at(const at::Tensor& starts) const;

  std::int64_t length_;
  at::Tensor bytes_;  // [size] u8
};

}  // namespace thermoe
