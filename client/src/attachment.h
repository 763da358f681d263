// Attachment: one replica attached to its daemon, or alone: what a weightmesh_handle stands for.
// Used by one thread at a time, but for Cut.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "client/include/weightmesh/weightmesh.h"
#include "client/src/attach.h"
#include "client/src/attach_plan.h"
#include "client/src/mix_pool.h"
#include "client/src/round_driver.h"
#include "client/src/segment_passes.h"
#include "client/src/status.h"

namespace weightmesh::client {

// The calls of weightmesh.h, with its meanings; statuses carry the messages.
class Attachment {
 public:
  Attachment() = default;
  ~Attachment();

  // To be called first, once. Whatever it returns, the other calls may follow: they return ALONE
  // when it did, and INVALID after a refusal.
  Status Attach(const weightmesh_options* options, const weightmesh_tensor* tensors,
                const float* const* weights, size_t tensor_count);

  // The same for a run that has started, whose weights come into `weights`.
  Status Join(const weightmesh_options* options, const weightmesh_tensor* tensors,
              float* const* weights, size_t tensor_count, weightmesh_joined* joined);

  Status Exchange(float* const* weights, size_t tensor_count, weightmesh_round* result);
  Status Step(float* const* weights, size_t tensor_count, weightmesh_round* result);
  Status Publish(const float* const* weights, size_t tensor_count, weightmesh_round* result);
  Status Mix(float* const* weights, size_t tensor_count, weightmesh_round* result);
  Status Consensus(float* const* weights, size_t tensor_count, double epsilon, uint64_t timeout_ms,
                   weightmesh_agreement* result);
  Status SetBlob(const void* blob, size_t bytes);
  Status Report(const char* name, double value);
  Status Stats(weightmesh_totals* totals);
  Status Leave();

  // Any thread, which holds the lock: ends the connection to the daemon, so that the call under way
  // wakes out of its wait and returns.
  void Cut(const ForkLock& lock) { link_.channel().Cut(lock); }

 private:
  Status Open(const weightmesh_options* options, const weightmesh_tensor* tensors,
              const float* const* weights, size_t tensor_count, bool joins);
  Status JoinReplica();
  Clock::time_point JoinDeadline() const;
  enum class State { kNew, kAttached, kAlone, kRefused };

  // OK when the mesh can be spoken to. ALONE, or INVALID, with the reason otherwise.
  Status CheckAttached() const;
  // CheckAttached, and that `weights` and `result` are fit for a round. Clears `result`.
  Status CheckRoundCall(const float* const* weights, size_t tensor_count, weightmesh_round* result);
  // The same for a call that may join the run again.
  Status EnterRound(float* const* weights, size_t tensor_count, weightmesh_round* result);
  // Whether the mode fits `call`, which waits for its round or does not.
  Status CheckMode(bool waits, const char* call) const;
  // The halves of a round, counted.
  Status PublishRound(const float* const* weights, RingDaemon ring, weightmesh_round* result);
  Status MixRound(float* const* weights, weightmesh_round* result);
  // Both. REQUIRES: no round is pending.
  Status ExchangeOnce(float* const* weights, weightmesh_round* result);
  // What every round may come to beyond OK: the daemon is gone, or wants the replica to leave.
  void Heed(const Status& status);
  void BecomeAlone(std::string why);
  // The daemon died: BecomeAlone, but it is looked for again.
  void LoseDaemon(std::string why);
  // If the daemon had died and it is time to look: whether it was back, and the replica has joined
  // the run again. `result->rejoined` tells whether `weights` are the others', which they are
  // also where the daemon died anew just before the first round; otherwise they are as they were.
  bool Rejoin(float* const* weights, weightmesh_round* result);
  void MakeRounds();

  State state_ = State::kNew;
  std::string why_;  // kAlone, kRefused: the reason that every call repeats
  AttachPlan plan_;
  Clock::time_point begun_;  // of a join
  bool lost_daemon_ = false;
  Clock::time_point next_rejoin_;
  ModelLayout model_;
  AttachedId id_;
  DaemonLink link_;
  ArenaMapping arena_;
  std::unique_ptr<MixPool> pool_;
  std::unique_ptr<RoundDriver> rounds_;
  std::string blob_;         // for who joins
  std::string joined_blob_;  // of the others
  std::vector<std::string> scalar_names_;
  weightmesh_totals totals_ = {};
};

}  // namespace weightmesh::client
