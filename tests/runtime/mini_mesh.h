// MiniMesh: whole daemons but for gRPC and UCX, in one process: executor, core, attach socket,
// arenas and data plane are the product's; calls between daemons are posted from thread to thread,
// and segments are copied between them by the loopback transport, with faults where asked for.
//
// Real trainers attach to it. It runs under the sanitizers, as real daemons do not.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "daemon/transport/fault.h"
#include "daemon/transport/loopback.h"
#include "tests/runtime/temporary_folder.h"

namespace weightmesh {

class MiniNode;

class MiniMesh {
 public:
  // Starts `daemons` daemons; `faults[k]` are those of daemon k, none where there is no row.
  explicit MiniMesh(int daemons, const std::vector<FaultOptions>& faults = {});
  // Stops them; trainers train on alone.
  ~MiniMesh();
  MiniMesh(const MiniMesh&) = delete;
  MiniMesh& operator=(const MiniMesh&) = delete;

  std::string socket(int k) const;
  // How often each fault of daemon k has struck.
  FaultCounts faults(int k) const;

 private:
  const TemporaryFolder folder_;
  const LoopbackHub hub_;
  std::vector<std::unique_ptr<MiniNode>> nodes_;
};

}  // namespace weightmesh
