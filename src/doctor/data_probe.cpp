// SPDX-License-Identifier: Apache-2.0
#include "doctor/data_probe.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/program_search.h"
#include "core/readable.h"

namespace thermoe::doctor {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr double kLeastDisk = 100.0 * kMiB;  // a demo's run takes a few MiB
constexpr const char* kGoToClone =
    "run thermoe from the folder of its clone, where model/, experiments/ and data/ are; to bring "
    "back a deleted file:\n"
    "$ git checkout -- model experiments data";

/// The bytes of a file, or -1.
double size_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return -1.0;
  return static_cast<double>(status.st_size);
}

/// Why `path` is no safetensors file, or empty: 8 bytes length, then JSON. Reading it whole is for
/// those who use it.
std::string checkpoint_problem(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  char start[9] = {};
  in.read(start, sizeof(start));
  if (!in) return "it cannot be read or is shorter than its own header";
  if (std::strncmp(start, "version", 7) == 0) return "it is a Git LFS pointer, not the file itself";
  if (start[8] != '{') return "it is no safetensors file";
  return "";
}

Finding file_base(const char* id, const char* title, const char* enables) {
  return {.id = id,
          .title = title,
          .status = Status::kMissing,
          .enables = enables,
          .remedy = kGoToClone,
          .needed = true};
}

Finding found(Finding finding, std::string value) {
  finding.status = Status::kFound;
  finding.value = std::move(value);
  finding.remedy.clear();
  return finding;
}

Finding model(const HostSystem& machine) {
  const Finding finding = file_base("data.model", "Shipped model", "runs and evaluation");
  const std::string name = "model/thermoe-e128.safetensors";
  const std::string path = machine.folder + "/" + name;
  const double size = size_of(path);
  if (size < 0.0) {
    Finding missing = finding;
    missing.detail = "no " + name + " in the current folder";
    return missing;
  }
  const std::string problem = checkpoint_problem(path);
  if (problem.empty()) return found(finding, fmt::format("{}, {:.1f} MiB", name, size / kMiB));
  Finding broken = finding;
  broken.status = Status::kBroken;
  broken.value = name;
  broken.detail = problem;
  return broken;
}

Finding experiments(const HostSystem& machine) {
  Finding finding =
      file_base("data.experiments", "Experiments", "thermoe run experiments/demo.json and others");
  const std::vector<std::string> names = names_in(machine.folder + "/experiments");
  const auto count = std::count_if(names.begin(), names.end(), [](const std::string& name) {
    return name.size() > 5 && name.compare(name.size() - 5, 5, ".json") == 0;
  });
  const bool demo = std::find(names.begin(), names.end(), "demo.json") != names.end();
  if (demo) return found(finding, fmt::format("{} in experiments/", count));
  finding.detail = "no experiments/demo.json in the current folder";
  return finding;
}

/// Several files that are of use only together.
Finding files(const HostSystem& machine, Finding finding, const std::vector<std::string>& names) {
  std::vector<std::string> missing;
  for (const std::string& name : names) {
    if (size_of(machine.folder + "/" + name) <= 0.0) missing.push_back(name);
  }
  if (missing.empty()) return found(finding, fmt::format("{}", fmt::join(names, ", ")));
  finding.detail = fmt::format("not in the current folder, or empty: {}", fmt::join(missing, ", "));
  return finding;
}

bool writable(const std::string& folder) {
  return ::faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) == 0;
}

Finding runs(const HostSystem& machine) {
  Finding finding{.id = "runs",
                  .title = "Folder for runs",
                  .enables = "keeping the files of a run",
                  .needed = true};
  const bool exists = std::filesystem::is_directory(machine.folder + "/runs");
  const std::string folder = exists ? machine.folder + "/runs" : machine.folder;
  const std::string other = "write elsewhere: thermoe run FILE --out FOLDER";
  if (!writable(folder)) {
    finding.status = Status::kNotPermitted;
    finding.detail = fmt::format("{} cannot be written: {}",
                                 exists ? "runs/" : "the current folder", std::strerror(errno));
    finding.remedy = other;
    return finding;
  }
  struct statvfs disk {};
  finding.status = Status::kFound;
  finding.value = exists ? "runs/" : "runs/, made by the first run";
  if (::statvfs(folder.c_str(), &disk) != 0) return finding;
  const double free = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  finding.value += fmt::format(", {:.1f} GiB free", free / kMiB / 1024.0);
  if (free < kLeastDisk) {
    finding.status = Status::kBroken;
    finding.detail = "the disk is all but full";
    finding.remedy = "free some space, or " + other;
  }
  return finding;
}

}  // namespace

Section probe_data(const HostSystem& machine) {
  return {.title = "Files",
          .findings = {
              model(machine), experiments(machine),
              files(machine,
                    file_base("data.costs", "Cost models, plant",
                              "the simulated GPU and the controller's costs"),
                    {"data/h100/plant.json", "data/h100/plant_cost_model.json",
                     "data/h100/kernel_cost_model.json"}),
              files(machine, file_base("data.text", "Text", "what the shipped experiments decode"),
                    {"data/text/heldout.bin", "data/text/calibration.bin"}),
              runs(machine)}};
}

Section probe_test_tools(const HostSystem& machine) {
  Finding finding{
      .id = "browser",
      .title = "Chromium",
      .enables = "the test that opens a report in a browser; reports open in any browser"};
  const auto program = find_program(machine,
                                    {"chromium", "chromium-browser", "google-chrome",
                                     "google-chrome-stable", "chrome-headless-shell"},
                                    {});
  finding.remedy = "only to test changes of the report:\n$ sudo apt install chromium";
  if (!program) {
    finding.status = Status::kMissing;
    finding.detail = "not on PATH";
  } else if (take_version(ask_version(machine, *program, {}), *program, finding)) {
    finding.remedy.clear();
  }
  return {.title = "For developers", .findings = {finding}};
}

}  // namespace thermoe::doctor
