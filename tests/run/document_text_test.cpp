// SPDX-License-Identifier: Apache-2.0
#include "run/document_text.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/errors.h"

namespace thermoe {
namespace {

class DocumentTextFiles : public testing::Test {
 protected:
  DocumentTextFiles() { std::filesystem::create_directories(folder_); }
  ~DocumentTextFiles() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ / name, std::ios::binary) << content;
  }
  DocumentText load() const {
    return DocumentText::load((folder_ / "t.bin").string(), (folder_ / "t.json").string());
  }
  void expect_refused(const std::string& index, const std::string& message) const {
    write("t.json", index);
    try {
      load();
      FAIL() << "accepted: " << index;
    } catch (const FormatError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(message));
      EXPECT_THAT(error.what(), testing::HasSubstr("t.json"));
    }
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("document_text." + std::to_string(::getpid()));
};

TEST_F(DocumentTextFiles, DocumentsAreWhereTheIndexSays) {
  write("t.bin", std::string("one\0two", 7));
  write("t.json",
        R"({"schema": 1, "bytes": 7, "seed": 3, "documents": [
           {"domain": "a", "offset": 0, "length": 3, "package": "p"},
           {"domain": "b", "offset": 4, "length": 3}]})");
  const DocumentText text = load();
  ASSERT_EQ(text.documents().size(), 2U);
  const auto bytes = text.bytes(text.documents()[1]);
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "two");
  EXPECT_EQ(text.domains(), (std::vector<std::string>{"a", "b"}));
}

TEST_F(DocumentTextFiles, AMissingTextIsNamedWithARemedy) {
  try {
    load();
    FAIL();
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("t.bin: cannot be opened"));
    EXPECT_THAT(error.what(), testing::HasSubstr("docs/experiments.md"));
  }
}

TEST_F(DocumentTextFiles, AnIndexThatDoesNotFitIsRefused) {
  write("t.bin", std::string("one\0two", 7));
  expect_refused(R"({"schema": 2, "bytes": 7, "documents": []})", "/schema");
  expect_refused(R"({"schema": 1, "bytes": 8, "documents": []})", "different runs");
  expect_refused(R"({"schema": 1, "bytes": 7, "documents": []})", "is empty");
  expect_refused(
      R"({"schema": 1, "bytes": 7, "documents": [{"domain": "a", "offset": 4, "length": 4}]})",
      "/documents/0/length");
  expect_refused(
      R"({"schema": 1, "bytes": 7, "documents": [{"domain": "a", "offset": 0, "length": 7}]})",
      "zero byte");
  expect_refused(R"({"schema": 1, "bytes": 7, "documents": [{"offset": 0, "length": 3}]})",
                 "/documents/0/domain: is missing");
}

TEST(ByteEntropy, CountsBitsAByte) {
  const std::vector<std::uint8_t> same(8, 'x');
  const std::vector<std::uint8_t> four = {1, 2, 3, 4};
  EXPECT_DOUBLE_EQ(byte_entropy(same), 0.0);
  EXPECT_DOUBLE_EQ(byte_entropy(four), 2.0);
  EXPECT_DOUBLE_EQ(byte_entropy({}), 0.0);
}

}  // namespace
}  // namespace thermoe
