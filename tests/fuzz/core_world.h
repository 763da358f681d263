// CoreWorld: one node of a running mesh whose trainer, peers and clock are a fuzzer's.
//
// It does for the core what the daemon does (keeps transfers open until they end, answers what must
// be answered exactly once), and checks what the core asks in return.
#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <variant>
#include <vector>

#include "daemon/core/check.h"
#include "tests/testing/core_harness.h"

namespace weightmesh::fuzz {

// The mode that a byte of the input chooses.
inline Mode ModeOf(uint8_t byte) {
  constexpr Mode kModes[] = {Mode::kLockstep, Mode::kOverlap, Mode::kAsync};
  return kModes[byte % 3];
}

class CoreWorld {
 public:
  static constexpr AttachId kAttach = testing_support::CoreHarness::kAttach;
  static constexpr uint32_t kPeers = 2;
  static constexpr uint32_t kSegments = 3;
  static constexpr uint32_t kSlots = 3;
  static constexpr absl::Duration kRoundDeadline = absl::Seconds(1);

  explicit CoreWorld(Mode mode) : harness_(ConfigOf(mode), kSegments) {
    harness_.StartRun(kPeers);
    Take(harness_.actions);
  }

  testing_support::CoreHarness& harness() { return harness_; }
  // The trainer's attachment is over: nothing may come from it any more.
  bool attached() const { return attached_; }

  void Step(const Event& event) { Take(harness_.Step(event)); }
  void Advance(absl::Duration time) {
    harness_.Advance(time);
    Take(harness_.actions);
  }

  // As a transport, which knows its pulls: an answer passes only if it is of an open pull and comes
  // from the peer that was asked; the end is told once.
  void Answer(const PullAnswer& answer) {
    const auto pull = pulls_.find(answer.request_id);
    if (pull == pulls_.end() || pull->second.peer != answer.peer) return;
    Step(PullAnswered{answer});
  }
  void EndPull(RequestId id, PullEnd end) {
    if (pulls_.erase(id) > 0) Step(PullEnded{id, end});
  }
  void EndSend(SendId id, bool sent) {
    if (sends_.erase(id) > 0) Step(SendEnded{id, sent});
  }
  // The kth open pull or send; none, or 0, where there is none.
  std::optional<PullRequest> Pull(uint8_t k) const {
    const auto pull = pulls_.find(PullOf(k));
    if (pull == pulls_.end()) return std::nullopt;
    return pull->second;
  }
  RequestId PullOf(uint8_t k) const { return KeyOf(pulls_, k); }
  SendId SendOf(uint8_t k) const { return KeyOf(sends_, k); }

  void TrainerGoes() {
    if (!attached_) return;
    attached_ = false;
    Step(TrainerGone{kAttach});
  }

  // Ends all that is open: the trainer first, then the transfers. Nothing may remain.
  void End() {
    TrainerGoes();
    while (!pulls_.empty()) EndPull(pulls_.begin()->first, PullEnd::kFailed);
    while (!sends_.empty()) EndSend(sends_.begin()->first, false);
    Advance(3 * kRoundDeadline);
    while (!pulls_.empty()) EndPull(pulls_.begin()->first, PullEnd::kFailed);
    while (!sends_.empty()) EndSend(sends_.begin()->first, false);
    WEIGHTMESH_CHECK(freed_, "the arena of a trainer that has gone is never freed");
  }

  // What the core delivered to the trainer last, and how often it did.
  absl::Span<const FrozenSegment> delivered() const { return delivered_; }
  Round delivered_round() const { return delivered_round_; }
  uint64_t deliveries() const { return deliveries_; }

 private:
  static RunConfig ConfigOf(Mode mode) {
    RunConfig config;
    config.mode = mode;
    config.staleness_rounds_max = mode == Mode::kAsync ? 2 : 0;
    config.round_deadline = kRoundDeadline;
    return config;
  }

  template <typename Map>
  static typename Map::key_type KeyOf(const Map& map, uint8_t k) {
    if (map.empty()) return {};
    auto found = map.begin();
    std::advance(found, k % map.size());
    return found->first;
  }

  void Take(const Actions& actions) {
    for (const Action& action : actions) {
      std::visit([this](const auto& kind) { On(kind); }, action);
    }
  }
  template <typename T>
  void On(const T&) {}
  void On(const StartPull& pull) {
    WEIGHTMESH_CHECK(!freed_ && pull.buffer < 2 && Value(pull.request.segment) < kSegments,
                     "a pull into memory that is not there");
    WEIGHTMESH_CHECK(pulls_.emplace(pull.request.request_id, pull.request).second,
                     "two pulls have one id");
  }
  void On(const StartSend& send) {
    WEIGHTMESH_CHECK(!freed_ && Value(send.slot) < kSlots && Value(send.answer.segment) < kSegments,
                     "a send out of memory that is not there");
    WEIGHTMESH_CHECK(sends_.emplace(send.send_id, send.answer).second, "two sends have one id");
  }
  void On(const Deliver& deliver) {
    WEIGHTMESH_CHECK(deliver.segments.size() == kSegments, "a delivery lacks segments");
    for (const FrozenSegment& row : deliver.segments) {
      WEIGHTMESH_CHECK(row.buffer < 2 && static_cast<uint32_t>(row.outcome) < kOutcomeCount,
                       "a delivery that no trainer can read");
    }
    delivered_.assign(deliver.segments.begin(), deliver.segments.end());
    delivered_round_ = deliver.round;
    ++deliveries_;
  }
  void On(const UpdatePage& update) {
    WEIGHTMESH_CHECK(Value(update.next_round) >= 1 && Value(update.next_round) <= UINT64_MAX >> 2,
                     "a next round that no slot word can hold");
  }
  void On(const FreeArena&) {
    WEIGHTMESH_CHECK(!freed_ && pulls_.empty() && sends_.empty(),
                     "an arena is freed while a transfer touches it");
    freed_ = true;
    attached_ = false;
  }

  testing_support::CoreHarness harness_;
  bool attached_ = true;
  bool freed_ = false;
  std::map<RequestId, PullRequest> pulls_;
  std::map<SendId, PullAnswer> sends_;
  std::vector<FrozenSegment> delivered_;
  Round delivered_round_{};
  uint64_t deliveries_ = 0;
};

}  // namespace weightmesh::fuzz
