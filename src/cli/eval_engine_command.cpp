// SPDX-License-Identifier: Apache-2.0
#include "cli/eval_engine_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "core/errors.h"
#include "core/spawn_program.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

constexpr std::string_view kCommand = "eval-engine";
constexpr const char* kProgram = R"(import sys
try:
    from thermoe.eval_engine.__main__ import main
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "thermoe":
        raise
    print("error: eval-engine: " + sys.executable + " has no package thermoe, or an older one: pip install "
          "'./python[transformers]', or name by THERMOE_PYTHON a Python that has it", file=sys.stderr)
    sys.exit(2)
sys.exit(main())
)";

/// Does not return but by throwing.
void become_python(const std::vector<std::string>& words) {
  const char* chosen = std::getenv("THERMOE_PYTHON");
  const std::string python = chosen != nullptr && *chosen != '\0' ? chosen : "python3";
  ::setenv("THERMOE_PROGRAM", "thermoe eval-engine", 1);  // for its help
  std::vector<const char*> arguments{python.c_str(), "-c", kProgram};
  for (const std::string& word : words) arguments.push_back(word.c_str());
  arguments.push_back(nullptr);
  ::execvp(python.c_str(), const_cast<char* const*>(arguments.data()));
  throw UsageError(fmt::format("eval-engine: {}: {}; THERMOE_PYTHON names the Python to run",
                               printable(python, true), why_not_run(python, errno)));
}

}  // namespace

std::vector<std::string> cut_engine_words(int& argc, char** argv) {
  if (argc < 2 || argv[1] != kCommand) return {};
  std::vector<std::string> words(argv + 2, argv + argc);
  argc = 2;
  return words;
}

void add_eval_engine_command(CLI::App& app, std::vector<std::string> words) {
  app.add_subcommand(std::string(kCommand),
                     "What prices cost a model in quality, in its own engine (runs Python)")
      ->callback([words = std::move(words)] { become_python(words); });
}

}  // namespace thermoe
