// SPDX-License-Identifier: Apache-2.0
#include "cli/router_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/number_option.h"
#include "core/json_file.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

/// A flag that takes one of the names that `from` knows.
template <class T>
void add_name(CLI::App& command, const char* flag, std::optional<T>& value,
              std::optional<T> (*from)(std::string_view), const std::vector<std::string>& known,
              const std::string& help) {
  command
      .add_option_function<std::string>(
          flag, [&value, from](const std::string& name) { value = from(name); }, help)
      ->check(CLI::Validator(
          [from, known](std::string& name) {
            if (from(name)) return std::string();
            const auto near = nearest_name(name, known);
            return fmt::format("{} is not one of {}{}", printable(name, true),
                               fmt::join(known, ", "),
                               near ? fmt::format("; did you mean {}?", *near) : "");
          },
          fmt::format("{}", fmt::join(known, "|"))));
}

}  // namespace

void add_pick_options(CLI::App& command, StatedRouter& given) {
  add_name(command, "--score", given.score, score_function_from, score_function_names(),
           "How gate logits become scores (default: the logits file says, else softmax)");
  command.add_option("--k", given.k, "Experts each token takes (default: the logits file says)")
      ->check(whole_number(1, 1024));
  command
      .add_option("--groups", given.groups,
                  "Equal runs of experts, of which a token uses its best (default: the logits file "
                  "says, else 1)")
      ->check(whole_number(1, 1024));
  command.add_option("--groups-kept", given.groups_kept, "Groups each token uses (likewise)")
      ->check(whole_number(1, 1024));
}

void add_router_options(CLI::App& command, StatedRouter& given) {
  add_pick_options(command, given);
  add_name(command, "--denominator", given.denominator, weight_denominator_from,
           weight_denominator_names(),
           "What a token's scores are divided by to weigh its experts (default: the logits file "
           "says, else picked)");
  add_name(command, "--loss-scores", given.loss_scores, loss_scores_from, loss_scores_names(),
           "Price by scores without or with the model's selection bias (default: unbiased)");
}

}  // namespace thermoe
