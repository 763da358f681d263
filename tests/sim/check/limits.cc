// Counts what is open: calls, pulls and sends; measures what is said.
#include "tests/sim/check/limits.h"

#include <algorithm>
#include <type_traits>
#include <variant>

#include "absl/strings/str_cat.h"
#include "daemon/core/hash.h"
#include "daemon/core/swim.h"
#include "daemon/core/swim_policy.h"

namespace weightmesh::sim {
namespace {

// What may go to one peer at once of small segments, as daemon/core/replica_source.cc has it.
constexpr uint64_t kSmallSendsMax = 64;
constexpr uint64_t kInboxBuffers = 2;  // of each segment
// With a peer at its address, and with the seed of that address.
constexpr uint64_t kSyncsPerAddress = 2;
// One where it is, and one where it was when this node's last process knew it.
constexpr uint64_t kProbesPerNode = 2;

uint64_t NumberOf(NodeId node) { return Hash64({node.high, node.low}); }

}  // namespace

const char* Limits::KindName(Kind kind) {
  constexpr const char* kNames[] = {
      "syncs with one address",         "probes of one node",         "connects to one node",
      "probes of the failure detector", "indirect probes for others", "pulls of one segment",
      "sends of a replica to a peer",
  };
  return kNames[static_cast<size_t>(kind)];
}

void Limits::OnStep(absl::Time, uint32_t node, const Event& event,
                    absl::Span<const Action> actions) {
  Ended(node, event);
  for (const Action& action : actions) Asked(node, action);
}

void Limits::OnNode(absl::Time, uint32_t node, ProcessChange change) {
  if (change != ProcessChange::kKilled) return;
  std::erase_if(open_, [node](const auto& entry) { return entry.first.node == node; });
  std::erase_if(pulls_, [node](const auto& entry) { return entry.first.first == node; });
  std::erase_if(sends_, [node](const auto& entry) { return entry.first.first == node; });
}

void Limits::Ended(uint32_t node, const Event& event) {
  const auto visitor = [&](const auto& e) {
    using E = std::decay_t<decltype(e)>;
    if constexpr (std::is_same_v<E, SyncAnswered> || std::is_same_v<E, SyncFailed> ||
                  std::is_same_v<E, SyncRefused>) {
      Close({node, Kind::kSync, 0, Hash64(e.address)});
    } else if constexpr (std::is_same_v<E, ProbeAnswered> || std::is_same_v<E, ProbeFailed>) {
      Close({node, Kind::kProbe, 0, NumberOf(e.node)});
    } else if constexpr (std::is_same_v<E, LinkReady> || std::is_same_v<E, LinkFailed>) {
      Close({node, Kind::kConnect, 0, NumberOf(e.node)});
    } else if constexpr (std::is_same_v<E, GossipAnswered> || std::is_same_v<E, GossipFailed>) {
      if (e.probe != swim::ProbeId{}) Close({node, Kind::kDetectorProbe, 0, 0});
    } else if constexpr (std::is_same_v<E, IndirectProbeReceived>) {
      Open({node, Kind::kRelay, 0, 0}, swim::kRelaysMax + 1);
    } else if constexpr (std::is_same_v<E, PullEnded>) {
      if (const auto pull = pulls_.extract({node, e.request_id})) Close(pull.mapped());
    } else if constexpr (std::is_same_v<E, SendEnded>) {
      if (const auto send = sends_.extract({node, e.send_id})) Close(send.mapped());
    }
  };
  std::visit(visitor, event);
}

void Limits::Asked(uint32_t node, const Action& action) {
  const auto visitor = [&](const auto& a) {
    using A = std::decay_t<decltype(a)>;
    if constexpr (std::is_same_v<A, Sync>) {
      Open({node, Kind::kSync, 0, Hash64(a.address)}, kSyncsPerAddress);
    } else if constexpr (std::is_same_v<A, Probe>) {
      Open({node, Kind::kProbe, 0, NumberOf(a.node)}, kProbesPerNode);
    } else if constexpr (std::is_same_v<A, Connect>) {
      Open({node, Kind::kConnect, 0, NumberOf(a.node)}, 1);
    } else if constexpr (std::is_same_v<A, Gossip>) {
      if (a.probe != swim::ProbeId{}) {
        Open({node, Kind::kDetectorProbe, 0, 0}, swim::kOpenProbesMax);
      }
      CheckMessage(node, a.message);
    } else if constexpr (std::is_same_v<A, AnswerGossip>) {
      if (a.answer.ok()) CheckMessage(node, *a.answer);
    } else if constexpr (std::is_same_v<A, swim::IndirectProbe>) {
      CheckMessage(node, a.message);
    } else if constexpr (std::is_same_v<A, swim::AnswerIndirectProbe>) {
      Close({node, Kind::kRelay, 0, 0});
      CheckMessage(node, a.message);
    } else if constexpr (std::is_same_v<A, StartPull>) {
      const Key key{node, Kind::kPull, Value(a.attach), Value(a.request.segment)};
      pulls_[{node, a.request.request_id}] = key;
      Open(key, kInboxBuffers);
    } else if constexpr (std::is_same_v<A, StartSend>) {
      const Key key{node, Kind::kSend, Value(a.attach), NumberOf(a.answer.peer)};
      sends_[{node, a.send_id}] = key;
      Open(key, std::max<uint64_t>(options_.sends_per_peer_max, kSmallSendsMax));
    } else if constexpr (std::is_same_v<A, Deliver>) {
      if (a.segments.size() != options_.segments) {
        ledger_->Violate(absl::StrCat("node ", node, " delivers ", a.segments.size(), " segments"));
      }
    }
  };
  std::visit(visitor, action);
}

void Limits::Open(const Key& key, uint64_t limit) {
  const uint64_t count = ++open_[key];
  if (count <= limit) return;
  ledger_->Violate(absl::StrCat("node ", key.node, " has ", count, " ", KindName(key.kind),
                                " open; the limit is ", limit));
}

void Limits::Close(const Key& key) {
  const auto found = open_.find(key);
  if (found == open_.end()) return;
  if (--found->second == 0) open_.erase(found);
}

void Limits::CheckMessage(uint32_t node, const swim::Message& message) {
  static const swim::SwimOptions kOptions = swim::OptionsFor(swim::kDetectionTargetDefault);
  size_t bytes = 0;
  for (const swim::MemberUpdate& update : message.updates) {
    bytes += swim::EncodedBytes(update);
    if (update.accusers.size() > swim::kAccusersMax) {
      ledger_->Violate(absl::StrCat("node ", node, " names ", update.accusers.size(), " accusers"));
    }
  }
  const bool fits = message.whole ? message.updates.size() <= kOptions.nodes_max
                                  : bytes <= kOptions.message_bytes_max;
  if (fits) return;
  ledger_->Violate(absl::StrCat("node ", node, " sends news of ", bytes, " bytes, ",
                                message.updates.size(), " nodes"));
}

}  // namespace weightmesh::sim
