// Membership: with which daemons this one talks, by syncs and links, and which of them answer it.
// Core thread.
//
// Who is there is Swim's to say (swim.h); here is what this node alone knows of each: a push-pull
// of what is known of runs each interval, in a large mesh in turn; the data link, and silence. A
// daemon that does not answer is silent, and any sign of life ends that; so training reacts at
// once, and the mesh within seconds.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/core/actions.h"
#include "daemon/core/ids.h"
#include "daemon/core/sync_message.h"

namespace weightmesh {

// Silent nodes without a part in any run that are remembered, and for how long. Beyond either they
// are forgotten, those first that have been silent longest.
constexpr size_t kSilentPeersMax = 32;
constexpr absl::Duration kSilentPeerKept = absl::Minutes(10);

// A process that says that it is a known node, while that one's process may still live.
struct Claimant {
  NodeInfo info;
  absl::Time started_at;
  absl::Time claimed_at;
};

// A node that does not answer.
struct Silence {
  std::string reason;
  absl::Time since;
};

// A node that answers calls, perhaps, and no pulls.
struct PathLoss {
  absl::Time since;
  absl::Time link_since;  // it has had its link, or none, since then
  absl::Duration pause;   // after the last pull that failed
  absl::Time next_try;
  bool told = false;  // that it does not answer
};

// Another daemon. A mesh has thousands: what few of them have is kept apart.
struct Peer {
  NodeInfo info;
  absl::Time heard_at = absl::InfinitePast();
  // When the process of info.session started, as far as it says so itself.
  absl::Time started_at = absl::InfiniteFuture();
  // Session that the data plane is connected to; 0: none.
  SessionId linked_session = 0;
  // Of a later process of this node_id, found out while this one lives; 0: none.
  SessionId refused_session = 0;
  std::unique_ptr<Silence> silence;     // null: it is not silent
  std::unique_ptr<PathLoss> path_loss;  // null: its frames come, or none was wanted

  bool silent() const { return silence != nullptr; }
  bool Answers() const { return !silent() && heard_at != absl::InfinitePast(); }

 private:
  friend class Membership;
  bool sync_open = false;
  bool sync_unheard = false;  // the open sync began while it did not answer
  bool probe_open = false;
  bool connect_open = false;
  absl::Time synced_at = absl::InfinitePast();  // when the open sync began
  absl::Time next_sync;
  absl::Time due = absl::InfiniteFuture();       // its place in Membership::due_; infinite: none
  absl::Time probed_at = absl::InfinitePast();   // when the open probe began
  absl::Time vouched_at = absl::InfinitePast();  // when the failure detector last heard of it
  absl::Time next_connect = absl::InfinitePast();
  uint64_t sequence = 0;       // of the newest message of info.session
  SessionId left_session = 0;  // of a process that has left; 0: none
  std::unique_ptr<Claimant> claimant;
};

// What a message makes of its sender's process.
enum class Admission {
  kKnown,      // known, or of a node that is new
  kSuccessor,  // takes the place of a process that is gone
  kContested,  // the known one must be probed first: nothing of the message is to be believed
  kRefused,    // the known one lives, and started earlier
};

// How long a daemon may take to answer a sync before it is silent: above every interval.
absl::Duration SyncTimeout(absl::Duration sync_interval);

// Time between two syncs with one of `peers` others: as many as kSyncsPerInterval of them are
// synced with each interval.
constexpr size_t kSyncsPerInterval = 8;
absl::Duration SyncSpacing(absl::Duration sync_interval, size_t peers);

// Within which `peers` others come for the news of one: so that kFollowersPerInterval of them do
// each interval.
constexpr size_t kFollowersPerInterval = 512;
absl::Duration FollowSpread(absl::Duration sync_interval, size_t peers);

// In a mesh of up to so many others each syncs with all of them as soon as it knows them, and again
// whenever it has news of a run. In a larger one that would be n² syncs for each change: there a
// node syncs at once with those whom the change concerns; the failure detector tells all others
// that there is news, and they come for it (Follow).
constexpr size_t kAllSyncMax = 32;

// How long a node is asked for no data after a pull from it has failed: twice as long each time.
constexpr absl::Duration kPathPauseMin = absl::Milliseconds(10);
constexpr absl::Duration kPathPauseMax = absl::Seconds(30);

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

  // Whether a message's sender is who it says. `answered_at`: the address where it answered; empty
  // when it called.
  Admission Admit(absl::Time now, const NodeInfo& sender, absl::Duration uptime,
                  absl::string_view answered_at);
  // The probe of a contested node has ended. The process that goes, and whether it is the known
  // one: then the claimant has taken its place. Nothing when nobody claims.
  struct Settled {
    NodeInfo gone;
    bool replaced = false;
  };
  std::optional<Settled> Settle(absl::Time now, NodeId node, bool former_lives);

  // Takes over what a message says of its sender. False when a newer message of the same process
  // came before it: what it says of runs is out of date.
  bool Learn(absl::Time now, const SyncMessage& message);
  // `sender` has spoken for itself, otherwise than by a sync.
  void Speaks(absl::Time now, const NodeInfo& sender, absl::Duration uptime);
  // Adds a node that others tell of, or that asks for a link, unless nodes_max are known. It is
  // synced with at once; in a large mesh, in its turn.
  void Meet(absl::Time now, const NodeInfo& node) { LearnNode(now, node, /*first_hand=*/false); }
  // The process that is known has another address now.
  void Moves(absl::Time now, const NodeInfo& node);
  // `node` gave a sign of life. True if that ended a silence.
  bool Heard(absl::Time now, NodeId node);
  // Whether the failure detector is to hear of that: not of every pull.
  bool IsNewsToDetector(absl::Time now, NodeId node);
  // `node` is silent from now on. True if it was not before.
  bool MarkSilent(absl::Time now, NodeId node, absl::string_view reason);

  // A better reason for the silence of a node that is silent already.
  void Explain(NodeId node, absl::string_view reason);
  // That process of the node has left on purpose: its last words are no sign of life any more. Nor
  // has it (`left` false): somebody was wrong.
  void MarkLeft(NodeId node, SessionId session, bool left);

  // Forgets silent nodes that `is_needed` does not keep, as the constants above say. Returns them,
  // and those that have given way to others meanwhile.
  // A node that comes back is learnt anew; seeds are asked for ever.
  std::vector<NodeInfo> ForgetSilent(absl::Time now, absl::FunctionRef<bool(NodeId)> is_needed);

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
  void LinkCut(absl::Time now, NodeId node);
  // Whether the data plane is connected to the node's present process.
  bool IsLinked(NodeId node) const;

  // Seeds whose names are found at `addresses` now, besides those of the options: they are asked
  // like them until they are not among these any more.
  void FindSeeds(absl::Time now, const std::vector<std::string>& addresses);

  // Whether another process claims to be that node, and that is not settled.
  bool IsClaimed(NodeId node) const;
  // Whether the node's last probe began after that.
  bool WasProbedSinceClaim(NodeId node) const;

  // A pull has failed, of which nothing has come since `since`. It is to be asked for no data until
  // a frame of it comes, or for a pause: as long as that took, and each time twice as long.
  void PathFailed(absl::Time now, NodeId node, absl::Time since);
  // True once after PathFailed, until a frame of it comes.
  bool TakeUntoldPathLoss(NodeId node);
  // Whether its link brings nothing, and was not cut for `patience`. If so, it is to be cut now.
  bool TakeStaleLink(absl::Time now, NodeId node, absl::Duration patience);
  // Whether it may be asked for data.
  bool HasPath(absl::Time now, NodeId node) const;
  // A frame of it has come. How long none has; zero: there was no such time.
  absl::Duration PathRestored(absl::Time now, NodeId node);
  // It does not answer calls either: that nothing came says nothing of when it is back.
  void ForgetPathLoss(NodeId node);

  // There is news: syncs with all that answer, without waiting for the interval; in a large mesh
  // with `concerned` alone.
  void SyncSoon(absl::Time now, absl::FunctionRef<std::set<NodeId>()> concerned);
  // `node` knows what it has not told: it is asked at once, unless a sync began within the
  // interval.
  void SyncAgain(absl::Time now, NodeId node);
  // `node` has news, as others tell. In a large mesh it is synced with: now, or (`in_turn`) at a
  // random time within FollowSpread, for all others come as well. A process of it that is not known
  // here is asked where others say that it is.
  void Follow(absl::Time now, const NodeInfo& node, bool in_turn, Actions* actions);

  void Tick(absl::Time now, Actions* actions);
  absl::Time next_deadline() const;

 private:
  struct Seed {
    std::string address;
    bool is_found = false;  // by a name, and not of the options
    bool open = false;
    NodeId node;  // who answered there last; zero: nobody yet
    absl::Time answered_at = absl::InfinitePast();
    absl::Time tried_at = absl::InfinitePast();
    absl::Time next_try;
  };

  void AddSeed(absl::Time now, const std::string& address, bool is_found);
  void AskSeeds(absl::Time now, Actions* actions);
  using Peers = std::map<NodeId, Peer>;
  void LearnNode(absl::Time now, const NodeInfo& info, bool first_hand);
  bool GiveWay();
  void SetInfo(Peer* peer, const NodeInfo& info);
  void ForgetAddress(const NodeInfo& info);
  void Erase(Peers::iterator peer);
  std::vector<Peer*> At(absl::string_view address);
  bool is_large() const { return peers_.size() > kAllSyncMax; }
  void BeginSync(absl::Time now, Peer* peer, Actions* actions);
  void EndSync(Peer* peer);
  void SyncPeerBy(absl::Time time, Peer* peer);
  void SetSilence(Peer* peer, std::unique_ptr<Silence> silence);
  void SetHeard(Peer* peer, absl::Time now);
  void SetDue(Peer* peer);
  void WakeForSeed(absl::Time now, const Seed& seed);

  const MembershipOptions options_;
  Peers peers_;
  absl::btree_multimap<uint64_t, NodeId> by_address_;   // by the hash of their control address
  absl::btree_set<std::pair<absl::Time, NodeId>> due_;  // whose next sync begins then
  size_t answering_ = 0;                                // peers that do
  size_t silent_ = 0;
  size_t unheard_syncs_ = 0;  // open, with those that did not answer when they began
  std::vector<Seed> seeds_;
  absl::Time next_seed_;
  std::vector<NodeInfo> given_way_;
};

// Which of two live processes with one node_id must go: the one that started later; the one with
// the higher session when nobody can tell.
bool StartedLater(const NodeInfo& one, absl::Time one_started, const NodeInfo& other,
                  absl::Time other_started);

}  // namespace weightmesh
