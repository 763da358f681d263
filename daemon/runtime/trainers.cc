// Attach requests to events, actions to arenas, doorbells and replies.
#include "daemon/runtime/trainers.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/mem/founding.h"

namespace weightmesh {
namespace {

attach::ReplyCode ReplyCodeOf(const absl::Status& status) {
  return absl::IsResourceExhausted(status) ? attach::ReplyCode::kLimit
                                           : attach::ReplyCode::kInvalid;
}

// Replicas that ended and whose last scalars are kept.
constexpr size_t kLastScalarsMax = 1024;
// How long a refusal waits for the run's schema from another daemon, and how many do so at once;
// beyond that only the digests are named.
constexpr absl::Duration kSchemaWait = absl::Seconds(3);
constexpr size_t kComparingMax = 8;

}  // namespace

Trainers::Trainers(AttachServerOptions options, SchemaLimits limits, ArenaLimit arena_limit,
                   Device* device, Executor* executor, DataPlane* data_plane,
                   std::function<void(const Event&)> feed, AskSchema ask_schema, AskBlob ask_blob)
    : limits_(limits),
      device_(device),
      executor_(executor),
      data_plane_(data_plane),
      feed_(std::move(feed)),
      ask_schema_(std::move(ask_schema)),
      ask_blob_(std::move(ask_blob)),
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
  admitted_.erase(id);
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
  // Before the core hears of it: no run starts with a founder that has no memory.
  if (absl::Status made = MakePort(id, ToArenaSpec(request, *schema)); !made.ok()) {
    return Refuse(id, ReplyCodeOf(made), std::string(made.message()));
  }
  models_[id] = Model{std::move(request.run_id), *std::move(schema), ""};
  feed_(*event);
}

std::string Trainers::SchemaDifference(AttachId id) const {
  const auto own = models_.find(id);
  if (own == models_.end()) return "";
  for (const auto& [other_id, other] : models_) {
    if (other.run_id != own->second.run_id) continue;
    const std::string difference = DescribeSchemaDifference(own->second.schema, other.schema);
    if (!difference.empty()) return absl::StrCat("; ", difference);
  }
  return "";
}

absl::Status Trainers::MakePort(AttachId id, const ArenaSpec& spec) {
  absl::StatusOr<std::unique_ptr<TrainerPort>> port =
      TrainerPort::Create(id, spec, device_, &budget_);
  if (!port.ok()) return port.status();
  const Arena& arena = (*port)->arena();
  if (absl::Status done = data_plane_->Register(arena.bytes(), arena.kind()); !done.ok()) {
    return done;
  }
  absl::Status watched = executor_->Watch((*port)->daemon_doorbell(), EPOLLIN,
                                          [this, id](uint32_t) { OnDoorbell(id); });
  if (!watched.ok()) {
    data_plane_->Unregister(arena.bytes());
    return watched;
  }
  ports_[id] = *std::move(port);
  return absl::OkStatus();
}

void Trainers::OnBlob(AttachId id, std::string blob) {
  const auto model = models_.find(id);
  if (model != models_.end()) model->second.blob = std::move(blob);
}

absl::StatusOr<std::string> Trainers::BlobFor(const std::string& run_id) const {
  for (const auto& [id, model] : models_) {
    if (model.run_id == run_id && !model.blob.empty()) return model.blob;
  }
  return absl::NotFoundError(absl::StrCat("no trainer of run '", run_id, "' here has given one"));
}

void Trainers::OnBlobRequest(AttachId id) {
  const auto model = models_.find(id);
  if (model == models_.end()) return;
  const auto answer = [this, id](const std::string& blob) {
    if (server_ != nullptr) server_->SendBlob(id, blob);
  };
  const absl::StatusOr<std::string> here = BlobFor(model->second.run_id);
  here.ok() ? answer(*here) : ask_blob_(model->second.run_id, answer);
}

// What the trainer posted last, it posted before it said that it leaves.
void Trainers::OnLeave(AttachId id) {
  OnDoorbell(id);
  feed_(LeaveRequested{id});
}

void Trainers::OnClosed(AttachId id, absl::string_view reason) {
  spdlog::debug("trainer {} closed its attachment: {}", Value(id), std::string(reason));
  admitted_.erase(id);
  comparing_.erase(id);
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

void Trainers::Run(const AdmitReplica& action) { admitted_[action.attach] = action.replica; }

void Trainers::Run(const RefuseAttach& action) {
  const bool mismatch = action.code == attach::ReplyCode::kMismatch;
  const std::string difference = mismatch ? SchemaDifference(action.attach) : "";
  if (difference.empty() && !action.schema_hosts.empty() && comparing_.size() < kComparingMax) {
    RefuseAfterComparing(action);
  } else {
    Refuse(action.attach, action.code, absl::StrCat(action.message, difference));
  }
  DropPort(action.attach);
}

// No trainer of the run is here to compare with: a daemon that has one is asked.
void Trainers::RefuseAfterComparing(RefuseAttach action) {
  const auto model = models_.find(action.attach);
  if (model == models_.end()) return;  // it has gone
  SchemaFetchOptions options;
  options.ask = ask_schema_;
  options.now = [] { return Executor::Now(); };
  options.addresses = action.schema_hosts;
  options.run_id = model->second.run_id;
  options.digest = action.schema_digest;
  options.limits = limits_;
  options.timeout = kSchemaWait;
  comparing_.insert(action.attach);
  FetchSchema(
      std::move(options), [this, action = std::move(action), own = std::move(model->second.schema)](
                              const absl::StatusOr<Schema>& in_the_run) {
        if (comparing_.erase(action.attach) == 0) return;  // it has gone meanwhile
        std::string difference;
        if (in_the_run.ok()) {
          difference = absl::StrCat("; ", DescribeSchemaDifference(own, *in_the_run));
        } else {
          spdlog::info("the schema {} cannot be compared: {}", action.schema_digest.ToString(),
                       std::string(in_the_run.status().message()));
        }
        Refuse(action.attach, action.code, absl::StrCat(action.message, difference));
      });
}

absl::StatusOr<SchemaPart> Trainers::SchemaPartFor(const SchemaQuery& query) const {
  for (const auto& [id, model] : models_) {
    if (model.run_id == query.run_id && model.schema.digest == query.digest) {
      return SchemaPartOf(model.schema, query.first_tensor, query.first_bound);
    }
  }
  return absl::NotFoundError(
      absl::StrCat("no trainer of run '", query.run_id, "' with that schema is attached here"));
}

void Trainers::Run(const ReportProgress& action) {
  if (server_ != nullptr) server_->SendProgress(action.attach, action.message);
}

void Trainers::Run(const StartReplica& action) {
  const auto admitted = admitted_.find(action.attach);
  const auto port = ports_.find(action.attach);
  if (admitted == admitted_.end() || port == ports_.end() || server_ == nullptr) return;
  server_->SendReply(action.attach, port->second->MakeReply(admitted->second),
                     port->second->descriptors());
  admitted_.erase(admitted);
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
  models_.erase(id);
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
