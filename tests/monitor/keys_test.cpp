// SPDX-License-Identifier: Apache-2.0
#include "monitor/keys.h"

#include <gtest/gtest.h>

#include <string>

namespace thermoe {
namespace {

TEST(Keys, QQuitsAndLettersOfOtherKeysDoNot) {
  EXPECT_TRUE(keys_of("q").quit);
  EXPECT_TRUE(keys_of("jjQ").quit);
  EXPECT_FALSE(keys_of("\x1bq").quit) << "Alt and q";
  EXPECT_FALSE(keys_of("\x1b[1;5q").quit);
  EXPECT_FALSE(keys_of("xyz").quit);
  EXPECT_FALSE(keys_of("").quit);
}

TEST(Keys, ArrowsAndLettersScrollLinesAndPageKeysPages) {
  for (const char* down : {"j", "\x1b[B", "\x1bOB"}) EXPECT_EQ(keys_of(down).scroll.lines, 1);
  for (const char* up : {"k", "\x1b[A", "\x1bOA"}) EXPECT_EQ(keys_of(up).scroll.lines, -1);
  for (const char* down : {" ", "\x1b[6~"}) EXPECT_EQ(keys_of(down).scroll.pages, 1);
  EXPECT_EQ(keys_of("\x1b[5~").scroll.pages, -1);
  EXPECT_EQ(keys_of("\x1b[C\x1b[D\x1b[H").scroll.lines, 0);
}

TEST(Keys, ManyInOneReadAddUp) {
  const KeyPresses keys = keys_of("\x1b[B\x1b[B\x1b[Bk\x1b[6~\x1b[5~\x1b[6~");
  EXPECT_EQ(keys.scroll.lines, 2);
  EXPECT_EQ(keys.scroll.pages, 1);
  EXPECT_FALSE(keys.quit);
}

TEST(Keys, ASequenceThatWasCutEndsWithItsBytes) {
  for (const char* cut : {"\x1b", "\x1b[", "\x1b[5", "\x1bO"}) {
    EXPECT_EQ(keys_of(cut).scroll.pages, 0);
    EXPECT_FALSE(keys_of(cut).quit);
  }
}

}  // namespace
}  // namespace thermoe
