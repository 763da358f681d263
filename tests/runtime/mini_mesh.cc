// The composition of a daemon, and the calls between them.
#include "tests/runtime/mini_mesh.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>
#include <thread>
#include <utility>
#include <variant>

#include "cuda/host_device.h"
#include "daemon/core/check.h"
#include "daemon/runtime/core_loop.h"
#include "daemon/runtime/data_plane.h"
#include "daemon/runtime/executor.h"
#include "daemon/runtime/trainers.h"

namespace weightmesh {

// One daemon. Its parts live on its executor's thread from Run to Stop.
class MiniNode final : public ActionHandler {
 public:
  // `nodes` are all of the mesh, this one included; the first is everybody's seed.
  MiniNode(uint64_t number, std::string socket, std::unique_ptr<Transport> transport,
           absl::Duration sync_interval, const std::vector<std::unique_ptr<MiniNode>>* nodes)
      : nodes_(nodes), executor_(*Executor::Create()) {
    self_.node_id = NodeId{0, number + 1};
    self_.session = number + 1;
    self_.control_address = Address(number);
    const auto feed = [this](const Event& event) { loop_->Feed(event); };
    data_plane_ = std::make_unique<DataPlane>(
        self_, RemoteTransport{"any", std::move(transport), {}, nullptr}, executor_.get(), feed);
    AttachServerOptions attach_options;
    attach_options.socket_path = std::move(socket);
    trainers_ = std::make_unique<Trainers>(
        attach_options, SchemaLimits{}, ArenaLimit{uint64_t{1} << 30, "the test"}, &device_,
        executor_.get(), data_plane_.get(), feed,
        [](auto&&, auto&&, auto&&, auto done) {
          done(absl::UnimplementedError("no schemas here"));
        },
        [](auto&&, auto done) { done(""); });
    NodeCoreOptions options;
    options.self = self_;
    options.seeds = {Address(0)};
    options.sync_interval = sync_interval;
    options.detection_target = std::max(options.detection_target, 3 * sync_interval);
    loop_ = *CoreLoop::Create(options, trainers_.get(), executor_.get(), this);
    WEIGHTMESH_CHECK(data_plane_->Start().ok() && trainers_->Start().ok(),
                     "the daemon does not start");
  }
  ~MiniNode() override { data_plane_->Stop(); }

  void Run() {
    thread_ = std::thread([this] { executor_->RunUntilStopped(); });
  }
  // Nothing is posted to it or by it afterwards but by its transports, which nobody hears.
  void Stop() {
    executor_->Post([this] { trainers_->Stop(); });
    executor_->Stop();
    thread_.join();
  }

  void Handle(const Action& action) override {
    std::visit([this](const auto& a) { Take(a); }, action);
  }

 private:
  static std::string Address(uint64_t number) { return "mini:" + std::to_string(number + 1); }

  // Calls `work` with the node at `address` on that node's thread.
  void CallAt(const std::string& address, std::function<void(MiniNode*)> work) {
    for (const auto& node : *nodes_) {
      if (node->self_.control_address != address) continue;
      node->executor_->Post([node = node.get(), work = std::move(work)] { work(node); });
      return;
    }
  }
  void PostEvent(Event event) {
    executor_->Post([this, event = std::move(event)] { loop_->Feed(event); });
  }

  template <typename ActionType>
  void Take(const ActionType& action) {
    trainers_->Run(action);
  }
  void Take(const StartPull& action) {
    data_plane_->Pull(
        action.request,
        trainers_->arena(action.attach).InboxSegment(action.buffer, action.request.segment));
  }
  void Take(const CancelPull& action) { data_plane_->Cancel(action.request_id); }
  void Take(const AnswerPull& action) { data_plane_->Answer(action.answer); }
  void Take(const StartSend& action) {
    data_plane_->Send(
        action.answer,
        trainers_->arena(action.attach).SlotSegment(action.slot, action.answer.segment),
        action.send_id);
  }
  void Take(const CutLink& action) { data_plane_->Cut(action.node); }
  void Take(const KeepMembers&) {}
  void Take(const Drained&) {}
  void Take(const EndDaemon&) {}
  void Take(const ForgetNode&) {}
  void Take(const Log&) {}
  void Take(const Sync& action) {
    CallAt(action.address,
           [this, message = loop_->core().MakeSync(), address = action.address](MiniNode* peer) {
             peer->loop_->Feed(SyncReceived{message});
             PostEvent(SyncAnswered{address, peer->loop_->core().MakeSync(&message)});
           });
  }
  void Take(const Probe& action) {
    CallAt(action.address, [this](MiniNode* peer) {
      PostEvent(ProbeAnswered{peer->self_.node_id, peer->self_.session});
    });
  }
  void Take(const Gossip& action) {
    CallAt(action.address, [this, action](MiniNode* peer) {
      const swim::CallId call{++peer->last_call_};
      peer->gossip_[call] = [this, action](const AnswerGossip& answer) {
        if (!answer.answer.ok()) {
          return PostEvent(GossipFailed{action.address, action.probe,
                                        std::string(answer.answer.status().message())});
        }
        PostEvent(GossipAnswered{action.address, action.probe, *answer.answer});
      };
      peer->loop_->Feed(GossipReceived{call, action.message});
    });
  }
  void Take(const AnswerGossip& action) { gossip_.extract(action.call).mapped()(action); }
  // Nobody here is ever so silent that others are asked to probe it.
  void Take(const swim::IndirectProbe& action) { PostEvent(IndirectProbeFailed{action.id}); }
  void Take(const swim::AnswerIndirectProbe&) {}
  void Take(const Connect& action) {
    CallAt(action.address, [this, offer = data_plane_->OfferTo(action.node)](MiniNode* peer) {
      WEIGHTMESH_CHECK(peer->data_plane_->Link(offer).ok(), "no link");
      peer->loop_->Feed(LinkOffered{offer.self});
      executor_->Post([this, theirs = peer->data_plane_->OfferTo(offer.self.node_id)] {
        WEIGHTMESH_CHECK(data_plane_->Link(theirs).ok(), "no link");
        loop_->Feed(LinkReady{theirs.self.node_id, theirs.self.session});
      });
    });
  }

  const std::vector<std::unique_ptr<MiniNode>>* const nodes_;
  NodeInfo self_;
  HostDevice device_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<DataPlane> data_plane_;
  std::unique_ptr<Trainers> trainers_;
  std::unique_ptr<CoreLoop> loop_;
  std::map<swim::CallId, std::function<void(const AnswerGossip&)>> gossip_;  // being answered
  uint64_t last_call_ = 0;
  std::thread thread_;
};

MiniMesh::MiniMesh(int daemons, const std::vector<FaultOptions>& faults) {
  for (int k = 0; k < daemons; ++k) {
    const bool faulty = static_cast<size_t>(k) < faults.size();
    auto transport = std::make_unique<FaultTransport>(std::make_unique<LoopbackTransport>(hub_),
                                                      faulty ? faults[k] : FaultOptions{});
    faults_.push_back(transport.get());
    nodes_.push_back(std::make_unique<MiniNode>(k, socket(k), std::move(transport),
                                                absl::Milliseconds(50), &nodes_));
  }
  Run();
}

MiniMesh::MiniMesh(int daemons, absl::Duration sync_interval,
                   const std::function<std::unique_ptr<Transport>()>& make_transport) {
  for (int k = 0; k < daemons; ++k) {
    nodes_.push_back(
        std::make_unique<MiniNode>(k, socket(k), make_transport(), sync_interval, &nodes_));
  }
  Run();
}

void MiniMesh::Run() {
  // Made here, as main() does, before there are threads: spdlog's library is not instrumented, and
  // ThreadSanitizer cannot see that it makes its registry once.
  spdlog::default_logger_raw();
  for (const auto& node : nodes_) node->Run();
}

MiniMesh::~MiniMesh() {
  for (const auto& node : nodes_) node->Stop();
}

std::string MiniMesh::socket(int k) const { return folder_ / ("attach-" + std::to_string(k)); }

FaultCounts MiniMesh::faults(int k) const { return faults_[k]->counts(); }

}  // namespace weightmesh
