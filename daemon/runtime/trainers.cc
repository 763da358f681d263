// Attach requests to events, actions to arenas, doorbells and replies.
#include "daemon/runtime/trainers.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>

#include <utility>

#include "daemon/mem/founding.h"

namespace weightmesh {
namespace {

attach::ReplyCode ReplyCodeOf(const absl::Status& status) {
  return absl::IsResourceExhausted(status) ? attach::ReplyCode::kLimit
                                           : attach::ReplyCode::kInvalid;
}

// Replicas that ended and whose last scalars are kept.
constexpr size_t kLastScalarsMax = 1024;

}  // namespace

Trainers::Trainers(AttachServerOptions options, SchemaLimits limits, ArenaLimit arena_limit,
                   Device* device, Executor* executor, DataPlane* data_plane,
                   std::function<void(const Event&)> feed)
    : limits_(limits),
      device_(device),
      executor_(executor),
      data_plane_(data_plane),
      feed_(std::move(feed)),
      budget_(std::move(arena_limit)),
      server_(std::make_unique<AttachServer>(std::move(options), executor, this)) {}

Trainers::~Trainers() { Stop(); }

absl::Status Trainers::Start() { return server_->Start(); }

void Trainers::Stop() { server_.reset(); }

void Trainers::Refuse(AttachId id, attach::ReplyCode code, std::string message) {
  spdlog::warn("attach refused: {}", message);
  attach::AttachReply reply;
  reply.code = code;
  reply.message = std::move(message);
  if (server_ != nullptr) {
    server_->SendReply(id, reply, {});
    server_->Close(id);
  }
  pending_.erase(id);
}

void Trainers::OnAttach(AttachId id, attach::AttachRequest request) {
  absl::StatusOr<Schema> schema = MakeSchema(request, limits_);
  if (!schema.ok()) {
    return Refuse(id, ReplyCodeOf(schema.status()), std::string(schema.status().message()));
  }
  absl::StatusOr<AttachRequested> event = ToAttachRequested(id, request, *schema);
  if (!event.ok()) {
    return Refuse(id, ReplyCodeOf(event.status()), std::string(event.status().message()));
  }
  pending_[id] = Pending{ToArenaSpec(request, *schema), ReplicaId{}};
  feed_(*event);
}

// What the trainer posted last, it posted before it said that it leaves.
void Trainers::OnLeave(AttachId id) {
  OnDoorbell(id);
  feed_(LeaveRequested{id});
}

void Trainers::OnClosed(AttachId id, absl::string_view reason) {
  spdlog::debug("trainer {} closed its attachment: {}", Value(id), std::string(reason));
  pending_.erase(id);
  const auto port = ports_.find(id);
  if (port != ports_.end()) {
    executor_->Unwatch(port->second->daemon_doorbell());
    port->second->OnDoorbell(feed_).IgnoreError();
  }
  feed_(TrainerGone{id});
}

void Trainers::OnRefused(absl::string_view reason) {
  spdlog::warn("connection to the attach socket refused: {}", std::string(reason));
}

void Trainers::Run(const AdmitReplica& action) {
  const auto pending = pending_.find(action.attach);
  if (pending == pending_.end()) return;
  pending->second.replica = action.replica;
  absl::StatusOr<std::unique_ptr<TrainerPort>> port =
      TrainerPort::Create(action.attach, pending->second.spec, device_, &budget_);
  absl::Status made = port.status();
  if (made.ok()) made = data_plane_->Register((*port)->arena().bytes(), (*port)->arena().kind());
  if (made.ok()) {
    made = executor_->Watch((*port)->daemon_doorbell(), EPOLLIN,
                            [this, id = action.attach](uint32_t) { OnDoorbell(id); });
    if (!made.ok()) data_plane_->Unregister((*port)->arena().bytes());
  }
  if (!made.ok()) {
    Refuse(action.attach, ReplyCodeOf(made), std::string(made.message()));
    return feed_(TrainerGone{action.attach});
  }
  ports_[action.attach] = *std::move(port);
}

void Trainers::Run(const RefuseAttach& action) {
  Refuse(action.attach, action.code, action.message);
  DropPort(action.attach);
}

void Trainers::Run(const ReportProgress& action) {
  if (server_ != nullptr) server_->SendProgress(action.attach, action.message);
}

void Trainers::Run(const StartReplica& action) {
  const auto pending = pending_.find(action.attach);
  const auto port = ports_.find(action.attach);
  if (pending == pending_.end() || port == ports_.end() || server_ == nullptr) return;
  server_->SendReply(action.attach, port->second->MakeReply(pending->second.replica),
                     port->second->descriptors());
  pending_.erase(pending);
}

void Trainers::Run(const UpdatePage& action) {
  const auto port = ports_.find(action.attach);
  if (port != ports_.end()) port->second->Update(action);
}

void Trainers::Run(const Deliver& action) {
  const auto port = ports_.find(action.attach);
  if (port != ports_.end()) port->second->Deliver(action);
}

void Trainers::Run(const FinishLeave& action) {
  if (server_ != nullptr) server_->SendLeaveReply(action.attach);
}

void Trainers::Run(const FreeArena& action) { DropPort(action.attach); }

void Trainers::DropPort(AttachId id) {
  const auto port = ports_.find(id);
  if (port == ports_.end()) return;
  if (last_scalars_.size() >= kLastScalarsMax) last_scalars_.erase(last_scalars_.begin());
  last_scalars_[id] = port->second->Scalars();
  executor_->Unwatch(port->second->daemon_doorbell());
  data_plane_->Unregister(port->second->arena().bytes());
  ports_.erase(port);
}

std::vector<std::pair<std::string, double>> Trainers::Scalars(AttachId attach) const {
  const auto port = ports_.find(attach);
  if (port != ports_.end()) return port->second->Scalars();
  const auto last = last_scalars_.find(attach);
  return last == last_scalars_.end() ? std::vector<std::pair<std::string, double>>{} : last->second;
}

void Trainers::OnDoorbell(AttachId id) {
  const auto port = ports_.find(id);
  if (port == ports_.end()) return;
  const absl::Status drained = port->second->OnDoorbell(feed_);
  if (drained.ok()) return;
  spdlog::warn("trainer {} is cut off: {}", Value(id), std::string(drained.message()));
  if (server_ != nullptr) server_->Close(id);
  OnClosed(id, drained.message());
}

bool Trainers::Hold(AttachId attach, SlotId slot, Round round) {
  const auto port = ports_.find(attach);
  return port != ports_.end() && port->second->Hold(slot, round);
}

void Trainers::Release(AttachId attach, SlotId slot, Round round) {
  const auto port = ports_.find(attach);
  if (port != ports_.end()) port->second->Release(slot, round);
}

}  // namespace weightmesh
