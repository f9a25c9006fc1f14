// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <sqlite3.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace thermoe {

/// Builds small databases that look like those of `nsys export`: the columns that are read have the
/// names and types of nsys 2025's own tables, and a few others stand between them.
class ExportBuilder {
 public:
  static constexpr std::int64_t kProcess = std::int64_t{0x1000001} << 24;
  static constexpr std::int64_t kOtherProcess = std::int64_t{0x1000002} << 24;

  explicit ExportBuilder(const std::string& path) {
    if (sqlite3_open(path.c_str(), &database_) != SQLITE_OK) throw std::runtime_error(path);
    exec("PRAGMA synchronous=OFF; BEGIN");
  }
  ~ExportBuilder() {
    sqlite3_exec(database_, "COMMIT", nullptr, nullptr, nullptr);
    sqlite3_close(database_);
  }
  ExportBuilder(const ExportBuilder&) = delete;
  ExportBuilder& operator=(const ExportBuilder&) = delete;

  ExportBuilder& exec(const std::string& sql) {
    char* message = nullptr;
    if (sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, &message) != SQLITE_OK) {
      throw std::runtime_error(fmt::format("{}: {}", sql, message));
    }
    return *this;
  }

  ExportBuilder& with_meta(const std::string& table = "META_DATA_EXPORT") {
    return exec(
        fmt::format("CREATE TABLE {0} (name TEXT NOT NULL, value TEXT);"
                    "INSERT INTO {0} VALUES ('EXPORT_PRODUCT_NAME', 'NVIDIA Nsight Systems'),"
                    "('EXPORT_PRODUCT_VERSION', '2025.3.1.90')",
                    table));
  }
  ExportBuilder& with_strings() {
    return exec("CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL)");
  }
  ExportBuilder& with_kernels() {
    return exec(
        "CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER NOT NULL, end INTEGER NOT NULL,"
        "deviceId INTEGER NOT NULL, contextId INTEGER NOT NULL, greenContextId INTEGER,"
        "streamId INTEGER NOT NULL, correlationId INTEGER, globalPid INTEGER,"
        "demangledName INTEGER NOT NULL, shortName INTEGER NOT NULL, mangledName INTEGER,"
        "registersPerThread INTEGER NOT NULL, gridX INTEGER NOT NULL, gridY INTEGER NOT NULL,"
        "gridZ INTEGER NOT NULL, blockX INTEGER NOT NULL, blockY INTEGER NOT NULL,"
        "blockZ INTEGER NOT NULL, gridId INTEGER NOT NULL, graphNodeId INTEGER)");
  }
  ExportBuilder& with_calls() {
    return exec(
        "CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER NOT NULL, end INTEGER NOT NULL,"
        "eventClass INTEGER NOT NULL, globalTid INTEGER, correlationId INTEGER,"
        "nameId INTEGER NOT NULL, returnValue INTEGER NOT NULL, callchainId INTEGER)");
  }
  ExportBuilder& with_ranges() {
    return exec(
        "CREATE TABLE NVTX_EVENTS (start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL,"
        "rangeId INTEGER, category INTEGER, color INTEGER, text TEXT, globalTid INTEGER,"
        "endGlobalTid INTEGER, textId INTEGER, domainId INTEGER, uint64Value INTEGER)");
  }
  ExportBuilder& with_gpu() {
    return exec(
        "CREATE TABLE TARGET_INFO_GPU (vmId INTEGER NOT NULL, id INTEGER NOT NULL, name TEXT);"
        "INSERT INTO TARGET_INFO_GPU VALUES (0, 0, 'NVIDIA H100 80GB HBM3')");
  }
  ExportBuilder& with_all() {
    return with_meta().with_strings().with_kernels().with_calls().with_ranges().with_gpu();
  }

  ExportBuilder& string(std::int64_t id, const std::string& text) {
    return exec(fmt::format("INSERT INTO StringIds VALUES ({}, '{}')", id, text));
  }
  struct Kernel {
    std::int64_t start = 0, end = 0, correlation = 0;
    std::int64_t process = kProcess, name = 1, device = 0;
    int grid = 132;
  };
  ExportBuilder& kernel(const Kernel& k) {
    return exec(
        fmt::format("INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES ({},{},{},1,NULL,7,{},{},"
                    "{},{},NULL,32,{},1,1,256,1,1,1,NULL)",
                    k.start, k.end, k.device, k.correlation, k.process, k.name, k.name, k.grid));
  }
  struct Call {
    std::int64_t start = 0, end = 0, correlation = 0;
    std::int64_t thread = kProcess + 1;
    int event_class = 0;
  };
  ExportBuilder& call(const Call& c) {
    return exec(
        fmt::format("INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES ({},{},{},{},{},2,0,NULL)",
                    c.start, c.end, c.event_class, c.thread, c.correlation));
  }
  struct Range {
    std::int64_t start = 0, end = 0;
    std::string text{};  ///< SQL: 'fc1' or NULL
    std::int64_t domain = 0;
    std::string text_id = "NULL";
    std::int64_t thread = kProcess + 1;
    int type = 59;
  };
  ExportBuilder& range(const Range& r) {
    return exec(fmt::format(
        "INSERT INTO NVTX_EVENTS VALUES ({},{},{},NULL,NULL,NULL,{},{},NULL,{},{},NULL)", r.start,
        r.end, r.type, r.text, r.thread, r.text_id, r.domain));
  }
  /// Registers a domain of a process, as nsys writes it.
  ExportBuilder& domain(std::int64_t id, const std::string& name,
                        std::int64_t thread = kProcess + 1) {
    return exec(
        fmt::format("INSERT INTO NVTX_EVENTS VALUES (-5,NULL,75,NULL,NULL,NULL,'{}',{},NULL,"
                    "NULL,{},NULL)",
                    name, thread, id));
  }

 private:
  sqlite3* database_ = nullptr;
};

}  // namespace thermoe
