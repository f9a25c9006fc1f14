// SPDX-License-Identifier: Apache-2.0
#include "core/wrapped_text.h"

#include <gtest/gtest.h>

namespace thermoe {
namespace {

TEST(WrappedText, BreaksAtBlanksAndIndents) {
  EXPECT_EQ(wrapped("one two three", 9, 2, 0), "one two\n  three");
  EXPECT_EQ(wrapped("one two three", 9, 2, 4), "one\n  two\n  three");
  EXPECT_EQ(wrapped("one two", 7, 0, 0), "one two");
}

TEST(WrappedText, AWordThatIsTooLongStandsAlone) {
  EXPECT_EQ(wrapped("a /very/long/path b", 6, 1, 0), "a\n /very/long/path\n b");
}

TEST(WrappedText, CommandsAreNeverBroken) {
  EXPECT_EQ(wrapped("do this now:\n$ sudo a very long command\nthen rest", 10, 2, 0),
            "do this\n  now:\n  $ sudo a very long command\n  then\n  rest");
}

TEST(WrappedText, OfNothingIsNothing) { EXPECT_EQ(wrapped("", 10, 2, 0), ""); }

}  // namespace
}  // namespace thermoe
