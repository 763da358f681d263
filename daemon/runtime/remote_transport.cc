// UCX, or nothing beyond this process; with the faults that the configuration asks for.
#include "daemon/runtime/remote_transport.h"

#include <string>
#include <utility>

#include "absl/strings/str_join.h"
#include "daemon/control/address.h"
#include "daemon/runtime/fault_config.h"
#include "daemon/transport/loopback.h"
#include "daemon/transport/ucx/ucx_transport.h"

namespace weightmesh {
namespace {

absl::StatusOr<RemoteTransport> MakeSoundTransport(const v1::DaemonConfig& config) {
  RemoteTransport remote;
  remote.kind = config.transport().kind();
  if (remote.kind == "loopback") {
    static const LoopbackHub* const hub = new LoopbackHub;
    remote.transport = std::make_unique<LoopbackTransport>(*hub);
    return remote;
  }
  UcxOptions options;
  options.network_devices = absl::StrJoin(config.transport().devices(), ",");
  const std::string& control =
      config.advertise_address().empty() ? config.listen_address() : config.advertise_address();
  absl::StatusOr<HostPort> address = ParseHostPort(control);
  if (!address.ok()) return address.status();
  options.control_ip = address->host;
  absl::StatusOr<std::unique_ptr<UcxTransport>> transport = NewUcxTransport(options);
  if (!transport.ok()) return transport.status();
  remote.settings = (*transport)->settings();
  remote.transport = *std::move(transport);
  return remote;
}

}  // namespace

absl::StatusOr<RemoteTransport> MakeRemoteTransport(const v1::DaemonConfig& config) {
  absl::StatusOr<RemoteTransport> remote = MakeSoundTransport(config);
  if (!remote.ok() || !config.transport().has_faults()) return remote;
  auto faults = std::make_unique<FaultTransport>(std::move(remote->transport),
                                                 FaultOptionsOf(config.transport().faults()));
  remote->faults = faults.get();
  remote->transport = std::move(faults);
  return remote;
}

}  // namespace weightmesh
