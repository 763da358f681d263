// The guard against unencrypted control traffic.
#include "daemon/control/plaintext.h"

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "daemon/control/address.h"

namespace weightmesh {

absl::Status CheckPlaintext(const v1::DaemonConfig& config) {
  const absl::StatusOr<HostPort> listen = ParseHostPort(config.listen_address());
  if (!listen.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("DaemonConfig.listen_address: ", listen.status().message()));
  }
  if (config.insecure_plaintext() || IsLoopbackHost(listen->host)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "DaemonConfig.listen_address is \"", config.listen_address(),
      "\", which other machines can reach, but control traffic is neither encrypted nor "
      "authenticated; set insecure_plaintext: true if the network is trusted, or listen on "
      "127.0.0.1"));
}

}  // namespace weightmesh
