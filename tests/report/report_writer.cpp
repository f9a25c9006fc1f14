// SPDX-License-Identifier: Apache-2.0
// For the browser test: writes reports with the library alone, without the program and LibTorch.
//   report_writer sample KIND DIR      a small made-up run into DIR (sample_run.h)
//   report_writer report OUT DIR [DIR] the report of one run, or of two
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "report/html_report.h"
#include "sample_run.h"

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() == 3 && words[0] == "sample") {
      thermoe::write_sample_run(words[2], thermoe::sample_run_named(words[1]));
    } else if (words.size() >= 3 && words[0] == "report") {
      thermoe::write_html_report({words.begin() + 2, words.end()}, words[1], "test");
    } else {
      std::fprintf(stderr, "report_writer: sample KIND DIR | report OUT DIR [DIR]\n");
      return 2;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "report_writer: %s\n", error.what());
    return 1;
  }
  return 0;
}
