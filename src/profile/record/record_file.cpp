// SPDX-License-Identifier: Apache-2.0
#include "profile/record/record_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "core/errors.h"
#include "core/json_file.h"
#include "core/write_all.h"
#include "profile/record/record_json.h"

namespace thermoe {
namespace {

/// Of a file of records, without a last line that was not ended: its bytes up to there.
std::string whole_lines(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw FormatError(path, "", fmt::format("cannot be read: {}", std::strerror(errno)));
  std::ostringstream text;
  text << in.rdbuf();
  std::string lines = std::move(text).str();
  lines.resize(lines.rfind('\n') + 1);  // npos + 1 is 0
  return lines;
}

ProfileRecords records_of(const std::string& lines, const std::string& path) {
  ProfileRecords records;
  std::istringstream in(lines);
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    const std::string place = fmt::format("{}:{}", path, number);
    const nlohmann::json json = parse_json(line, place);
    const bool head = json.is_object() && json.value("kind", "") == "profile";
    if (head != (number == 1)) {
      throw FormatError(place, "/kind", "the first line, and no other, is of kind \"profile\"");
    }
    read_record(JsonObject(json, place), records);
  }
  return records;
}

void expect_same(const std::string& path, const char* what, const std::string& had,
                 const std::string& now) {
  if (had == now) return;
  throw UsageError(fmt::format(
      "{}: is of {} {}, and this run is of {}; choose another --out folder", path, what, had, now));
}

}  // namespace

ProfileRecords read_records(const std::string& path) {
  const std::string lines = whole_lines(path);
  if (lines.empty()) throw FormatError(path, "", "holds no records of a profile");
  return records_of(lines, path);
}

RecordFile::RecordFile(std::string path, const ProfileFacts& facts) : path_(std::move(path)) {
  std::error_code missing;
  const bool there = std::filesystem::exists(path_, missing);
  const std::string lines = there ? whole_lines(path_) : "";
  if (!lines.empty()) {
    records_ = records_of(lines, path_);
    expect_same(path_, "the device", records_.facts.device, facts.device);
    expect_same(path_, "the backend", records_.facts.backend, facts.backend);
    expect_same(path_, "the driver", records_.facts.driver, facts.driver);
    expect_same(path_, "seed", std::to_string(records_.facts.seed), std::to_string(facts.seed));
  }
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  // What a killed run had begun to write is written over.
  if (file_ < 0 || ::ftruncate(file_, static_cast<off_t>(lines.size())) != 0 ||
      ::lseek(file_, 0, SEEK_END) < 0) {
    const int error = errno;
    if (file_ >= 0) ::close(file_);
    throw WriteError(fmt::format("{}: cannot be written: {}", path_, std::strerror(error)));
  }
  if (!lines.empty()) return;
  records_.facts = facts;
  write(to_json(facts));
}

RecordFile::~RecordFile() { ::close(file_); }

void RecordFile::write(const nlohmann::ordered_json& line) {
  const int error = write_all(file_, json_text(line) + "\n");
  if (error != 0) {
    throw WriteError(fmt::format("{}: cannot be written: {}", path_, std::strerror(error)));
  }
}

void RecordFile::add(TimeRecord record) {
  write(to_json(record));
  records_.times.push_back(std::move(record));
}

void RecordFile::add_repeat(TimeRecord record) {
  nlohmann::ordered_json line = to_json(record);
  line["kind"] = "repeat";
  write(line);
  records_.repeats.push_back(std::move(record));
}

void RecordFile::add(EnergyRecord record) {
  write(to_json(record));
  records_.energies.push_back(std::move(record));
}

void RecordFile::add(ThermalRecord record) {
  write(to_json(record));
  records_.thermal = std::move(record);
}

}  // namespace thermoe
