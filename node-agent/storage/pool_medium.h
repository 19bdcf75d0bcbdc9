// PoolMedium: what one pool lies on, be it a directory or drives. It claims the medium, makes the
// backend over it, and knows its drives again. One implementation for each kind of backend and
// source, made by MakePoolMedium. The calls of one medium do not overlap (the pool set sees to
// that); Carries may be called at any time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "lib/base/call_context.h"
#include "lib/system/command_runner.h"
#include "lib/system/mount_table.h"
#include "node-agent/inventory/drive_scanner.h"
#include "node-agent/storage/pool_types.h"
#include "node-agent/storage/storage_backend.h"

namespace ashlar::node_agent {

// What is kept of a pool in the state directory.
struct PoolRecord {
  PoolSpec spec;
  // Ids of drives that were proven free and are being made part of the pool. Saved before the first
  // byte is written to them: only such a drive may be written to although it bears a signature.
  std::vector<std::string> claimed;
  // Ids of drives that have become part of the pool, where it may have several.
  std::vector<std::string> members;
  // Drives that were wiped for the pool: by id, the name in spec.wipe that named them.
  std::map<std::string, std::string> wiped = {};
};
// Durable when it returns OK.
using SavePoolRecord = absl::FunctionRef<absl::Status(const PoolRecord&)>;

struct OpenedPool {
  std::shared_ptr<StorageBackend> backend;
  std::vector<std::string> devices;  // ids of drives, or the directory
  // What is not as it should be although the pool is usable, as NotReady tells it; a message
  // without a reason says what is under way. Empty: nothing.
  std::string reason, message;
  bool restless = false;  // Open wants to be called every few seconds
};

class PoolMedium {
 public:
  virtual ~PoolMedium() = default;
  // Makes the medium usable; never touches a drive that is neither proven free nor carries this
  // pool, but to wipe it (drive_wipe.h). Called again for a pool that is open: with a changed
  // record, or to look for drives that were added; the backend stays the same object. Errors of
  // NotReady tell the reason.
  virtual absl::StatusOr<OpenedPool> Open(const CallContext& context, PoolRecord& record,
                                          SavePoolRecord save) = 0;
  // Takes down what Open set up. There are no volumes. Data on drives stays, but what an
  // interrupted claim left is erased. After an error the medium is not used again.
  virtual absl::Status Close(const CallContext& context, const PoolRecord& record) = 0;
  // Whether the drive bears this pool.
  virtual bool Carries(const Drive& drive) const = 0;
};

// What media work with; all must outlive them.
struct PoolEnvironment {
  sys::CommandRunner& commands;
  sys::MountTable& mounts;
  DriveScanner& scanner;
  std::string state_dir;  // drives with a filesystem are mounted at <state_dir>/pools/<name>
  std::vector<std::string> directories;  // at or below which pools may lie; empty: anywhere
};
// Null: this agent has no such backend.
using MakePoolMedium = std::function<std::unique_ptr<PoolMedium>(const PoolSpec& spec)>;

// FailedPrecondition with a CamelCase reason, which the pool's status shows, and a message.
absl::Status NotReady(absl::string_view reason, absl::string_view message);
// Of a status of NotReady; of any other one "PoolFailed" and its message.
std::string ReasonOf(const absl::Status& status);
std::string MessageOf(const absl::Status& status);

// NotReady unless the path lies at or below one of the directories that this agent may use.
absl::Status CheckDirectoryAllowed(const PoolEnvironment& env, const std::string& path);

}  // namespace ashlar::node_agent
