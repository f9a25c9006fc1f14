// SPDX-License-Identifier: Apache-2.0
#include "run/text_streams.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "core/errors.h"

namespace thermoe {
namespace {

/// Documents whose every byte tells the document: 1 for the first, 2 for the second...
DocumentText labelled(const std::vector<std::size_t>& lengths, int domains) {
  std::vector<std::uint8_t> bytes;
  std::vector<DocumentText::Document> documents;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    documents.push_back(
        {.domain = static_cast<int>(i) % domains, .offset = bytes.size(), .length = lengths[i]});
    bytes.insert(bytes.end(), lengths[i], static_cast<std::uint8_t>(i + 1));
    bytes.push_back(0);
  }
  std::vector<std::string> names;
  for (int d = 0; d < domains; ++d) names.push_back("domain " + std::to_string(d));
  return {std::move(bytes), std::move(names), std::move(documents)};
}

TEST(TextStreams, TheSameOptionsGiveTheSameBytesAndAnotherSeedDoesNot) {
  const DocumentText text = labelled({700, 300, 900, 1500, 80, 640}, 3);
  TextStreams a(text, {.streams = 4, .context = 64, .seed = 5});
  TextStreams b(text, {.streams = 4, .context = 64, .seed = 5});
  TextStreams c(text, {.streams = 4, .context = 64, .seed = 6});
  bool differs = false;
  for (int i = 0; i < 500; ++i) {
    const StreamStep& step = a.next();
    EXPECT_EQ(step.inputs, b.next().inputs);
    differs |= step.inputs != c.next().inputs;
  }
  EXPECT_TRUE(differs);
}

TEST(TextStreams, EveryWindowIsOneDocumentAndStartsWithZero) {
  const DocumentText text = labelled({700, 300, 900, 1500, 80, 640}, 3);
  TextStreams streams(text, {.streams = 3, .context = 64, .seed = 2});
  std::vector<std::uint8_t> document(3), last(3);
  for (int i = 0; i < 1000; ++i) {
    const StreamStep& step = streams.next();
    for (std::size_t s = 0; s < 3; ++s) {
      ASSERT_NE(step.targets[s], 0) << "separators are never predicted";
      const bool restarts = std::find(step.restarts.begin(), step.restarts.end(),
                                      static_cast<int>(s)) != step.restarts.end();
      if (restarts) {
        EXPECT_EQ(step.inputs[s], 0);
        document[s] = step.targets[s];
      } else {
        EXPECT_EQ(step.inputs[s], last[s]) << "the byte fed is the one that was predicted";
      }
      EXPECT_EQ(step.targets[s], document[s]) << "window crosses documents";
      last[s] = step.targets[s];
    }
  }
}

TEST(TextStreams, WindowsAreNoLongerThanTheContext) {
  const DocumentText text = labelled({5000}, 1);
  TextStreams streams(text, {.streams = 2, .context = 50, .seed = 1});
  std::vector<int> since(2, 0);
  for (int i = 0; i < 500; ++i) {
    const StreamStep& step = streams.next();
    for (const int s : step.restarts) since[static_cast<std::size_t>(s)] = 0;
    for (int& n : since) EXPECT_LE(++n, 50);
  }
}

TEST(TextStreams, StreamsDoNotRestartTogetherAfterTheFirstStep) {
  const DocumentText text = labelled(std::vector<std::size_t>(8, 4000), 4);
  TextStreams streams(text, {.streams = 16, .context = 64, .seed = 1});
  EXPECT_EQ(streams.next().restarts.size(), 16U);
  for (int i = 1; i < 1000; ++i) EXPECT_LE(streams.next().restarts.size(), 1U) << i;
}

TEST(TextStreams, EveryStepMixesTheDomains) {
  const DocumentText text = labelled(std::vector<std::size_t>(4, 4000), 4);
  TextStreams streams(text, {.streams = 8, .context = 64, .seed = 3});
  std::vector<int> seen(5, 0);
  for (int i = 0; i < 4096; ++i) {
    const StreamStep& step = streams.next();
    EXPECT_GE(std::set(step.targets.begin(), step.targets.end()).size(), 3U);
    for (const std::uint8_t b : step.targets) ++seen[b];
  }
  for (int domain = 1; domain <= 4; ++domain)
    EXPECT_NEAR(seen[static_cast<std::size_t>(domain)], 8192, 600);
}

TEST(TextStreams, HighComplexityTakesTheDocumentsOfHighestEntropy) {
  std::vector<std::uint8_t> bytes(1000, 'a');
  bytes.push_back(0);
  for (int i = 0; i < 1000; ++i) bytes.push_back(static_cast<std::uint8_t>(1 + i % 200));
  const DocumentText text(bytes, {"plain", "dense"}, {{0, 0, 1000}, {1, 1001, 1000}});
  TextStreams streams(text, {.streams = 2, .context = 32, .seed = 1, .high_complexity = true});
  for (int i = 0; i < 200; ++i) {
    const StreamStep& step = streams.next();
    EXPECT_EQ(step.targets[0] == 'a' && step.inputs[0] == 'a', false);
  }
}

TEST(TextStreams, TextWithoutALongEnoughDocumentIsRefused) {
  const DocumentText text = labelled({10, 20}, 1);
  EXPECT_THROW(TextStreams(text, {.streams = 1}), UsageError);
}

}  // namespace
}  // namespace thermoe
