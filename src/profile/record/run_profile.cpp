// SPDX-License-Identifier: Apache-2.0
#include "profile/record/run_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/errors.h"
#include "cost/cost_writer.h"
#include "profile/cost_merge.h"
#include "profile/ops/op_traffic.h"
#include "profile/parse_report.h"
#include "profile/record/record_file.h"
#include "profile/record/sensed_device.h"
#include "profile/record/strain_run.h"

namespace thermoe {
namespace {

namespace fs = std::filesystem;

std::string path_in(const std::string& folder, const char* name) {
  return (fs::path(folder) / name).string();
}

ProfilePlan plan_with(const ProfileRequest& request, const ProfileRecords& records,
                      Backend backend) {
  PlanRequest plan{.points = request.points,
                   .backend = backend,
                   .timing = request.timing,
                   .anchors = request.anchors,
                   .repeated_share = request.repeated_share,
                   .seed = records.facts.seed,
                   .budget = request.budget,
                   .thermal_done = records.thermal.has_value(),
                   .strain_done = records.strain.has_value()};
  for (const TimeRecord& time : records.times) plan.timed.push_back(to_string(time.point));
  for (const TimeRecord& time : records.repeats) plan.repeated.push_back(to_string(time.point));
  for (const EnergyRecord& energy : records.energies) {
    plan.with_energy.push_back(to_string(energy.point));
  }
  return plan_profile(plan);
}

void make_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw WriteError(
        fmt::format("--out {}: the folder cannot be made: {}", folder, error.message()));
  }
}

/// A profile goes into no cost model of another device.
void check_merge(const ProfileRequest& request, const std::string& device) {
  if (request.merge_into.empty()) return;
  const KernelCostModel model = KernelCostModel::load(request.merge_into);
  if (model.device() == device) return;
  throw FormatError(request.merge_into, "/device",
                    fmt::format("is {}, and this profile is of {}; merge into a model of that",
                                model.device(), device));
}

/// What the result's records say, as its costs, its notes and the folder's files.
void write_files(const ProfileRequest& request, ProfileResult& result) {
  result.costs = measured_costs(result.records);
  for (const std::string& left : result.costs.left_out) {
    result.notes.push_back("left out of the cost model: " + left);
  }
  if (result.records.times.empty()) return;
  write_json_file(parsed_profile_of(result.records, path_in(request.out, kRecordsFile)),
                  path_in(request.out, kProfileFile));
  if (const auto model = cost_model_of(result.records, result.costs, request.models)) {
    result.cost_model = path_in(request.out, kCostModelFile);
    write_cost_model(*model, *result.cost_model);
  } else {
    result.notes.push_back(fmt::format("no cost model of its own: it needs energy measured{}",
                                       request.anchors > 0 ? "" : " (--energy)"));
  }
  if (!request.merge_into.empty() && !result.costs.tables.empty()) {
    merge_tables(result.costs.tables, request.merge_into);
  }
}

/// The same work from its call `first` on. Neighbouring points share their weights: a point that
/// began with the copies that the one before it has just read would find them in the cache.
OpWork later_calls(OpWork work, int first) {
  return {[work = std::move(work), first](int call, Stream stream) {
    work.enqueue(first + call, stream);
  }};
}

/// Of the highest power, or, where none was measured, of those executed the one that moves most.
std::optional<OpPoint> hottest_point(const ProfileRecords& records) {
  const auto hottest = std::ranges::max_element(records.energies, {}, &EnergyRecord::power);
  if (hottest != records.energies.end()) return hottest->point;
  const auto bytes = [](const TimeRecord& time) { return traffic_of(time.point).bytes; };
  const auto largest = std::ranges::max_element(records.times, {}, bytes);
  return largest != records.times.end() ? std::optional(largest->point) : std::nullopt;
}

/// The heaviest that a layer can be asked for: all of its experts, and a prompt's tokens. In bf16
/// where there is one, whose products draw the most power. Of those that can run at all.
std::optional<OpPoint> straining_point(const std::vector<ProfilePoint>& points, Backend backend) {
  constexpr double kPromptTokens = 4096;
  std::optional<OpPoint> found;
  for (const ProfilePoint& point : points) {
    const OpKey& key = point.point.key;
    if (!key.op.starts_with("moe_experts") || (found && key.dtype != "bf16")) continue;
    const OpPoint heaviest{
        .key = key, .tokens = kPromptTokens, .active_experts = key.shape.front()};
    if (op_problem(backend, heaviest) || size_problem(heaviest)) continue;
    found = heaviest;
    if (key.dtype == "bf16") break;
  }
  return found;
}

/// One run, from its plan to its files.
class ProfileRun {
 public:
  ProfileRun(const ProfileRequest& request, const ProfileBench& bench)
      : request_(request),
        bench_(bench),
        file_(path_in(request.out, kRecordsFile), bench.machine.facts),
        plan_(plan_with(request, file_.records(), bench.machine.backend)),
        began_(bench.clock.now()) {
    result_.notes = bench.machine.notes;
    for (const LeftOut& left : plan_.left_out) {
      result_.notes.push_back(fmt::format("left out: {}: {}", left.what, left.why));
    }
  }

  ProfileResult run() {
    // Asked before the minutes that times take: whoever wants joules may stop here.
    const bool joules = (!plan_.energy.empty() || plan_.thermal || plan_.strain) && has_energy();
    time_points(plan_.time, "", [&](TimeRecord record) { file_.add(std::move(record)); });
    time_points(plan_.repeat, ", again",
                [&](TimeRecord record) { file_.add_repeat(std::move(record)); });
    bench_.machine.timer.reset();
    if (joules) {
      measure_energy();
      measure_thermal();
      measure_strained();
    }
    result_.complete = !bench_.stop && !out_of_time_;
    result_.records = file_.records();
    write_files(request_, result_);
    return std::move(result_);
  }

 private:
  void say(std::string_view what, Seconds done) const {
    if (bench_.progress) bench_.progress(what, done, plan_.expected);
  }

  /// A plan is made of guesses: what takes longer than them leaves the rest for the next run.
  bool fits(Seconds next) {
    if (!request_.budget || bench_.clock.now() - began_ + next <= *request_.budget) return true;
    if (!out_of_time_) {
      result_.notes.emplace_back(
          "left out: what the plan expected to fit the budget, and did not: repeat the command");
    }
    out_of_time_ = true;
    return false;
  }

  DeviceState state() {
    try {
      return sensed_device(bench_.machine.sensors->read(bench_.clock.now())).state;
    } catch (const TelemetryError&) {
      return {};  // times need no sensor
    }
  }

  template <class Add>
  void time_points(const std::vector<ProfilePoint>& points, const char* again, const Add& add) {
    for (const ProfilePoint& point : points) {
      const Seconds expected = expected_time(bench_.machine.backend, point.point, request_.timing);
      if (bench_.stop || !fits(expected)) return;
      const std::string name = to_string(point.point);
      say(name + again, expected_done_);
      const OpWork work = later_calls(bench_.machine.make(point.point), calls_);
      const ExecutionCount count{.warm_up = request_.timing.warm_up,
                                 .timed = request_.timing.executions};
      calls_ += count.warm_up + count.timed;
      OpTiming timing = bench_.machine.timer->time(work, name, count);
      add(TimeRecord{
          .part = point.part, .point = point.point, .timing = std::move(timing), .state = state()});
      expected_done_ += expected;
    }
  }

  EnergyBench energy_bench() {
    return {.sensors = *bench_.machine.sensors,
            .clock = bench_.clock,
            .rest = bench_.rest,
            .prepare =
                [this](const OpPoint& point) {
                  return bench_.machine.sustain(bench_.machine.make(point));
                },
            .stop = bench_.stop};
  }

  bool has_energy() {
    const auto problem = energy_problem(energy_bench());
    if (!problem) return true;
    result_.notes.push_back("no energy: " + *problem);
    say(result_.notes.back(), expected_done_);
    return false;
  }

  void measure_energy() {
    std::vector<ProfilePoint> anchors = plan_.energy;
    const auto expected = [&](const OpPoint& point) {
      return expected_energy(bench_.machine.backend, point, request_.timing);
    };
    Seconds time = request_.timing.idle;
    std::size_t fit = 0;
    while (fit < anchors.size() && fits(time + expected(anchors[fit].point))) {
      time += expected(anchors[fit].point), ++fit;
    }
    anchors.resize(fit);
    if (anchors.empty() || bench_.stop) return;
    say("energy", expected_done_);
    measure_energies(anchors, request_.timing, energy_bench(), [&](const EnergyRecord& record) {
      file_.add(record);
      expected_done_ += expected(record.point);
      say("energy of " + to_string(record.point), expected_done_);
    });
  }

  void measure_thermal() {
    if (!plan_.thermal || bench_.stop || !fits(request_.timing.thermal)) return;
    const SensedDevice now = sensed_device(bench_.machine.sensors->read(bench_.clock.now()));
    if (!now.power || !now.state.temperature) {
      result_.notes.emplace_back("no step response: the device says no power or no temperature");
      return;
    }
    const auto point = hottest_point(file_.records());
    if (!point) {
      result_.notes.emplace_back("no step response: no point was executed");
      return;
    }
    say("step response of " + to_string(*point), expected_done_);
    auto record = measure_step_response(*point, request_.timing.thermal, energy_bench());
    if (record) file_.add(std::move(*record));
  }

  void measure_strained() {
    if (!plan_.strain || bench_.stop || !fits(request_.timing.strain)) return;
    const SensedDevice now = sensed_device(bench_.machine.sensors->read(bench_.clock.now()));
    if (!now.power || !now.power_limit) {
      result_.notes.emplace_back("no strain: the device says no power or no power limit");
      return;
    }
    const auto point = straining_point(request_.points, bench_.machine.backend);
    if (!point) {
      result_.notes.emplace_back(
          "no strain: it works at an expert layer, and none is left that can run here");
      return;
    }
    say("strain of " + to_string(*point), expected_done_);
    auto record = measure_strain(*point, request_.timing.strain, energy_bench());
    if (record) file_.add(std::move(*record));
  }

  const ProfileRequest& request_;
  const ProfileBench& bench_;
  RecordFile file_;
  ProfilePlan plan_;
  Seconds began_;
  Seconds expected_done_{};
  int calls_ = 0;  ///< of all points timed
  bool out_of_time_ = false;
  ProfileResult result_{};
};

}  // namespace

ProfilePlan plan_of(const ProfileRequest& request, const ProfileFacts& facts, Backend backend) {
  const std::string path = path_in(request.out, kRecordsFile);
  std::error_code missing;
  ProfileRecords records{.facts = facts};
  if (!request.out.empty() && fs::exists(path, missing)) records = read_records(path);
  return plan_with(request, records, backend);
}

ProfileResult run_profile(const ProfileRequest& request, const ProfileBench& bench) {
  check_merge(request, bench.machine.facts.device);
  make_folder(request.out);
  return ProfileRun(request, bench).run();
}

ProfileResult profile_files(const ProfileRequest& request) {
  ProfileResult result{.records = read_records(path_in(request.out, kRecordsFile)),
                       .complete = true};
  check_merge(request, result.records.facts.device);
  write_files(request, result);
  return result;
}

}  // namespace thermoe
