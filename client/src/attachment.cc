// The calls of weightmesh.h on one attached replica.
#include "client/src/attachment.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <system_error>
#include <thread>

#include "client/src/result_struct.h"
#include "proto/control_page.h"

namespace weightmesh::client {
namespace {

// How long beyond round_deadline a leave waits for the daemon's farewell.
constexpr std::chrono::seconds kLeaveGrace{5};
// How long after its daemon's death, or a vain look for it, a replica looks for it (again); and so
// many times what the look took, for a daemon that hangs must not hold the trainer up each time.
constexpr std::chrono::seconds kRejoinInterval{1};
constexpr int kRejoinPause = 10;
// How often a join asks a daemon that does not know the run yet.
constexpr std::chrono::milliseconds kJoinRetry{200};

}  // namespace

Attachment::~Attachment() {
  if (link_.channel().in_child()) {
    // A forked child has neither the mapping nor the threads.
    arena_.Abandon();
    (void)pool_.release();
    return;
  }
  if (rounds_ != nullptr && state_ == State::kAttached) rounds_->RingForLast();
}

Status Attachment::Open(const weightmesh_options* options, const weightmesh_tensor* tensors,
                        const float* const* weights, size_t tensor_count, bool joins) {
  Status status = MakeAttachPlan(options, tensors, weights, tensor_count, &plan_);
  if (status.ok()) {
    const std::vector<uint64_t>& bounds = plan_.request.segment_bounds;
    model_.wire = plan_.request.wire;
    model_.arena = MakeArenaLayout(bounds, model_.wire, plan_.request.slots,
                                   control_page::ControlPageBytes(bounds.size() - 1));
    model_.pieces = PieceMap(plan_.tensor_parameters, model_.arena, model_.wire);
    plan_.request.joins = joins ? 1 : 0;
    status = joins ? JoinReplica() : AttachReplica(plan_, model_.arena, &link_, &arena_, &id_);
  }
  if (status.ok()) {
    try {
      pool_ = std::make_unique<MixPool>(plan_.mix_threads);
    } catch (const std::system_error& error) {
      status = Resources("the system gives no " + std::to_string(plan_.mix_threads) +
                         " mix_threads: " + error.what() + "; ask for fewer");
    }
  }
  if (status.code == WEIGHTMESH_ALONE) {
    BecomeAlone(status.message);
  } else if (!status.ok()) {
    state_ = State::kRefused;
    why_ = status.message;
    link_.channel().Close();
  }
  if (!status.ok()) return status;
  MakeRounds();
  return {};
}

void Attachment::MakeRounds() {
  const RoundSettings settings = {plan_.request.mode, static_cast<float>(plan_.request.alpha),
                                  plan_.request.start_round, id_};
  rounds_ = std::make_unique<RoundDriver>(settings, &model_, &arena_, &link_, pool_.get());
  state_ = State::kAttached;
}

Status Attachment::Attach(const weightmesh_options* options, const weightmesh_tensor* tensors,
                          const float* const* weights, size_t tensor_count) {
  return Open(options, tensors, weights, tensor_count, /*joins=*/false);
}

// The daemon may be younger than the run, and hear of it only now.
Status Attachment::JoinReplica() {
  const Clock::time_point deadline = JoinDeadline();
  for (;;) {
    Status status = AttachReplica(plan_, model_.arena, &link_, &arena_, &id_);
    const Clock::time_point now = Clock::now();
    if (status.code != WEIGHTMESH_START_TIMEOUT || now >= deadline) return status;
    link_.channel().Close();
    std::this_thread::sleep_for(std::min<Clock::duration>(kJoinRetry, deadline - now));
  }
}

Status Attachment::Join(const weightmesh_options* options, const weightmesh_tensor* tensors,
                        float* const* weights, size_t tensor_count, weightmesh_joined* joined) {
  weightmesh_joined scratch;
  joined = OrScratch(joined, &scratch);
  if (Status status = Clear("joined", joined); !status.ok()) return status;
  begun_ = Clock::now();
  Status status = Open(options, tensors, weights, tensor_count, /*joins=*/true);
  if (!status.ok()) return status;
  status = rounds_->CatchUp(weights, JoinDeadline(), &joined->round);
  if (status.ok()) {
    joined->replicas = arena_.page().view_replicas.load(std::memory_order_acquire);
    joined_blob_ = rounds_->blob();
    joined->blob = joined_blob_.empty() ? nullptr : joined_blob_.data();
    joined->blob_bytes = joined_blob_.size();
  } else if (rounds_->is_gone()) {
    LoseDaemon(status.message);
  } else {
    state_ = State::kRefused;
    why_ = status.message;
    link_.channel().Close();
  }
  return status;
}

Clock::time_point Attachment::JoinDeadline() const {
  return begun_ + std::chrono::milliseconds(plan_.request.start_timeout_ms);
}

void Attachment::BecomeAlone(std::string why) {
  state_ = State::kAlone;
  why_ = std::move(why);
  link_.channel().Close();
}

void Attachment::LoseDaemon(std::string why) {
  BecomeAlone(std::move(why));
  lost_daemon_ = plan_.rejoin_timeout_ms != WEIGHTMESH_NEVER_REJOIN;
  next_rejoin_ = Clock::now() + kRejoinInterval;
}

bool Attachment::Rejoin(float* const* weights, weightmesh_round* result) {
  const Clock::time_point now = Clock::now();
  if (state_ != State::kAlone || !lost_daemon_ || now < next_rejoin_) return false;
  AttachPlan plan = plan_;
  plan.request.joins = 1;
  plan.request.start_timeout_ms = plan.rejoin_timeout_ms;
  plan.progress = nullptr;
  rounds_.reset();
  arena_.Unmap();
  Status status = AttachReplica(plan, model_.arena, &link_, &arena_, &id_);
  if (status.ok()) {
    MakeRounds();
    scalar_names_.clear();
    uint64_t first_round = 0;
    status = rounds_->CatchUp(weights, now + std::chrono::milliseconds(plan.rejoin_timeout_ms),
                              &first_round);
    result->rejoined = rounds_->filled_in() ? 1 : 0;
    if (status.ok() && !blob_.empty()) status = GiveBlob(&link_.channel(), blob_);
  }
  if (status.ok()) {
    lost_daemon_ = false;
    return true;
  }
  BecomeAlone(status.message + "; the replica will try to join again");
  const Clock::time_point end = Clock::now();
  next_rejoin_ = end + std::max<Clock::duration>(kRejoinInterval, kRejoinPause * (end - now));
  return false;
}

Status Attachment::CheckAttached() const {
  if (const_cast<DaemonLink&>(link_).channel().in_child()) {
    return Invalid(
        "this process is a fork of the one that attached the handle: attach anew in the child, or "
        "leave the mesh to the parent");
  }
  switch (state_) {
    case State::kAttached:
      return {};
    case State::kAlone:
      return Alone(why_);
    case State::kNew:
    case State::kRefused:
      break;
  }
  return Invalid("the attach of this handle was refused (" + why_ + "): detach it and attach anew");
}

Status Attachment::CheckRoundCall(const float* const* weights, size_t tensor_count,
                                  weightmesh_round* result) {
  if (state_ == State::kAttached) {
    Status status = CheckWeights(weights, tensor_count, plan_.tensor_parameters.size());
    if (!status.ok()) return status;
  }
  if (Status status = Clear("result", result); !status.ok()) return status;
  return CheckAttached();
}

Status Attachment::EnterRound(float* const* weights, size_t tensor_count,
                              weightmesh_round* result) {
  Status status = CheckRoundCall(weights, tensor_count, result);
  if (status.code != WEIGHTMESH_ALONE || !lost_daemon_) return status;
  if (!CheckWeights(weights, tensor_count, plan_.tensor_parameters.size()).ok()) return status;
  return Rejoin(weights, result) ? Status{} : status;
}

Status Attachment::CheckMode(bool waits, const char* call) const {
  const bool lockstep = plan_.request.mode == attach::Mode::kLockstep;
  if (lockstep == waits) return {};
  return Invalid(std::string(call) + " is for " +
                 (waits ? "mode lockstep" : "modes overlap and async") +
                 " and the replica attached with another: call " +
                 (waits ? "weightmesh_step" : "weightmesh_exchange") + ", or set options.mode");
}

void Attachment::Heed(const Status& status) {
  if (rounds_->is_gone()) LoseDaemon(status.message);
  if (status.code != WEIGHTMESH_DRAINED) return;
  (void)Leave();
  why_ = status.message;
}

Status Attachment::PublishRound(const float* const* weights, RingDaemon ring,
                                weightmesh_round* result) {
  Status status = rounds_->Publish(weights, ring, result);
  Heed(status);
  if (!status.ok()) return status;
  totals_.last_round = rounds_->newest_published();
  ++(result->published != 0 ? totals_.rounds_published : totals_.publishes_skipped);
  return status;
}

Status Attachment::MixRound(float* const* weights, weightmesh_round* result) {
  Status status = rounds_->Mix(weights, result);
  Heed(status);
  if (!status.ok()) return status;
  if (result->round != 0) ++totals_.rounds_mixed;
  for (uint32_t k = 0; k < WEIGHTMESH_OUTCOME_COUNT; ++k) totals_.pulls[k] += result->pulls[k];
  return status;
}

Status Attachment::Exchange(float* const* weights, size_t tensor_count, weightmesh_round* result) {
  weightmesh_round scratch;
  result = OrScratch(result, &scratch);
  Status status = EnterRound(weights, tensor_count, result);
  if (status.ok()) status = CheckMode(true, "weightmesh_exchange");
  if (!status.ok()) return status;
  if (rounds_->HasPendingRound()) {
    return Invalid("a published round is still to be mixed: call weightmesh_mix first");
  }
  return ExchangeOnce(weights, result);
}

Status Attachment::ExchangeOnce(float* const* weights, weightmesh_round* result) {
  const size_t struct_size = result->struct_size;
  const uint32_t rejoined = result->rejoined;
  *result = {};
  result->struct_size = struct_size;
  result->rejoined = rejoined;
  const Status status = PublishRound(weights, RingDaemon::kWithCollect, result);
  if (!rounds_->HasPendingRound()) return status;
  const Status mixed = MixRound(weights, result);
  return status.ok() ? mixed : status;
}

Status Attachment::Step(float* const* weights, size_t tensor_count, weightmesh_round* result) {
  weightmesh_round scratch;
  result = OrScratch(result, &scratch);
  Status status = EnterRound(weights, tensor_count, result);
  if (status.ok()) status = CheckMode(false, "weightmesh_step");
  if (!status.ok()) return status;
  if (rounds_->HasPendingRound()) {
    status = MixRound(weights, result);
    if (!status.ok()) return status;
  }
  return PublishRound(weights, RingDaemon::kNow, result);
}

Status Attachment::Publish(const float* const* weights, size_t tensor_count,
                           weightmesh_round* result) {
  weightmesh_round scratch;
  result = OrScratch(result, &scratch);
  if (Status status = CheckRoundCall(weights, tensor_count, result); !status.ok()) return status;
  if (rounds_->HasPendingRound()) {
    return Invalid("a published round is still to be mixed: call weightmesh_mix first");
  }
  return PublishRound(weights, RingDaemon::kNow, result);
}

Status Attachment::Mix(float* const* weights, size_t tensor_count, weightmesh_round* result) {
  weightmesh_round scratch;
  result = OrScratch(result, &scratch);
  if (Status status = CheckRoundCall(weights, tensor_count, result); !status.ok()) return status;
  if (!rounds_->HasPendingRound()) {
    return Invalid("no published round is to be mixed: call weightmesh_publish first");
  }
  return MixRound(weights, result);
}

Status Attachment::SetBlob(const void* blob, size_t bytes) {
  if (bytes > attach::kBlobBytesMax) {
    return Invalid("the blob has " + std::to_string(bytes) + " bytes: at most " +
                   std::to_string(attach::kBlobBytesMax) + "; keep what is larger elsewhere");
  }
  if (blob == nullptr && bytes > 0) return Invalid("blob is null: pass the bytes, or none");
  if (Status status = CheckAttached(); status.code == WEIGHTMESH_INVALID) return status;
  blob_.assign(static_cast<const char*>(blob), bytes);  // kept for a daemon that comes back
  if (Status status = CheckAttached(); !status.ok()) return status;
  Status status = GiveBlob(&link_.channel(), blob_);
  if (!status.ok()) LoseDaemon(status.message);
  return status;
}

Status Attachment::Report(const char* name, double value) {
  if (name == nullptr || *name == '\0') return Invalid("name is empty: name the scalar");
  const size_t bytes = strnlen(name, control_page::kScalarNameBytesMax);
  if (bytes == control_page::kScalarNameBytesMax) {
    return Invalid("the scalar's name is longer than " +
                   std::to_string(control_page::kScalarNameBytesMax - 1) + " bytes: shorten it");
  }
  for (size_t i = 0; i < bytes; ++i) {
    if (name[i] < 0x20 || name[i] > 0x7e) {
      return Invalid("the scalar's name holds byte " + std::to_string(name[i] & 0xff) +
                     " at index " + std::to_string(i) + ": use printable ASCII");
    }
  }
  if (Status status = CheckAttached(); !status.ok()) return status;
  size_t index = 0;
  while (index < scalar_names_.size() && scalar_names_[index] != name) ++index;
  if (index == control_page::kScalarsMax) {
    return Invalid("a replica reports at most " + std::to_string(control_page::kScalarsMax) +
                   " scalars, and this one is new: " + name);
  }
  control_page::ControlPage& page = arena_.page();
  page.scalars[index].value_bits.store(std::bit_cast<uint64_t>(value), std::memory_order_relaxed);
  if (index == scalar_names_.size()) {
    std::memcpy(page.scalars[index].name, name, bytes + 1);
    scalar_names_.emplace_back(name);
    page.scalar_count.store(scalar_names_.size(), std::memory_order_release);
  }
  return {};
}

Status Attachment::Stats(weightmesh_totals* totals) {
  if (totals == nullptr) return Invalid("totals is null: pass a weightmesh_totals");
  if (Status status = Clear("totals", totals); !status.ok()) return status;
  const size_t struct_size = totals->struct_size;
  *totals = totals_;
  totals->struct_size = struct_size;
  Status status = CheckAttached();
  if (status.ok()) {
    totals->replicas = arena_.page().view_replicas.load(std::memory_order_acquire);
  }
  return status;
}

Status Attachment::Leave() {
  lost_daemon_ = false;
  if (Status status = CheckAttached(); !status.ok()) return status;
  rounds_->RingForLast();
  const Status status =
      LeaveMesh(&link_.channel(), Clock::now() + kLeaveGrace +
                                      std::chrono::milliseconds(plan_.request.round_deadline_ms));
  BecomeAlone("the replica has left the run: attach anew to take part again");
  return status;
}

}  // namespace weightmesh::client
