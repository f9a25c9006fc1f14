// SPDX-License-Identifier: Apache-2.0
#include "moe/decode_batches.h"

#include <algorithm>

#include "core/errors.h"

namespace thermoe {
namespace {

struct Window {
  std::vector<std::uint8_t> bytes{};
  CountedBytes counted{};
};

void cut_into_windows(std::span<const std::uint8_t> document, int id, std::size_t length,
                      std::vector<Window>& windows) {
  std::vector<std::uint8_t> bytes{0};
  bytes.insert(bytes.end(), document.begin(), document.end());
  const std::size_t end = bytes.size();
  while (bytes.size() < length) bytes.push_back(bytes[bytes.size() - end]);
  for (std::size_t scored = 1; scored < end;) {
    const std::size_t begin = std::min(scored - 1, bytes.size() - length);
    const std::size_t last = std::min(begin + length, end);
    const auto at = bytes.begin() + static_cast<std::ptrdiff_t>(begin);
    windows.push_back({.bytes = {at, at + static_cast<std::ptrdiff_t>(length)},
                       .counted = {.document = id,
                                   .first = static_cast<int>(scored - begin),
                                   .last = static_cast<int>(last - begin)}});
    scored = last;
  }
}

}  // namespace

std::int64_t DecodeBatches::counted_bytes() const {
  std::int64_t bytes = 0;
  for (const DecodeBatch& batch : batches) {
    for (const CountedBytes& c : batch.counted) bytes += c.last - c.first;
  }
  return bytes;
}

DecodeBatches cover_text(const std::vector<DomainText>& text, int rows, int length) {
  THERMOE_EXPECT(rows >= 1 && length >= 2, "rows={} x length={} hold no text", rows, length);
  DecodeBatches made{.rows = rows, .length = length};
  std::vector<Window> windows;
  for (const DomainText& domain : text) {
    for (const auto document : domain.documents) {
      cut_into_windows(document, made.documents++, static_cast<std::size_t>(length), windows);
    }
  }
  if (windows.empty()) throw UsageError("the text has no bytes to score");
  const std::size_t counted = windows.size();
  const auto streams = static_cast<std::size_t>(rows);
  const std::size_t batches = (counted + streams - 1) / streams;
  made.batches.resize(batches);
  // Neighbours, which are of one document, go to neighbouring batches.
  for (std::size_t i = 0; i < batches * streams; ++i) {
    const Window& window = windows[i % counted];
    DecodeBatch& batch = made.batches[i % batches];
    batch.bytes.insert(batch.bytes.end(), window.bytes.begin(), window.bytes.end());
    batch.counted.push_back(i < counted ? window.counted : CountedBytes{});
  }
  return made;
}

DecodeBatches some_of(const DecodeBatches& all, std::size_t batches) {
  DecodeBatches chosen{.rows = all.rows, .length = all.length, .documents = all.documents};
  const std::size_t n = std::min(batches, all.batches.size());
  for (std::size_t i = 0; i < n; ++i) {
    chosen.batches.push_back(all.batches[i * all.batches.size() / n]);
  }
  return chosen;
}

}  // namespace thermoe
