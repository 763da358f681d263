// StepContext: what the parts of the core may use of the node while a Step runs; core thread.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/core/actions.h"
#include "daemon/core/ids.h"
#include "daemon/core/statistics.h"

namespace weightmesh {

class SlotKeeper;
struct Member;

class StepContext {
 public:
  virtual ~StepContext() = default;

  // Of the Step that runs.
  virtual absl::Time now() const = 0;
  virtual void Emit(Action action) = 0;

  // A fresh id for a pull from `peer` into inbox buffer `buffer`; known until Ended is told to the
  // replica.
  virtual RequestId OpenRequest(AttachId attach, NodeId peer, SegmentId segment,
                                uint32_t buffer) = 0;
  // A fresh id for a transfer to `peer`; known until Ended is told to the replica.
  virtual SendId OpenSend(AttachId attach) = 0;

  // Whether `member` is there: it lives, and its node answers.
  virtual bool IsReachable(const Member& member) const = 0;
  // Whether data comes from it, too: otherwise pulls are redirected around it.
  virtual bool HasPath(const Member& member) const = 0;
  // When the node was last heard from; InfinitePast if never.
  virtual absl::Time HeardFrom(NodeId node) const = 0;
  // Asks for a sign of life; without one within `timeout` the node counts as silent.
  virtual void AskForLife(NodeId node, absl::Duration timeout) = 0;
  // A pull from the node has failed: it counts as silent until it answers, and has no path until a
  // frame of it comes, or for a pause that grows each time. It is probed at once.
  virtual void PullFailed(NodeId node, absl::Duration timeout) = 0;
  // The node has not answered a pull since `asked_at`: the same, but that it is not silent yet.
  // Once no frame has come for `patience`, its link is made anew.
  virtual void PullUnanswered(NodeId node, absl::Time asked_at, absl::Duration timeout,
                              absl::Duration patience) = 0;

  // Breaks the link to the node by force; it is made anew.
  virtual void CutLink(NodeId node) = 0;

  // Counts, and logs now and then, that a request of `peer` was not served.
  virtual void RequestRefused(NodeId peer, RequestRefusal reason) = 0;

  virtual SlotKeeper& keeper() = 0;
  virtual LinkStatistics& link(NodeId node) = 0;
};

}  // namespace weightmesh
