// LinkOffer: what one daemon tells another so that the data plane can join them; plain data.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/core/sync_message.h"

namespace weightmesh {

// Both directions of PeerService.Connect (proto/weightmesh/v1/peer.proto).
struct LinkOffer {
  NodeInfo self;
  std::string transport_address;  // what the sender's Transport::address() returned
  std::string transport_kind;     // "ucx", "loopback"
  uint64_t token = 0;             // to be put on every frame to the sender; not 0
};

}  // namespace weightmesh
