// What the failure detector asks of its driver, and what it lets others know; plain data.
//
// Each Probe, IndirectProbe and PushPull is one call to another daemon. The driver tells exactly
// once how a call has ended: answered, or failed (refused, broken, or no answer within its
// timeout).
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "daemon/core/swim_message.h"

namespace weightmesh::swim {

// Names a probe of this process; never used twice.
enum class ProbeId : uint64_t {};
// Names a call of another node that waits here for its answer; given by the driver.
enum class CallId : uint64_t {};

// Ends with ProbeAnswered or ProbeFailed.
struct Probe {
  ProbeId id{};
  NodeId node;
  std::string address;
  absl::Duration timeout;
  Message message;
};
// Asks `via` to probe `target`. Ends with IndirectProbeAnswered or IndirectProbeFailed.
struct IndirectProbe {
  ProbeId id{};
  NodeId via;
  std::string via_address;
  NodeInfo target;
  absl::Duration timeout;
  Message message;
};
// The answer to a call that IndirectProbeAsked told of.
struct AnswerIndirectProbe {
  CallId call{};
  bool ack = false;  // false: a nack, the target did not answer
  Message message;
};
// News for a node. Its answer, if any, is given to Answered; that there is none means nothing.
struct Gossip {
  NodeId node;
  std::string address;
  absl::Duration timeout;
  Message message;
};
// As Gossip; the other side answers with all that it knows if its digest is another.
struct PushPull {
  NodeId node;
  std::string address;
  absl::Duration timeout;
  Message message;
};

enum class NoticeKind {
  kJoined,     // not known before
  kSuspected,  // `by` says so first
  kDied,       // `by` says so first
  kLeft,
  kRefuted,    // a suspect lives
  kReturned,   // one that was dead or had left lives
  kRestarted,  // another process: the one that was known before is gone
  kChanged,    // another address or record
  kForgotten,  // its tombstone is gone
  kDefended,   // `by` held this node itself for suspect or dead, and it has raised its incarnation
  kContested,  // another process speaks as this node: `node` is that one
};
const char* NoticeKindName(NoticeKind kind);  // "joined", …
struct Notice {
  NoticeKind kind{};
  NodeInfo node;
  uint64_t incarnation = 0;
  NodeId by;  // zero where nobody is to be named
};

using SwimAction =
    std::variant<Probe, IndirectProbe, AnswerIndirectProbe, Gossip, PushPull, Notice>;
using SwimActions = std::vector<SwimAction>;

}  // namespace weightmesh::swim
