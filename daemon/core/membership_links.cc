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

void Membership::LinkCut(absl::Time now, NodeId node) {
  const auto found = peers_.find(node);
  if (found == peers_.end()) return;
  found->second.linked_session = 0;
  if (found->second.path_loss != nullptr) found->second.path_loss->link_since = now;
}

bool Membership::IsLinked(NodeId node) const {
  const Peer* peer = Find(node);
  return peer != nullptr && peer->linked_session == peer->info.session;
}

void Membership::PathFailed(absl::Time now, NodeId node, absl::Time since) {
  const auto found = peers_.find(node);
  if (found == peers_.end()) return;
  std::unique_ptr<PathLoss>& loss = found->second.path_loss;
  if (loss == nullptr) {
    const absl::Duration pause = std::clamp(now - since, kPathPauseMin, kPathPauseMax);
    loss = std::make_unique<PathLoss>(PathLoss{since, since, pause, now + pause, false});
  } else if (since >= loss->next_try) {  // begun after the pause
    loss->pause = std::min(std::max(2 * loss->pause, now - since), kPathPauseMax);
    loss->next_try = now + loss->pause;
  }
}

bool Membership::TakeUntoldPathLoss(NodeId node) {
  const auto found = peers_.find(node);
  if (found == peers_.end() || found->second.path_loss == nullptr) return false;
  return !std::exchange(found->second.path_loss->told, true);
}

bool Membership::TakeStaleLink(absl::Time now, NodeId node, absl::Duration patience) {
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

absl::Duration Membership::PathRestored(absl::Time now, NodeId node) {
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
