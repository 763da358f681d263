// ReplicaLives: the statistics of one replica over all lives of its daemon and its trainer, each of
// which counts from zero. Pure.
#pragma once

#include <optional>

#include "proto/weightmesh/v1/mesh.pb.h"

namespace weightmesh::demo {

class ReplicaLives {
 public:
  // `stats`: the newest answer. Counts below those of the one before are another life's.
  void Update(const v1::ReplicaStats& stats);

  // The newest answer, with rounds, pulls, redirects, bytes and sources added up over all lives;
  // nullopt before the first.
  const std::optional<v1::ReplicaStats>& total() const { return total_; }

 private:
  std::optional<v1::ReplicaStats> newest_;
  v1::ReplicaStats former_;  // the sums of the lives that are over
  std::optional<v1::ReplicaStats> total_;
};

}  // namespace weightmesh::demo
