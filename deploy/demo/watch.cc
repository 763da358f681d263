// The launcher's gRPC client.
#include "deploy/demo/watch.h"

#include <grpcpp/grpcpp.h>

#include <chrono>

#include "daemon/control/channel.h"
#include "proto/weightmesh/v1/mesh.grpc.pb.h"

namespace weightmesh::demo {
namespace {

constexpr int kAnswerBytesMax = 4 << 20;
constexpr std::chrono::milliseconds kAnswerTimeout{500};

}  // namespace

struct Watch::Daemon {
  explicit Daemon(const std::string& address)
      : stub(v1::MeshService::NewStub(OpenChannel(address, kAnswerBytesMax))) {}

  std::unique_ptr<v1::MeshService::Stub> stub;
  uint64_t last_event = 0;
};

Watch::Watch(const std::vector<std::string>& addresses) {
  for (const std::string& address : addresses) {
    daemons_.push_back(std::make_unique<Daemon>(address));
  }
}

Watch::~Watch() = default;

void Watch::Follow(int node, const std::string& address) {
  daemons_.at(static_cast<size_t>(node)) = std::make_unique<Daemon>(address);
}

std::vector<v1::Event> Watch::NewEvents(int node) {
  Daemon& daemon = *daemons_.at(static_cast<size_t>(node));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kAnswerTimeout);
  v1::ListEventsRequest request;
  request.set_after(daemon.last_event);
  v1::EventList list;
  if (!daemon.stub->ListEvents(&context, request, &list).ok()) return {};
  daemon.last_event = list.last_sequence();
  return {list.events().begin(), list.events().end()};
}

std::vector<std::optional<v1::Stats>> Watch::Poll(const std::string& run_id) {
  struct Call {
    grpc::ClientContext context;
    v1::Stats answer;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::Stats>> reader;
  };
  v1::GetStatsRequest request;
  request.set_run_id(run_id);
  grpc::CompletionQueue queue;
  std::vector<std::unique_ptr<Call>> calls;
  for (const auto& daemon : daemons_) {
    auto call = std::make_unique<Call>();
    call->context.set_deadline(std::chrono::system_clock::now() + kAnswerTimeout);
    call->reader = daemon->stub->AsyncGetStats(&call->context, request, &queue);
    call->reader->Finish(&call->answer, &call->status, call.get());
    calls.push_back(std::move(call));
  }
  void* tag = nullptr;
  bool finished = false;
  for (size_t i = 0; i < calls.size(); ++i) queue.Next(&tag, &finished);
  queue.Shutdown();
  while (queue.Next(&tag, &finished)) {
  }
  std::vector<std::optional<v1::Stats>> answers;
  for (const auto& call : calls) {
    answers.push_back(call->status.ok() ? std::optional(std::move(call->answer)) : std::nullopt);
  }
  return answers;
}

}  // namespace weightmesh::demo
