// StateDirectory: what a daemon keeps on disk, its node_id, and the lock that keeps others out.
// Opened once at start, on the main thread.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/core/ids.h"
#include "daemon/mem/file_descriptor.h"

namespace weightmesh {

class StateDirectory {
 public:
  // Creates `path` (mode 0700; parents too) if missing, locks it, and reads its node_id or writes a
  // new one. The lock lasts as long as the object and the process; a killed daemon's is free at
  // once. Errors name the file and the cure: FailedPrecondition when another daemon has the folder
  // or when node_id is damaged; otherwise the code of the operating system's error.
  static absl::StatusOr<std::unique_ptr<StateDirectory>> Open(const std::string& path);

  StateDirectory(const StateDirectory&) = delete;
  StateDirectory& operator=(const StateDirectory&) = delete;

  NodeId node_id() const { return node_id_; }
  // Whether this Open made the node_id.
  bool is_new() const { return is_new_; }

 private:
  StateDirectory(FileDescriptor lock, NodeId node_id, bool is_new)
      : lock_(std::move(lock)), node_id_(node_id), is_new_(is_new) {}

  const FileDescriptor lock_;
  const NodeId node_id_;
  const bool is_new_;
};

}  // namespace weightmesh
