// UcxDataThread: its life, its loop, and the commands of the core.
#include "daemon/transport/ucx/data_thread.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "daemon/core/check.h"
#include "daemon/transport/ucx/network_device.h"
#include "daemon/transport/ucx/tcp_guard.h"

namespace weightmesh {
namespace {

// Calls of progress before commands and endpoints get a look.
constexpr int kProgressBurst = 64;
// A lost wake-up costs at most this.
constexpr int kSleepMax_ms = 100;
// How long Stop lets UCX complete what was cut off; it takes microseconds unless UCX is broken, and
// then destroying the worker ends it.
constexpr std::chrono::seconds kStopPatience{5};

}  // namespace

UcxDataThread::UcxDataThread(std::unique_ptr<UcxWorker> worker, const UcxOptions& options)
    : options_(options),
      commands_(options.answers_max),
      worker_(std::move(worker)),
      endpoints_(worker_.get(), options.endpoints_max),
      pulls_(options.pulls_max),
      sends_(options.sends_max),
      frames_(options.frames_max) {
  // Twice the room: a table this full never grows again, whatever is erased and inserted.
  pulls_by_id_.reserve(2 * options.pulls_max);
  path_facts_.rdma_devices = RdmaDevices();
  path_facts_.network_devices = worker_->setting("UCX_NET_DEVICES");
  path_facts_.transports = worker_->setting("UCX_TLS");
  path_facts_.ucx_version = worker_->version();
}

UcxDataThread::~UcxDataThread() {
  WEIGHTMESH_CHECK(!thread_.joinable(), "a data thread was destroyed while it ran");
}

void UcxDataThread::Start(TransportSink* sink) {
  sink_ = sink;
  SetHandlers();
  thread_ = std::thread([this] { Run(); });
}

void UcxDataThread::Join() {
  Post(StopCommand{});
  thread_.join();
}

void UcxDataThread::Post(Command command) {
  // An answer that does not fit is lost, as it could be on a network: its reader has a deadline.
  if (commands_.Post(std::move(command)) == CommandQueue::Posted::kQueuedAndAsleep) {
    worker_->Wake();
  }
}

void UcxDataThread::Run() {
  GuardTcp(worker_->tcp_receive_segment());
  while (!stopping_) {
    sink_->OnBatchBegan();
    bool moved = HandleCommands();
    for (int i = 0; i < kProgressBurst && worker_->Progress(); ++i) moved = true;
    if (CareForEndpoints()) moved = true;
    sink_->OnBatchEnded();
    if (moved || !commands_.FallAsleep()) continue;
    worker_->Sleep(kSleepMax_ms);
    commands_.Awake();
  }
  CloseDown();
}

bool UcxDataThread::HandleCommands() {
  commands_.Take(&batch_);
  for (const Command& command : batch_) {
    std::visit([this](const auto& specific) { On(specific); }, command);
  }
  const bool any = !batch_.empty();
  batch_.clear();
  return any;
}

// On the thread of Start, before the data thread runs.
void UcxDataThread::SetHandlers() {
  // Every id gets a handler, from the highest down, so that an unknown one is refused like any
  // other bad frame: UCX 1.13 reads beyond its table for an id above the highest that it knows, and
  // calls what happens to be in memory for an unset one below.
  for (size_t i = 0; i < handlers_.size(); ++i) {
    handlers_[i] = {this, static_cast<wire::FrameType>(i)};
  }
  for (unsigned id = UINT16_MAX + 1; id-- > 0;) {
    ucp_am_handler_param_t params{};
    params.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_FLAGS |
                        UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG;
    params.id = id;
    params.flags = UCP_AM_FLAG_WHOLE_MSG;
    params.cb = OnFrame;
    params.arg = &handlers_[id < handlers_.size() ? id : 0];
    WEIGHTMESH_CHECK(ucp_worker_set_am_recv_handler(worker_->handle(), &params) == UCS_OK,
                     "UCX refuses an active message handler");
  }
}

void UcxDataThread::CloseDown() {
  const auto patience = std::chrono::steady_clock::now() + kStopPatience;
  while (endpoints_.size() > 0 && std::chrono::steady_clock::now() < patience) {
    worker_->Progress();
    CareForEndpoints();
  }
  worker_->CloseWorker();  // from here on nothing lands and nothing is read
  std::vector<PullSlot*> pulls;
  for (const auto& [id, pull] : pulls_by_id_) pulls.push_back(pull);
  for (PullSlot* pull : pulls) EndPull(pull, PullEnd::kFailed);
  for (SendSlot& send : sends_.slots()) {
    if (send.open) EndSend(&send, false);
  }
  HandleCommands();
  memory_.Drain([this](Registration registration) { worker_->Unmap(registration.handle); });
}

void UcxDataThread::On(const StopCommand&) {
  stopping_ = true;
  for (auto& [node, link] : links_) CutOff(&link);
  links_.clear();
  endpoints_.CloseAllNow();
}

void UcxDataThread::On(const ConnectCommand& command) {
  if (stopping_) return;
  const NodeId node = command.link.node;
  const auto former = links_.find(node);
  if (former != links_.end()) {
    CutOff(&former->second);
    draining_ -= former->second.draining ? 1 : 0;
    links_.erase(former);
  }
  Link& link = links_[node];
  link.peer = command.link;
  link.serial = command.serial;
  ReportPath(link, "not used yet");
}

void UcxDataThread::On(const DisconnectCommand& command) {
  const auto found = links_.find(command.node);
  if (found == links_.end()) return;
  Link& link = found->second;
  ForgetPath(command.node);
  if (!command.force) {
    if (!link.draining) ++draining_;
    link.draining = true;
    return;
  }
  CutOff(&link);
  draining_ -= link.draining ? 1 : 0;
  links_.erase(found);
  newest_connections_.erase(command.node);
}

void UcxDataThread::On(const PullCommand& command) {
  const RequestId id = command.request.request_id;
  Link* link = FindLink(command.request.peer);
  const Registration* memory = memory_.Find(command.landing);
  if (link == nullptr || memory == nullptr) {
    sink_->OnPullEnded(id, PullEnd::kFailed);
    return;
  }
  const absl::StatusOr<UcxEndpoint*> endpoint = EndpointOf(link);
  if (!endpoint.ok()) {
    const bool no_room = absl::IsResourceExhausted(endpoint.status());
    sink_->OnPullEnded(id, no_room ? PullEnd::kNoRoom : PullEnd::kFailed);
    return;
  }
  PullSlot* pull = pulls_.Acquire();
  if (pull == nullptr) {
    sink_->OnPullEnded(id, PullEnd::kNoRoom);
    return;
  }
  *pull = {this, command.request, *endpoint, command.landing, *memory, false, 0};
  WEIGHTMESH_CHECK(pulls_by_id_.emplace(id, pull).second, "a request id was used twice");
  ++pull->endpoint->open_transfers;
  SendRequest(*link, pull);
}

void UcxDataThread::On(const CancelCommand& command) {
  const auto found = pulls_by_id_.find(command.request_id);
  // Data under way may land; OnReceived ends that pull.
  if (found == pulls_by_id_.end() || found->second->receiving) return;
  SendCancel(*found->second);
  EndPull(found->second, PullEnd::kCancelled);
}

void UcxDataThread::On(const AnswerCommand& command) {
  Link* link = FindLink(command.answer.peer);
  if (link == nullptr) return;
  const absl::StatusOr<UcxEndpoint*> endpoint = EndpointOf(link);
  if (endpoint.ok()) SendAnswer(*link, *endpoint, command.answer);
}

void UcxDataThread::On(const SendCommand& command) {
  Link* link = FindLink(command.answer.peer);
  const Registration* memory = memory_.Find(command.data);
  UcxEndpoint* endpoint =
      link == nullptr || memory == nullptr ? nullptr : EndpointOf(link).value_or(nullptr);
  SendSlot* send = endpoint == nullptr ? nullptr : sends_.Acquire();
  if (send == nullptr) {
    sink_->OnSendEnded(command.send_id, false);
    return;
  }
  send->owner = this;
  send->id = command.send_id;
  send->endpoint = endpoint;
  send->open = true;
  ++endpoint->open_transfers;
  SendData(*link, send, command, *memory);
}

void UcxDataThread::On(const RegisterCommand& command) {
  if (stopping_) {
    command.done->set_value(absl::UnavailableError("the transport has stopped"));
    return;
  }
  const absl::StatusOr<ucp_mem_h> handle = worker_->Map(command.memory, command.kind);
  if (!handle.ok()) {
    command.done->set_value(handle.status());
  } else if (memory_.Add(command.memory, {*handle, command.kind})) {
    command.done->set_value(absl::OkStatus());
  } else {
    worker_->Unmap(*handle);
    command.done->set_value(
        absl::InvalidArgumentError("memory is empty, or overlaps memory registered before"));
  }
}

void UcxDataThread::On(const UnregisterCommand& command) {
  Registration registration{};
  const bool found = memory_.Remove(command.memory, &registration);
  if (found) worker_->Unmap(registration.handle);
  command.done->set_value(found ? absl::OkStatus()
                                : absl::NotFoundError("memory was not registered"));
}

std::vector<PathReport> UcxDataThread::Paths() const {
  MutexLock lock(&paths_mutex_);
  std::vector<PathReport> paths;
  for (const auto& [node, path] : paths_) paths.push_back(path);
  return paths;
}

}  // namespace weightmesh
