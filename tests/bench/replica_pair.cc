// Attaching two replicas, which wait for each other.
#include "tests/bench/replica_pair.h"

#include <future>

namespace weightmesh::bench {
namespace {

constexpr uint64_t kStartTimeoutMs = 60'000;

}  // namespace

ReplicaPair::ReplicaPair(const Mesh& mesh, Options options, uint64_t parameters) {
  options.replicas_min = 2;
  options.start_timeout_ms = kStartTimeoutMs;
  options.allow_different_init = true;
  std::future<void> attached[2];
  for (int k = 0; k < 2; ++k) {
    weights_[k].assign(parameters, static_cast<float>(1 + k));
    models_[k] = {{"weights", {parameters}, weights_[k].data()}};
    options.socket_path = mesh.socket(k);
    options.replica_name = "replica" + std::to_string(k);
    attached[k] = std::async(std::launch::async, [this, k, options] {
      replicas_[k] = std::make_unique<Replica>(options, models_[k]);
      if (replicas_[k]->alone()) throw Error(WEIGHTMESH_ALONE, replicas_[k]->message());
    });
  }
  for (std::future<void>& end : attached) end.wait();
  for (std::future<void>& end : attached) end.get();
}

void ReplicaPair::Leave() {
  std::future<void> left = std::async(std::launch::async, [this] { replicas_[1]->Leave(); });
  replicas_[0]->Leave();
  left.get();
}

}  // namespace weightmesh::bench
