// SPDX-License-Identifier: Apache-2.0
// For the browser test: `cost_page_writer OUT FILE` writes the page of a cost model with the
// libraries alone, without the program and LibTorch.
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>

#include "core/atomic_file.h"
#include "cost/cost_plot.h"
#include "report/cost_page.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "cost_page_writer: OUT FILE\n");
    return 2;
  }
  try {
    const auto model = thermoe::KernelCostModel::load(argv[2]);
    const nlohmann::json costs = thermoe::plot_json(model, 0.1);
    thermoe::write_file_atomically(argv[1], thermoe::cost_page(costs, "test"));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cost_page_writer: %s\n", error.what());
    return 1;
  }
  return 0;
}
