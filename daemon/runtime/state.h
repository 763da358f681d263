// StateDirectory: the folder of what a daemon keeps on disk: its node_id, the lock that keeps
// others out, and the last known members (members_file.h). Opened once at start, on the main
// thread.
#pragma once

#include <memory>
#include <string>
#include <utility>

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

  const std::string& path() const { return path_; }
  NodeId node_id() const { return node_id_; }
  // Whether this Open made the node_id.
  bool is_new() const { return is_new_; }

 private:
  StateDirectory(std::string path, FileDescriptor lock, NodeId node_id, bool is_new)
      : path_(std::move(path)), lock_(std::move(lock)), node_id_(node_id), is_new_(is_new) {}

  const std::string path_;
  const FileDescriptor lock_;
  const NodeId node_id_;
  const bool is_new_;
};

}  // namespace weightmesh
