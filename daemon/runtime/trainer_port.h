// TrainerPort: the daemon's end of one admitted replica: arena, doorbells, and the words between
// them. Lives on the core thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cuda/device.h"
#include "daemon/core/actions.h"
#include "daemon/core/events.h"
#include "daemon/core/ids.h"
#include "daemon/mem/arena.h"
#include "daemon/mem/arena_budget.h"
#include "daemon/mem/command_reader.h"
#include "daemon/mem/file_descriptor.h"
#include "daemon/mem/page_writer.h"
#include "daemon/mem/slot_words.h"
#include "proto/attach.h"

namespace weightmesh {

class TrainerPort {
 public:
  // Makes the arena and both doorbells. `device` and `budget` must outlive the port. Errors as
  // Arena::Create; ResourceExhausted when descriptors run out.
  static absl::StatusOr<std::unique_ptr<TrainerPort>> Create(AttachId attach, const ArenaSpec& spec,
                                                             Device* device, ArenaBudget* budget);
  ~TrainerPort();
  TrainerPort(const TrainerPort&) = delete;
  TrainerPort& operator=(const TrainerPort&) = delete;

  AttachId attach() const { return attach_; }
  const Arena& arena() const { return *arena_; }

  // What AttachServer::SendReply takes at StartReplica.
  attach::AttachReply MakeReply(ReplicaId replica) const;
  std::array<int, attach::kDescriptorCount> descriptors() const;

  // To be watched for EPOLLIN; call OnDoorbell then, and once more before the core hears that the
  // trainer leaves or has gone: trainers do not ring for kMixed.
  int daemon_doorbell() const { return daemon_doorbell_.get(); }

  // Gives `sink` one event for each command that waits; see CommandReader::Drain. DataLoss: the
  // trainer has overwritten the ring; its attachment must end. `sink` may call every other method,
  // but must not destroy the port.
  absl::Status OnDoorbell(absl::FunctionRef<void(const Event&)> sink);

  // The core's actions of these names. Deliver rings the trainer.
  void Update(const UpdatePage& update) { writer_.Update(update); }
  void Deliver(const ::weightmesh::Deliver& deliver);
  // Adds one to the trainer's doorbell; never waits.
  void RingTrainer();

  // SlotKeeper's two, for this arena.
  bool Hold(SlotId slot, Round round) { return slot_words_.Hold(slot, round); }
  void Release(SlotId slot, Round round) { slot_words_.Release(slot, round); }

  // As CommandReader::Scalars.
  std::vector<std::pair<std::string, double>> Scalars() const { return reader_.Scalars(); }

  // Commands dropped and slot words found scribbled: more than 0 means a broken trainer.
  uint64_t commands_dropped() const { return reader_.commands_dropped(); }
  uint64_t slot_words_scribbled() const { return slot_words_.scribbled(); }

 private:
  TrainerPort(AttachId attach, std::unique_ptr<Arena> arena, FileDescriptor daemon_doorbell,
              FileDescriptor trainer_doorbell);

  const AttachId attach_;
  const std::unique_ptr<Arena> arena_;
  const FileDescriptor daemon_doorbell_;
  const FileDescriptor trainer_doorbell_;
  CommandReader reader_;
  PageWriter writer_;
  SlotWords slot_words_;
  bool draining_ = false;
};

}  // namespace weightmesh
