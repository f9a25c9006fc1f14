// SPDX-License-Identifier: Apache-2.0
#include "profile/record/record_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
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
    const bool head = json.is_object() && json.contains("kind") && json["kind"] == "profile";
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

/// By errno.
std::string cannot_be_written(const std::string& path) {
  return fmt::format("{}: cannot be written: {}", path, std::strerror(errno));
}

}  // namespace

ProfileRecords read_records(const std::string& path) {
  const std::string lines = whole_lines(path);
  if (lines.empty()) throw FormatError(path, "", "holds no records of a profile");
  return records_of(lines, path);
}

RecordFile::RecordFile(std::string path, const ProfileFacts& facts) : path_(std::move(path)) {
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (file_ < 0) throw WriteError(cannot_be_written(path_));
  try {
    begin(facts);
  } catch (...) {  // without an object there is no destructor
    ::close(file_);
    throw;
  }
}

void RecordFile::begin(const ProfileFacts& facts) {
  // Kept until the file is closed, however the program ends. Where a file system knows no locks,
  // two runs are the user's to keep apart.
  if (::flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw UsageError(fmt::format(
        "{}: another thermoe profile writes there; wait for it, or choose another --out folder",
        path_));
  }
  const std::string lines = whole_lines(path_);
  if (!lines.empty()) {
    records_ = records_of(lines, path_);
    expect_same(path_, "the device", records_.facts.device, facts.device);
    expect_same(path_, "the backend", records_.facts.backend, facts.backend);
    expect_same(path_, "the driver", records_.facts.driver, facts.driver);
    expect_same(path_, "seed", std::to_string(records_.facts.seed), std::to_string(facts.seed));
  }
  // What a killed run had begun to write is written over.
  if (::ftruncate(file_, static_cast<off_t>(lines.size())) != 0 ||
      ::lseek(file_, 0, SEEK_END) < 0) {
    throw WriteError(cannot_be_written(path_));
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

void RecordFile::add(StrainRecord record) {
  write(to_json(record));
  records_.strain = std::move(record);
}

}  // namespace thermoe
