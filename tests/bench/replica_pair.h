// ReplicaPair: the two replicas of a run, in this process, each with its own daemon of a mesh.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/process/mesh.h"
#include "weightmesh/weightmesh.hpp"

namespace weightmesh::bench {

class ReplicaPair {
 public:
  // Attaches both, replica k at daemon k, with a model of one tensor; `options` say all but who
  // they are and whom they wait for. Throws Error when one is refused, or finds no daemon. `mesh`
  // must outlive the pair.
  ReplicaPair(const Mesh& mesh, Options options, uint64_t parameters);

  Replica& replica(int k) { return *replicas_[k]; }
  const std::vector<Tensor>& model(int k) const { return models_[k]; }
  // Both at once.
  void Leave();

 private:
  std::vector<float> weights_[2];
  std::vector<Tensor> models_[2];
  std::unique_ptr<Replica> replicas_[2];
};

}  // namespace weightmesh::bench
