// SPDX-License-Identifier: Apache-2.0
#include "run_rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "call_energy.h"
#include "core/errors.h"
#include "graph_chain.h"
#include "kernels/device_memory.h"
#include "kernels/device_stream.h"

namespace thermoe::bench {
namespace {

/// A row with its graph. `work` owns the memory that the graph reads and writes.
struct ReadyRow {
  Work work;
  GraphChain chain;
  RowResult* result;
};

ReadyRow make_ready(RowResult& result, Stream stream) {
  Work work = result.row.prepare();
  synchronise(Stream{nullptr});  // its data is there
  work.enqueue(0, stream);       // what cannot run says so here, outside a capture
  synchronise(stream);
  result.bytes = work.bytes;
  GraphChain chain = long_chain(work.enqueue, result.row.least_calls, stream);
  result.calls = chain.calls();
  return {std::move(work), std::move(chain), &result};
}

/// One row that this build cannot run should not cost the others their figures.
std::vector<ReadyRow> make_all_ready(RunResult& run, Stream stream, const std::atomic<bool>& stop) {
  std::vector<ReadyRow> ready;
  for (RowResult& result : run.rows) {
    if (stop) break;
    try {
      ready.push_back(make_ready(result, stream));
    } catch (const Error& error) {
      run.left_out.push_back(name_of(result.row) + ": " + error.what());
    }
  }
  return ready;
}

void time_row(const ReadyRow& row, int replays, GpuMeter& meter, RunResult& run, Stream stream) {
  row.chain.replay(stream);
  const auto read_clocks = [&] {
    const GpuReading reading = meter.read(false);
    if (reading.sm_clock.value) run.sm_mhz.push_back(reading.sm_clock.value->value);
    if (reading.memory_clock.value) run.memory_mhz.push_back(reading.memory_clock.value->value);
  };
  const auto us = time_replays(row.chain, replays, stream, read_clocks);
  row.result->us.insert(row.result->us.end(), us.begin(), us.end());
}

/// What was timed; the rows that `ready` points to stay where they are in `run`.
RunResult timed(const RunResult& run) {
  RunResult known = run;
  std::erase_if(known.rows, [](const RowResult& row) { return row.us.empty(); });
  return known;
}

}  // namespace

RunResult run_rows(const std::vector<Row>& rows, const RunOptions& options, GpuMeter& meter,
                   const std::atomic<bool>& stop,
                   const std::function<void(const RunResult&)>& progress) {
  const DeviceStream stream;
  RunResult run;
  for (const Row& row : rows) run.rows.push_back({.row = row});
  const std::vector<ReadyRow> ready = make_all_ready(run, stream, stop);

  std::vector<std::size_t> order(ready.size());
  std::iota(order.begin(), order.end(), 0U);
  std::mt19937 random(1);
  for (int round = 0; round < options.rounds && !stop; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    for (const std::size_t i : order) {
      if (stop) break;
      time_row(ready[i], options.replays, meter, run, stream);
    }
    progress(timed(run));
  }
  if (options.energy_window) {
    for (const ReadyRow& row : ready) {
      if (stop) break;
      if (!std::regex_search(name_of(row.result->row), options.energy_rows)) continue;
      row.result->energy = call_energy(row.chain, *options.energy_window, meter, stream);
    }
  }
  run.complete = !stop;
  return timed(run);
}

void call_rows(const std::vector<Row>& rows, int calls) {
  const DeviceStream stream;
  for (const Row& row : rows) {
    const Work work = row.prepare();
    synchronise(Stream{nullptr});
    for (int call = 0; call < calls; ++call) work.enqueue(call, stream);
    synchronise(stream);
  }
}

double quantile(std::vector<double> values, double q) {
  std::ranges::sort(values);
  const double at = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return std::lerp(values[below], values[above], at - static_cast<double>(below));
}

}  // namespace thermoe::bench
