// UcxTransport: segments between daemons over UCX: RDMA where the hardware has it, TCP elsewhere.
//
// One data thread owns the UCX worker and every endpoint; the methods of Transport post to it, and
// it calls the sink. A pull is a header-only active message to the source; the data comes back by
// rendezvous straight out of the source's registered memory into the landing memory. What a daemon
// answers goes through its own endpoint to that peer, never through UCX's automatic reply endpoint.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/transport/transport.h"

namespace weightmesh {

struct UcxOptions {
  // UCX devices to use, comma-separated, as in UCX_NET_DEVICES ("mlx5_0:1,eth0"). Empty: those of
  // the interface that owns `control_ip`.
  std::string network_devices;
  // This daemon's address on the control plane (IPv4 or IPv6, no port). Empty or a wildcard: UCX
  // chooses among all devices.
  std::string control_ip;

  // Beyond these, a Pull ends as kNoRoom and a Send as not sent, at once.
  size_t pulls_max = 16384;
  size_t sends_max = 16384;
  // Frames without data (requests, cancels, answers) on their way out, those to one peer up to its
  // fair share (core/fair_share.h). Beyond it a Pull ends as kNoRoom, and a cancel or answer is
  // lost, as on a network.
  size_t frames_max = 32768;
  // Answers that wait for the data thread; beyond it an answer is lost.
  size_t answers_max = 65536;
  // Open endpoints. Beyond it the least recently used idle one closes; if none is idle, the
  // operation that needs one more fails (a Pull: ends as kNoRoom).
  size_t endpoints_max = 256;
};

class UcxTransport : public Transport {
 public:
  // What UCX runs with: "UCX version", and each UCX_* setting that this transport or the user's
  // environment (which wins) made, with its origin.
  virtual const std::map<std::string, std::string>& settings() const = 0;

  // Any thread.
  virtual size_t endpoints_open() const = 0;
};

// Opens UCX on the chosen devices. NotFound when a device or the control address is not of this
// host, InvalidArgument for a setting that UCX refuses, Unavailable when UCX cannot start; each
// names the cure.
//
// An endpoint that the peer closed because it was idle breaks no link, and OnLinkDown is not
// called. A Disconnect without force also lets what was sent before leave. `Register` and
// `Unregister` wait for the data thread.
absl::StatusOr<std::unique_ptr<UcxTransport>> NewUcxTransport(const UcxOptions& options);

}  // namespace weightmesh
