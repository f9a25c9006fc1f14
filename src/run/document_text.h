// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace thermoe {

/// Documents of real text: bytes separated by 0x00, and an index that says where each lies and of
/// which domain it is (tools/corpus writes both).
class DocumentText {
 public:
  struct Document {
    int domain = 0;  ///< index into domains()
    std::size_t offset = 0;
    std::size_t length = 0;
  };

  /// Throws FormatError, naming file and key, for a missing file or an index that does not fit.
  static DocumentText load(const std::string& text_path, const std::string& index_path);
  DocumentText(std::vector<std::uint8_t> bytes, std::vector<std::string> domains,
               std::vector<Document> documents);

  const std::vector<Document>& documents() const { return documents_; }
  const std::vector<std::string>& domains() const { return domains_; }
  std::span<const std::uint8_t> bytes(const Document& document) const;

 private:
  std::vector<std::uint8_t> bytes_;
  std::vector<std::string> domains_;
  std::vector<Document> documents_;
};

/// Order-0 entropy of bytes, bits a byte; 0 for none.
double byte_entropy(std::span<const std::uint8_t> bytes);

}  // namespace thermoe
