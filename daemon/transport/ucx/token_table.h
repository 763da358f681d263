// TokenTable: which peer a received frame comes from, by the token on it. Thread-safe.
//
// The core's thread writes it, ahead of what it posts to the data thread, so that a peer that was
// told its token is known as soon as its first frame can arrive. The data thread, which comes
// later, takes back only what was set for the very link that it forgets: a node may be given the
// same token again for its next link.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "daemon/core/ids.h"
#include "daemon/core/mutex.h"

namespace weightmesh {

class TokenTable {
 public:
  // Frames of `node` bear `token` from now on, and its former one is unknown. Returns the serial
  // number of this call, from 1, by which RemoveIf knows it.
  uint64_t Set(NodeId node, uint64_t token) {
    MutexLock lock(&mutex_);
    Erase(node);
    entries_[node] = {token, ++last_serial_};
    nodes_[token] = node;
    return last_serial_;
  }

  void Remove(NodeId node) {
    MutexLock lock(&mutex_);
    Erase(node);
  }

  // Unless it has been Set again since the Set that returned `serial`, be it to the same token.
  void RemoveIf(NodeId node, uint64_t serial) {
    MutexLock lock(&mutex_);
    const auto found = entries_.find(node);
    if (found != entries_.end() && found->second.serial == serial) Erase(node);
  }

  std::optional<NodeId> Find(uint64_t token) const {
    MutexLock lock(&mutex_);
    const auto found = nodes_.find(token);
    if (found == nodes_.end()) return std::nullopt;
    return found->second;
  }

 private:
  struct Entry {
    uint64_t token;
    uint64_t serial;
  };

  void Erase(NodeId node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto found = entries_.find(node);
    if (found == entries_.end()) return;
    nodes_.erase(found->second.token);
    entries_.erase(found);
  }

  mutable Mutex mutex_;
  uint64_t last_serial_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<NodeId, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, NodeId> nodes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace weightmesh
