// BlobFetch: what the trainers of a run want a replica that joins to be given, from one of their
// daemons. Executor's thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/core/snapshot.h"

namespace weightmesh {

// Control addresses of other daemons with replicas that take part in the run, those with the newest
// rounds first; a few.
std::vector<std::string> BlobHosts(const TopologySnapshot& topology, absl::string_view run_id);

struct BlobFetchOptions {
  // Asks the daemon at an address; calls back once, later, on the executor's thread.
  std::function<void(const std::string& address, absl::Duration timeout,
                     std::function<void(absl::StatusOr<std::string>)>)>
      ask;
  std::vector<std::string> addresses;  // tried in this order
};

// Calls `done` once, perhaps at once: with the first blob that is had, or an empty one.
void FetchBlob(BlobFetchOptions options, std::function<void(std::string blob)> done);

}  // namespace weightmesh
