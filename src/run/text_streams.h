// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "run/document_text.h"

namespace thermoe {

struct TextStreamOptions {
  int streams = 16;
  int context = 512;  ///< bytes a window feeds before its stream restarts
  std::uint64_t seed = 1;
  /// Only the quarter of the text (by bytes) whose documents have the highest order-0 entropy.
  bool high_complexity = false;
};

/// What the streams feed and expect in one decode step.
struct StreamStep {
  std::vector<std::uint8_t> inputs{};   ///< [streams]
  std::vector<std::uint8_t> targets{};  ///< [streams], the byte that follows each input
  std::vector<int> restarts{};          ///< streams that begin a window with this step
};

/// Endless streams of text, teacher-forced: each stream reads window after window, a window is a
/// piece of one document and starts with 0x00 (the model's start of a document). Windows go round
/// the domains, so that every step mixes them, and the first windows are cut to different lengths,
/// so that streams restart one after the other. The same options give the same bytes in the same
/// order.
class TextStreams {
 public:
  static constexpr std::size_t kShortestDocument = 64;  ///< bytes; shorter ones are left out
  /// Whether a text has a document long enough for a window.
  static bool usable(const DocumentText& text);

  /// `text` must outlive the streams. Throws UsageError if no document is long enough for a window.
  TextStreams(const DocumentText& text, TextStreamOptions options);

  /// The next step. Valid until the next call.
  const StreamStep& next();

 private:
  struct Window {
    std::span<const std::uint8_t> bytes{};
    std::size_t position = 0;
  };
  struct Stream {
    std::mt19937_64 random{};
    Window window{};
    int windows = 0;
  };

  void start_window(int stream);
  std::size_t window_length(int stream, std::size_t available) const;

  const DocumentText& text_;
  TextStreamOptions options_;
  std::vector<std::vector<DocumentText::Document>> by_domain_{};  // in the seeded order of domains
  std::vector<Stream> streams_{};
  StreamStep step_{};
};

}  // namespace thermoe
