// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "monitor/panels.h"
#include "monitor/reading_words.h"

namespace thermoe {
namespace {

constexpr std::size_t kMostProblems = 4;

/// A message that does not name its source already gets its name.
std::string named(const FeedView& feed, const std::string& words) {
  return words.starts_with(feed.label) ? words : fmt::format("{}: {}", feed.label, words);
}

void add_error(Page& page, const FeedView& feed, bool any_gpu) {
  if (feed.answered) {
    const std::string words = fmt::format("{}: lost; reconnecting. {}", feed.label, *feed.error);
    return page.paragraph(words, Style::kBad);
  }
  if (feed.optional) {
    // The first clause says it all to someone who did not ask for this source.
    const std::string clause = feed.error->substr(0, feed.error->find(": "));
    return page.paragraph(fmt::format("{}: {}", feed.label, clause), Style::kDim);
  }
  const bool elsewhere = any_gpu || feed.label == "host";
  page.paragraph(
      named(feed, *feed.error) + (elsewhere ? "" : ". Without a GPU, try --source simulated"),
      Style::kWarning);
}

}  // namespace

void add_feed(Page& page, const FeedView& feed, bool any_gpu) {
  if (feed.silent_for) {
    page.paragraph(fmt::format("{} has not answered for {}", feed.label, seconds(*feed.silent_for)),
                   Style::kBad);
  } else if (feed.ended) {
    page.paragraph("The recording has ended; this was its last reading", Style::kWarning);
  } else if (feed.error) {
    add_error(page, feed, any_gpu);
  } else if (!feed.answered) {
    page.paragraph(fmt::format("{}: waiting for the first reading", feed.label), Style::kDim);
  }
  for (std::size_t i = 0; i < std::min(feed.problems.size(), kMostProblems); ++i) {
    page.paragraph(named(feed, feed.problems[i]), Style::kWarning);
  }
  if (feed.problems.size() > kMostProblems) {
    page.paragraph(fmt::format("{}: {} more of this kind; thermoe monitor --once --json lists them",
                               feed.label, feed.problems.size() - kMostProblems),
                   Style::kDim);
  }
}

}  // namespace thermoe
