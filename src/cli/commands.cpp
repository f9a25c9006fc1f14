// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.h"

#include <utility>

#include "cli/cost_command.h"
#include "cli/doctor_command.h"
#include "cli/eval_command.h"
#include "cli/eval_engine_command.h"
#include "cli/load_command.h"
#include "cli/logits_command.h"
#include "cli/measure_command.h"
#include "cli/monitor_command.h"
#include "cli/parse_command.h"
#include "cli/price_command.h"
#include "cli/profile_command.h"
#include "cli/report_command.h"
#include "cli/run_command.h"
#include "cli/solve_command.h"
#include "cli/traces_command.h"
#include "cli/train_command.h"

namespace thermoe {

void add_commands(CLI::App& app, const std::atomic<bool>& stop,
                  std::optional<std::vector<std::string>> measured,
                  std::vector<std::string> engine_words) {
  add_run_command(app, stop);
  add_report_command(app);
  add_cost_command(app);
  add_parse_command(app);
  add_profile_command(app);
  add_price_command(app);
  add_solve_command(app);
  add_traces_command(app);
  add_logits_command(app, stop);
  add_train_command(app, stop);
  add_eval_command(app, stop);
  add_eval_engine_command(app, std::move(engine_words));
  add_doctor_command(app);
  add_monitor_command(app);
  add_measure_command(app, std::move(measured));
  add_load_command(app, stop);
}

}  // namespace thermoe
