// UCX, or nothing beyond this process.
#include "daemon/runtime/remote_transport.h"

#include <string>
#include <utility>

#include "absl/strings/str_join.h"
#include "daemon/control/address.h"
#include "daemon/transport/loopback.h"
#include "daemon/transport/ucx/ucx_transport.h"

namespace weightmesh {

absl::StatusOr<RemoteTransport> MakeRemoteTransport(const v1::DaemonConfig& config) {
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

}  // namespace weightmesh
