// How gRPC channels and ports are opened: the one place for credentials; any thread.
#pragma once

#include <memory>

#include "absl/strings/string_view.h"

namespace grpc {
class Channel;
class ServerCredentials;
}  // namespace grpc

namespace weightmesh {

// A channel to "host:port", which connects when it is first used. It looks again for a daemon that
// did not answer after 100 ms, and at least each second; notices a silent link within 10 s; and
// takes no proxy. An answer has at most `answer_bytes_max` bytes. Plaintext for now. REQUIRES:
// ParseHostPort(address) is good.
std::shared_ptr<grpc::Channel> OpenChannel(absl::string_view address, int answer_bytes_max);

// What the daemon's port demands of callers. Plaintext for now.
std::shared_ptr<grpc::ServerCredentials> PortCredentials();

}  // namespace weightmesh
