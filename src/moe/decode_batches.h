// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace thermoe {

/// Text of one domain, a document an element. Views: the caller keeps the bytes.
struct DomainText {
  std::string name{};
  std::vector<std::span<const std::uint8_t>> documents{};
};

/// Which bytes of a batch's row count, and for which document: [first, last) of the row, at least
/// byte 1, as byte 0 is context only. Empty: the row keeps the batch full and counts for nothing.
struct CountedBytes {
  int document = 0;
  int first = 1;
  int last = 1;
};

/// Text as one decode batch reads it: a stream a row.
struct DecodeBatch {
  std::vector<std::uint8_t> bytes{};    ///< [rows, length]
  std::vector<CountedBytes> counted{};  ///< [rows]
};

struct DecodeBatches {
  int rows = 0;
  int length = 0;
  int documents = 0;
  std::vector<DecodeBatch> batches{};

  std::int64_t counted_bytes() const;
};

/// Batches that count every byte of every document exactly once, in windows of `length` bytes. The
/// first byte of a window is context: 0x00 at a document's start, else the byte before. A
/// document's last window reaches back over bytes that the one before it counts, so that it is as
/// long as the others; a document shorter than a window is followed by itself, not counted. Every
/// step of a batch therefore has all its streams. A document's windows stand in different batches
/// where there are enough batches, and the last batch is filled up with windows that are not
/// counted again. Requires rows >= 1 and length >= 2; UsageError where no document has a byte.
DecodeBatches cover_text(const std::vector<DomainText>& text, int rows, int length);

/// `batches` of them, evenly spread; all where there are no more.
DecodeBatches some_of(const DecodeBatches& all, std::size_t batches);

}  // namespace thermoe
