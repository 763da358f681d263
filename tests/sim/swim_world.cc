// Processes, calls with timeouts, and the network between them.
#include "tests/sim/swim_world.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weightmesh::sim {
namespace {

constexpr absl::Duration kJoinTimeout = absl::Seconds(1);
constexpr absl::Duration kJoinRetry = absl::Seconds(1);
constexpr uint64_t kIdHigh = 7;
// What an indirect probe says of its target.
constexpr size_t kTargetBytes = 70;

size_t IndexOf(NodeId node) { return node.low - 1; }

}  // namespace

SwimWorld::SwimWorld(SwimWorldOptions options) : options_(options), rng_(options.seed) {
  nodes_.resize(options_.nodes);
  for (size_t k = 0; k < nodes_.size(); ++k) {
    if (options_.acquainted) {
      ++nodes_[k].starts;
      const absl::Time begins_at = now() + options_.swim.probe_interval * rng_.Unit();
      nodes_[k].swim = std::make_unique<swim::Swim>(options_.swim, InfoOf(k), begins_at);
    } else {
      Start(k);
    }
  }
  if (options_.acquainted) Acquaint();
}

NodeInfo SwimWorld::InfoOf(size_t node) const {
  return NodeInfo{NodeId{kIdHigh, node + 1},
                  Mix64(options_.seed ^ (node << 20)) + nodes_[node].starts,
                  absl::StrCat("10.0.", node / 250, ".", node % 250, ":7070"), "0.1.0"};
}

// Each is told of all others before anything else, so that nobody has news for anybody.
void SwimWorld::Acquaint() {
  swim::Message message;
  message.incarnation = 1;
  message.whole = true;
  for (size_t k = 0; k < nodes_.size(); ++k) {
    swim::MemberUpdate update;
    update.node = InfoOf(k);
    update.incarnation = 1;
    update.record_version = 1;
    message.updates.push_back(update);
  }
  for (size_t k = 0; k < nodes_.size(); ++k) {
    message.from = InfoOf((k + 1) % nodes_.size());
    Step(k, [&](swim::Swim* swim, swim::SwimActions* actions) {
      swim->Answer(now(), message, actions);
    });
  }
}

void SwimWorld::Run(absl::Duration time) {
  const absl::Time end = now() + time;
  while (queue_.RunOne(end)) {
  }
}

bool SwimWorld::RunUntilAgreed(absl::Duration limit) {
  const absl::Time end = now() + limit;
  while (now() < end) {
    if (Agreed()) return true;
    Run(absl::Milliseconds(100));
  }
  return Agreed();
}

bool SwimWorld::Agreed() const {
  std::optional<uint64_t> digest;
  size_t running = 0;
  for (const Node& node : nodes_) running += node.swim != nullptr ? 1 : 0;
  for (const Node& node : nodes_) {
    if (node.swim == nullptr) continue;
    if (node.swim->living() != running ||
        digest.value_or(node.swim->digest()) != node.swim->digest()) {
      return false;
    }
    digest = node.swim->digest();
  }
  for (size_t k = 0; k < nodes_.size(); ++k) {
    if (nodes_[k].swim == nullptr) continue;
    for (const auto& [id, member] : nodes_[k].swim->members()) {
      if (member.MayLive() != (nodes_[IndexOf(id)].swim != nullptr)) return false;
    }
    break;  // the others have the same digest
  }
  return true;
}

// --- what befalls them ---

void SwimWorld::Start(size_t node) {
  Node& process = nodes_[node];
  ++process.starts;
  process.swim = std::make_unique<swim::Swim>(options_.swim, InfoOf(node), now());
  process.considered_dead = false;
  SetTimer(node);
  if (node != 0) {
    Join(node);
  } else if (process.starts > 1) {
    Join(node);
  }
}

// By the lowest other node that runs: a seed.
void SwimWorld::Join(size_t node) {
  if (nodes_[node].swim == nullptr || nodes_[node].swim->told_of_self()) return;
  size_t seed = 0;
  while (seed < nodes_.size() && (seed == node || nodes_[seed].swim == nullptr)) ++seed;
  if (seed < nodes_.size()) {
    Ask(node, NodeId{kIdHigh, seed + 1}, kJoinTimeout, nodes_[node].swim->Whole(),
        Call{[this, node](const swim::Message& answer, bool) {
               Step(node, [&](swim::Swim* swim, swim::SwimActions* actions) {
                 swim->Answered(now(), answer, actions);
               });
             },
             [] {}});
  }
  queue_.After(kJoinRetry, [this, node] { OnNode(node, [this, node] { Join(node); }); });
}

void SwimWorld::Crash(size_t node) {
  Node& process = nodes_[node];
  process.swim.reset();
  process.paused = false;
  process.deferred.clear();
  process.calls.clear();
  process.asked.clear();
  process.timer = absl::InfiniteFuture();
}

void SwimWorld::Pause(size_t node, absl::Duration time) {
  if (!IsRunning(node) || nodes_[node].paused) return;
  nodes_[node].paused = true;
  const uint64_t starts = nodes_[node].starts;
  queue_.After(time, [this, node, starts] {
    Node& process = nodes_[node];
    if (process.starts != starts || !process.paused) return;
    process.paused = false;
    for (const auto& task : std::exchange(process.deferred, {})) task();
  });
}

void SwimWorld::Leave(size_t node) {
  Step(node, [this](swim::Swim* swim, swim::SwimActions* actions) { swim->Leave(now(), actions); });
  queue_.After(absl::Seconds(1), [this, node] { Crash(node); });
}

void SwimWorld::Part(size_t first_half) { part_at_ = first_half; }

// --- the processes ---

void SwimWorld::OnNode(size_t node, std::function<void()> task) {
  Node& process = nodes_[node];
  if (process.swim == nullptr) return;
  if (process.paused) {
    process.deferred.push_back(std::move(task));
  } else {
    task();
  }
}

void SwimWorld::Step(size_t node,
                     const std::function<void(swim::Swim*, swim::SwimActions*)>& step) {
  if (nodes_[node].swim == nullptr) return;
  swim::SwimActions actions;
  step(nodes_[node].swim.get(), &actions);
  for (const swim::SwimAction& action : actions) Perform(node, action);
  SetTimer(node);
}

void SwimWorld::SetTimer(size_t node) {
  Node& process = nodes_[node];
  const absl::Time due = process.swim->next_deadline();
  if (due == process.timer) return;
  process.timer = due;
  if (due == absl::InfiniteFuture()) return;
  const uint64_t starts = process.starts;
  queue_.At(due, [this, node, due, starts] {
    OnNode(node, [this, node, due, starts] {
      if (nodes_[node].starts != starts || nodes_[node].timer != due) return;
      nodes_[node].timer = absl::InfiniteFuture();
      Step(node,
           [this](swim::Swim* swim, swim::SwimActions* actions) { swim->Tick(now(), actions); });
    });
  });
}

void SwimWorld::Perform(size_t node, const swim::SwimAction& action) {
  const auto step = [this, node](auto input) {
    Step(node, [&](swim::Swim* swim, swim::SwimActions* actions) { input(swim, actions); });
  };
  if (const auto* probe = std::get_if<swim::Probe>(&action)) {
    const swim::ProbeId id = probe->id;
    Ask(node, probe->node, probe->timeout, probe->message,
        Call{[=, this](const swim::Message& answer, bool) {
               step([&](auto* swim, auto* actions) {
                 swim->ProbeAnswered(now(), id, answer, actions);
               });
             },
             [=, this] {
               step([&](auto* swim, auto* actions) { swim->ProbeFailed(now(), id, actions); });
             }});
  } else if (const auto* indirect = std::get_if<swim::IndirectProbe>(&action)) {
    const swim::ProbeId id = indirect->id;
    const size_t via = IndexOf(indirect->via);
    bytes_ += 2 * kTargetBytes;
    const auto deliver = [this, node, via, target = indirect->target, timeout = indirect->timeout,
                          message = indirect->message](uint64_t call) {
      nodes_[via].asked[call] = {node, call};
      Step(via, [&](swim::Swim* swim, swim::SwimActions* actions) {
        swim->IndirectProbeAsked(now(), swim::CallId{call}, target, timeout, message, actions);
      });
    };
    StartCall(node, via, indirect->timeout, indirect->message, deliver,
              Call{[=, this](const swim::Message& answer, bool ack) {
                     step([&](auto* swim, auto* actions) {
                       swim->IndirectProbeAnswered(now(), id, ack, answer, actions);
                     });
                   },
                   [=, this] {
                     step([&](auto* swim, auto* actions) {
                       swim->IndirectProbeFailed(now(), id, actions);
                     });
                   }});
  } else if (const auto* answer = std::get_if<swim::AnswerIndirectProbe>(&action)) {
    const auto asked = nodes_[node].asked.find(static_cast<uint64_t>(answer->call));
    if (asked == nodes_[node].asked.end()) return;
    const size_t asker = asked->second.first;
    const uint64_t call = asked->second.second;
    nodes_[node].asked.erase(asked);
    Send(node, asker, answer->message,
         [this, asker, call, message = answer->message, ack = answer->ack] {
           EndCall(asker, call, message, ack);
         });
  } else if (const auto* notice = std::get_if<swim::Notice>(&action)) {
    See(node, *notice);
  } else {
    const auto* gossip = std::get_if<swim::Gossip>(&action);
    const auto* sync = std::get_if<swim::PushPull>(&action);
    Ask(node, gossip != nullptr ? gossip->node : sync->node,
        gossip != nullptr ? gossip->timeout : sync->timeout,
        gossip != nullptr ? gossip->message : sync->message,
        Call{[=, this](const swim::Message& message, bool) {
               step([&](auto* swim, auto* actions) { swim->Answered(now(), message, actions); });
             },
             [] {}});
  }
}

void SwimWorld::See(size_t observer, const swim::Notice& notice) {
  const size_t subject = IndexOf(notice.node.node_id);
  const uint64_t words[] = {trace_,   static_cast<uint64_t>(absl::ToUnixNanos(now())),
                            observer, static_cast<uint64_t>(notice.kind),
                            subject,  notice.incarnation};
  trace_ = Hash64(words);
  sightings_.push_back({now(), observer, notice.kind, subject});
  Node& victim = nodes_[subject];
  if (notice.kind == swim::NoticeKind::kReturned) victim.considered_dead = false;
  if (notice.kind != swim::NoticeKind::kDied || victim.swim == nullptr) return;
  if (victim.swim->self().info.session != notice.node.session) return;  // of an earlier process
  ++false_deaths_;
  if (!std::exchange(victim.considered_dead, true)) ++false_victims_;
}

// --- the network ---

void SwimWorld::Send(size_t from, size_t to, const swim::Message& message,
                     std::function<void()> deliver) {
  const size_t bytes = swim::EncodedBytes(message) + kMessageOverheadBytes;
  bytes_ += bytes;
  largest_message_ = std::max<uint64_t>(largest_message_, bytes);
  const bool is_lost = rng_.Unit() < options_.loss;
  const absl::Duration delay =
      options_.delay_min + (options_.delay_max - options_.delay_min) * rng_.Unit();
  const bool is_parted = part_at_ > 0 && (from < part_at_) != (to < part_at_);
  if (is_lost || is_parted || blocked_.contains({from, to})) return;
  queue_.After(delay, [this, to, bytes, deliver = std::move(deliver)] {
    if (nodes_[to].swim == nullptr) return;
    bytes_ += bytes;
    OnNode(to, deliver);
  });
}

void SwimWorld::StartCall(size_t from, size_t to, absl::Duration timeout,
                          const swim::Message& message, std::function<void(uint64_t)> deliver,
                          Call call) {
  const uint64_t id = ++last_call_;
  nodes_[from].calls.emplace(id, std::move(call));
  Send(from, to, message, [id, deliver = std::move(deliver)] { deliver(id); });
  queue_.After(timeout, [this, from, id] {
    OnNode(from, [this, from, id] {
      const auto found = nodes_[from].calls.find(id);
      if (found == nodes_[from].calls.end()) return;
      const Call ended = std::move(found->second);
      nodes_[from].calls.erase(found);
      ended.failed();
    });
  });
}

void SwimWorld::EndCall(size_t node, uint64_t call, const swim::Message& answer, bool ack) {
  const auto found = nodes_[node].calls.find(call);
  if (found == nodes_[node].calls.end()) return;  // too late
  const Call ended = std::move(found->second);
  nodes_[node].calls.erase(found);
  ended.answered(answer, ack);
}

void SwimWorld::Ask(size_t from, NodeId to, absl::Duration timeout, const swim::Message& message,
                    Call call) {
  const size_t other = IndexOf(to);
  const auto deliver = [this, from, other, message](uint64_t id) {
    Step(other, [&](swim::Swim* swim, swim::SwimActions* actions) {
      const swim::Message answer = swim->Answer(now(), message, actions);
      Send(other, from, answer, [this, from, id, answer] { EndCall(from, id, answer, true); });
    });
  };
  StartCall(from, other, timeout, message, deliver, std::move(call));
}

}  // namespace weightmesh::sim
