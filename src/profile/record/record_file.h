// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "profile/record/op_record.h"

namespace thermoe {

/// A profile's records as they come, a line of JSON each: whatever ends the program, all but the
/// line in hand is there, and the next run goes on behind it.
class RecordFile {
 public:
  /// Reads what is there, or begins the file with `facts`. Throws FormatError, naming file and
  /// line, where it is no such file; UsageError where it is of another device, backend or seed, or
  /// where another RecordFile, of any process, has it; WriteError where it cannot be written.
  RecordFile(std::string path, const ProfileFacts& facts);
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  const ProfileRecords& records() const { return records_; }
  /// Throw WriteError.
  void add(TimeRecord record);
  void add_repeat(TimeRecord record);
  void add(EnergyRecord record);
  void add(ThermalRecord record);
  void add(StrainRecord record);

 private:
  void begin(const ProfileFacts& facts);
  void write(const nlohmann::ordered_json& line);

  std::string path_;
  int file_ = -1;
  ProfileRecords records_{};
};

/// What the file at `path` holds; a last line that was cut off is passed over. Throws FormatError.
ProfileRecords read_records(const std::string& path);

}  // namespace thermoe
