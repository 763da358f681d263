// Channels with the settings and credentials of the control plane.
#include "daemon/control/channel.h"

#include <grpcpp/grpcpp.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace weightmesh {
namespace {

constexpr int kBackoffFirstMs = 100;
constexpr int kBackoffMaxMs = 1000;
constexpr int kConnectTimeoutMs = 1000;
// A link whose packets vanish is given up after both, and a new one tried, instead of waiting for
// TCP's growing pauses.
constexpr int kKeepaliveIntervalMs = 5000;
constexpr int kKeepaliveTimeoutMs = 5000;

// With a scheme, so that an address from a peer ("unix:7") cannot be taken for one; percent-encoded
// as URIs ask for v6 addresses.
std::string TargetUri(absl::string_view address) {
  return absl::StrCat("dns:///",
                      absl::StrReplaceAll(address, {{"%", "%25"}, {"[", "%5B"}, {"]", "%5D"}}));
}

}  // namespace

std::shared_ptr<grpc::Channel> OpenChannel(absl::string_view address, int answer_bytes_max) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kBackoffFirstMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kBackoffMaxMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, kBackoffMaxMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveIntervalMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // no limit
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetMaxReceiveMessageSize(answer_bytes_max);
  return grpc::CreateCustomChannel(TargetUri(address), grpc::InsecureChannelCredentials(),
                                   arguments);
}

std::shared_ptr<grpc::ServerCredentials> PortCredentials() {
  return grpc::InsecureServerCredentials();
}

}  // namespace weightmesh
