// SwimWorld: many failure detectors in one virtual time, their network, and what befalls them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/core/hash.h"
#include "daemon/core/swim.h"
#include "tests/sim/event_queue.h"

namespace weightmesh::sim {

struct SwimWorldOptions {
  size_t nodes = 8;
  uint64_t seed = 1;
  swim::SwimOptions swim = swim::OptionsFor(swim::kDetectionTargetDefault);
  // One way, uniform.
  absl::Duration delay_min = absl::Microseconds(200);
  absl::Duration delay_max = absl::Milliseconds(2);
  // Of a message on its way, request or answer: the call ends by its timeout.
  double loss = 0;
  // All know all from the start; otherwise each joins by node 0.
  bool acquainted = true;
};

// One process of a node says that another node joined, died, …
struct SwimSighting {
  absl::Time at;
  size_t observer = 0;
  swim::NoticeKind kind{};
  size_t subject = 0;
};

// What a message costs beside its protobuf: frames and headers of HTTP/2, TCP and IP.
constexpr size_t kMessageOverheadBytes = 100;

class SwimWorld {
 public:
  explicit SwimWorld(SwimWorldOptions options);

  absl::Time now() const { return queue_.now(); }
  CounterRng& rng() { return rng_; }
  size_t size() const { return nodes_.size(); }

  void Run(absl::Duration time);
  // Until all that run agree with what is so. False: not within `limit`.
  bool RunUntilAgreed(absl::Duration limit);
  void At(absl::Duration after, std::function<void()> task) { queue_.After(after, task); }

  // --- what befalls them ---

  void Start(size_t node);  // a process, new or again: another session, and it joins
  void Crash(size_t node);  // its host is gone: nobody answers there any more
  void Pause(size_t node, absl::Duration time);  // SIGSTOP … SIGCONT
  void Leave(size_t node);                       // and ends a second later
  void Part(size_t first_half);                  // nodes below this, and the others
  void Heal() { part_at_ = 0; }
  void BlockOneWay(size_t from, size_t to) { blocked_.insert({from, to}); }
  void UnblockAll() { blocked_.clear(); }

  // --- what came of it ---

  swim::Swim* detector(size_t node) { return nodes_[node].swim.get(); }
  bool IsRunning(size_t node) const { return nodes_[node].swim != nullptr; }
  // Whether every process that runs holds exactly those that run for living, with one digest.
  bool Agreed() const;
  const std::vector<SwimSighting>& sightings() const { return sightings_; }
  void ForgetSightings() { sightings_.clear(); }
  // Deaths that were declared of processes that ran: by one observer each, and of how many victims
  // (again only after it had returned).
  size_t false_deaths() const { return false_deaths_; }
  size_t false_victims() const { return false_victims_; }
  // Sent and received, by all nodes together, since the last call.
  uint64_t TakeBytes() { return std::exchange(bytes_, 0); }
  uint64_t largest_message() const { return largest_message_; }
  uint64_t calls() const { return last_call_; }
  // Of all sightings and when they were made.
  uint64_t trace() const { return trace_; }

 private:
  struct Call {
    std::function<void(const swim::Message&, bool ack)> answered;
    std::function<void()> failed;
  };
  struct Node {
    std::unique_ptr<swim::Swim> swim;
    uint64_t starts = 0;
    bool paused = false;
    std::vector<std::function<void()>> deferred;            // what arrives while it is paused
    std::map<uint64_t, Call> calls;                         // that it has open
    std::map<uint64_t, std::pair<size_t, uint64_t>> asked;  // indirect probes: who asked, its call
    absl::Time timer = absl::InfiniteFuture();
    bool considered_dead = false;  // by anybody, while it runs
  };

  NodeInfo InfoOf(size_t node) const;
  void Acquaint();
  void Join(size_t node);
  // Runs `task` in the process that runs on `node` now, when it is not paused.
  void OnNode(size_t node, std::function<void()> task);
  void Step(size_t node, const std::function<void(swim::Swim*, swim::SwimActions*)>& step);
  void Perform(size_t node, const swim::SwimAction& action);
  void Send(size_t from, size_t to, const swim::Message& message, std::function<void()> deliver);
  void StartCall(size_t from, size_t to, absl::Duration timeout, const swim::Message& message,
                 std::function<void(uint64_t call)> deliver, Call call);
  void EndCall(size_t node, uint64_t call, const swim::Message& answer, bool ack);
  void Ask(size_t from, NodeId to, absl::Duration timeout, const swim::Message& message, Call call);
  void SetTimer(size_t node);
  void See(size_t observer, const swim::Notice& notice);

  const SwimWorldOptions options_;
  EventQueue queue_;
  CounterRng rng_;
  std::vector<Node> nodes_;
  size_t part_at_ = 0;
  std::set<std::pair<size_t, size_t>> blocked_;
  std::vector<SwimSighting> sightings_;
  size_t false_deaths_ = 0;
  size_t false_victims_ = 0;
  uint64_t bytes_ = 0;
  uint64_t largest_message_ = 0;
  uint64_t last_call_ = 0;
  uint64_t trace_ = 0;
};

}  // namespace weightmesh::sim
