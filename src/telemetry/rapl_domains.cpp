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
constexpr Watts kMostPower{1e3};         // of a domain, to tell a wrap from a counter begun anew
constexpr Watts kImpossiblePower{10e3};  // of one that counts on

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
  std::string opened = fmt::format(
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
  ends_gap_ = false;
  if (last_uj_) {
    if (const auto used = used_since_last(energy_uj, now - last_at_)) {
      power_ = *used / (now - last_at_);
      energy_ += *used;
    } else {
      ends_gap_ = true;
      ++gaps_;
    }
  }
  last_uj_ = energy_uj;
  last_at_ = now;
}

/// Nothing, if the step from the last read to this one is no consumption.
std::optional<Joules> RaplCounter::used_since_last(long long energy_uj, Seconds passed) const {
  const auto joules = [](long long uj) { return Joules(static_cast<double>(uj) * kMicro); };
  if (kMostPower * passed >= joules(range_uj_)) return std::nullopt;  // several wraps, unseen
  const long long step = energy_uj - *last_uj_;
  if (step >= 0) {
    const Joules used = joules(step);
    return used < kImpossiblePower * passed ? std::optional(used) : std::nullopt;
  }
  const Joules wrapped = joules(step + range_uj_);
  const bool can_be = wrapped >= Joules(0) && wrapped <= kMostPower * passed;
  return can_be ? std::optional(wrapped) : std::nullopt;
}

void RaplCounter::interrupt() {
  if (last_uj_) ++gaps_;
  last_uj_.reset();
  power_.reset();
}

std::optional<Joules> RaplCounter::energy() const {
  return ends_gap_ ? std::nullopt : std::optional(energy_);
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
  const auto note_absence = [&](const std::string& path, const HostFileNumber& file) {
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
    if (!range.number) return note_absence(path, range);
    if (*range.number <= 0)
      return note_absence(path, {.problem = "the counter's range is not positive"});
    domain.counter.emplace(*range.number);
  }
  const std::string path = domain.folder + "/energy_uj";
  const HostFileNumber energy = read_host_number(path);
  if (!energy.number) return note_absence(path, energy);
  if (*energy.number < 0) return note_absence(path, {.problem = "the counter is negative"});
  domain.counter->add(*energy.number, now);
  reading.energy.value = domain.counter->energy();
  reading.energy_gaps = domain.counter->gaps();
  reading.power.value = domain.counter->power();
  if (reading.energy_gaps == 0) return;
  problems.push_back({.sensor = domain.name,
                      .path = path,
                      .reason = fmt::format("its joules have a gap ({} so far): the counter began "
                                            "anew, or was not read for too long",
                                            reading.energy_gaps)});
}

}  // namespace thermoe
