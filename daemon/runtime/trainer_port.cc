// The daemon's end of one admitted replica.
#include "daemon/runtime/trainer_port.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "daemon/core/check.h"

namespace weightmesh {
namespace {

absl::StatusOr<FileDescriptor> MakeDoorbell() {
  FileDescriptor doorbell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!doorbell.valid()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot make a trainer's doorbell: ", std::strerror(errno),
                     "; raise the limit of open files (ulimit -n, LimitNOFILE=)"));
  }
  return doorbell;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainerPort>> TrainerPort::Create(AttachId attach,
                                                                 const ArenaSpec& spec,
                                                                 Device* device,
                                                                 ArenaBudget* budget) {
  absl::StatusOr<std::unique_ptr<Arena>> arena = Arena::Create(spec, device, budget);
  if (!arena.ok()) return arena.status();
  absl::StatusOr<FileDescriptor> daemon = MakeDoorbell();
  if (!daemon.ok()) return daemon.status();
  absl::StatusOr<FileDescriptor> trainer = MakeDoorbell();
  if (!trainer.ok()) return trainer.status();
  return std::unique_ptr<TrainerPort>(
      new TrainerPort(attach, *std::move(arena), *std::move(daemon), *std::move(trainer)));
}

TrainerPort::TrainerPort(AttachId attach, std::unique_ptr<Arena> arena,
                         FileDescriptor daemon_doorbell, FileDescriptor trainer_doorbell)
    : attach_(attach),
      arena_(std::move(arena)),
      daemon_doorbell_(std::move(daemon_doorbell)),
      trainer_doorbell_(std::move(trainer_doorbell)),
      reader_(attach, arena_.get()),
      writer_(arena_.get()),
      slot_words_(arena_->page(), arena_->layout().slots, [this] { RingTrainer(); }) {}

TrainerPort::~TrainerPort() {
  WEIGHTMESH_CHECK(!draining_, "a trainer's port ends while its commands are taken");
}

attach::AttachReply TrainerPort::MakeReply(ReplicaId replica) const {
  attach::AttachReply reply;
  reply.code = attach::ReplyCode::kOk;
  reply.replica_high = replica.high;
  reply.replica_low = replica.low;
  reply.control_bytes = arena_->control_bytes();
  reply.arena_bytes = arena_->layout().arena_bytes;
  return reply;
}

std::array<int, attach::kDescriptorCount> TrainerPort::descriptors() const {
  std::array<int, attach::kDescriptorCount> descriptors{};
  descriptors[attach::kArenaDescriptor] = arena_->descriptor();
  descriptors[attach::kDaemonDoorbellDescriptor] = daemon_doorbell_.get();
  descriptors[attach::kTrainerDoorbellDescriptor] = trainer_doorbell_.get();
  return descriptors;
}

absl::Status TrainerPort::OnDoorbell(absl::FunctionRef<void(const Event&)> sink) {
  // Before the ring is looked at: a command posted later rings again.
  uint64_t rings = 0;
  [[maybe_unused]] const ssize_t got = ::read(daemon_doorbell_.get(), &rings, sizeof rings);
  draining_ = true;
  absl::Status drained = reader_.Drain(sink);
  draining_ = false;
  return drained;
}

void TrainerPort::Deliver(const ::weightmesh::Deliver& deliver) {
  reader_.ExpectMixed(deliver.round, deliver.segments);
  writer_.WriteCollected(deliver.round, deliver.segments);
  RingTrainer();
}

void TrainerPort::RingTrainer() {
  // When its counter is full the trainer has not looked for long, and is rung already.
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(trainer_doorbell_.get(), &one, sizeof one);
}

}  // namespace weightmesh
