// Swim: who is there, who answers, who is gone; SWIM with Lifeguard's refinements. Core thread.
//
// A pure state machine: each input takes the time and appends to `actions` what is to be done. Its
// parts: swim_policy (the numbers), member_table (what is believed), suspicion, local_health,
// probe_order, broadcast_queue. This class is split over swim.cc (time, calls, what this node says
// of itself), swim_merge.cc (what others say) and swim_probe.cc (probes).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/core/broadcast_queue.h"
#include "daemon/core/hash.h"
#include "daemon/core/local_health.h"
#include "daemon/core/member_table.h"
#include "daemon/core/probe_order.h"
#include "daemon/core/suspicion.h"
#include "daemon/core/swim_actions.h"
#include "daemon/core/swim_message.h"
#include "daemon/core/swim_policy.h"

namespace weightmesh::swim {

// Probes of this node that are open at once, and those that it makes for others. What is asked
// beyond is not done (Doubt), or answered by a nack at once.
constexpr size_t kOpenProbesMax = 64;
constexpr size_t kRelaysMax = 64;

class Swim {
 public:
  // REQUIRES: self.node_id is not zero.
  Swim(const SwimOptions& options, const NodeInfo& self, absl::Time now);

  // --- what is believed ---

  const Member& self() const { return *table_.Find(self_); }
  const std::map<NodeId, Member>& members() const { return table_.members(); }  // self included
  const Member* Find(NodeId node) const { return table_.Find(node); }
  size_t living() const { return table_.living(); }  // self included, and suspects
  uint64_t digest() const { return table_.digest(); }
  uint32_t health_score() const { return health_.score(); }
  // Whether another node has told what the mesh believes of this one, so that its incarnation is
  // higher than that of any process before it. A restarted node serves nobody earlier.
  bool told_of_self() const { return told_of_self_; }
  // News that was refused because of a limit or its form.
  uint64_t updates_refused() const { return updates_refused_; }

  // --- time ---

  // Whatever is due. To be called at next_deadline(), and harmless at any other time.
  void Tick(absl::Time now, SwimActions* actions);
  absl::Time next_deadline() const { return next_deadline_; }

  // --- calls ---

  // Another node's probe, gossip or push-pull. Returns the answer.
  Message Answer(absl::Time now, const Message& request, SwimActions* actions);
  // A call asks this node to probe `target`. Answered by AnswerIndirectProbe within `timeout`.
  void IndirectProbeAsked(absl::Time now, CallId call, const NodeInfo& target,
                          absl::Duration timeout, const Message& request, SwimActions* actions);
  // How the calls of this node have ended.
  void ProbeAnswered(absl::Time now, ProbeId id, const Message& answer, SwimActions* actions);
  void ProbeFailed(absl::Time now, ProbeId id, SwimActions* actions);
  void IndirectProbeAnswered(absl::Time now, ProbeId id, bool ack, const Message& answer,
                             SwimActions* actions);
  void IndirectProbeFailed(absl::Time now, ProbeId id, SwimActions* actions);
  // To Gossip and PushPull, and to a message that was made by Whole().
  void Answered(absl::Time now, const Message& answer, SwimActions* actions);
  // All that this node knows: what it brings to the seeds.
  Message Whole() const;

  // --- the data plane's evidence ---

  // `session` of `node` gave a sign of life. It is the answer to an open probe. Of a suspect it is
  // no refutation, for only the node itself raises its incarnation: it stays one to others, but its
  // time begins anew here, so that nobody who hears of a node declares it dead; and it is told at
  // once that it is suspected, so that it refutes.
  void Heard(absl::Time now, NodeId node, SessionId session, SwimActions* actions);
  // `node` did not answer, or its link broke: it is probed at once.
  void Doubt(absl::Time now, NodeId node, SwimActions* actions);

  // --- this node ---

  void SetRecord(absl::Time now, std::string record);
  void SetAddress(absl::Time now, std::string control_address);
  // Tells some others at once. Nothing is probed from now on; messages are still answered.
  void Leave(absl::Time now, SwimActions* actions);

 private:
  // A probe of this node's own: directly, then by way of others.
  struct OpenProbe {
    NodeId node;
    absl::Time deadline;  // of all of it
    bool direct = true;
    uint32_t asked = 0;    // indirect probers
    uint32_t silent = 0;   // of them, those that have said nothing yet or whose call failed
    uint32_t pending = 0;  // of them, those whose call is open
    bool excused = false;  // this node stood still meanwhile
  };

  // A probe of this node's for another.
  struct Relay {
    CallId call{};
    NodeId target;
  };

  // swim.cc
  void Observe(absl::Time now);
  void Schedule(absl::Time now);
  void Reap(absl::Time now, SwimActions* actions);
  void GossipTick(absl::Time now, SwimActions* actions);
  void PushPullTick(absl::Time now, SwimActions* actions);
  void SendGossip(const Member& to, SessionId session, SwimActions* actions);
  void SendPushPull(const Member& to, Message message, SwimActions* actions);
  void TellItself(absl::Time now, const Member& member, SessionId session, SwimActions* actions);
  Message Header() const;
  Message MakeMessage(NodeId to, SessionId session, const Message* request = nullptr);
  MemberUpdate MakeUpdate(const Member& member) const;
  void TakeInAnswer(absl::Time now, const Message& answer, SwimActions* actions);
  bool has_left() const { return self().state == MemberState::kLeft; }

  // swim_merge.cc
  void TakeIn(absl::Time now, const Message& message, SwimActions* actions);
  void Merge(absl::Time now, MemberUpdate update, NodeId from, bool first_hand,
             SwimActions* actions);
  void MergeNew(absl::Time now, const MemberUpdate& update, bool first_hand, SwimActions* actions);
  bool MergeRecord(const MemberUpdate& update, Member* member, SwimActions* actions);
  bool MergeState(absl::Time now, const MemberUpdate& update, Member* member, SwimActions* actions);
  void MergeSelf(const MemberUpdate& update, NodeId from, SwimActions* actions);
  // `accusers` is not empty.
  bool Accuse(absl::Time now, Member* member, const std::vector<NodeId>& accusers,
              SwimActions* actions);
  void Bury(absl::Time now, Member* member, MemberState state, NodeId by, SwimActions* actions);
  void Revive(absl::Time now, Member* member, SwimActions* actions);
  void Vouch(absl::Time now, Member* member);
  void RepairTick(absl::Time now, const Message& message, SwimActions* actions);

  // swim_probe.cc
  void ProbeTick(absl::Time now, SwimActions* actions);
  void StartProbe(absl::Time now, const Member& member, SwimActions* actions);
  void AskOthers(absl::Time now, ProbeId id, OpenProbe* probe, SwimActions* actions);
  void EndRelay(ProbeId id, NodeId answered_by, SwimActions* actions);
  void Succeed(ProbeId id);
  void Fail(absl::Time now, ProbeId id, SwimActions* actions);

  const SwimOptions options_;
  const NodeId self_;
  MemberTable table_;
  CounterRng rng_;
  ProbeOrder order_;  // the others who may live
  BroadcastQueue queue_;
  LocalHealth health_;
  std::map<NodeId, Suspicion> suspicions_;
  std::map<ProbeId, OpenProbe> probes_;
  std::map<NodeId, ProbeId> probe_of_;  // the open probe of a node
  std::map<ProbeId, Relay> relays_;
  uint64_t last_probe_ = 0;
  bool told_of_self_ = false;
  uint64_t updates_refused_ = 0;
  std::map<NodeId, absl::Time> told_itself_;  // when a suspect or dead node was last told of it

  absl::Time next_probe_;
  absl::Time next_gossip_;
  absl::Time next_push_pull_;
  absl::Time next_retry_;  // of a dead node
  absl::Time next_repair_;
  uint64_t differed_digest_ = 0;  // this node's own when another's was first seen to differ
  absl::Time next_deadline_;
};

}  // namespace weightmesh::swim
