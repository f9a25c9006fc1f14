// SPDX-License-Identifier: Apache-2.0
#include "monitor/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thermoe {
namespace {

using ::testing::ElementsAre;

Item words(const std::string& text, Style style = Style::kPlain) { return {Span{text, style}}; }

TEST(Page, ItemsFoldOntoAsManyLinesAsTheyNeed) {
  Page page({.columns = 12});
  page.flow({words("one"), words("two"), words(""), words("three")}, 2);
  EXPECT_THAT(page.lines(), ElementsAre("  one  two", "  three"));
}

TEST(Page, AnItemThatIsTooWideIsCut) {
  Page page({.columns = 8});
  page.flow({words("a name without end")});
  EXPECT_THAT(page.lines(), ElementsAre("a name …"));
}

TEST(Page, ALineIsCutAcrossStyles) {
  Page page({.columns = 6});
  page.flow({{Span{"abcdef", Style::kBold}, Span{"ghi"}}});
  EXPECT_THAT(page.lines(), ElementsAre("abcde…"));
}

TEST(Page, ColourIsAddedWhereThereIsSome) {
  Page plain({.columns = 20});
  plain.flow({words("hot", Style::kBad)});
  EXPECT_THAT(plain.lines(), ElementsAre("hot"));
  Page coloured({.columns = 20, .colour = true});
  coloured.flow({words("hot", Style::kBad)});
  EXPECT_THAT(coloured.lines(), ElementsAre("\x1b[31mhot\x1b[0m"));
}

TEST(Page, NamesCannotSmuggleEscapeCodes) {
  Page page({.columns = 20});
  page.flow({words("a\x1b[2Jb")});
  EXPECT_THAT(page.lines(), ElementsAre("a[2Jb"));
}

TEST(Page, ParagraphsBreakBetweenWords) {
  Page page({.columns = 10});
  page.paragraph("no GPU was found here", Style::kPlain);
  EXPECT_THAT(page.lines(), ElementsAre("no GPU was", "found here"));
}

TEST(Page, TheRightEdgeIsLeftOutWhereItDoesNotFit) {
  Page wide({.columns = 20});
  wide.edges(words("title"), words("q quits"));
  EXPECT_THAT(wide.lines(), ElementsAre("title        q quits"));
  Page narrow({.columns = 10});
  narrow.edges(words("title"), words("q quits"));
  EXPECT_THAT(narrow.lines(), ElementsAre("title"));
}

}  // namespace
}  // namespace thermoe
