// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/find_plant.h"

#include <filesystem>
#include <system_error>
#include <vector>

#include "core/errors.h"

namespace thermoe {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> upwards(const fs::path& from) {
  std::vector<fs::path> folders;
  for (fs::path folder = from; !folder.empty(); folder = folder.parent_path()) {
    folders.push_back(folder);
    if (folder == folder.parent_path()) break;
  }
  return folders;
}

}  // namespace

std::string find_plant() {
  std::error_code ignored;
  const fs::path here = fs::current_path(ignored);
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  std::vector<fs::path> folders = upwards(here);
  for (const fs::path& folder : upwards(program)) folders.push_back(folder);
  for (const fs::path& folder : folders) {
    const fs::path plant = folder / "data/h100/plant.json";
    if (fs::exists(plant, ignored)) return plant.string();
  }
  throw UsageError(fmt::format(
      "--source simulated: no data/h100/plant.json in {}, in {} or in a folder above them; run it "
      "inside the repository, or name the file with --plant",
      here.string(), program.string()));
}

}  // namespace thermoe
