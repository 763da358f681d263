// Membership: which daemons there are and which of them answer. Core thread.
//
// Simple on purpose: a push-pull with every known daemon each interval. A daemon that does not
// answer is silent, and an answer of any kind ends that. The full protocol takes this class's
// place.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/core/actions.h"
#include "daemon/core/ids.h"
#include "daemon/core/sync_message.h"

namespace weightmesh {

// Another daemon.
struct Peer {
  NodeInfo info;
  absl::Time heard_at = absl::InfinitePast();
  bool silent = false;
  std::string silent_reason;
  // Session that the data plane is connected to; 0: none.
  SessionId linked_session = 0;

 private:
  friend class Membership;
  uint64_t sequence = 0;  // of the newest message of info.session
  bool sync_open = false;
  absl::Time synced_at = absl::InfinitePast();  // when the open sync began
  absl::Time next_sync;
  bool probe_open = false;
  absl::Time probed_at = absl::InfinitePast();  // when the open probe began
  bool connect_open = false;
  absl::Time next_connect = absl::InfinitePast();
};

struct MembershipOptions {
  NodeInfo self;
  std::vector<std::string> seeds;
  absl::Duration sync_interval;
  uint32_t nodes_max = 4096;
};

class Membership {
 public:
  // Syncs with the seeds start at once.
  Membership(MembershipOptions options, absl::Time now);

  const NodeInfo& self() const { return options_.self; }
  const std::map<NodeId, Peer>& peers() const { return peers_; }
  const Peer* Find(NodeId node) const;

  // Takes over what a message says of its sender and of others. False when a newer message of the
  // same process came before it: what it says of runs is out of date.
  bool Learn(absl::Time now, const SyncMessage& message);
  // `node` gave a sign of life. True if that ended a silence.
  bool Heard(absl::Time now, NodeId node);
  // `node` is silent from now on. True if it was not before.
  bool MarkSilent(NodeId node, absl::string_view reason);

  // Answers to Sync, Probe and Connect. The first returns the nodes that were at `address` and have
  // given place to `from`.
  std::vector<NodeId> SyncAnswered(absl::Time now, absl::string_view address, const NodeInfo& from);
  // Returns the nodes at `address` that have said nothing since the sync began.
  std::vector<NodeId> SyncFailed(absl::Time now, absl::string_view address);
  void ProbeEnded(NodeId node);
  // Whether the node has said nothing since the probe began.
  bool ProbeFailed(NodeId node);
  void LinkReady(NodeId node, SessionId session);
  void LinkFailed(absl::Time now, NodeId node);

  // Emits a probe unless one is open.
  void ProbeNow(absl::Time now, NodeId node, absl::Duration timeout, Actions* actions);
  // Emits a connect unless the link is there or one is open or was just tried.
  void ConnectNow(absl::Time now, NodeId node, Actions* actions);
  // The data plane's link to the node was cut.
  void LinkCut(NodeId node);
  // Whether the data plane is connected to the node's present process.
  bool IsLinked(NodeId node) const;

  // There is news: syncs with all that answer, without waiting for the interval.
  void SyncSoon(absl::Time now);

  void Tick(absl::Time now, Actions* actions);
  absl::Time next_deadline() const { return next_deadline_; }

 private:
  struct Seed {
    std::string address;
    bool open = false;
    bool is_self = false;
    NodeId node;  // who answered there; zero: nobody yet
    absl::Time next_try;
  };

  void LearnNode(absl::Time now, const NodeInfo& info, bool first_hand);
  void ScheduleTick(absl::Time now);
  absl::Duration sync_timeout() const;

  const MembershipOptions options_;
  std::map<NodeId, Peer> peers_;
  std::vector<Seed> seeds_;
  absl::Time next_deadline_;
};

}  // namespace weightmesh
