// SPDX-License-Identifier: Apache-2.0
// Every flag of every command, as the program has them: what is no text is a number, and numbers
// are strict. A new flag is tested here without being named; a new text flag has to be listed.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <set>
#include <string>
#include <vector>

#include "cli/commands.h"

namespace thermoe {
namespace {

using ::testing::HasSubstr;

constexpr const char* kMissing = "--missing";
const std::set<std::string> kTextFlags = {
    "--source",      "--run",         "--nvml-library",   "--plant",     "--cost-model",
    "--dtype",       "--model",       "--text",           "--index",     "--out",
    "--strategy",    "--heldout",     "--units-regex",    "--units-url", "--units-counter",
    "--unit-name",   "--gpu",         "--device",         "--score",     "--denominator",
    "--loss-scores", "--kernels",     "--domain",         "--samples",   "--engine",
    "--heat-from",   "--logits",      "--sweep",          "--op",        "--budget",
    "--cupti",       "--with",        "--nsys-path",      "--ncu-path",  "--replay",
    "--costs",       "--other-dtype", "--metrics-address"};

/// The program's commands. Each lacks an option that it requires, so that none runs.
class Flags : public ::testing::Test {
 protected:
  Flags() {
    add_commands(app_, stop_);
    require_more(app_);
  }

  /// Each flag that takes a number, with the words of its command.
  template <class Visit>
  void for_each_number(const Visit& visit) {
    std::vector<std::string> words;
    walk(app_, words, visit);
  }

  /// What the parser says about these words; names kMissing if it takes them.
  std::string refusal(const std::vector<std::string>& words) {
    try {
      app_.parse(std::vector<std::string>(words.rbegin(), words.rend()));
    } catch (const CLI::ParseError& error) {
      return error.what();
    }
    return "";
  }

 private:
  static void require_more(CLI::App& app) {
    for (CLI::App* command : app.get_subcommands({})) {
      command->add_option(kMissing)->required();
      require_more(*command);
    }
  }

  template <class Visit>
  static void walk(const CLI::App& app, std::vector<std::string>& words, const Visit& visit) {
    for (const CLI::Option* option : app.get_options()) {
      const bool takes_a_value = option->nonpositional() && option->get_items_expected_max() > 0;
      const std::string flag = option->get_name();
      if (takes_a_value && flag != kMissing && !kTextFlags.contains(flag))
        visit(words, flag, *option);
    }
    for (const CLI::App* command : app.get_subcommands({})) {
      words.push_back(command->get_name());
      for (const CLI::Option* option : command->get_options()) {
        if (option->get_positional()) words.emplace_back("some-file");
      }
      walk(*command, words, visit);
      while (words.back() != command->get_name()) words.pop_back();
      words.pop_back();
    }
  }

  CLI::App app_{};
  std::atomic<bool> stop_{false};
};

TEST_F(Flags, NumbersAreDecimalFiniteWholeTextsAndTheFlagIsNamed) {
  constexpr std::array kBad = {"nan", "inf",   "-inf", "010", "0x10", "1x",    " 1", "1 ",
                               "",    "1e999", "1,5",  "--",  "-1",   "1'000", "+1", "1e"};
  int flags = 0;
  for_each_number([&](std::vector<std::string> words, const std::string& flag, const auto&) {
    ++flags;
    for (const char* bad : kBad) {
      std::vector<std::string> all = words;
      all.push_back(fmt::format("{}={}", flag, bad));
      EXPECT_THAT(refusal(all), HasSubstr(flag + ":")) << fmt::format("{}", fmt::join(all, " "));
    }
  });
  EXPECT_GE(flags, 40) << "the walk has found the commands";
}

TEST_F(Flags, TheDefaultOfANumberIsANumber) {
  for_each_number([&](std::vector<std::string> words, const std::string& flag, const auto& option) {
    const std::string value = option.get_default_str();
    if (value.empty() || option.get_items_expected_max() > 1) return;
    words.push_back(fmt::format("{}={}", flag, value));
    EXPECT_THAT(refusal(words), testing::Not(HasSubstr(flag + ":"))) << value;
  });
}

TEST_F(Flags, EveryElementOfAListIsChecked) {
  EXPECT_THAT(refusal({"eval", "--cut", "15", "nan"}), HasSubstr("--cut"));
  EXPECT_THAT(refusal({"eval", "--cut", "15", "2.5e1"}), HasSubstr(kMissing));
}

}  // namespace
}  // namespace thermoe
