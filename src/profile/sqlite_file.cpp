// SPDX-License-Identifier: Apache-2.0
#include "profile/sqlite_file.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr int kLongestValue = 16 << 20;
constexpr const char* kExportAgain =
    "export it again: nsys export --type sqlite --force-overwrite true -o OUT.sqlite "
    "REPORT.nsys-rep";

/// The path as a URI that says: never write, never lock, look at no journal.
std::string uri_of(const std::string& path) {
  std::string uri = "file:";
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '/' || c == '.' || c == '-' || c == '_';
    uri += plain ? std::string(1, c) : fmt::format("%{:02x}", static_cast<unsigned char>(c));
  }
  return uri + "?mode=ro&immutable=1";
}

std::uint32_t big_endian(const std::array<char, 100>& header, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    value = (value << 8U) | static_cast<unsigned char>(header[at + i]);
  }
  return value;
}

/// SQLite itself reads a file that lost its end until it needs a page that is gone.
void check_whole(const std::string& path, std::uint64_t bytes) {
  std::array<char, 100> header{};
  std::ifstream in(path, std::ios::binary);
  in.read(header.data(), static_cast<std::streamsize>(header.size()));
  const bool short_file = in.gcount() < static_cast<std::streamsize>(header.size());
  const std::uint32_t size_field = big_endian(header, 16) >> 16U;
  const std::uint64_t page = size_field == 1 ? 65536 : size_field;
  // The page count is sound where the file was last written by a program that keeps it.
  const bool counted = big_endian(header, 24) == big_endian(header, 92);
  const std::uint64_t whole = counted ? page * big_endian(header, 28) : bytes;
  if (!short_file && bytes >= whole) return;
  throw FormatError(
      path, "",
      fmt::format("is truncated: {} of {} bytes are there; copy it again, or {}", bytes,
                  std::max<std::uint64_t>(whole, header.size()), kExportAgain));
}

/// A database that a program is writing, or died writing, is not all in its file.
void check_closed(const std::string& path) {
  for (const char* suffix : {"-wal", "-journal"}) {
    std::error_code none;
    const auto size = std::filesystem::file_size(path + suffix, none);
    if (none || size == 0) continue;
    throw FormatError(path, "",
                      fmt::format("{}{} lies beside it: it is still being written, or its writer "
                                  "died; wait for it, or {}",
                                  path, suffix, kExportAgain));
  }
}

std::string quoted(const std::string& name) {
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + '"';
}

/// Only reading of columns: whatever else a statement of ours would come to run is the file's.
int allow_reading(void* /*none*/, int action, const char* /*a*/, const char* /*b*/,
                  const char* /*c*/, const char* /*trigger or view*/) {
  const bool reads = action == SQLITE_SELECT || action == SQLITE_READ || action == SQLITE_PRAGMA;
  return reads ? SQLITE_OK : SQLITE_DENY;
}

void harden(sqlite3* database) {
  sqlite3_limit(database, SQLITE_LIMIT_LENGTH, kLongestValue);
  sqlite3_limit(database, SQLITE_LIMIT_SQL_LENGTH, 1 << 20);
  sqlite3_limit(database, SQLITE_LIMIT_COLUMN, 500);
  sqlite3_limit(database, SQLITE_LIMIT_EXPR_DEPTH, 20);
  sqlite3_limit(database, SQLITE_LIMIT_COMPOUND_SELECT, 2);
  sqlite3_limit(database, SQLITE_LIMIT_VDBE_OP, 25000);
  sqlite3_limit(database, SQLITE_LIMIT_FUNCTION_ARG, 8);
  sqlite3_limit(database, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_limit(database, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50);
  sqlite3_limit(database, SQLITE_LIMIT_TRIGGER_DEPTH, 1);
  sqlite3_limit(database, SQLITE_LIMIT_WORKER_THREADS, 0);
  for (const auto& [option, value] : {std::pair(SQLITE_DBCONFIG_DEFENSIVE, 1),
                                      {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                                      {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
                                      {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
                                      {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
                                      {SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0}}) {
    sqlite3_db_config(database, option, value, nullptr);
  }
  sqlite3_exec(database, "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0", nullptr, nullptr,
               nullptr);
  sqlite3_set_authorizer(database, allow_reading, nullptr);
}

std::string type_name(int type) {
  switch (type) {
    case SQLITE_INTEGER:
      return "a whole number";
    case SQLITE_FLOAT:
      return "a fraction";
    case SQLITE_TEXT:
      return "text";
    case SQLITE_BLOB:
      return "a blob";
    default:
      return "NULL";
  }
}

}  // namespace

void SqliteRows::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

void SqliteFile::Close::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

void SqliteRows::refuse(std::size_t column, const std::string& problem) const {
  throw FormatError(path_, fmt::format("{}.{}, row {}", table_, columns_[column], row_), problem);
}

bool SqliteRows::next() {
  ++row_;
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_DONE) return false;
  const std::string key = fmt::format("{}, row {}", table_, row_);
  if (code == SQLITE_TOOBIG) {
    throw FormatError(
        path_, key,
        fmt::format("holds a value of more than {} MiB; {}", kLongestValue >> 20, kExportAgain));
  }
  if (code != SQLITE_ROW) {
    throw FormatError(
        path_, key,
        fmt::format("cannot be read: {}; {}", sqlite3_errmsg(sqlite3_db_handle(statement_.get())),
                    kExportAgain));
  }
  // Pages that are referred to twice could make a small file endless.
  if (row_ > most_rows_) {
    throw FormatError(path_, key,
                      fmt::format("is one more than a file of its size can hold: it is damaged; {}",
                                  kExportAgain));
  }
  return true;
}

std::int64_t SqliteRows::integer(std::size_t column) const {
  const auto value = optional_integer(column);
  if (!value) refuse(column, "is NULL, must be a whole number");
  return *value;
}

std::optional<std::int64_t> SqliteRows::optional_integer(std::size_t column) const {
  const int i = static_cast<int>(column);
  const int type = sqlite3_column_type(statement_.get(), i);
  if (type == SQLITE_INTEGER) return sqlite3_column_int64(statement_.get(), i);
  if (type == SQLITE_NULL) return std::nullopt;
  refuse(column, fmt::format("is {}, must be a whole number; {}", type_name(type), kExportAgain));
}

std::optional<std::string_view> SqliteRows::text(std::size_t column) const {
  const int i = static_cast<int>(column);
  const int type = sqlite3_column_type(statement_.get(), i);
  if (type == SQLITE_NULL) return std::nullopt;
  if (type != SQLITE_TEXT) {
    refuse(column, fmt::format("is {}, must be text; {}", type_name(type), kExportAgain));
  }
  const unsigned char* begin = sqlite3_column_text(statement_.get(), i);
  const int size = sqlite3_column_bytes(statement_.get(), i);
  return std::string_view(reinterpret_cast<const char*>(begin), static_cast<std::size_t>(size));
}

std::optional<double> SqliteRows::number(std::size_t column) const {
  const int i = static_cast<int>(column);
  const int type = sqlite3_column_type(statement_.get(), i);
  if (type == SQLITE_INTEGER || type == SQLITE_FLOAT) {
    return sqlite3_column_double(statement_.get(), i);
  }
  if (type == SQLITE_NULL) return std::nullopt;
  refuse(column, fmt::format("is {}, must be a number; {}", type_name(type), kExportAgain));
}

SqliteFile::SqliteFile(const std::string& path) : path_(path) {
  std::error_code none;
  bytes_ = std::filesystem::file_size(path, none);
  if (none) throw FormatError(path, "", fmt::format("cannot be read: {}", none.message()));
  check_whole(path, bytes_);
  check_closed(path);
  sqlite3* opened = nullptr;
  const int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(uri_of(path).c_str(), &opened, flags, nullptr);
  database_.reset(opened);
  if (code != SQLITE_OK) refuse("", fmt::format("cannot be opened: {}", sqlite3_errstr(code)));
  harden(opened);
  if (sqlite3_exec(opened, "SELECT name FROM sqlite_master LIMIT 1", nullptr, nullptr, nullptr) !=
      SQLITE_OK) {
    refuse("",
           fmt::format("is encrypted or damaged: {}; {}", sqlite3_errmsg(opened), kExportAgain));
  }
}

void SqliteFile::refuse(const std::string& table, const std::string& problem) const {
  throw FormatError(path_, table, problem);
}

SqliteRows SqliteFile::prepare(const std::string& sql, const std::string& table) const {
  SqliteRows rows;
  rows.path_ = path_;
  rows.table_ = table;
  // No row takes less than its cell's pointer, size, header and a byte.
  rows.most_rows_ = static_cast<std::int64_t>(bytes_ / 4 + 1);
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(database_.get(), sql.c_str(), -1, &statement, nullptr);
  rows.statement_.reset(statement);
  if (code != SQLITE_OK) {
    refuse(table,
           fmt::format("cannot be read: {}; {}", sqlite3_errmsg(database_.get()), kExportAgain));
  }
  return rows;
}

bool SqliteFile::has_table(const std::string& table) const {
  SqliteRows list = prepare(fmt::format("PRAGMA main.table_list({})", quoted(table)), table);
  list.columns_ = {"schema", "name", "type"};
  while (list.next()) {
    if (list.text(0) != "main") continue;
    const std::string type(list.text(2).value_or(""));
    if (type == "table") return true;
    refuse(table, fmt::format("is a {}{}, and a table in what nsys exports; {}", type,
                              type == "virtual" ? " table" : "", kExportAgain));
  }
  return false;
}

bool SqliteFile::has_column(const std::string& table, const std::string& column) const {
  SqliteRows list = prepare(fmt::format("PRAGMA main.table_xinfo({})", quoted(table)), table);
  list.columns_ = {"cid", "name", "type", "notnull", "dflt_value", "pk", "hidden"};
  while (list.next()) {
    if (list.text(1) != column) continue;
    if (list.integer(6) == 0) return true;
    refuse(table, fmt::format("computes its column {}, which is data in what nsys exports; {}",
                              column, kExportAgain));
  }
  return false;
}

SqliteRows SqliteFile::rows(const std::string& table, const std::vector<Column>& columns) const {
  std::string list;
  std::vector<std::string> names;
  for (const Column& column : columns) {
    const bool there = has_column(table, column.name);
    if (!there && column.needed) {
      refuse(table, fmt::format("has no column {}: this is no export of nsys 2022 to 2026; {}",
                                column.name, kExportAgain));
    }
    list += (list.empty() ? "" : ", ") + (there ? quoted(column.name) : "NULL");
    names.push_back(column.name);
  }
  SqliteRows rows = prepare(fmt::format("SELECT {} FROM main.{}", list, quoted(table)), table);
  rows.columns_ = std::move(names);
  return rows;
}

std::size_t SqliteFile::most_rows(const std::string& table) const {
  sqlite3_stmt* statement = nullptr;
  const std::string sql =
      fmt::format("SELECT rowid FROM main.{} ORDER BY rowid DESC LIMIT 1", quoted(table));
  sqlite3_prepare_v2(database_.get(), sql.c_str(), -1, &statement, nullptr);
  const std::unique_ptr<sqlite3_stmt, SqliteRows::Finalize> last(statement);
  if (!last || sqlite3_step(statement) != SQLITE_ROW) return 0;  // rows() says what is wrong
  // Rows of the tables that are asked for take some 40 bytes and more.
  return static_cast<std::size_t>(std::clamp<std::int64_t>(sqlite3_column_int64(statement, 0), 0,
                                                           static_cast<std::int64_t>(bytes_ / 40)));
}

}  // namespace thermoe
