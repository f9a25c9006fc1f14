// SPDX-License-Identifier: Apache-2.0
#include "measure/device_meter.h"

#include <fmt/format.h>

namespace thermoe {
namespace {

// No device draws this; a second more, as a counter may be updated late.
constexpr Watts kImpossiblePower{10e3};
constexpr Seconds kUpdateSlack{1.0};
// A straight line over a longer silence would be an invention.
constexpr Seconds kLongestSilence{5.0};

/// How far the readings lie from the edges; why they cannot stand for the window.
EnergyFigure figure(EnergyBasis basis, const SampleTrack& track, Seconds start, Seconds end,
                    const std::string& what) {
  EnergyFigure made{.basis = basis};
  if (!track.first()) {
    made.absent_because = fmt::format("{} was not read in the window", what);
    return made;
  }
  made.start_edge = track.first()->at - start;
  made.end_edge = track.last()->at - end;
  made.covered = track.covered();
  made.longest_gap = track.longest_gap();
  if (made.start_edge > kEdgeReach) {
    made.absent_because =
        fmt::format("{} was first read {:.1f} s after the start", what, made.start_edge.value);
  } else if (made.end_edge < -kEdgeReach) {
    made.absent_because =
        fmt::format("{} was last read {:.1f} s before the end", what, -made.end_edge.value);
  } else if (!(made.covered > Seconds(0))) {
    made.absent_because = fmt::format("{} was read only once in the window", what);
  }
  return made;
}

}  // namespace

void DeviceMeter::add(Seconds at, const GpuReading& reading) {
  name_ = reading.name;
  uuid_ = reading.uuid;
  index_ = reading.index;
  const auto& average = reading.power_average.value;
  const auto& instant = reading.power_instant.value;
  if (const auto& power = average ? average : instant) power_.add(at, power->value);
  if (const auto& power = instant ? instant : average) peak_.add(at, power->value);
  if (reading.temperature.value) temperature_.add(at, reading.temperature.value->value);
  if (reading.energy.value) add_energy(at, *reading.energy.value, reading.energy_gaps);
}

void DeviceMeter::add(Seconds at, const HostReading& reading) {
  name_ = reading.name;
  if (const auto& power = reading.power.value) {
    power_.add(at, power->value);
    peak_.add(at, power->value);
  }
  if (reading.temperature.value) temperature_.add(at, reading.temperature.value->value);
  if (reading.energy.value) add_energy(at, *reading.energy.value, reading.energy_gaps);
}

void DeviceMeter::add_energy(Seconds at, Joules energy, std::uint64_t gaps) {
  if (const auto before = energy_.newest(); before && broken_.empty()) {
    const Joules step = energy - Joules(before->value);
    const Seconds when = at - opened_;
    if (step < Joules(0)) {
      broken_ = fmt::format("its energy counter fell from {:.1f} J to {:.1f} J at {:.1f} s (reset)",
                            before->value, energy.value, when.value);
    } else if (step > kImpossiblePower * (at - before->at + kUpdateSlack)) {
      broken_ = fmt::format("its energy counter jumped by {:.4g} J at {:.1f} s (reset)", step.value,
                            when.value);
    } else if (gaps != gaps_) {
      broken_ =
          fmt::format("its energy counter began anew, or went unread, before {:.1f} s", when.value);
    }
  }
  has_counter_ = true;
  gaps_ = gaps;
  energy_.add(at, energy.value);
}

void DeviceMeter::open(Seconds at) {
  opened_ = at;
  broken_.clear();
  for (SampleTrack* track : {&energy_, &power_, &peak_, &temperature_}) track->open(at);
}

EnergyFigure DeviceMeter::counted(Seconds end) const {
  EnergyFigure made = figure(EnergyBasis::kCounter, energy_, opened_, end, "its energy counter");
  if (!broken_.empty()) made.absent_because = broken_;
  if (!made.absent_because.empty()) return made;
  const Joules joules(energy_.last()->value - energy_.first()->value);
  if (joules > Joules(0)) {
    made.joules = joules;
  } else {
    made.absent_because = fmt::format(
        "its energy counter did not move in {:.3f} s (GPUs update it every 20 to 100 ms)",
        made.covered.value);
  }
  return made;
}

EnergyFigure DeviceMeter::integrated(Seconds end) const {
  EnergyFigure made = figure(EnergyBasis::kIntegratedPower, power_, opened_, end, "its power");
  if (made.absent_because.empty() && made.longest_gap > kLongestSilence) {
    made.absent_because =
        fmt::format("its power was not read for {:.1f} s", made.longest_gap.value);
  }
  if (made.absent_because.empty()) made.joules = Joules(power_.area());
  return made;
}

DeviceMeasurement DeviceMeter::close(Seconds at) const {
  DeviceMeasurement made{.name = name_, .uuid = uuid_, .index = index_};
  if (has_counter_) {
    made.energy = counted(at);
  } else if (power_.newest()) {
    made.energy = integrated(at);
  } else {
    made.silent = true;
    made.energy.absent_because = "it tells neither energy nor power";
  }
  if (made.energy.joules) made.mean_power = *made.energy.joules / made.energy.covered;
  if (peak_.max()) made.peak_power = Watts(*peak_.max());
  if (temperature_.first()) {
    made.mean_temperature = Celsius(*temperature_.mean());
    made.max_temperature = Celsius(*temperature_.max());
  }
  return made;
}

}  // namespace thermoe
