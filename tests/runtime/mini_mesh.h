// MiniMesh: whole daemons but for gRPC, in one process: executor, core, attach socket,
// arenas and data plane are the product's; calls between daemons are posted from thread to thread,
// and segments are copied between them by the loopback transport, with faults where asked for, or
// carried by another transport.
//
// Real trainers attach to it. It runs under the sanitizers, as real daemons do not.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/transport/fault.h"
#include "daemon/transport/loopback.h"
#include "tests/runtime/temporary_folder.h"

namespace weightmesh {

class MiniNode;

class MiniMesh {
 public:
  // Starts `daemons` daemons; `faults[k]` are those of daemon k, none where there is no row.
  explicit MiniMesh(int daemons, const std::vector<FaultOptions>& faults = {});
  // The same without faults, over transports that `make_transport` makes.
  MiniMesh(int daemons, absl::Duration sync_interval,
           const std::function<std::unique_ptr<Transport>()>& make_transport);
  // Stops them; trainers train on alone.
  ~MiniMesh();
  MiniMesh(const MiniMesh&) = delete;
  MiniMesh& operator=(const MiniMesh&) = delete;

  std::string socket(int k) const;
  // How often each fault of daemon k has struck. REQUIRES: made with `faults`.
  FaultCounts faults(int k) const;

 private:
  void Run();

  const TemporaryFolder folder_;
  const LoopbackHub hub_;
  std::vector<const FaultTransport*> faults_;  // of nodes_
  std::vector<std::unique_ptr<MiniNode>> nodes_;
};

}  // namespace weightmesh
