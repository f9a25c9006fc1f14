// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "profile/record/energy_fit.h"
#include "profile/record/step_response_fit.h"

namespace thermoe {
namespace {

std::vector<EnergySample> samples_of(const EnergyModel& truth, int count, double noise) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> spread(0.1, 1.0);
  std::normal_distribution<double> error(0.0, noise);
  std::vector<EnergySample> samples;
  for (int i = 0; i < count; ++i) {
    EnergySample sample{.latency = Seconds(1e-4 * spread(random)),
                        .traffic = {.bytes = 1e9 * spread(random), .flops = 1e11 * spread(random)}};
    sample.energy = truth.at(sample.latency, sample.traffic) * (1.0 + error(random));
    samples.push_back(sample);
  }
  return samples;
}

const EnergyModel kTruth{
    .static_power = Watts(90), .per_byte = Joules(20e-12), .per_flop = Joules(0.5e-12)};

TEST(EnergyFit, FindsWhatTheEnergiesWereMadeOf) {
  const auto fit = fit_energy(samples_of(kTruth, 30, 0.0));
  ASSERT_TRUE(fit);
  EXPECT_NEAR(fit->static_power.value, 90, 1e-6);
  EXPECT_NEAR(fit->per_byte.value, 20e-12, 1e-18);
  EXPECT_NEAR(fit->per_flop.value, 0.5e-12, 1e-18);
  EXPECT_LT(fit->residual_max, 1e-9);
  EXPECT_EQ(fit->samples, 30);
}

TEST(EnergyFit, SaysWhatItLeaves) {
  const auto fit = fit_energy(samples_of(kTruth, 200, 0.05));
  ASSERT_TRUE(fit);
  EXPECT_NEAR(fit->residual_rms, 0.05, 0.01);
  EXPECT_GT(fit->residual_max, 0.1);
}

TEST(EnergyFit, NoCoefficientIsNegative) {
  auto samples = samples_of({.static_power = Watts(90), .per_byte = Joules(20e-12)}, 30, 0.0);
  for (EnergySample& sample : samples) {
    sample.energy -= Joules(0.05e-12 * sample.traffic.flops);  // as if products gave energy back
  }
  const auto fit = fit_energy(samples);
  ASSERT_TRUE(fit);
  EXPECT_GE(fit->static_power.value, 0.0);
  EXPECT_GE(fit->per_byte.value, 0.0);
  EXPECT_EQ(fit->per_flop.value, 0.0);
}

TEST(EnergyFit, TooFewSamplesAreRefused) {
  EXPECT_FALSE(fit_energy(samples_of(kTruth, kFewestEnergySamples - 1, 0.0)));
  EXPECT_TRUE(fit_energy(samples_of(kTruth, kFewestEnergySamples, 0.0)));
}

TEST(EnergyAnchors, ARowIsCorrectedByItsNeighboursMostOfAll) {
  const std::vector<EnergyAnchor> anchors{{1, 8, 0.8}, {16, 64, 1.0}, {256, 128, 1.25}};
  EXPECT_EQ(neighbouring_ratio({1, 8}, {}), 1.0);
  EXPECT_NEAR(neighbouring_ratio({1, 8}, anchors), 0.8, 0.005);
  EXPECT_NEAR(neighbouring_ratio({200, 128}, anchors), 1.25, 0.01);
  const double between = neighbouring_ratio({4, 24}, anchors);
  EXPECT_GT(between, 0.8);
  EXPECT_LT(between, 1.0);
}

TEST(EnergyAnchors, WhatIsLeftIsThatOfEachByTheOthers) {
  EXPECT_EQ(left_by_neighbours({}), 0.0);
  const std::vector<EnergyAnchor> alike{{1, 8, 0.9}, {16, 64, 0.9}, {256, 128, 0.9}};
  EXPECT_NEAR(left_by_neighbours(alike), 0.0, 1e-12);
  const std::vector<EnergyAnchor> two{{1, 8, 1.0}, {16, 64, 1.1}};
  EXPECT_NEAR(left_by_neighbours(two), std::sqrt((0.1 * 0.1 + 1 / 121.0) / 2), 1e-9);
}

/// A step response of a device of two parts, in whole degrees as sensors show them.
std::vector<ThermalSample> step_response(double watts,
                                         std::optional<Celsius> start = std::nullopt) {
  ThermalResponse response(
      {.ambient = Celsius(30),
       .poles = {{KelvinPerWatt(0.02), Seconds(1.5)}, {KelvinPerWatt(0.03), Seconds(25)}}},
      Watts(100), start);
  std::vector<ThermalSample> samples;
  for (int i = 0; i < 900; ++i) {
    const Watts power(i >= 135 && i < 675 ? watts : 100);
    response.advance(power, Seconds(0.1));
    samples.push_back({Seconds(0.1 * i), power, Celsius(std::round(response.temperature().value))});
  }
  return samples;
}

TEST(StepResponseFit, FindsBothPartsOfAStepResponse) {
  const auto fit = fit_step_response(step_response(600), 2);
  ASSERT_TRUE(fit);
  const std::vector<ThermalPole>& poles = fit->parameters.poles;
  ASSERT_EQ(poles.size(), 2U);
  EXPECT_NEAR(fit->parameters.ambient.value, 30, 1);
  EXPECT_NEAR(poles[0].resistance.value, 0.02, 0.004);
  EXPECT_NEAR(poles[0].time_constant.value, 1.5, 0.6);
  EXPECT_NEAR(poles[1].resistance.value, 0.03, 0.004);
  EXPECT_NEAR(poles[1].time_constant.value, 25, 6);
  EXPECT_NEAR(poles[0].resistance.value / poles[0].time_constant.value, 0.02 / 1.5, 0.005);
  EXPECT_LT(fit->rms, 0.4);
  const auto one = fit_step_response(step_response(600), 1);
  ASSERT_TRUE(one);
  EXPECT_GT(one->rms, fit->rms);
}

TEST(StepResponseFit, WarmthOfTheWorkBeforeItIsNotTakenForThatOfAmbient) {
  const auto fit = fit_step_response(step_response(600, Celsius(47)), 2);
  ASSERT_TRUE(fit);
  EXPECT_NEAR(fit->parameters.ambient.value, 30, 2) << "at rest it settles at 35";
  EXPECT_NEAR(fit->parameters.poles[0].resistance.value, 0.02, 0.004);
  EXPECT_NEAR(fit->parameters.poles[1].resistance.value, 0.03, 0.004);
}

TEST(StepResponseFit, AResponseOfTwoDegreesIsRefused) {
  EXPECT_FALSE(fit_step_response(step_response(130), 2));
  const auto samples = step_response(600);
  EXPECT_FALSE(fit_step_response(std::span(samples).first(20), 1));
  std::vector<ThermalSample> at_once = samples;
  for (ThermalSample& sample : at_once) sample.at = 1e-6 * sample.at;
  EXPECT_FALSE(fit_step_response(at_once, 1)) << "a time constant of nanoseconds is none";
}

}  // namespace
}  // namespace thermoe
