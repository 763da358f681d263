// Mesh: real daemons on loopback, each with its own state folder and socket, and their statistics.
#pragma once

#include <signal.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/mem/file_descriptor.h"
#include "proto/weightmesh/v1/mesh.grpc.pb.h"
#include "tests/process/child.h"

namespace weightmesh {

// Where a daemon runs, for networks of the caller's making.
struct DaemonSite {
  std::string network_namespace;  // a name of `ip netns`
  std::string ip;                 // its address there
  int port = 0;                   // 0: a free one
};

struct MeshOptions {
  // Textproto of every daemon's DaemonConfig; its addresses, folders and seeds are the mesh's.
  std::string config;
  // The same for daemon k alone, after that; empty: nothing.
  std::vector<std::string> config_of;
  // Of daemon k; empty: all on loopback. Trainers stay where the caller is.
  std::vector<DaemonSite> sites = {};
  // Whom daemon k is told of: sites with a port. Empty: the first is the seed of the others.
  std::vector<std::vector<int>> seeds_of = {};
  // Daemons that do not run before they are restarted.
  std::vector<int> absent = {};
};

class Mesh {
 public:
  // Starts `daemons` daemons, all at once where `seeds_of` is given, and waits until each serves.
  explicit Mesh(int daemons, MeshOptions options = {});
  ~Mesh();
  Mesh(const Mesh&) = delete;
  Mesh& operator=(const Mesh&) = delete;

  int size() const { return static_cast<int>(daemons_.size()); }
  Child& daemon(int k) { return *daemons_[k].child; }
  std::string socket(int k) const { return Folder() + "/" + std::to_string(k) + "/attach.sock"; }
  const std::string& address(int k) const { return daemons_[k].address; }
  // A folder that goes with the mesh; logs are in it.
  const std::string& Folder() const { return folder_; }

  // Ends daemon k by a signal; returns when it has ended.
  void Kill(int k, int signal_number = SIGKILL);
  // Starts daemon k again, with its state and its socket, at another address unless its site has a
  // port: not for the seed of others.
  void Restart(int k);
  // The same at another site.
  void RestartAt(int k, DaemonSite site);

  // Empty messages when the daemon does not answer.
  v1::Stats Stats(int k, const std::string& run_id) const;
  v1::Topology Topology(int k, const std::string& run_id) const;
  v1::LinkList Links(int k) const;
  // Replicas of the run that daemon k has in its view.
  int ViewSize(int k, const std::string& run_id) const;
  // Frames that all daemons have refused: none without a fault, and nothing is redirected then.
  uint64_t FramesRefused() const;

  // Asks again until `holds`, at most `limit`; whether it did.
  static bool Await(const std::function<bool()>& holds, absl::Duration limit);

  // What daemon k has logged.
  std::string DaemonLog(int k) const;
  // All of every log, for a failed test.
  std::string Logs() const;

 private:
  struct Daemon {
    std::unique_ptr<Child> child;
    FileDescriptor notify;
    std::string address;
    std::unique_ptr<v1::MeshService::Stub> stub;
  };
  void Launch(int k);
  void AwaitServing(int k);
  std::vector<std::string> SeedsOf(int k) const;

  MeshOptions options_;
  std::string folder_;
  std::vector<Daemon> daemons_;
};

// The statistics' count of one outcome; 0 if it is not listed.
uint64_t CountOf(const v1::ReplicaStats& stats, v1::Outcome outcome);
// All pulls that ended.
uint64_t PullsOf(const v1::ReplicaStats& stats);

}  // namespace weightmesh
