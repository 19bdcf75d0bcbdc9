#include "standalone/database.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::standalone {
namespace {

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

}  // namespace

int64_t SqlRow::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string SqlRow::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (text == nullptr) return "";
  return std::string(text, static_cast<size_t>(sqlite3_column_bytes(statement_, column)));
}

absl::Status Database::Error(absl::string_view doing) const {
  const std::string message = absl::StrCat("database: ", doing, ": ", sqlite3_errmsg(db_));
  switch (sqlite3_errcode(db_)) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(message);
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path) {
  sqlite3* db = nullptr;
  const int rc = sqlite3_open_v2(
      path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  auto database = std::unique_ptr<Database>(new Database(db));
  if (rc != SQLITE_OK) return Annotate(database->Error("cannot open"), path);
  chmod(path.c_str(), 0600);  // it holds Secret objects
  sqlite3_busy_timeout(db, 2000);
  auto ignore = [](const SqlRow&) {};
  ASHLAR_RETURN_IF_ERROR(database->Query("PRAGMA journal_mode=WAL", {}, ignore));
  ASHLAR_RETURN_IF_ERROR(database->Query("PRAGMA synchronous=FULL", {}, ignore));
  return database;
}

Database::~Database() { sqlite3_close_v2(db_); }

absl::Status Database::Query(absl::string_view sql, std::initializer_list<SqlValue> values,
                             absl::FunctionRef<void(const SqlRow&)> row) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(db_, sql.data(), static_cast<int>(sql.size()), &raw, nullptr) !=
      SQLITE_OK) {
    return Error(sql);
  }
  std::unique_ptr<sqlite3_stmt, Finalize> statement(raw);
  int index = 0;
  for (const SqlValue& value : values) {
    ++index;
    int rc = SQLITE_OK;
    if (const auto* number = std::get_if<int64_t>(&value)) {
      rc = sqlite3_bind_int64(raw, index, *number);
    } else {
      const std::string& text = std::get<std::string>(value);
      rc = sqlite3_bind_text64(raw, index, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
    }
    if (rc != SQLITE_OK) return Error(sql);
  }
  const SqlRow current(raw);
  int rc = 0;
  while ((rc = sqlite3_step(raw)) == SQLITE_ROW) row(current);
  return rc == SQLITE_DONE ? absl::OkStatus() : Error(sql);
}

absl::Status Database::Run(absl::string_view sql, std::initializer_list<SqlValue> values) {
  return Query(sql, values, [](const SqlRow&) {});
}

absl::Status Database::Transaction(absl::FunctionRef<absl::Status()> work) {
  ASHLAR_RETURN_IF_ERROR(Run("BEGIN IMMEDIATE"));
  absl::Status status = work();
  if (status.ok()) status = Run("COMMIT");
  if (!status.ok()) Run("ROLLBACK").IgnoreError();  // the first error is the one that matters
  return status;
}

}  // namespace ashlar::standalone
