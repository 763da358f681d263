// MeshClient over gRPC's blocking stub.
#include "client/ctl/mesh_client.h"

#include <grpcpp/grpcpp.h>

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

}  // namespace weightmesh::ctl
