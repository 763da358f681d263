// UcxPair: a source in a process of its own and a reader in this one, linked over UCX.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>

#include "daemon/transport/ucx/ucx_transport.h"
#include "tests/bench/pull_peers.h"

namespace weightmesh::bench {

// Where a side lives.
struct Site {
  std::string ip = "127.0.0.1";
  std::string network_namespace = {};  // a name of `ip netns`; empty: this process's own
};

class UcxPair {
 public:
  // Forks: nothing in this process may have started a thread. This process moves to the reader's
  // namespace for good. Ends the program with a message when a side does not start.
  UcxPair(uint64_t segments, uint64_t segment_bytes, const Site& source, const Site& reader);
  ~UcxPair();
  UcxPair(const UcxPair&) = delete;
  UcxPair& operator=(const UcxPair&) = delete;

  // PullSegments, in MiB (2^20 bytes) of segments a second.
  double MibPerSecond(uint64_t count, uint64_t in_flight, bool mixes);

  const std::map<std::string, std::string>& settings() const { return transport_->settings(); }
  std::string ucx_version() const { return settings().at("UCX version"); }

 private:
  Segments segments_;
  QueuedSink sink_;
  std::unique_ptr<UcxTransport> transport_;
  int socket_ = -1;
  pid_t source_ = -1;
};

}  // namespace weightmesh::bench
