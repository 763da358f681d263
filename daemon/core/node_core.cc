// Events in, actions out: which part of the node each event goes to.
#include "daemon/core/node_core.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "daemon/core/node_core_impl.h"

namespace weightmesh {

NodeCore::NodeCore(NodeCoreOptions options, SlotKeeper* keeper, absl::Time now)
    : impl_(std::make_unique<Impl>(std::move(options), keeper, now)) {}
NodeCore::~NodeCore() = default;

void NodeCore::Step(absl::Time now, const Event& event, Actions* actions) {
  impl_->Step(now, event, actions);
}
absl::Time NodeCore::next_deadline() const { return impl_->next_deadline(); }
SyncMessage NodeCore::MakeSync(const SyncMessage* asked) { return impl_->MakeSync(asked); }
absl::Status NodeCore::CheckLinkOffer(const NodeInfo& from) const {
  return impl_->CheckLinkOffer(from);
}
const NodeInfo& NodeCore::self() const { return impl_->self(); }
absl::Status NodeCore::CheckCaller(const NodeInfo& from) const { return impl_->CheckCaller(from); }
TopologySnapshot NodeCore::Topology(absl::Time now, absl::string_view run_id) const {
  return impl_->Topology(now, run_id);
}
std::vector<ReplicaStatsSnapshot> NodeCore::Stats(absl::string_view run_id) const {
  return impl_->Stats(run_id);
}
std::vector<RunSnapshot> NodeCore::Runs() const { return impl_->Runs(); }
std::vector<LinkSnapshot> NodeCore::Links() const { return impl_->Links(); }
absl::Duration NodeCore::detection_time() const { return impl_->detection_time(); }
bool NodeCore::HasRun(absl::string_view run_id) const { return impl_->HasRun(run_id); }
bool NodeCore::Knows(NodeId node) const { return impl_->Knows(node); }
absl::StatusOr<ScheduleSnapshot> NodeCore::ScheduleOf(absl::string_view run_id, Round round,
                                                      SegmentId segment) {
  return impl_->ScheduleOf(run_id, round, segment);
}

NodeCore::Impl::Impl(NodeCoreOptions options, SlotKeeper* keeper, absl::Time now)
    : options_(std::move(options)),
      keeper_(keeper),
      started_at_(now),
      now_(now),
      membership_(MembershipOptions{options_.self, options_.seeds, options_.sync_interval,
                                    options_.nodes_max},
                  now),
      last_members_(options_.self.node_id, options_.last_members, options_.sync_interval, now),
      swim_(SwimOptionsOf(options_), options_.self, now),
      next_run_tick_(now) {}

swim::SwimOptions NodeCore::Impl::SwimOptionsOf(const NodeCoreOptions& options) {
  swim::SwimOptions swim_options = swim::OptionsFor(options.detection_target);
  swim_options.nodes_max = options.nodes_max;
  return swim_options;
}

absl::Duration NodeCore::Impl::detection_time() const {
  return swim::ExpectedDetection(SwimOptionsOf(options_), swim_.living());
}

void NodeCore::Impl::Step(absl::Time now, const Event& event, Actions* actions) {
  now_ = std::max(now_, now);
  actions_ = actions;
  std::visit([this](const auto& e) { On(e); }, event);
  if (drain_.has_value()) ContinueDrain();
  actions_ = nullptr;
}

absl::Time NodeCore::Impl::next_deadline() const {
  absl::Time next = std::min(
      {membership_.next_deadline(), swim_.next_deadline(), next_run_tick_, drain_deadline()});
  for (const auto& [attach, local] : locals_) {
    if (!local->freed()) next = std::min(next, local->next_deadline());
  }
  return next;
}

RequestId NodeCore::Impl::OpenRequest(AttachId attach, NodeId peer, SegmentId segment,
                                      uint32_t buffer) {
  const RequestId id{++last_request_};
  open_pulls_.emplace(id, OpenPull{attach, peer, segment, buffer});
  return id;
}

SendId NodeCore::Impl::OpenSend(AttachId attach) {
  const SendId id{++last_send_};
  open_sends_.emplace(id, attach);
  return id;
}

// A founder on a node that has not been heard of, or whose process was replaced, is not there.
bool NodeCore::Impl::IsReachable(const Member& member) const {
  return IsLive(member.info.state) && SpeaksForItself(member);
}

// Whether the process that hosts it is there to say what it is.
bool NodeCore::Impl::SpeaksForItself(const Member& member) const {
  if (member.node == options_.self.node_id) return true;
  const Peer* peer = membership_.Find(member.node);
  return peer != nullptr && !peer->silent() && peer->info.session == member.session;
}

bool NodeCore::Impl::HasPath(const Member& member) const {
  const bool is_here = member.node == options_.self.node_id;
  return IsReachable(member) && (is_here || membership_.HasPath(now_, member.node));
}

absl::Time NodeCore::Impl::HeardFrom(NodeId node) const {
  if (node == options_.self.node_id) return now_;
  const Peer* peer = membership_.Find(node);
  return peer == nullptr ? absl::InfinitePast() : peer->heard_at;
}

void NodeCore::Impl::AskForLife(NodeId node, absl::Duration timeout) {
  membership_.ProbeNow(now_, node, timeout, actions_);
}

void NodeCore::Impl::PullFailed(NodeId node, absl::Duration timeout) {
  membership_.PathFailed(now_, node, /*since=*/now_);
  Doubt(node, "a pull from it failed", timeout);
}

void NodeCore::Impl::Doubt(NodeId node, absl::string_view reason, absl::Duration timeout) {
  Silence(node, reason);
  membership_.ProbeNow(now_, node, timeout, actions_);
}

// A node may answer calls while its link brings nothing: a firewall lets only calls through, or
// packets were lost for some time, and TCP tries again ever more rarely.
void NodeCore::Impl::PullUnanswered(NodeId node, absl::Time asked_at, absl::Duration timeout,
                                    absl::Duration patience) {
  membership_.PathFailed(now_, node, asked_at);
  if (membership_.TakeUntoldPathLoss(node)) {
    Warn(absl::StrCat(DescribeNode(node),
                      " answers no pull: pulls are redirected around it until data comes from it "
                      "again; it is asked ever more rarely"));
  }
  if (membership_.TakeStaleLink(now_, node, patience)) {
    CutLink(node, "it has answered no pull for two round deadlines");
  }
  membership_.ProbeNow(now_, node, timeout, actions_);
  TellDetectorOfDoubt(node);
}

void NodeCore::Impl::CutLink(NodeId node) {
  CutLink(node, "a transfer over it has hung for two round deadlines");
}

// The transport forgets the link: what is left is to make it anew.
void NodeCore::Impl::CutLink(NodeId node, absl::string_view reason) {
  ++links_[node].cuts;
  const Peer* peer = membership_.Find(node);
  Warn(absl::StrCat("the link to node ", node.ToString(), " at ",
                    peer == nullptr ? "no known address" : peer->info.control_address,
                    " is cut: ", reason));
  membership_.LinkCut(now_, node);
  Emit(weightmesh::CutLink{node});
}

void NodeCore::Impl::RequestRefused(NodeId peer, RequestRefusal reason) {
  const uint64_t count = ++links_[peer].requests_refused[static_cast<size_t>(reason)];
  if (!IsPowerOfTen(count)) return;
  Warn(absl::StrCat(DescribeNode(peer), " asks for ", RequestRefusalName(reason), ": refused, ",
                    count, " so far"));
}

void NodeCore::Impl::CallUnanswered(NodeId node, absl::string_view reason) {
  membership_.ForgetPathLoss(node);
  Silence(node, reason);
}

void NodeCore::Impl::Silence(NodeId node, absl::string_view reason) {
  if (!membership_.MarkSilent(now_, node, reason)) return;
  Warn(absl::StrCat("node ", node.ToString(), " at ", membership_.Find(node)->info.control_address,
                    " is silent: ", reason, "; pulls are redirected around it"));
  TellDetectorOfDoubt(node);
}

void NodeCore::Impl::TellDetectorOfDoubt(NodeId node) {
  swim::SwimActions actions;
  swim_.Doubt(now_, node, &actions);
  Perform(std::move(actions));
}

// For the log: an unknown token has no node, and a node may be linked before it is known.
std::string NodeCore::Impl::DescribeNode(NodeId node) const {
  if (node.IsZero()) return "a sender that this daemon gave no token to";
  const Peer* peer = membership_.Find(node);
  return absl::StrCat("node ", node.ToString(),
                      peer == nullptr ? "" : absl::StrCat(" at ", peer->info.control_address));
}

void NodeCore::Impl::Heard(NodeId node) {
  if (membership_.Heard(now_, node)) {
    Inform(absl::StrCat("node ", node.ToString(), " answers again"));
    SetHostGone(node, false);
  }
  if (!membership_.IsNewsToDetector(now_, node)) return;
  swim::SwimActions actions;
  swim_.Heard(now_, node, membership_.Find(node)->info.session, &actions);
  Perform(std::move(actions));
}

void NodeCore::Impl::FrameCame(NodeId node) {
  Heard(node);
  const absl::Duration lost = membership_.PathRestored(now_, node);
  if (lost == absl::ZeroDuration()) return;
  Inform(absl::StrCat("data comes from ", DescribeNode(node), " again, after ",
                      absl::FormatDuration(absl::Trunc(lost, absl::Milliseconds(1)))));
}

LocalReplica* NodeCore::Impl::FindLocal(AttachId attach) {
  const auto found = locals_.find(attach);
  return found == locals_.end() ? nullptr : found->second.get();
}

bool NodeCore::Impl::IsNewestLife(const LocalReplica& local) const {
  const Member* member = local.run().Find(local.replica());
  return member == nullptr ||
         (member->node == options_.self.node_id && member->info.life == Value(local.attach()));
}

LocalReplica* NodeCore::Impl::FindHosted(ReplicaId replica) {
  const auto found = hosted_.find(replica);
  return found == hosted_.end() ? nullptr : found->second;
}

void NodeCore::Impl::ObserveRound(RunKey key, Round round) {
  Run* run = FindRun(key);
  if (run == nullptr || round <= run->newest_round()) return;
  if (run->Observe(now_, round)) TellNewestRound(run);
}

void NodeCore::Impl::TellNewestRound(Run* run) {
  for (auto& [attach, local] : locals_) {
    if (&local->run() == run && local->started()) local->NewestRoundChanged();
  }
}

// --- trainers ---

void NodeCore::Impl::On(const TrainerGone& event) {
  LocalReplica* local = FindLocal(event.attach);
  if (local == nullptr || local->gone()) return;
  Run* run = &local->run();
  const ReplicaState before = local->state();
  local->Die();
  if (TakesPart(before)) {
    Warn(absl::StrCat("replica ", run->Find(local->replica())->info.name, " of run ", run->run_id(),
                      " died: its trainer is gone"));
  }
  SpreadNews();
  const bool never_started = !local->started() && !run->started();
  FreeReplicas();
  if (never_started) RemoveLocal(event.attach);
  for (auto& [name, other] : runs_) TryStart(other.get());
}

void NodeCore::Impl::SpreadNews() {
  swim_.SetRecord(now_, absl::StrCat(++news_));
  TellHosts();
}

void NodeCore::Impl::TellHosts() {
  membership_.SyncSoon(now_, [this] {
    std::set<NodeId> hosts;
    for (const auto& [name, run] : runs_) {
      for (const auto& [replica, member] : run->members()) hosts.insert(member.node);
    }
    return hosts;
  });
}

void NodeCore::Impl::On(const LeaveRequested& event) {
  LocalReplica* local = FindLocal(event.attach);
  if (local == nullptr) return;
  local->Leave();
  SpreadNews();
}

void NodeCore::Impl::On(const Published& event) {
  LocalReplica* local = FindLocal(event.attach);
  if (local == nullptr || !local->started()) return;
  const Round newest = local->run().newest_round();
  local->Publish(event.round, event.slot);
  if (local->run().newest_round() != newest) TellNewestRound(&local->run());
}

void NodeCore::Impl::On(const PublishSkipped& event) {
  LocalReplica* local = FindLocal(event.attach);
  if (local != nullptr && local->started()) local->SkipPublish(event.round);
}

void NodeCore::Impl::On(const CollectRequested& event) {
  LocalReplica* local = FindLocal(event.attach);
  if (local != nullptr && local->started()) local->Collect(event.round);
}

void NodeCore::Impl::On(const AgreementWanted& event) {
  LocalReplica* local = FindLocal(event.attach);
  if (local == nullptr || !local->started()) return;
  local->WantAgreement(event.round, event.distance, event.first);
}

void NodeCore::Impl::On(const Mixed& event) {
  LocalReplica* local = FindLocal(event.attach);
  if (local != nullptr && local->Mixed(event.round, event.segments)) SpreadNews();
}

// --- data plane ---

void NodeCore::Impl::On(const PullRequested& event) {
  const PullRequest& request = event.request;
  FrameCame(request.peer);
  ObserveRound(request.run_key, request.newest_round);
  LocalReplica* local = FindHosted(request.source);
  if (local == nullptr || local->run().key() != request.run_key) {
    PullAnswer answer;
    answer.peer = request.peer;
    answer.request_id = request.request_id;
    answer.run_key = request.run_key;
    answer.verdict = wire::Verdict::kDead;
    answer.segment = request.segment;
    return Emit(AnswerPull{answer});
  }
  if (!local->run().IsPlausible(request.round)) {
    return RequestRefused(request.peer, RequestRefusal::kImplausibleRound);
  }
  local->source().Requested(request);
}

void NodeCore::Impl::On(const PullCancelled& event) {
  FrameCame(event.peer);
  for (auto& [attach, local] : locals_) {
    if (!local->freed()) local->source().Cancelled(event.peer, event.request_id);
  }
  FreeReplicas();
}

void NodeCore::Impl::On(const PullAnswered& event) {
  const PullAnswer& answer = event.answer;
  FrameCame(answer.peer);
  ObserveRound(answer.run_key, answer.newest_round);
  const auto found = open_pulls_.find(answer.request_id);
  if (found == open_pulls_.end()) return;
  LocalReplica* local = FindLocal(found->second.attach);
  local->Answered(found->second.segment, found->second.buffer, answer);
}

void NodeCore::Impl::On(const struct PullEnded& event) {
  const auto found = open_pulls_.find(event.request_id);
  if (found == open_pulls_.end()) return;
  const OpenPull pull = found->second;
  open_pulls_.erase(found);
  if (event.end == PullEnd::kLanded) FrameCame(pull.peer);
  LocalReplica* local = FindLocal(pull.attach);
  local->PullEnded(pull.segment, pull.buffer, event.end);
  if (local->gone()) FreeReplicas();
}

void NodeCore::Impl::On(const SendEnded& event) {
  const auto found = open_sends_.find(event.send_id);
  if (found == open_sends_.end()) return;
  LocalReplica* local = FindLocal(found->second);
  open_sends_.erase(found);
  local->source().SendEnded(event.send_id, event.sent);
  local->Tick();
  if (local->gone()) FreeReplicas();
}

void NodeCore::Impl::On(const LinkDown& event) {
  ++links_[event.peer].failures;
  // It is made anew by the node's own word: its address may be a lie.
  membership_.LinkCut(now_, event.peer);
  Doubt(event.peer, absl::StrCat("the link broke: ", event.reason), absl::Seconds(1));
}

void NodeCore::Impl::On(const FramesRefused& event) {
  Warn(absl::StrCat("refused from ", DescribeNode(event.peer), ": ", FrameRefusalName(event.reason),
                    ", ", event.count, " so far"));
}

// --- control plane ---

void NodeCore::Impl::On(const SyncReceived& event) { MergeSync(event.message, ""); }

void NodeCore::Impl::On(const SyncAnswered& event) {
  for (NodeId node : membership_.SyncAnswered(now_, event.address, event.message.self)) {
    CallUnanswered(node, "another node answers at its address");
  }
  MergeSync(event.message, event.address);
  Introduce(event.message.self);
}

void NodeCore::Impl::On(const SyncFailed& event) {
  for (NodeId node : membership_.SyncFailed(now_, event.address)) {
    CallUnanswered(node, event.reason);
  }
}

void NodeCore::Impl::On(const ProbeAnswered& event) {
  membership_.ProbeEnded(event.node);
  const Peer* peer = membership_.Find(event.node);
  const bool lives = peer != nullptr && peer->info.session == event.session;
  if (lives) Heard(event.node);
  if (lives && AskFormerAgain(event.node, /*answered=*/true)) return;
  SettleClaim(event.node, lives);
  const auto found = last_members_.Answered(event.node, event.session);
  if (found.has_value()) membership_.Meet(now_, *found);
}

void NodeCore::Impl::On(const ProbeFailed& event) {
  if (last_members_.Failed(event.node)) return;
  const bool lives = !membership_.ProbeFailed(event.node);
  if (lives && AskFormerAgain(event.node, /*answered=*/false)) return;
  if (SettleClaim(event.node, lives)) return;
  if (!lives) CallUnanswered(event.node, event.reason);
}

// Another member's frames go both ways: this side's may once its own Connect is answered.
void NodeCore::Impl::On(const LinkOffered& event) {
  const NodeId node = event.from.node_id;
  membership_.Meet(now_, event.from);
  for (const auto& [name, run] : runs_) {
    if (run->HasMemberOn(node)) return membership_.ConnectNow(now_, node, actions_);
  }
}

void NodeCore::Impl::On(const LinkDoubted& event) { membership_.LinkCut(now_, event.node); }

void NodeCore::Impl::On(const LinkReady& event) {
  // Forgotten while the link was made.
  if (membership_.Find(event.node) == nullptr) return Emit(ForgetNode{event.node, ""});
  membership_.LinkReady(event.node, event.session);
  for (auto& [name, run] : runs_) TryRelease(run.get());
}

void NodeCore::Impl::On(const LinkFailed& event) {
  membership_.LinkFailed(now_, event.node);
  Emit(Log{LogLevel::kWarning,
           absl::StrCat("no data link to node ", event.node.ToString(), ": ", event.reason)});
}

void NodeCore::Impl::On(const SeedsFound& event) { membership_.FindSeeds(now_, event.addresses); }

void NodeCore::Impl::On(const TimerFired&) {
  membership_.Tick(now_, actions_);
  swim::SwimActions todo;
  swim_.Tick(now_, &todo);
  Perform(std::move(todo));
  TickReplicas();
  TickRuns();
}

void NodeCore::Impl::TickReplicas() {
  for (auto& [attach, local] : locals_) {
    if (!local->freed()) local->Tick();
  }
  FreeReplicas();
}

void NodeCore::Impl::FreeReplicas() {
  for (auto& [attach, local] : locals_) {
    if (!local->Free()) continue;
    const auto hosted = hosted_.find(local->replica());
    if (hosted != hosted_.end() && hosted->second == local.get()) hosted_.erase(hosted);
  }
  // A trainer's statistics stay until the run is forgotten, or another comes under its name.
  std::erase_if(locals_, [this](const auto& entry) {
    return entry.second->freed() && !IsNewestLife(*entry.second);
  });
}

}  // namespace weightmesh
