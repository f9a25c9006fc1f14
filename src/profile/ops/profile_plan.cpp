// SPDX-License-Identifier: Apache-2.0
#include "profile/ops/profile_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <utility>

#include "profile/ops/op_traffic.h"

namespace thermoe {
namespace {

/// An ordinary machine of the kind, for expectations.
struct Speed {
  double bytes;         // a second
  double flops;         // a second
  double weight_bytes;  // that are made a second
  Seconds call;         // launch and bookkeeping of an execution
  Seconds point;        // what a point takes anyway
};
Speed speed_of(Backend backend) {
  if (backend == Backend::kCpu) return {5e9, 2e10, 2e8, Seconds(1e-6), Seconds(0.01)};
  return {2.5e12, 3e14, 2e11, Seconds(2e-5), Seconds(0.15)};
}

Seconds making_weights(Backend backend, const OpPoint& point) {
  return Seconds(traffic_of(point).weight_bytes / speed_of(backend).weight_bytes);
}

struct Budget {
  std::optional<Seconds> most{};
  Seconds used{};

  bool take(Seconds time) {
    if (most && used + time > *most) return false;
    used += time;
    return true;
  }
};

bool has(const std::vector<std::string>& names, const ProfilePoint& point) {
  return std::ranges::find(names, to_string(point.point)) != names.end();
}

LeftOut beyond_budget(std::string what, Seconds needed) {
  return {
      std::move(what),
      fmt::format("the budget ends before; about {:.0f} s more: repeat the command", needed.value)};
}

/// Those that can run at all.
std::vector<ProfilePoint> possible(const PlanRequest& request, ProfilePlan& plan) {
  std::vector<ProfilePoint> points;
  std::map<std::pair<std::string, std::string>, int> reasons;  // what is left out, and why
  for (const ProfilePoint& point : request.points) {
    if (const auto problem = op_problem(request.backend, point.point)) {
      ++reasons[{point.part, *problem}];
    } else if (const auto why = size_problem(point.point)) {
      ++reasons[{to_string(point.point.key), *why}];
    } else {
      points.push_back(point);
    }
  }
  for (const auto& [reason, count] : reasons) {
    const auto& [what, why] = reason;
    plan.left_out.push_back(
        {fmt::format("{} ({} point{})", what, count, count == 1 ? "" : "s"), why});
  }
  return points;
}

/// At most `most` of them, evenly over all in their order, the first and the last among them.
std::vector<ProfilePoint> spread_out(const std::vector<ProfilePoint>& points, int most) {
  std::vector<ProfilePoint> chosen;
  const std::size_t count = std::min(points.size(), static_cast<std::size_t>(most));
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t place = count == 1 ? 0 : i * (points.size() - 1) / (count - 1);
    chosen.push_back(points[place]);
  }
  return chosen;
}

/// Those of `points` that `there` does not name, as far as the budget goes.
void add_times(const PlanRequest& request, const std::vector<ProfilePoint>& points,
               const std::vector<std::string>& there, std::vector<ProfilePoint>& planned,
               Budget& budget, ProfilePlan& plan) {
  int left = 0;
  std::string first;
  Seconds needed{};
  for (const ProfilePoint& point : points) {
    const Seconds time = expected_time(request.backend, point.point, request.timing);
    if (has(there, point)) {
      ++plan.done;
    } else if (left == 0 && budget.take(time)) {
      planned.push_back(point);
    } else {
      if (left == 0) first = to_string(point.point);
      ++left, needed += time;
    }
  }
  if (left == 0) return;
  plan.left_out.push_back(beyond_budget(
      fmt::format("{} point{} from {} on", left, left == 1 ? "" : "s", first), needed));
}

void add_energies(const PlanRequest& request, const std::vector<ProfilePoint>& points,
                  Budget& budget, ProfilePlan& plan) {
  if (request.anchors == 0) return;
  std::vector<ProfilePoint> anchors = spread_out(points, request.anchors);
  std::mt19937_64 random(request.seed);
  std::ranges::shuffle(anchors, random);
  int left = 0;
  Seconds needed{};
  for (const ProfilePoint& anchor : anchors) {
    const Seconds time = expected_energy(request.backend, anchor.point, request.timing);
    if (has(request.with_energy, anchor)) {
      ++plan.done;
    } else if (left == 0 && budget.take(plan.energy.empty() ? time + request.timing.idle : time)) {
      plan.energy.push_back(anchor);
    } else {
      ++left, needed += time;
    }
  }
  if (left == 0) return;
  plan.left_out.push_back(
      beyond_budget(fmt::format("energy of {} anchor{}", left, left == 1 ? "" : "s"), needed));
}

/// Whether what is measured once runs now: it was asked for, is not there yet, and fits.
bool takes_part(const char* what, Seconds time, bool done, Budget& budget, ProfilePlan& plan) {
  if (time.value <= 0.0) return false;
  if (done) {
    ++plan.done;
    return false;
  }
  if (budget.take(time)) return true;
  plan.left_out.push_back(beyond_budget(what, time));
  return false;
}

/// Of one execution: the slower of memory and arithmetic.
Seconds expected_execution(Backend backend, const OpPoint& point) {
  const Speed speed = speed_of(backend);
  const OpTraffic traffic = traffic_of(point);
  return speed.call + Seconds(std::max(traffic.bytes / speed.bytes, traffic.flops / speed.flops));
}

}  // namespace

std::optional<std::string> size_problem(const OpPoint& point) {
  const double bytes = traffic_of(point).weight_bytes;
  if (bytes <= kMostWeightBytes) return std::nullopt;
  return fmt::format("its weights take {:.0f} GB; the most is {:.0f}", bytes * 1e-9,
                     kMostWeightBytes * 1e-9);
}

Seconds expected_time(Backend backend, const OpPoint& point, const ProfileTiming& timing) {
  return speed_of(backend).point + making_weights(backend, point) +
         expected_execution(backend, point) * (timing.executions + timing.warm_up);
}

Seconds expected_energy(Backend backend, const OpPoint& point, const ProfileTiming& timing) {
  return timing.anchor() + making_weights(backend, point);
}

ProfilePlan plan_profile(const PlanRequest& request) {
  ProfilePlan plan;
  Budget budget{.most = request.budget};
  const std::vector<ProfilePoint> points = possible(request, plan);
  add_times(request, points, request.timed, plan.time, budget, plan);
  const double repeated = request.repeated_share * static_cast<double>(points.size());
  add_times(request, spread_out(points, static_cast<int>(std::ceil(repeated))), request.repeated,
            plan.repeat, budget, plan);
  add_energies(request, points, budget, plan);
  plan.thermal = takes_part("the thermal step response", request.timing.thermal,
                            request.thermal_done, budget, plan);
  plan.strain = takes_part("the work at the power limit", request.timing.strain,
                           request.strain_done, budget, plan);
  plan.expected = budget.used;
  return plan;
}

std::string to_text(const ProfilePlan& plan, Backend backend, const ProfileTiming& timing) {
  std::string text;
  auto out = std::back_inserter(text);
  const auto list = [&](const char* what, const auto& points, const auto& expected) {
    for (const ProfilePoint& point : points) {
      fmt::format_to(out, "{:<7} {:>8.2f} s  {:<14} {}\n", what,
                     expected(backend, point.point, timing).value, point.part,
                     to_string(point.point));
    }
  };
  list("time", plan.time, expected_time);
  list("repeat", plan.repeat, expected_time);
  list("energy", plan.energy, expected_energy);
  if (plan.thermal)
    fmt::format_to(out, "thermal {:>8.2f} s  step response\n", timing.thermal.value);
  if (plan.strain)
    fmt::format_to(out, "strain  {:>8.2f} s  work at the power limit\n", timing.strain.value);
  fmt::format_to(
      out,
      "{} point{} to time, {} again, {} to measure energy of, {} there already: about {:.0f} s\n",
      plan.time.size(), plan.time.size() == 1 ? "" : "s", plan.repeat.size(), plan.energy.size(),
      plan.done, plan.expected.value);
  for (const LeftOut& left : plan.left_out) {
    fmt::format_to(out, "left out: {}: {}\n", left.what, left.why);
  }
  return text;
}

}  // namespace thermoe
