// PartitionMedium: every matching drive of a Partition pool that was proven free, or that spec.wipe
// names, with a GPT of the pool (partition_layout.h). A drive is known by the first half of the
// GUID of its table, which no change of names, slots or identifiers touches, and which a node that
// lost its state reads as well.
//
//   (proven free) ──► claimed: being written ──► carries the pool ──► claimed: being erased ──►
//   (free)
//                          │        ▲                  │   ▲               │      ▲
//                          └────────┘ crash            └───┘ matches       └──────┘ crash
//                                                     no longer: takes no volumes; erased when
//                                                     empty
//
// The record names a drive before the first byte of its table is written, and until the last one
// is: what a crash left there is written, or erased, anew. A drive that was copied byte by byte
// carries the pool twice: then neither is used.
#pragma once

#include "node-agent/storage/partition/partition_backend.h"
#include "node-agent/storage/pool_medium.h"

namespace ashlar::node_agent {

class PartitionMedium final : public PoolMedium {
 public:
  PartitionMedium(const PoolEnvironment& env, const PoolSpec& spec);

  absl::StatusOr<OpenedPool> Open(const CallContext& context, PoolRecord& record,
                                  SavePoolRecord save) override;
  absl::Status Close(const CallContext& context, const PoolRecord& record) override;
  bool Carries(const Drive& drive) const override;

 private:
  // What is to be done with the drives of this moment.
  struct Drives {
    std::vector<Drive> carrying, free, unfinished;
    std::vector<Drive> used;           // matching, but neither
    std::vector<std::string> refused;  // why those are not taken
  };
  absl::StatusOr<Drives> Look(const PoolRecord& record);
  // Frees those of the used ones that spec.wipe names.
  absl::Status WipeNamed(PoolRecord& record, SavePoolRecord save, Drives& drives);
  absl::Status Claim(PoolRecord& record, const Drive& drive, bool again, SavePoolRecord save);
  absl::Status Release(PoolRecord& record, const Drive& drive, SavePoolRecord save);

  const PoolEnvironment& env_;
  const std::string pool_uid_;
  const std::shared_ptr<PartitionBackend> backend_;
};

}  // namespace ashlar::node_agent
