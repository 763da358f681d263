// TokenTable: which peer a received frame comes from, by the token on it. Thread-safe.
//
// The core's thread writes it, ahead of what it posts to the data thread, so that a peer that was
// told its token is known as soon as its first frame can arrive.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "daemon/core/ids.h"
#include "daemon/core/mutex.h"

namespace weightmesh {

class TokenTable {
 public:
  // Frames of `node` bear `token` from now on, and its former one is unknown.
  void Set(NodeId node, uint64_t token) {
    MutexLock lock(&mutex_);
    Erase(node);
    tokens_[node] = token;
    nodes_[token] = node;
  }

  void Remove(NodeId node) {
    MutexLock lock(&mutex_);
    Erase(node);
  }

  // Unless it has been Set to another one since.
  void RemoveIf(NodeId node, uint64_t token) {
    MutexLock lock(&mutex_);
    const auto found = tokens_.find(node);
    if (found != tokens_.end() && found->second == token) Erase(node);
  }

  std::optional<NodeId> Find(uint64_t token) const {
    MutexLock lock(&mutex_);
    const auto found = nodes_.find(token);
    if (found == nodes_.end()) return std::nullopt;
    return found->second;
  }

 private:
  void Erase(NodeId node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto found = tokens_.find(node);
    if (found == tokens_.end()) return;
    nodes_.erase(found->second);
    tokens_.erase(found);
  }

  mutable Mutex mutex_;
  absl::flat_hash_map<NodeId, uint64_t> tokens_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, NodeId> nodes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace weightmesh
