// SPDX-License-Identifier: Apache-2.0
// Whatever is recorded can be replayed, as it was; names as they are shown.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <string>

#include "core/terminal_text.h"
#include "telemetry/gpu_reading_fields.h"
#include "telemetry/plausibility.h"
#include "telemetry/telemetry_trace.h"
#include "telemetry/trace_writer.h"

namespace thermoe {
namespace {

/// Random snapshots with what sensors, drivers and names may say at their worst.
class Recording {
 public:
  explicit Recording(std::uint64_t seed) : random_(seed) {}

  std::vector<Snapshot> snapshots() {
    std::vector<Snapshot> all;
    double t = std::exp(real(-20.0, 20.0));
    for (int i = whole(1, 6); i > 0; --i) {
      t = std::nextafter(t, 1e300) + (chance(0.5) ? 0.0 : std::exp(real(-10.0, 8.0)));
      Snapshot snapshot{.at = Seconds(t), .simulated = chance(0.3)};
      std::set<unsigned> indices;
      for (int g = whole(0, 4); g > 0; --g) indices.insert(static_cast<unsigned>(whole(0, 1023)));
      for (const unsigned index : indices) snapshot.gpus.push_back(gpu(index));
      std::set<std::string> names;
      for (int h = whole(indices.empty() ? 1 : 0, 3); h > 0; --h) names.insert("h" + text());
      for (const std::string& name : names) snapshot.host.push_back(host(name));
      all.push_back(std::move(snapshot));
    }
    return all;
  }

  std::string text() {
    static const std::string kPieces[] = {",",
                                          "\"",
                                          "\n",
                                          "\r",
                                          "\xEF\xBB\xBF",
                                          "\xFF\xFE",
                                          " ",
                                          "\t",
                                          ";",
                                          "\0",
                                          "#",
                                          "a",
                                          "ü",
                                          "\x1b[31m",
                                          "t_s,gpu\n",
                                          "''",
                                          "[Not Supported]"};
    std::string all;
    for (int i = whole(0, 6); i > 0; --i) all += kPieces[whole(0, std::size(kPieces) - 1)];
    return all;
  }

 private:
  double real(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random_);
  }
  int whole(int low, std::size_t high) {
    return std::uniform_int_distribution<int>(low, static_cast<int>(high))(random_);
  }
  bool chance(double p) { return std::bernoulli_distribution(p)(random_); }

  double number() {
    switch (whole(0, 9)) {
      case 0:
        return std::numeric_limits<double>::quiet_NaN();
      case 1:
        return chance(0.5) ? HUGE_VAL : -HUGE_VAL;
      case 2:
        return 4294967.295;
      case 3:
        return chance(0.5) ? -0.0 : std::numeric_limits<double>::denorm_min();
      case 4:
        return real(-1e16, 1e16);
      case 5:
        return 99999.999999999999;
      default:
        return real(0.0, 1000.0);
    }
  }

  void fill(std::optional<std::uint64_t>& bits) { bits = random_() >> whole(0, 63); }
  void fill(std::optional<double>& share) { share = chance(0.8) ? real(0.0, 1.0) : number(); }
  template <class Tag>
  void fill(std::optional<Quantity<Tag>>& quantity) {
    quantity = Quantity<Tag>(number());
  }

  GpuReading gpu(unsigned index) {
    GpuReading gpu{.name = text(), .uuid = text(), .index = index};
    for_each_reading(gpu, gpu, [&](auto& reading, auto&) {
      if (chance(0.7)) fill(reading.value);
    });
    gpu.energy_gaps = random_() >> whole(0, 63);
    return gpu;
  }

  HostReading host(const std::string& name) {
    HostReading host{.name = name};
    for_each_host_reading(host, host, [&](auto& reading, auto&) {
      if (chance(0.7)) fill(reading.value);
    });
    host.energy_gaps = random_() >> whole(0, 63);
    return host;
  }

  std::mt19937_64 random_;
};

void expect_same(double back, double was) {
  EXPECT_NEAR(back, was, 1e-11 * std::abs(was));  // twelve digits are written
}
void expect_same(std::uint64_t back, std::uint64_t was) { EXPECT_EQ(back, was); }
template <class Tag>
void expect_same(Quantity<Tag> back, Quantity<Tag> was) {
  expect_same(back.value, was.value);
}

const auto kSameReading = [](const auto& back, const auto& was) {
  ASSERT_EQ(back.value.has_value(), was.value.has_value());
  if (was.value) expect_same(*back.value, *was.value);
};

void expect_same(const Snapshot& back, const Snapshot& was) {
  EXPECT_EQ(back.at, was.at);
  EXPECT_EQ(back.simulated, was.simulated);
  ASSERT_EQ(back.gpus.size(), was.gpus.size());
  for (std::size_t g = 0; g < was.gpus.size(); ++g) {
    EXPECT_EQ(back.gpus[g].index, was.gpus[g].index);
    EXPECT_EQ(back.gpus[g].name, printable(was.gpus[g].name, true));
    EXPECT_EQ(back.gpus[g].uuid, printable(was.gpus[g].uuid, true));
    for_each_reading(back.gpus[g], was.gpus[g], kSameReading);
    if (was.gpus[g].energy.value) {
      EXPECT_EQ(back.gpus[g].energy_gaps, was.gpus[g].energy_gaps);
    }
  }
  ASSERT_EQ(back.host.size(), was.host.size());
  for (std::size_t h = 0; h < was.host.size(); ++h) {
    EXPECT_EQ(back.host[h].name, was.host[h].name);
    for_each_host_reading(back.host[h], was.host[h], kSameReading);
    if (was.host[h].energy.value) {
      EXPECT_EQ(back.host[h].energy_gaps, was.host[h].energy_gaps);
    }
  }
}

TEST(RecordingProperty, WhateverIsWrittenIsReplayedAsItWas) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(seed);
    Recording recording(seed);
    std::vector<Snapshot> snapshots = recording.snapshots();
    std::string file = trace_header();
    for (const Snapshot& snapshot : snapshots) file += trace_rows(snapshot, recording.text());
    // What cannot be never leaves a source; the writer writes it no more than the source says it.
    for (Snapshot& snapshot : snapshots) {
      for (GpuReading& gpu : snapshot.gpus) reject_impossible(gpu);
      for (HostReading& host : snapshot.host) reject_impossible(host);
    }
    const TelemetryTrace trace = parse_telemetry_trace(file, "recording.csv");
    EXPECT_TRUE(trace.problems.empty());
    ASSERT_EQ(trace.snapshots.size(), snapshots.size());
    for (std::size_t i = 0; i < snapshots.size(); ++i) {
      expect_same(trace.snapshots[i], snapshots[i]);
    }
    if (HasFailure()) return;  // one seed's story is enough
  }
}

}  // namespace
}  // namespace thermoe
