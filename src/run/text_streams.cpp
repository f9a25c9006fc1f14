// SPDX-License-Identifier: Apache-2.0
#include "run/text_streams.h"

#include <algorithm>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr double kComplexShare = 0.25;

/// Uniform in [0, n). Not std::uniform_int_distribution, whose results differ between libraries;
/// the bias of the remainder is below 2^-40 for any text that fits in memory.
std::size_t pick(std::mt19937_64& random, std::size_t n) { return random() % n; }

std::vector<DocumentText::Document> most_complex(
    const DocumentText& text, const std::vector<DocumentText::Document>& documents) {
  std::size_t total = 0;
  std::vector<std::pair<double, DocumentText::Document>> ranked;
  for (const auto& d : documents) {
    ranked.emplace_back(byte_entropy(text.bytes(d)), d);
    total += d.length;
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<DocumentText::Document> kept;
  std::size_t bytes = 0;
  for (const auto& [entropy, d] : ranked) {
    if (!kept.empty() && static_cast<double>(bytes) >= kComplexShare * static_cast<double>(total))
      break;
    kept.push_back(d);
    bytes += d.length;
  }
  return kept;
}

}  // namespace

bool TextStreams::usable(const DocumentText& text) {
  const auto& documents = text.documents();
  return std::any_of(documents.begin(), documents.end(),
                     [](const auto& d) { return d.length >= kShortestDocument; });
}

TextStreams::TextStreams(const DocumentText& text, TextStreamOptions options)
    : text_(text), options_(options) {
  THERMOE_EXPECT(options.streams >= 1 && options.context >= 1, "{} streams of {} bytes",
                 options.streams, options.context);
  std::vector<DocumentText::Document> usable;
  for (const auto& d : text.documents()) {
    if (d.length >= kShortestDocument) usable.push_back(d);
  }
  if (usable.empty()) {
    throw UsageError(fmt::format("the text has no document of {} bytes or more; give a longer text",
                                 kShortestDocument));
  }
  if (options.high_complexity) usable = most_complex(text, usable);

  by_domain_.resize(text.domains().size());
  for (const auto& d : usable) by_domain_[static_cast<std::size_t>(d.domain)].push_back(d);
  std::erase_if(by_domain_, [](const auto& documents) { return documents.empty(); });
  std::mt19937_64 random(options.seed);
  for (std::size_t i = by_domain_.size(); i > 1; --i) {
    std::swap(by_domain_[i - 1], by_domain_[pick(random, i)]);
  }
  for (int s = 0; s < options.streams; ++s) {
    streams_.push_back({.random = std::mt19937_64(random())});
    start_window(s);
  }
  step_.inputs.resize(streams_.size());
  step_.targets.resize(streams_.size());
}

std::size_t TextStreams::window_length(int stream, std::size_t available) const {
  const auto context = static_cast<std::size_t>(options_.context);
  const std::size_t full = std::min(context, available);
  const Stream& s = streams_[static_cast<std::size_t>(stream)];
  if (s.windows > 0) return full;
  // Stagger: the first window of stream s ends (s + 1) / streams of the way.
  const auto cut =
      (static_cast<std::size_t>(stream) + 1) * context / static_cast<std::size_t>(options_.streams);
  return std::clamp<std::size_t>(cut, 1, full);
}

void TextStreams::start_window(int stream) {
  Stream& s = streams_[static_cast<std::size_t>(stream)];
  const auto& documents =
      by_domain_[static_cast<std::size_t>(stream + s.windows) % by_domain_.size()];
  std::size_t total = 0;
  for (const auto& d : documents) total += d.length;
  // A byte of the domain at random: long documents are drawn in proportion.
  std::size_t at = pick(s.random, total);
  const auto* document = &documents.front();
  for (const auto& d : documents) {
    document = &d;
    if (at < d.length) break;
    at -= d.length;
  }
  const std::size_t length = window_length(stream, document->length);
  const std::size_t begin = std::min(at, document->length - length);
  s.window = {.bytes = text_.bytes(*document).subspan(begin, length)};
  ++s.windows;
}

const StreamStep& TextStreams::next() {
  step_.restarts.clear();
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    if (streams_[i].window.position == streams_[i].window.bytes.size()) {
      start_window(static_cast<int>(i));
    }
    Window& window = streams_[i].window;
    if (window.position == 0) step_.restarts.push_back(static_cast<int>(i));
    step_.inputs[i] = window.position == 0 ? 0 : window.bytes[window.position - 1];
    step_.targets[i] = window.bytes[window.position++];
  }
  return step_;
}

}  // namespace thermoe
