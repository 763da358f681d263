// AttachReplica: the conversation that attaches a replica to its daemon. On the caller's thread.
#pragma once

#include <string>
#include <string_view>

#include "client/src/arena_mapping.h"
#include "client/src/attach_plan.h"
#include "client/src/daemon_link.h"
#include "client/src/status.h"

namespace weightmesh::client {

// How long beyond start_timeout the client waits for the daemon's own verdict.
constexpr std::chrono::seconds kReplyGrace{10};

// The id that the daemon gave the replica: part of its checksums' key.
struct AttachedId {
  uint64_t high = 0;
  uint64_t low = 0;
};

// Connects, asks, waits for the founders (calling plan.progress), takes the descriptors and maps
// the arena, whose layout must be `layout`. OK: `link`, `arena` and `id` are ready. Other codes are
// those of weightmesh_attach.
Status AttachReplica(const AttachPlan& plan, const ArenaLayout& layout, DaemonLink* link,
                     ArenaMapping* arena, AttachedId* id);

// Has replicas that join given `blob` from now on. ALONE: the daemon is gone.
Status GiveBlob(AttachChannel* channel, std::string_view blob);
// What the others want who joins to be given; empty where nobody gave any. ALONE: the daemon is
// gone, or does not answer.
Status AskForBlob(AttachChannel* channel, std::string* blob);

// Says goodbye: sends kLeave and waits for kLeaveReply until `deadline`. ALONE when the daemon is
// gone or does not answer.
Status LeaveMesh(AttachChannel* channel, Clock::time_point deadline);

}  // namespace weightmesh::client
