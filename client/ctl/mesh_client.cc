// MeshClient over gRPC's blocking stub.
#include "client/ctl/mesh_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/control/address.h"
#include "daemon/control/channel.h"
#include "daemon/core/clean_text.h"
#include "proto/weightmesh/v1/mesh.grpc.pb.h"

namespace weightmesh::ctl {
namespace {

constexpr int kAnswerBytesMax = 256 * 1024 * 1024;
constexpr size_t kReasonBytesMax = 1024;
constexpr std::chrono::milliseconds kGoOnInterval(50);

// What gRPC does for a stream, one thing at a time, each waited for.
class OneAtATime {
 public:
  explicit OneAtATime(MeshClient::GoOn go_on) : go_on_(std::move(go_on)) {}
  // Everything that began must have ended.
  ~OneAtATime() {
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  grpc::CompletionQueue* queue() { return &queue_; }

  enum class End { kGood, kFailed, kTooLate, kStopped };
  // Of what was begun last; not waited for any longer after `deadline` or when it is not to go on.
  End Wait(std::chrono::system_clock::time_point deadline) {
    void* tag;
    bool ok;
    while (true) {
      const auto now = std::chrono::system_clock::now();
      switch (queue_.AsyncNext(&tag, &ok, std::min(deadline, now + kGoOnInterval))) {
        case grpc::CompletionQueue::GOT_EVENT:
          return ok ? End::kGood : End::kFailed;
        case grpc::CompletionQueue::SHUTDOWN:
          return End::kFailed;
        case grpc::CompletionQueue::TIMEOUT:
          break;
      }
      if (!go_on_()) return End::kStopped;
      if (std::chrono::system_clock::now() >= deadline) return End::kTooLate;
    }
  }

 private:
  const MeshClient::GoOn go_on_;
  grpc::CompletionQueue queue_;
};

}  // namespace

class MeshClient::Impl {
 public:
  Impl(const std::string& address, absl::Duration timeout)
      : address_(address),
        timeout_(timeout),
        stub_(v1::MeshService::NewStub(OpenChannel(address, kAnswerBytesMax))) {}

  template <typename Request, typename Response>
  absl::StatusOr<Response> Ask(grpc::Status (v1::MeshService::Stub::*method)(grpc::ClientContext*,
                                                                             const Request&,
                                                                             Response*),
                               const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(timeout_));
    Response response;
    const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
    if (status.ok()) return response;
    return Explain(status);
  }

  template <typename Request, typename Event>
  absl::Status Watch(std::unique_ptr<grpc::ClientAsyncReader<Event>> (
                         v1::MeshService::Stub::*prepare)(grpc::ClientContext*, const Request&,
                                                          grpc::CompletionQueue*),
                     const Request& request, const OnEvent<Event>& on_event, const GoOn& go_on) {
    using End = OneAtATime::End;
    grpc::ClientContext context;
    Event event;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncReader<Event>> reader;
    OneAtATime calls(go_on);  // ends before what it writes to
    auto deadline = std::chrono::system_clock::now() + absl::ToChronoMicroseconds(timeout_);
    reader = (stub_.get()->*prepare)(&context, request, calls.queue());
    reader->StartCall(nullptr);
    End end = calls.Wait(deadline);
    while (end == End::kGood) {
      reader->Read(&event, nullptr);
      end = calls.Wait(deadline);
      if (end == End::kGood && !on_event(event)) end = End::kStopped;
      deadline = std::chrono::system_clock::time_point::max();
    }
    if (end != End::kFailed) {
      context.TryCancel();
      return end == End::kStopped ? absl::OkStatus()
                                  : Explain(grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, ""));
    }
    reader->Finish(&status, nullptr);
    if (calls.Wait(deadline) == End::kStopped) {
      context.TryCancel();
      return absl::OkStatus();
    }
    return Explain(status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "it ended the watch")
                               : status);
  }

 private:
  absl::Status Explain(const grpc::Status& status) const {
    const std::string said = CleanText(status.error_message(), kReasonBytesMax);
    const auto code = static_cast<absl::StatusCode>(status.error_code());
    switch (code) {
      case absl::StatusCode::kUnavailable:
        return absl::Status(
            code, absl::StrCat("no weightmeshd answers at ", address_, " (", said,
                               "); start it, or name another with --daemon HOST:PORT or the "
                               "environment variable WEIGHTMESH_DAEMON"));
      case absl::StatusCode::kDeadlineExceeded:
        return absl::Status(code, absl::StrCat("weightmeshd at ", address_, " did not answer in ",
                                               absl::FormatDuration(timeout_),
                                               "; give it longer with --timeout-ms"));
      case absl::StatusCode::kUnimplemented:
        return absl::Status(code, absl::StrCat("what answers at ", address_,
                                               " does not know this question: it is no "
                                               "weightmeshd, or one of another release"));
      default:
        return absl::Status(code, absl::StrCat("weightmeshd at ", address_, ": ", said));
    }
  }

  const std::string address_;
  const absl::Duration timeout_;
  const std::unique_ptr<v1::MeshService::Stub> stub_;
};

absl::StatusOr<MeshClient> MeshClient::Create(const std::string& address, absl::Duration timeout) {
  if (absl::StatusOr<HostPort> parsed = ParseHostPort(address); !parsed.ok()) {
    return parsed.status();
  }
  return MeshClient(std::make_unique<Impl>(address, timeout));
}

MeshClient::MeshClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MeshClient::~MeshClient() = default;
MeshClient::MeshClient(MeshClient&&) noexcept = default;
MeshClient& MeshClient::operator=(MeshClient&&) noexcept = default;

absl::StatusOr<v1::Topology> MeshClient::GetTopology(const v1::GetTopologyRequest& request) {
  return impl_->Ask(&v1::MeshService::Stub::GetTopology, request);
}

absl::StatusOr<v1::Stats> MeshClient::GetStats(const v1::GetStatsRequest& request) {
  return impl_->Ask(&v1::MeshService::Stub::GetStats, request);
}

absl::StatusOr<v1::ScheduleTable> MeshClient::GetSchedule(const v1::GetScheduleRequest& request) {
  return impl_->Ask(&v1::MeshService::Stub::GetSchedule, request);
}

absl::StatusOr<v1::EffectiveConfig> MeshClient::GetConfig() {
  return impl_->Ask(&v1::MeshService::Stub::GetConfig, v1::GetConfigRequest());
}

absl::StatusOr<v1::RunList> MeshClient::ListRuns() {
  return impl_->Ask(&v1::MeshService::Stub::ListRuns, v1::ListRunsRequest());
}

absl::StatusOr<v1::LinkList> MeshClient::ListLinks() {
  return impl_->Ask(&v1::MeshService::Stub::ListLinks, v1::ListLinksRequest());
}

absl::StatusOr<v1::EventList> MeshClient::ListEvents(const v1::ListEventsRequest& request) {
  return impl_->Ask(&v1::MeshService::Stub::ListEvents, request);
}

absl::StatusOr<v1::DrainReply> MeshClient::Drain(const v1::DrainRequest& request) {
  return impl_->Ask(&v1::MeshService::Stub::Drain, request);
}

absl::Status MeshClient::WatchTopology(const v1::WatchTopologyRequest& request,
                                       const OnEvent<v1::TopologyEvent>& on_event,
                                       const GoOn& go_on) {
  return impl_->Watch(&v1::MeshService::Stub::PrepareAsyncWatchTopology, request, on_event, go_on);
}

absl::Status MeshClient::WatchStats(const v1::WatchStatsRequest& request,
                                    const OnEvent<v1::StatsEvent>& on_event, const GoOn& go_on) {
  return impl_->Watch(&v1::MeshService::Stub::PrepareAsyncWatchStats, request, on_event, go_on);
}

}  // namespace weightmesh::ctl
