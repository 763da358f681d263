// CoreHarness: one NodeCore under test; the test plays its trainers, its peers and the clock.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "daemon/core/node_core.h"
#include "daemon/core/schedule.h"
#include "daemon/core/view.h"

namespace weightmesh::testing_support {

// Slot words as a test sets them: every slot can be held, unless the test takes it.
class FakeSlotKeeper final : public SlotKeeper {
 public:
  struct Call {
    AttachId attach{};
    SlotId slot{};
    Round round{};
    friend bool operator==(const Call&, const Call&) = default;
  };

  bool Hold(AttachId attach, SlotId slot, Round round) override {
    if (taken) return false;
    held.push_back(Call{attach, slot, round});
    return true;
  }
  void Release(AttachId attach, SlotId slot, Round round) override {
    released.push_back(Call{attach, slot, round});
  }
  bool HasReleased(Round round) const {
    for (const Call& call : released) {
      if (call.round == round) return true;
    }
    return false;
  }

  bool taken = false;  // the trainer has taken every slot
  std::vector<Call> held;
  std::vector<Call> released;
};

class CoreHarness {
 public:
  static constexpr AttachId kAttach{1};

  explicit CoreHarness(RunConfig config = {}, uint32_t segments = 1) {
    founding.config = config;
    founding.segments = segments;
    founding.parameters = 100;
    founding.schema_digest = Digest{1, 2};
    options.self = InfoOf(0);
    options.seeds = {AddressOf(0)};
  }

  // --- the node ---

  // The core; made at the first use, from `options`.
  NodeCore& core() {
    if (core_ == nullptr) core_ = std::make_unique<NodeCore>(options, &keeper, now);
    return *core_;
  }
  // Feeds one event; its actions are in `actions` afterwards.
  const Actions& Step(const Event& event) {
    actions.clear();
    core().Step(now, event, &actions);
    return actions;
  }
  // Time goes on, timers fire when they are due; all their actions are in `actions`.
  void Advance(absl::Duration time) {
    const absl::Time end = now + time;
    Actions all;
    while (core().next_deadline() <= end) {
      now = std::max(now, core().next_deadline());
      const Actions& some = Step(TimerFired{});
      all.insert(all.end(), some.begin(), some.end());
      AnswerSyncs(some);
    }
    now = end;
    actions = std::move(all);
  }
  // The actions of one kind among the last ones.
  template <typename T>
  std::vector<T> All() const {
    std::vector<T> found;
    for (const Action& action : actions) {
      if (const T* one = std::get_if<T>(&action)) found.push_back(*one);
    }
    return found;
  }
  // The only action of its kind; a default one where there is none or several.
  template <typename T>
  T Only() const {
    const std::vector<T> found = All<T>();
    return found.size() == 1 ? found[0] : T{};
  }

  // --- identities: node 0 is under test, node k > 0 a peer; replica k lives on node k ---

  static NodeId NodeOf(uint32_t k) { return NodeId{7, k + 1}; }
  static std::string AddressOf(uint32_t k) { return absl::StrCat("node", k, ":7070"); }
  static std::string NameOf(uint32_t k) { return absl::StrCat("host", k, "/0"); }
  static ReplicaId ReplicaOf(uint32_t k) { return MakeReplicaId("run", NameOf(k)); }
  NodeInfo InfoOf(uint32_t k) const { return NodeInfo{NodeOf(k), 100 + k, AddressOf(k), "test"}; }

  // --- the trainer of replica 0 ---

  AttachRequested AttachEvent(AttachId attach = kAttach, uint32_t replica = 0) const {
    AttachRequested request;
    request.attach = attach;
    request.run_id = "run";
    request.replica_name = NameOf(replica);
    request.founding = founding;
    request.segment_bytes.assign(founding.segments, segment_bytes);
    request.start_timeout = absl::Seconds(10);
    return request;
  }
  void Publish(uint64_t round, uint32_t slot) {
    Step(Published{kAttach, Round{round}, SlotId{slot}});
  }
  void Collect(uint64_t round) { Step(CollectRequested{kAttach, Round{round}}); }

  // --- peers ---

  // What node k says: it hosts replica k in `state`; all of `waiting` wait, or have started.
  SyncMessage MessageOf(uint32_t k, ReplicaState state, const std::vector<uint32_t>& replicas,
                        bool started) {
    SyncMessage message;
    message.sequence = ++sequence_;
    message.self = InfoOf(k);
    RunState run;
    run.run_id = "run";
    run.founding = founding;
    run.started = started;
    std::vector<ReplicaId> ids;
    for (uint32_t replica : replicas) ids.push_back(ReplicaOf(replica));
    if (started) {
      run.founders = View(ids).size() == ids.size() ? ids : std::vector<ReplicaId>{};
      run.founders_digest = ViewDigest(ids);
      run.view_digest = ViewDigest(ids);
    } else {
      run.waiting_digest = ViewDigest(ids);
    }
    ReplicaInfo info;
    info.replica_id = ReplicaOf(k);
    info.name = NameOf(k);
    info.state = state;
    run.replicas.push_back(info);
    message.runs.push_back(run);
    return message;
  }

  // Replica 0 and `peers` others found the run, links included; replica 0 is active afterwards.
  void StartRun(uint32_t peers) {
    founders_.clear();
    for (uint32_t k = 0; k <= peers; ++k) founders_.push_back(k);
    founding.config.replicas_min = peers + 1;
    Step(AttachEvent());
    for (uint32_t k = 1; k <= peers; ++k) {
      Step(SyncReceived{MessageOf(k, ReplicaState::kWaiting, founders_, false)});
    }
    for (uint32_t k = 1; k <= peers; ++k) {
      Step(LinkReady{NodeOf(k), InfoOf(k).session});
    }
    for (uint32_t k = 1; k <= peers; ++k) Hear(k);
  }
  // Node k syncs: it is alive, and its replica is in `state` and has published `newest_round`.
  void Hear(uint32_t k, ReplicaState state = ReplicaState::kActive, uint64_t newest_round = 0) {
    SyncMessage message = MessageOf(k, state, founders_, true);
    message.runs[0].newest_round = Round{newest_round};
    message.runs[0].replicas[0].published_round = Round{newest_round};
    Step(SyncReceived{message});
  }

  // Replica indices of replica k's partners.
  uint32_t SourceOf(uint32_t k, uint64_t round, uint32_t segment = 0) const {
    return Partner(k, round, segment, true);
  }
  uint32_t SinkOf(uint32_t k, uint64_t round, uint32_t segment = 0) const {
    return Partner(k, round, segment, false);
  }

  // A request of replica k to replica 0, and answers of replica k to the request of replica 0.
  PullRequest RequestFrom(uint32_t k, uint64_t id, uint64_t round, uint32_t segment = 0) const {
    PullRequest request;
    request.peer = NodeOf(k);
    request.request_id = RequestId{id};
    request.run_key = MakeRunKey("run");
    request.source = ReplicaOf(0);
    request.reader = ReplicaOf(k);
    request.round = Round{round};
    request.segment = SegmentId{segment};
    request.remaining_ms = 1000;
    return request;
  }
  static PullAnswer AnswerTo(const StartPull& pull, wire::Verdict verdict, uint64_t round = 0) {
    PullAnswer answer;
    answer.peer = pull.request.peer;
    answer.request_id = pull.request.request_id;
    answer.run_key = pull.request.run_key;
    answer.verdict = verdict;
    answer.segment = pull.request.segment;
    answer.round = Round{round};
    return answer;
  }
  // A final verdict, and the end of the transport's part. The actions of both are in `actions`.
  void Refuse(const StartPull& pull, wire::Verdict verdict, uint64_t round = 0) {
    Actions all = Step(PullAnswered{AnswerTo(pull, verdict, round)});
    const Actions& end = Step(PullEnded{pull.request.request_id, PullEnd::kNoData});
    all.insert(all.end(), end.begin(), end.end());
    actions = std::move(all);
  }
  void Land(const StartPull& pull) {
    Step(PullAnswered{AnswerTo(pull, wire::Verdict::kData, Value(pull.request.round))});
    Step(PullEnded{pull.request.request_id, PullEnd::kLanded});
  }

  // --- what the core counted ---

  ReplicaStatistics Statistics() {
    for (const ReplicaStatsSnapshot& snapshot : core().Stats("")) {
      if (snapshot.attach == kAttach) return snapshot.statistics;
    }
    return {};
  }
  uint64_t Outcomes(Outcome outcome) { return Statistics().pulls[static_cast<size_t>(outcome)]; }

  uint64_t segment_bytes = 1000;  // of what the trainers bring
  NodeCoreOptions options;
  FoundingRecord founding;
  FakeSlotKeeper keeper;
  absl::Time now = absl::UnixEpoch() + absl::Seconds(1000);
  Actions actions;
  bool peers_answer_syncs = true;

 private:
  uint64_t sequence_ = 0;  // of the messages made
  uint32_t Partner(uint32_t k, uint64_t round, uint32_t segment, bool source) const {
    std::vector<ReplicaId> ids;
    for (uint32_t founder : founders_) ids.push_back(ReplicaOf(founder));
    const View view(ids);
    const auto schedule = MakeSchedule(founding.config.schedule, founding.config.seed);
    const Partners partners =
        schedule->PartnersOf(view, Round{round}, SegmentId{segment}, *view.RankOf(ReplicaOf(k)));
    const ReplicaId wanted = view.replica(source ? partners.source : partners.sink);
    for (uint32_t founder : founders_) {
      if (ReplicaOf(founder) == wanted) return founder;
    }
    return 0;
  }
  // Founders answer the syncs that a timer asked for, so that they do not fall silent.
  void AnswerSyncs(const Actions& some) {
    if (!peers_answer_syncs) return;
    std::vector<std::string> addresses;
    for (const Action& action : some) {
      if (const Sync* sync = std::get_if<Sync>(&action)) addresses.push_back(sync->address);
    }
    for (const std::string& address : addresses) {
      for (uint32_t k : founders_) {
        if (k == 0 || AddressOf(k) != address) continue;
        Actions ignored;
        core().Step(now,
                    SyncAnswered{address, MessageOf(k, ReplicaState::kActive, founders_, true)},
                    &ignored);
      }
    }
  }

  std::unique_ptr<NodeCore> core_;
  std::vector<uint32_t> founders_;
};

}  // namespace weightmesh::testing_support
