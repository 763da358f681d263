// PeerService: takes what other daemons say to a PeerHandler; lives on gRPC's threads.
#pragma once

#include <memory>

#include "daemon/control/peer_handler.h"

namespace grpc {
class Service;
}

namespace weightmesh {

// The service of proto/weightmesh/v1/peer.proto, by gRPC's callback API. `handler` must outlive it.
// Another protocol version is answered FAILED_PRECONDITION, a malformed message INVALID_ARGUMENT;
// neither reaches the handler.
std::unique_ptr<grpc::Service> MakePeerService(PeerHandler* handler);

}  // namespace weightmesh
