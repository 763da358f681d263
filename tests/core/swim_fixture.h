// SwimTest: one node's failure detector, and what others say to it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/core/swim.h"

namespace weightmesh::swim {

inline NodeId Node(uint64_t k) { return NodeId{1, k}; }
inline NodeInfo Info(uint64_t k, SessionId session = 0) {
  return NodeInfo{Node(k), session == 0 ? 100 + k : session, absl::StrCat("node", k, ":7070"),
                  "test"};
}

// `state` is told of node `k` with all that an update can hold.
inline MemberUpdate Update(uint64_t k, uint64_t incarnation, MemberState state,
                           std::vector<NodeId> accusers = {}) {
  MemberUpdate update;
  update.node = Info(k);
  update.incarnation = incarnation;
  update.state = state;
  update.accusers = std::move(accusers);
  update.record_version = 1;
  return update;
}

// Node 0 is the one that is tested. Probe interval 1 s, timeout 0.5 s; suspicion 5 s to 15 s. Time
// leaps in most tests, so that the node does not look at whether it stood still.
class SwimTest : public testing::Test {
 protected:
  SwimTest() : swim_(Options(), Info(0), Start()) {}

  static absl::Time Start() { return absl::UnixEpoch(); }
  static SwimOptions Options() {
    SwimOptions options;
    options.probe_interval = absl::Seconds(1);
    options.probe_timeout = absl::Milliseconds(500);
    options.suspicion_mult = 5;
    options.suspicion_max_mult = 3;
    options.gossip_interval = absl::Milliseconds(250);
    options.push_pull_interval = absl::Seconds(1000);
    options.stall_awareness = false;
    return options;
  }

  Message From(uint64_t k, std::vector<MemberUpdate> updates = {}) {
    Message message;
    message.from = Info(k);
    const Member* member = swim_.Find(Node(k));
    message.incarnation = member == nullptr ? 1 : member->incarnation;
    message.digest = swim_.digest();
    message.updates = std::move(updates);
    return message;
  }
  // Nodes 1 … count introduce themselves.
  void Meet(uint64_t count) {
    for (uint64_t k = 1; k <= count; ++k) swim_.Answer(now_, From(k), &actions_);
  }
  Message Tell(uint64_t from, MemberUpdate update) {
    return swim_.Answer(now_, From(from, {std::move(update)}), &actions_);
  }
  // Goes to the next deadline until `until`; nobody answers anything.
  void RunTo(absl::Time until) {
    while (swim_.next_deadline() <= until) {
      now_ = std::max(now_, swim_.next_deadline());
      swim_.Tick(now_, &actions_);
    }
    now_ = until;
  }
  void Run(absl::Duration time) { RunTo(now_ + time); }
  // Ends all gossip that is due, so that what follows stands alone.
  void Quiet() {
    for (uint64_t k = 1; k < 64; ++k) {
      if (swim_.Find(Node(k)) != nullptr) {
        for (int times = 0; times < 16; ++times) swim_.Answer(now_, From(k), &actions_);
      }
    }
    actions_.clear();
  }

  template <typename T>
  std::vector<T> Take() {
    std::vector<T> taken;
    for (const SwimAction& action : std::exchange(actions_, {})) {
      if (const T* one = std::get_if<T>(&action)) taken.push_back(*one);
    }
    return taken;
  }
  // Of the notices so far: "died 3", …
  std::vector<std::string> TakeNotices() {
    std::vector<std::string> notices;
    for (const Notice& notice : Take<Notice>()) {
      notices.push_back(absl::StrCat(NoticeKindName(notice.kind), " ", notice.node.node_id.low));
    }
    return notices;
  }
  MemberState StateOf(uint64_t k) const { return swim_.Find(Node(k))->state; }
  // The probe of `k` that follows a doubt.
  Probe ProbeOf(uint64_t k) {
    actions_.clear();
    swim_.Doubt(now_, Node(k), &actions_);
    const std::vector<Probe> probes = Take<Probe>();
    return probes.empty() ? Probe{} : probes[0];
  }
  // `k` answers neither this node nor others, who say so.
  void FailProbeOf(uint64_t k) {
    const Probe probe = ProbeOf(k);
    swim_.ProbeFailed(now_, probe.id, &actions_);
    for (const IndirectProbe& indirect : Take<IndirectProbe>()) {
      swim_.IndirectProbeAnswered(now_, indirect.id, /*ack=*/false, From(indirect.via.low),
                                  &actions_);
    }
  }

  absl::Time now_ = Start();
  Swim swim_;
  SwimActions actions_;
};

}  // namespace weightmesh::swim
