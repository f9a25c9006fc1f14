// SPDX-License-Identifier: Apache-2.0
#include "telemetry/rapl_domains.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "telemetry/host_file.h"

namespace thermoe {
namespace {

constexpr std::string_view kPrefix = "intel-rapl:";
constexpr double kMicro = 1e-6;
constexpr Watts kImpossiblePower{10e3};
constexpr Watts kMostPower{2e3};  // of a domain that counts on

/// "RAPL package-0"; a part has its package before it, as every package has a "core":
/// "RAPL package-0 core".
std::string domain_name(const std::filesystem::path& folder) {
  const auto own = [](const std::filesystem::path& path) {
    return read_host_file(path / "name").text.value_or("");
  };
  std::string name = own(folder);
  if (name.empty()) name = folder.filename().string();
  const std::string id = folder.filename().string();
  const auto parent_end = id.rfind(':');
  if (std::ranges::count(id, ':') < 2) return "RAPL " + name;
  return fmt::format("RAPL {} {}", own(folder.parent_path() / id.substr(0, parent_end)), name);
}

/// For the file that may not be read.
std::string remedy(const std::string& powercap, const std::string& path) {
  const std::string file = std::filesystem::path(path).filename().string();
  const std::string opened = fmt::format(
      "sudo chmod a+r {}/intel-rapl:*/{} (until the next boot), or run as root", powercap, file);
  if (file != "energy_uj") return opened;
  return "only root may read it since Linux 5.10, as power can leak what other programs compute "
         "(CVE-2020-8694); where every user is trusted: " +
         opened;
}

}  // namespace

void RaplCounter::add(long long energy_uj, Seconds now) {
  power_.reset();
  if (last_uj_ && now <= last_at_) return;  // the next read sees these joules, too
  if (last_uj_) {
    long long step = energy_uj - *last_uj_;
    if (step < 0) step += range_uj_;
    const Joules joules(static_cast<double>(step) * kMicro);
    const Watts power = joules / (now - last_at_);
    // So long after the last read the counter may have wrapped more than once, unseen.
    const bool sure =
        kMostPower * (now - last_at_) < Joules(static_cast<double>(range_uj_) * kMicro);
    if (sure && step >= 0 && power < kImpossiblePower) {
      power_ = power;
      energy_ += joules;
    }
  }
  last_uj_ = energy_uj;
  last_at_ = now;
}

void RaplDomains::discover() {
  std::error_code error;
  std::vector<std::string> folders;
  for (const auto& entry : std::filesystem::directory_iterator(powercap_, error)) {
    if (entry.path().filename().string().starts_with(kPrefix)) folders.push_back(entry.path());
  }
  std::ranges::sort(folders);
  for (const std::string& folder : folders) {
    const bool known = std::ranges::find(domains_, folder, &Domain::folder) != domains_.end();
    if (known) continue;
    std::string name = domain_name(folder);
    if (std::ranges::find(domains_, name, &Domain::name) != domains_.end()) {
      name += fmt::format(" ({})", std::filesystem::path(folder).filename().string());
    }
    domains_.push_back({.folder = folder, .name = std::move(name)});
  }
}

void RaplDomains::read(Seconds now, std::vector<HostReading>& readings,
                       std::vector<HostProblem>& problems) {
  for (Domain& domain : domains_) {
    HostReading reading{.name = domain.name};
    read_domain(domain, now, reading, problems);
    readings.push_back(std::move(reading));
  }
}

void RaplDomains::read_domain(Domain& domain, Seconds now, HostReading& reading,
                              std::vector<HostProblem>& problems) {
  const auto lost = [&](const std::string& path, const HostFileNumber& file) {
    if (domain.counter) domain.counter->interrupt();
    if (file.problem.empty()) return;
    problems.push_back({.sensor = domain.name,
                        .path = path,
                        .reason = file.problem,
                        .remedy = file.permission ? remedy(powercap_, path) : "",
                        .permission = file.permission});
  };
  if (!domain.counter) {
    const std::string path = domain.folder + "/max_energy_range_uj";
    const HostFileNumber range = read_host_number(path);
    if (!range.number) return lost(path, range);
    if (*range.number <= 0) return lost(path, {.problem = "the counter's range is not positive"});
    domain.counter.emplace(*range.number);
  }
  const std::string path = domain.folder + "/energy_uj";
  const HostFileNumber energy = read_host_number(path);
  if (!energy.number) return lost(path, energy);
  if (*energy.number < 0) return lost(path, {.problem = "the counter is negative"});
  domain.counter->add(*energy.number, now);
  reading.energy.value = domain.counter->energy();
  reading.power.value = domain.counter->power();
}

}  // namespace thermoe
