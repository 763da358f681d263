// Start and stop in order; the core's actions to the parts that run them.
#include "daemon/runtime/node.h"

#include <spdlog/spdlog.h>

#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "cuda/host_device.h"
#include "daemon/control/peer_client.h"
#include "daemon/control/server.h"
#include "daemon/runtime/blob_fetch.h"
#include "daemon/runtime/core_loop.h"
#include "daemon/runtime/fault_config.h"
#include "daemon/runtime/node_service.h"
#include "daemon/runtime/random.h"
#include "daemon/runtime/seed_resolver.h"
#include "daemon/runtime/trainers.h"

namespace weightmesh {
namespace {

// How long calls under way may take when the daemon stops.
constexpr absl::Duration kShutdownGrace = absl::Milliseconds(500);

SchemaLimits SchemaLimitsOf(const v1::Limits& limits) {
  SchemaLimits schema_limits;
  schema_limits.segments_max = limits.segments_max();
  return schema_limits;
}

ArenaLimit ArenaLimitOf(const v1::Limits& limits) {
  if (limits.arena_bytes_max() == 0) return DefaultArenaLimit();
  return ArenaLimit{limits.arena_bytes_max(), "limits.arena_bytes_max"};
}

ServerOptions ServerOptionsOf(const v1::Limits& limits) {
  ServerOptions options;
  options.watches.watchers_max = limits.watchers_max();
  return options;
}

std::vector<std::string> SeedsOf(const v1::DaemonConfig& config, bool named) {
  std::vector<std::string> seeds;
  for (const std::string& seed : config.seeds()) {
    if (IsNamedSeed(seed) == named) seeds.push_back(seed);
  }
  return seeds;
}

NodeCoreOptions CoreOptions(const v1::DaemonConfig& config, const NodeInfo& self) {
  NodeCoreOptions options;
  options.self = self;
  options.seeds = SeedsOf(config, /*named=*/false);
  options.sync_interval = absl::Milliseconds(config.membership().sync_interval_ms());
  options.detection_target = absl::Milliseconds(config.membership().detection_target_ms());
  options.runs_max = config.limits().runs_max();
  options.replicas_max = config.limits().replicas_max();
  options.segments_max = config.limits().segments_max();
  options.nodes_max = config.limits().nodes_max();
  options.sends_per_peer_max = config.limits().sends_per_peer_max();
  return options;
}

}  // namespace

class Node::Impl final : public ActionHandler {
 public:
  explicit Impl(NodeOptions options) : config_(std::move(options.config)) {
    self_.node_id = options.node_id;
    self_.session = RandomBits();
    self_.version = std::move(options.version);
    transport_ = std::move(options.transport);
    faults_ = transport_.faults;
    last_members_ = std::move(options.last_members);
    on_members_ = std::move(options.on_members);
    on_end_ = std::move(options.on_end);
  }
  ~Impl() override { Stop(); }

  // Called once.
  absl::Status Start();
  void Drain(absl::Duration deadline, std::function<void()> done) {
    const bool posted = executor_->Post([this, deadline, done] {
      on_drained_ = done;
      Feed(DrainRequested{deadline, /*leaves_mesh=*/true});
    });
    if (!posted) done();  // more waits than the core can take: there is nothing to be saved
  }
  void Stop();
  const std::string& address() const { return server_->address(); }

  void Handle(const Action& action) override {
    std::visit([this](const auto& a) { Run(a); }, action);
  }

 private:
  // Actions on trainers.
  template <typename ActionType>
  void Run(const ActionType& action) {
    trainers_->Run(action);
  }
  // Actions on the data plane.
  void Run(const StartPull& action);
  void Run(const CancelPull& action) { data_plane_->Cancel(action.request_id); }
  void Run(const AnswerPull& action) { data_plane_->Answer(action.answer); }
  void Run(const StartSend& action);
  void Run(const CutLink& action) { data_plane_->Cut(action.node); }
  void Run(const ForgetNode& action);
  // Actions on the control plane.
  void Run(const Sync& action);
  void Run(const Probe& action);
  void Run(const Gossip& action);
  void Run(const AnswerGossip& action) { service_->Answer(action); }
  void Run(const swim::IndirectProbe& action);
  void Run(const swim::AnswerIndirectProbe& action) { service_->Answer(action); }
  void Run(const Connect& action);
  // The daemon itself.
  void Run(const KeepMembers& action) {
    if (on_members_) on_members_(action.members);
  }
  void Run(const Drained&) {
    if (on_drained_) std::exchange(on_drained_, nullptr)();
  }
  void Run(const EndDaemon& action) {
    if (on_end_) on_end_(action.reason);
  }
  void Run(const Log& action);

  void FindSeeds();
  void AskForSchema(const std::string& address, SchemaQuery query, absl::Duration timeout,
                    std::function<void(absl::StatusOr<SchemaPart>)> done);

  void AskForBlob(const std::string& run_id, std::function<void(std::string)> done);

  void Feed(const Event& event) { loop_->Feed(event); }
  // Feeds `event` on the core's thread, unless the node is stopping.
  void PostEvent(Event event) {
    executor_->Post([this, event = std::move(event)] { Feed(event); });
  }

  const v1::DaemonConfig config_;
  NodeInfo self_;
  RemoteTransport transport_;
  const FaultTransport* faults_ = nullptr;  // data_plane_'s
  std::vector<LastMember> last_members_;
  std::function<void(std::vector<LastMember>)> on_members_;
  std::function<void(std::string)> on_end_;
  std::function<void()> on_drained_;  // of Drain; on the core's thread
  HostDevice device_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<DataPlane> data_plane_;
  std::unique_ptr<Trainers> trainers_;
  std::unique_ptr<CoreLoop> loop_;
  std::unique_ptr<NodeService> service_;
  std::unique_ptr<ControlServer> server_;
  std::unique_ptr<PeerClient> peers_;
  std::unique_ptr<SeedResolver> seeds_;  // where there are seeds to be looked up
  std::thread core_thread_;
  bool stopped_ = false;
};

absl::Status Node::Impl::Start() {
  absl::StatusOr<std::unique_ptr<Executor>> executor = Executor::Create();
  if (!executor.ok()) return executor.status();
  executor_ = *std::move(executor);
  const auto feed = [this](const Event& event) { Feed(event); };
  service_ = std::make_unique<NodeService>(config_, self_.version, executor_.get());
  data_plane_ = std::make_unique<DataPlane>(self_, std::move(transport_), executor_.get(), feed);
  if (absl::Status started = data_plane_->Start(); !started.ok()) return started;

  absl::StatusOr<std::unique_ptr<ControlServer>> server = ControlServer::Start(
      config_.listen_address(), service_.get(), service_.get(), ServerOptionsOf(config_.limits()));
  if (!server.ok()) return server.status();
  server_ = *std::move(server);
  self_.control_address =
      config_.advertise_address().empty() ? server_->address() : config_.advertise_address();
  data_plane_->set_self(self_);

  AttachServerOptions attach_options;
  attach_options.socket_path = config_.attach_socket();
  if (!config_.attach_group().empty()) {
    absl::StatusOr<AttachGroup> group = FindAttachGroup(config_.attach_group());
    if (!group.ok()) return group.status();
    attach_options.group = *std::move(group);
  }
  trainers_ = std::make_unique<Trainers>(
      attach_options, SchemaLimitsOf(config_.limits()), ArenaLimitOf(config_.limits()), &device_,
      executor_.get(), data_plane_.get(), feed, [this](auto&&... asked) { AskForSchema(asked...); },
      [this](auto&&... asked) { AskForBlob(asked...); });
  peers_ = std::make_unique<PeerClient>(PeerClientOptions{});
  NodeCoreOptions core_options = CoreOptions(config_, self_);
  core_options.last_members = std::move(last_members_);
  absl::StatusOr<std::unique_ptr<CoreLoop>> loop =
      CoreLoop::Create(std::move(core_options), trainers_.get(), executor_.get(), this);
  if (!loop.ok()) return loop.status();
  loop_ = *std::move(loop);
  service_->Serve(loop_.get(), data_plane_.get(), trainers_.get());
  if (absl::Status listening = trainers_->Start(); !listening.ok()) return listening;

  core_thread_ = std::thread([this] { executor_->RunUntilStopped(); });
  FindSeeds();
  server_->SetServing(true);
  return absl::OkStatus();
}

void Node::Impl::FindSeeds() {
  SeedResolverOptions options;
  options.seeds = SeedsOf(config_, /*named=*/true);
  if (options.seeds.empty()) return;
  seeds_ = std::make_unique<SeedResolver>(
      std::move(options),
      [this](std::vector<std::string> found) { PostEvent(SeedsFound{std::move(found)}); });
}

// The world is cut off first, from the outside in: no callback outlives what it calls.
void Node::Impl::Stop() {
  if (std::exchange(stopped_, true)) return;
  if (executor_ != nullptr && !core_thread_.joinable()) {
    executor_->Stop();  // the start failed: what was asked meanwhile is refused here
    executor_->RunUntilStopped();
  }
  seeds_.reset();
  if (server_ != nullptr) {
    server_->SetServing(false);
    server_->Shutdown(kShutdownGrace);
  }
  if (core_thread_.joinable()) {
    executor_->Post([this] { trainers_->Stop(); });
    executor_->Stop();
    core_thread_.join();
  }
  peers_.reset();  // after the core, which asks it; what it still answers is not posted any more
  if (trainers_ != nullptr) trainers_->Stop();
  if (data_plane_ != nullptr) data_plane_->Stop();
  if (faults_ != nullptr) spdlog::warn("faults injected: {}", DescribeFaults(faults_->counts()));
}

void Node::Impl::Run(const StartPull& action) {
  data_plane_->Pull(
      action.request,
      trainers_->arena(action.attach).InboxSegment(action.buffer, action.request.segment));
}

void Node::Impl::Run(const StartSend& action) {
  data_plane_->Send(action.answer,
                    trainers_->arena(action.attach).SlotSegment(action.slot, action.answer.segment),
                    action.send_id);
}

void Node::Impl::Run(const ForgetNode& action) {
  data_plane_->Forget(action.node);
  peers_->Forget(action.address);
}

void Node::Impl::Run(const Sync& action) {
  peers_->Sync(action.address, loop_->core().MakeSync(), action.timeout,
               [this, address = action.address](absl::StatusOr<SyncMessage> answer) {
                 if (answer.ok()) {
                   PostEvent(SyncAnswered{address, *std::move(answer)});
                 } else if (absl::IsAlreadyExists(answer.status())) {
                   PostEvent(SyncRefused{address, std::string(answer.status().message())});
                 } else {
                   PostEvent(SyncFailed{address, std::string(answer.status().message())});
                 }
               });
}

void Node::Impl::AskForSchema(const std::string& address, SchemaQuery query, absl::Duration timeout,
                              std::function<void(absl::StatusOr<SchemaPart>)> done) {
  query.self = self_;
  peers_->GetSchema(address, query, timeout,
                    [this, done = std::move(done)](absl::StatusOr<SchemaPart> part) {
                      executor_->Post([done, part = std::move(part)] { done(part); });
                    });
}

void Node::Impl::AskForBlob(const std::string& run_id, std::function<void(std::string)> done) {
  BlobFetchOptions options;
  options.addresses = BlobHosts(loop_->core().Topology(Executor::Now(), run_id), run_id);
  options.ask = [this, run_id](const std::string& address, absl::Duration timeout,
                               std::function<void(absl::StatusOr<std::string>)> answered) {
    peers_->GetBlob(address, self_, run_id, timeout,
                    [this, answered = std::move(answered)](absl::StatusOr<std::string> blob) {
                      executor_->Post([answered, blob = std::move(blob)] { answered(blob); });
                    });
  };
  FetchBlob(std::move(options), std::move(done));
}

void Node::Impl::Run(const Probe& action) {
  peers_->Probe(
      action.address, self_, action.timeout,
      [this, node = action.node](absl::StatusOr<NodeInfo> answer) {
        if (answer.ok() && answer->node_id == node) {
          PostEvent(ProbeAnswered{node, answer->session});
        } else {
          PostEvent(ProbeFailed{node, answer.ok() ? "another daemon answers at its address"
                                                  : std::string(answer.status().message())});
        }
      });
}

void Node::Impl::Run(const Gossip& action) {
  peers_->Gossip(
      action.address, action.message, action.timeout,
      [this, address = action.address, probe = action.probe](absl::StatusOr<swim::Message> answer) {
        if (answer.ok()) return PostEvent(GossipAnswered{address, probe, *answer});
        PostEvent(GossipFailed{address, probe, std::string(answer.status().message()),
                               absl::IsAlreadyExists(answer.status())});
      });
}

void Node::Impl::Run(const swim::IndirectProbe& action) {
  peers_->IndirectProbe(action.via_address,
                        IndirectProbeQuery{action.message, action.target, action.timeout},
                        [this, probe = action.id](absl::StatusOr<IndirectProbeResult> result) {
                          if (!result.ok()) return PostEvent(IndirectProbeFailed{probe});
                          PostEvent(IndirectProbeAnswered{probe, result->ack, result->message});
                        });
}

void Node::Impl::Run(const Connect& action) {
  const auto linked = [this, node = action.node](absl::StatusOr<LinkOffer> offer) {
    executor_->Post([this, node, offer = std::move(offer)] {
      absl::Status done = offer.status();
      if (done.ok() && offer->self.node_id != node) {
        done = absl::FailedPreconditionError("another daemon answers at its address");
      }
      if (done.ok()) done = data_plane_->Link(*offer);
      if (done.ok()) {
        Feed(LinkReady{node, offer->self.session});
      } else {
        Feed(LinkFailed{node, std::string(done.message())});
      }
    });
  };
  peers_->Connect(action.address, data_plane_->OfferTo(action.node), action.timeout, linked);
}

void Node::Impl::Run(const Log& action) {
  if (action.level != LogLevel::kDebug) {
    service_->journal().Add(absl::Now(), action.level == LogLevel::kWarning, action.text);
  }
  switch (action.level) {
    case LogLevel::kDebug:
      return spdlog::debug("{}", action.text);
    case LogLevel::kInfo:
      return spdlog::info("{}", action.text);
    case LogLevel::kWarning:
      return spdlog::warn("{}", action.text);
  }
}

absl::StatusOr<std::unique_ptr<Node>> Node::Start(NodeOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  if (absl::Status started = impl->Start(); !started.ok()) return started;
  return std::unique_ptr<Node>(new Node(std::move(impl)));
}

Node::Node(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Node::~Node() = default;
const std::string& Node::address() const { return impl_->address(); }
void Node::Drain(absl::Duration deadline, std::function<void()> done) {
  impl_->Drain(deadline, std::move(done));
}
void Node::Stop() { impl_->Stop(); }

}  // namespace weightmesh
