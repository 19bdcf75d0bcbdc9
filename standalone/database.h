// Database: the one wrapper of SQLite. Not thread-safe: its owner serializes the calls. Errors:
// Unavailable if the file is locked by another process, ResourceExhausted if the disk is full,
// DataLoss if the file is damaged, Internal otherwise; the message holds SQLite's own.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <variant>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct sqlite3;
struct sqlite3_stmt;

namespace ashlar::standalone {

using SqlValue = std::variant<int64_t, std::string>;

// A row of an answer, valid during the callback.
class SqlRow {
 public:
  explicit SqlRow(sqlite3_stmt* statement) : statement_(statement) {}
  int64_t Int(int column) const;
  std::string Text(int column) const;

 private:
  sqlite3_stmt* statement_;
};

class Database {
 public:
  // Opens or makes the file, readable by its owner alone, in WAL mode with every commit synced.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  absl::Status Run(absl::string_view sql, std::initializer_list<SqlValue> values = {});
  absl::Status Query(absl::string_view sql, std::initializer_list<SqlValue> values,
                     absl::FunctionRef<void(const SqlRow&)> row);
  // All that `work` runs, or nothing if it answers an error (which is returned).
  absl::Status Transaction(absl::FunctionRef<absl::Status()> work);

 private:
  explicit Database(sqlite3* db) : db_(db) {}
  absl::Status Error(absl::string_view doing) const;

  sqlite3* db_;
};

}  // namespace ashlar::standalone
