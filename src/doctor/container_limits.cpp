// SPDX-License-Identifier: Apache-2.0
#include "doctor/container_limits.h"

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "telemetry/host_file.h"

namespace thermoe::doctor {
namespace {

/// Version 1 calls no limit a huge one; no machine has 2^60 bytes.
constexpr double kNoLimit = 1152921504606846976.0;

/// Words of a file that are numbers; "max" is none.
std::vector<double> numbers_in(const std::string& path) {
  std::istringstream words(read_host_file(path).text.value_or(""));
  std::vector<double> numbers;
  for (double number = 0.0; words >> number;) numbers.push_back(number);
  return numbers;
}

std::optional<double> number_in(const std::string& path) {
  const std::vector<double> numbers = numbers_in(path);
  return numbers.empty() ? std::nullopt : std::optional(numbers.front());
}

/// A line "name number" of a file of such lines.
double entry(const std::string& path, const std::string& name) {
  std::istringstream lines(read_host_file(path).text.value_or(""));
  double number = 0.0;
  for (std::string word; lines >> word >> number;) {
    if (word == name) return number;
  }
  return 0.0;
}

/// Where this process stands below the mount of `controller` ("" is version 2's), as
/// /proc/self/cgroup says: "0::/a/b" or "4:cpu,cpuacct:/a/b". "/" where it says nothing.
std::string own_group(const HostSystem& machine, const std::string& controller) {
  std::istringstream lines(read_host_file(machine.at("/proc/self/cgroup")).text.value_or(""));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    if (names.find("," + controller + ",") != std::string::npos) return line.substr(second + 1);
  }
  return "/";
}

/// The group's folder and those above it, up to the mount. A container may see only its own as the
/// mount itself, whatever its name outside.
std::vector<std::string> folders(const std::string& mount, std::string group) {
  std::vector<std::string> all;
  if (group.empty() || group.front() != '/') group.clear();
  while (group.size() > 1) {
    all.push_back(mount + group);
    group.resize(group.rfind('/'));
  }
  all.push_back(mount);
  return all;
}

void tighten(std::optional<double>& limit, std::optional<double> by) {
  if (by && *by < kNoLimit) limit = std::min(limit.value_or(*by), *by);
}

void add_memory(ContainerLimits& limits, std::optional<double> most, std::optional<double> used,
                double cached) {
  tighten(limits.memory, most);
  if (most && used) tighten(limits.memory_left, std::max(0.0, *most - *used + cached));
}

}  // namespace

ContainerLimits container_limits(const HostSystem& machine) {
  ContainerLimits limits;
  for (const std::string& f : folders(machine.at("/sys/fs/cgroup"), own_group(machine, ""))) {
    const std::vector<double> quota = numbers_in(f + "/cpu.max");  // "150000 100000"
    if (quota.size() == 2 && quota[1] > 0.0) tighten(limits.cpus, quota[0] / quota[1]);
    add_memory(limits, number_in(f + "/memory.max"), number_in(f + "/memory.current"),
               entry(f + "/memory.stat", "inactive_file"));
  }
  const std::string cpu = machine.at("/sys/fs/cgroup/cpu");
  for (const std::string& f : folders(cpu, own_group(machine, "cpu"))) {
    const auto quota = number_in(f + "/cpu.cfs_quota_us");  // -1: no limit
    const auto period = number_in(f + "/cpu.cfs_period_us");
    if (quota && period && *quota > 0.0 && *period > 0.0) tighten(limits.cpus, *quota / *period);
  }
  const std::string memory = machine.at("/sys/fs/cgroup/memory");
  for (const std::string& f : folders(memory, own_group(machine, "memory"))) {
    add_memory(limits, number_in(f + "/memory.limit_in_bytes"),
               number_in(f + "/memory.usage_in_bytes"),
               entry(f + "/memory.stat", "total_inactive_file"));
  }
  return limits;
}

}  // namespace thermoe::doctor
