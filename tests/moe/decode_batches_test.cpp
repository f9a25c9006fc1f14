// SPDX-License-Identifier: Apache-2.0
#include "moe/decode_batches.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/errors.h"
#include "random_checkpoint.h"

namespace thermoe {
namespace {

/// Documents of these lengths; domains of two.
class Text {
 public:
  explicit Text(const std::vector<std::size_t>& lengths) {
    for (const std::size_t n : lengths)
      documents.push_back(random_bytes(n, static_cast<unsigned>(n)));
    for (std::size_t i = 0; i < documents.size(); ++i) {
      if (i % 2 == 0) domains.push_back({.name = "domain"});
      domains.back().documents.emplace_back(documents[i]);
    }
  }
  std::vector<std::vector<std::uint8_t>> documents{};
  std::vector<DomainText> domains{};
};

TEST(DecodeBatches, EveryByteOfEveryDocumentCountsOnceInOrderAfterTheByteBeforeIt) {
  const Text text({100, 7, 31, 8, 0, 1, 64, 63});
  const DecodeBatches made = cover_text(text.domains, 4, 9);
  EXPECT_EQ(made.documents, 8);
  // By document: the pairs (byte before, byte) that are scored. Order does not survive batches.
  std::map<int, std::multiset<std::pair<int, int>>> scored;
  for (const DecodeBatch& batch : made.batches) {
    ASSERT_EQ(batch.bytes.size(), 4U * 9U);
    ASSERT_EQ(batch.counted.size(), 4U);
    for (int r = 0; r < 4; ++r) {
      const CountedBytes& c = batch.counted[r];
      ASSERT_GE(c.first, 1);
      ASSERT_LE(c.last, 9);
      for (int p = c.first; p < c.last; ++p) {
        scored[c.document].insert({batch.bytes[r * 9 + p - 1], batch.bytes[r * 9 + p]});
      }
    }
  }
  std::int64_t bytes = 0;
  for (int d = 0; d < 8; ++d) {
    std::multiset<std::pair<int, int>> wanted;
    int before = 0;
    for (const std::uint8_t byte : text.documents[d]) {
      wanted.insert({before, byte});
      before = byte;
    }
    EXPECT_EQ(scored[d], wanted) << "document " << d;
    bytes += static_cast<std::int64_t>(text.documents[d].size());
  }
  EXPECT_EQ(made.counted_bytes(), bytes);
}

TEST(DecodeBatches, ADocumentsWindowsStandInDifferentBatchesWhereThereAreEnough) {
  const Text text({64, 64, 64, 64, 64, 64, 64});  // 8 windows each, 14 batches
  for (const DecodeBatch& batch : cover_text(text.domains, 4, 9).batches) {
    std::set<int> documents;
    for (const CountedBytes& c : batch.counted) documents.insert(c.document);
    EXPECT_EQ(documents.size(), 4U);
  }
}

TEST(DecodeBatches, TheLastWindowReachesBackAndAShortDocumentIsFollowedByItself) {
  const Text text({10, 3});
  const DecodeBatches made = cover_text(text.domains, 3, 9);
  ASSERT_EQ(made.batches.size(), 1U);
  const DecodeBatch& batch = made.batches[0];
  const auto& longer = text.documents[0];
  const auto& shorter = text.documents[1];
  EXPECT_EQ(std::vector(batch.bytes.begin() + 9, batch.bytes.begin() + 18),
            std::vector(longer.begin() + 1, longer.end()));
  EXPECT_EQ(batch.counted[1].first, 7);
  EXPECT_EQ(batch.counted[1].last, 9);
  const std::vector<std::uint8_t> repeated{0,          shorter[0], shorter[1], shorter[2], 0,
                                           shorter[0], shorter[1], shorter[2], 0};
  EXPECT_EQ(std::vector(batch.bytes.begin() + 18, batch.bytes.end()), repeated);
  EXPECT_EQ(batch.counted[2].last, 4);
}

TEST(DecodeBatches, TheLastBatchIsFullButNothingCountsTwice) {
  const Text text({8, 8, 8, 8, 8});
  const DecodeBatches made = cover_text(text.domains, 4, 9);
  ASSERT_EQ(made.batches.size(), 2U);
  EXPECT_EQ(made.batches[1].bytes.size(), 36U);
  EXPECT_EQ(made.counted_bytes(), 40);
}

TEST(DecodeBatches, SomeAreSpreadOverAll) {
  const Text text({800});
  const DecodeBatches all = cover_text(text.domains, 1, 9);
  const DecodeBatches some = some_of(all, 3);
  ASSERT_EQ(some.batches.size(), 3U);
  EXPECT_EQ(some.batches[1].bytes, all.batches[33].bytes);
  EXPECT_EQ(some.batches[2].bytes, all.batches[66].bytes);
  EXPECT_EQ(some_of(all, 1000).batches.size(), 100U);
}

TEST(DecodeBatches, TextWithoutBytesIsRefused) {
  EXPECT_THROW(cover_text(Text({0}).domains, 4, 9), UsageError);
  EXPECT_THROW(cover_text({}, 4, 9), UsageError);
}

}  // namespace
}  // namespace thermoe
