// SPDX-License-Identifier: Apache-2.0
#include "run/document_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_file.h"

namespace thermoe {
namespace {

constexpr std::int64_t kSchema = 1;

std::vector<std::uint8_t> read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    throw FormatError(path, "",
                      "cannot be opened; give a text file (docs/experiments.md, \"text\")");
  }
  std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(in),
                                  std::istreambuf_iterator<char>()};
  if (in.bad() || bytes.empty()) throw FormatError(path, "", "is empty or cannot be read");
  return bytes;
}

}  // namespace

DocumentText::DocumentText(std::vector<std::uint8_t> bytes, std::vector<std::string> domains,
                           std::vector<Document> documents)
    : bytes_(std::move(bytes)), domains_(std::move(domains)), documents_(std::move(documents)) {
  for (const Document& d : documents_) {
    THERMOE_EXPECT(d.length <= bytes_.size() && d.offset <= bytes_.size() - d.length,
                   "document at {} of {} bytes exceeds the text's {}", d.offset, d.length,
                   bytes_.size());
  }
}

DocumentText DocumentText::load(const std::string& text_path, const std::string& index_path) {
  std::vector<std::uint8_t> bytes = read_bytes(text_path);
  const nlohmann::json json = read_json_file(index_path);
  JsonObject index(json, index_path);
  index.integer("schema", kSchema, kSchema);
  const auto expected = static_cast<std::size_t>(index.integer("bytes", 1, INT64_MAX));
  if (expected != bytes.size()) {
    throw FormatError(index_path, "/bytes",
                      fmt::format("is {}, but {} has {} bytes; the two files are of different runs",
                                  expected, text_path, bytes.size()));
  }
  std::vector<std::string> domains;
  std::vector<Document> documents;
  const nlohmann::json& entries = index.array("documents");
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::string key = fmt::format("/documents/{}", i);
    JsonObject entry(entries[i], index_path, key);
    const std::string domain = entry.string("domain");
    const auto size = static_cast<std::int64_t>(bytes.size());
    const std::int64_t offset = entry.integer("offset", 0, size);
    const std::int64_t length = entry.integer("length", 1, size - offset);
    const auto begin = bytes.begin() + offset;
    if (std::find(begin, begin + length, std::uint8_t{0}) != begin + length) {
      throw FormatError(index_path, key, "holds a zero byte, which separates documents");
    }
    auto known = std::find(domains.begin(), domains.end(), domain);
    if (known == domains.end()) known = domains.insert(known, domain);
    documents.push_back({.domain = static_cast<int>(known - domains.begin()),
                         .offset = static_cast<std::size_t>(offset),
                         .length = static_cast<std::size_t>(length)});
  }
  if (documents.empty()) throw FormatError(index_path, "/documents", "is empty; name one at least");
  return {std::move(bytes), std::move(domains), std::move(documents)};
}

std::span<const std::uint8_t> DocumentText::bytes(const Document& document) const {
  return std::span(bytes_).subspan(document.offset, document.length);
}

double byte_entropy(std::span<const std::uint8_t> bytes) {
  std::array<double, 256> counts{};
  for (const std::uint8_t b : bytes) counts[b] += 1.0;
  double bits = 0.0;
  for (const double n : counts) {
    if (n > 0) bits -= n * std::log2(n / static_cast<double>(bytes.size()));
  }
  return bytes.empty() ? 0.0 : bits / static_cast<double>(bytes.size());
}

}  // namespace thermoe
