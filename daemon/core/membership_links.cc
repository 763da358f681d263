// Links of the data plane, and whether anything comes over them.
#include <algorithm>
#include <memory>
#include <utility>

#include "daemon/core/membership.h"

namespace weightmesh {
namespace {

constexpr absl::Duration kConnectRetry = absl::Milliseconds(500);
constexpr absl::Duration kConnectTimeout = absl::Seconds(2);

}  // namespace

void Membership::ConnectNow(absl::Time now, NodeId node, Actions* actions) {
  const auto found = peers_.find(node);
  if (found == peers_.end() || IsLinked(node)) return;
  Peer& peer = found->second;
  if (peer.connect_open || now < peer.next_connect) return;
  peer.connect_open = true;
  actions->push_back(Connect{node, peer.info.control_address, kConnectTimeout});
}

void Membership::LinkReady(NodeId node, SessionId session) {
  const auto found = peers_.find(node);
  if (found == peers_.end()) return;
  found->second.connect_open = false;
  found->second.linked_session = session;
}

void Membership::LinkFailed(absl::Time now, NodeId node) {
  const auto found = peers_.find(node);
  if (found == peers_.end()) return;
  found->second.connect_open = false;
  found->second.next_connect = now + kConnectRetry;
}

void Membership::LinkCut(NodeId node) {
  const auto found = peers_.find(node);
  if (found != peers_.end()) found->second.linked_session = 0;
}

bool Membership::IsLinked(NodeId node) const {
  const Peer* peer = Find(node);
  return peer != nullptr && peer->linked_session == peer->info.session;
}

bool Membership::PathLost(absl::Time now, NodeId node, absl::Time since) {
  const auto found = peers_.find(node);
  if (found == peers_.end()) return false;
  std::unique_ptr<PathLoss>& loss = found->second.path_loss;
  const bool is_new = loss == nullptr;
  if (is_new) {
    const absl::Duration pause = std::max(now - since, kPathPauseMin);
    loss = std::make_unique<PathLoss>(PathLoss{since, since, pause, now + pause});
  } else if (since >= loss->next_try) {  // begun after the pause
    loss->pause = std::min(2 * loss->pause, kPathPauseMax);
    loss->next_try = now + loss->pause;
  }
  return is_new;
}

bool Membership::LinkIsStale(absl::Time now, NodeId node, absl::Duration patience) {
  const auto found = peers_.find(node);
  if (found == peers_.end() || found->second.path_loss == nullptr) return false;
  PathLoss& loss = *found->second.path_loss;
  if (now - loss.link_since < patience) return false;
  loss.link_since = now;
  return true;
}

bool Membership::HasPath(absl::Time now, NodeId node) const {
  const Peer* peer = Find(node);
  return peer != nullptr && (peer->path_loss == nullptr || now >= peer->path_loss->next_try);
}

absl::Duration Membership::PathWorks(absl::Time now, NodeId node) {
  const auto found = peers_.find(node);
  if (found == peers_.end() || found->second.path_loss == nullptr) return absl::ZeroDuration();
  const std::unique_ptr<PathLoss> loss = std::exchange(found->second.path_loss, nullptr);
  return now - loss->since;
}

void Membership::ForgetPathLoss(NodeId node) {
  const auto found = peers_.find(node);
  if (found != peers_.end()) found->second.path_loss.reset();
}

}  // namespace weightmesh
