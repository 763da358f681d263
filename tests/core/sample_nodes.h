// Nodes of which membership is told.
#pragma once

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "daemon/core/sync_message.h"

namespace weightmesh::testing_support {

constexpr absl::Duration kInterval = absl::Seconds(1);

inline NodeInfo Info(uint32_t k) {
  return NodeInfo{NodeId{1, k}, 100 + k, absl::StrCat("node", k, ":7070"), "test"};
}

// The next message of it.
inline SyncMessage From(uint32_t k) {
  static uint64_t sequence = 0;
  SyncMessage message;
  message.sequence = ++sequence;
  message.self = Info(k);
  return message;
}

}  // namespace weightmesh::testing_support
