// DataPlane: the transports of all nodes, with the promises of daemon/transport/transport.h:
// exactly one end for each pull and send, answers in order, no data after the end of a pull.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "daemon/core/actions.h"
#include "daemon/core/events.h"
#include "tests/sim/arena.h"
#include "tests/sim/world.h"

namespace weightmesh::sim {

// How many operations each fault hit.
struct InjectedCounts {
  uint64_t delayed = 0;
  uint64_t duplicated = 0;
  uint64_t failed = 0;
  uint64_t no_room = 0;
  uint64_t corrupted = 0;
  uint64_t torn = 0;
  uint64_t stopped = 0;
  // Landings whose blocks are not those that were sent; a tear may leave what was there anyway.
  uint64_t damaged = 0;
};

class DataPlane {
 public:
  // `world` must outlive the plane.
  explicit DataPlane(World* world) : world_(world) {}

  // What Transport offers, for node `node`.
  void StartPull(uint32_t node, const struct StartPull& action);
  void CancelPull(uint32_t node, RequestId request_id);
  void AnswerPull(uint32_t node, const PullAnswer& answer);
  void StartSend(uint32_t node, const struct StartSend& action);
  void CutLink(uint32_t node, uint32_t peer);

  // Links two processes, unless they are linked already.
  void Link(uint32_t a, uint32_t b);
  bool IsLinked(uint32_t a, uint32_t b) const;
  // Whether it is linked, both ways, and does not hang.
  bool Works(uint32_t a, uint32_t b) const;
  // Whether a transfer from `source` to `puller` is under way.
  bool IsMoving(uint32_t puller, uint32_t source) const;

  // The link delivers nothing from now on, until it is made anew; keepalive finds out.
  void Hang(uint32_t a, uint32_t b);

  // The process of `node` was killed: its links break.
  void ProcessEnded(uint32_t node);

  // Whether a pull or send of `attach` is open.
  bool Touches(uint32_t node, AttachId attach) const;
  const InjectedCounts& injected() const { return injected_; }
  // Pulls and sends that have not ended, of all nodes.
  size_t open_transfers() const { return pulls_.size() + sends_.size(); }

 private:
  struct Pull {
    PullRequest request;
    AttachId attach{};
    uint32_t buffer = 0;
    uint32_t source = 0;  // node
    bool moving = false;
    bool stopped = false;  // half of the data has landed; the rest, when the link is cut
    SimBlock rest;
  };
  struct Send {
    PullAnswer answer;
    AttachId attach{};
    SlotId slot{};
    uint32_t puller = 0;  // node
    SimBlock first_half;  // read when the data begins to move
  };
  using PullKey = std::pair<uint32_t, RequestId>;
  using SendKey = std::pair<uint32_t, SendId>;

  void PostFrame(uint32_t from, uint32_t to, EventQueue::Task arrive, EventQueue::Task lose);
  void ArriveAnswer(uint32_t node, PullAnswer answer, uint32_t from);
  void ArriveData(uint32_t node, uint32_t source, SendId send_id, const Send& send);
  void FinishAtSource(uint32_t puller, uint32_t source, SendId send_id);
  void LandAtPuller(uint32_t puller, uint32_t source, SendId send_id, const Send& send,
                    const SimSegment& data);
  void Damage(SimArena::InboxBuffer* landed, const SimArena::InboxBuffer& former);
  void LandRest(uint32_t puller, const Pull& pull);
  bool Fails(PullKey key);
  void EndPull(PullKey key, PullEnd end);
  void EndSend(SendKey key, bool sent);
  // Ends everything of `node` with `peer` as failed.
  void BreakTransfers(uint32_t node, uint32_t peer);
  void Unlink(uint32_t a, uint32_t b);
  void BreakLink(uint32_t a, uint32_t b, uint64_t number);

  World* const world_;
  std::map<PullKey, Pull> pulls_;
  std::map<SendKey, Send> sends_;
  // Ordered pairs that are linked, and the number of the link: frames of a former link are dropped.
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> links_;
  std::set<uint64_t> hung_;  // numbers of links
  uint64_t last_link_ = 0;
  std::map<std::pair<uint32_t, uint32_t>, absl::Time> last_arrival_;
  InjectedCounts injected_;
  InjectedCounts seen_;  // operations that each fault could have hit
};

}  // namespace weightmesh::sim
