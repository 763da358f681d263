// What daemons tell each other of who is there: SWIM's updates and the messages that carry them;
// plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/core/ids.h"
#include "daemon/core/sync_message.h"

namespace weightmesh::swim {

// In the order in which they override each other within one incarnation.
enum class MemberState : uint32_t { kAlive = 1, kSuspect = 2, kDead = 3, kLeft = 4 };
const char* MemberStateName(MemberState state);  // "alive", …

// What its sender believes of one node. Two halves that are merged apart: (incarnation, state) says
// whether it lives; record_version says which NodeInfo and record are the newest. Only the node
// itself raises either number, and it does so across restarts too.
struct MemberUpdate {
  // control_address empty: the update tells of the state only.
  NodeInfo node;
  uint64_t incarnation = 0;
  MemberState state = MemberState::kAlive;
  // Of a suspect: who found out for itself that the node does not answer. At most kAccusersMax.
  std::vector<NodeId> accusers;
  // 0: the record is not known to the sender.
  uint64_t record_version = 0;
  // Opaque here: what the node tells of its replicas.
  std::string record;

  friend bool operator==(const MemberUpdate&, const MemberUpdate&) = default;
};
constexpr size_t kAccusersMax = 4;

// What every call of the membership carries, and every answer.
struct Message {
  NodeInfo from;
  absl::Duration uptime;     // of from's process; the core's to fill in and to judge, not Swim's
  uint64_t incarnation = 0;  // of `from`
  uint64_t digest = 0;       // of all that the sender believes of the living
  bool whole = false;        // `updates` is all that the sender knows, not news
  // The answer is to be whole if its digest is another than this message's.
  bool wants_whole = false;
  std::vector<MemberUpdate> updates;
};

// About as many bytes as protobuf takes.
size_t EncodedBytes(const MemberUpdate& update);
size_t EncodedBytes(const Message& message);

}  // namespace weightmesh::swim
