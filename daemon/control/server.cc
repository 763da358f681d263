// The daemon's gRPC port.
#include "daemon/control/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/control/address.h"
#include "daemon/control/bind_failure.h"
#include "daemon/control/channel.h"
#include "daemon/control/mesh_service.h"
#include "daemon/control/message_limits.h"
#include "daemon/control/peer_service.h"
#include "daemon/control/watches.h"
#include "proto/weightmesh/v1/mesh.grpc.pb.h"
#include "proto/weightmesh/v1/peer.grpc.pb.h"

namespace weightmesh {
namespace {

// Peers' keepalive pings (channel.cc) must not count as an attack.
constexpr int kPingIntervalMinMs = 1000;

void Bound(const ServerOptions& options, grpc::ServerBuilder* builder) {
  grpc::ResourceQuota quota("weightmeshd");
  quota.SetMaxThreads(kGrpcThreadsMax);
  builder->SetResourceQuota(quota);
  builder->SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder->SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder->SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
  builder->SetMaxReceiveMessageSize(kControlMessageBytesMax);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kCallsPerConnectionMax);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                              kPingIntervalMinMs);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS,
                              static_cast<int>(absl::ToInt64Milliseconds(options.ping_interval)));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                              static_cast<int>(absl::ToInt64Milliseconds(options.ping_timeout)));
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // no limit
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a second daemon must not share it
}

}  // namespace

class ControlServer::Impl {
 public:
  Impl(MeshSource* source, PeerHandler* handler, const ServerOptions& options)
      : options_(options),
        watches_(source, options.watches),
        mesh_(MakeMeshService(source, &watches_)),
        peer_(MakePeerService(handler)) {}

  absl::Status Listen(const HostPort& listen) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    Bound(options_, &builder);
    int port = 0;
    builder.AddListeningPort(FormatHostPort(listen), PortCredentials(), &port);
    builder.RegisterService(peer_.get());
    builder.RegisterService(mesh_.get());
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port == 0) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", FormatHostPort(listen), ": ",
                                                 DescribeBindFailure(listen)));
    }
    address_ = FormatHostPort(HostPort{listen.host, static_cast<uint16_t>(port)});
    SetServing(false);
    return absl::OkStatus();
  }

  void SetServing(bool serving) {
    grpc::HealthCheckServiceInterface* const health = server_->GetHealthCheckService();
    health->SetServingStatus(v1::PeerService::service_full_name(), serving);
    health->SetServingStatus(v1::MeshService::service_full_name(), serving);
    health->SetServingStatus(serving);  // of those, and of the whole
  }

  void Shutdown(absl::Duration grace) {
    if (std::exchange(down_, true) || server_ == nullptr) return;
    server_->GetHealthCheckService()->Shutdown();  // NOT_SERVING from here on
    watches_.End();
    server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(grace));
    server_->Wait();
  }

  const std::string& address() const { return address_; }

 private:
  const ServerOptions options_;
  Watches watches_;
  const std::unique_ptr<grpc::Service> mesh_;
  const std::unique_ptr<grpc::Service> peer_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  bool down_ = false;
};

ControlServer::ControlServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlServer::~ControlServer() { impl_->Shutdown(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<ControlServer>> ControlServer::Start(
    const std::string& listen_address, MeshSource* source, PeerHandler* handler,
    const ServerOptions& options) {
  const absl::StatusOr<HostPort> listen = ParseHostPort(listen_address);
  if (!listen.ok()) return listen.status();
  auto impl = std::make_unique<Impl>(source, handler, options);
  if (absl::Status listening = impl->Listen(*listen); !listening.ok()) return listening;
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(impl)));
}

const std::string& ControlServer::address() const { return impl_->address(); }
void ControlServer::SetServing(bool serving) { impl_->SetServing(serving); }
void ControlServer::Shutdown(absl::Duration grace) { impl_->Shutdown(grace); }

}  // namespace weightmesh
