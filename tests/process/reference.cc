// The whole mesh in one thread: what lockstep and overlap must come to, bit for bit.
#include <utility>

#include "client/src/kernels.h"
#include "daemon/core/schedule.h"
#include "daemon/core/view.h"
#include "proto/arena_layout.h"
#include "tests/process/gossip_model.h"
#include "tests/process/trainers.h"

namespace weightmesh {
namespace {

using Snapshot = std::vector<char>;  // the whole model in wire format

class Reference {
 public:
  explicit Reference(const GossipOptions& options)
      : options_(options),
        bounds_(EqualSegmentBounds(options.parameters, options.segments)),
        parameter_bytes_(WireBytesPerParameter(options.wire)),
        schedule_(MakeSchedule(options.schedule, options.seed)),
        weights_(StartWeights(options)),
        snapshots_(options.replicas, Snapshot(options.parameters * parameter_bytes_)) {
    std::vector<ReplicaId> ids;
    for (int k = 0; k < options.replicas; ++k) {
      ids.push_back(MakeReplicaId(options.run_id, ReplicaName(k)));
    }
    view_ = View(ids);
    replica_of_rank_.resize(ids.size());
    for (int k = 0; k < options.replicas; ++k) replica_of_rank_[*view_.RankOf(ids[k])] = k;
  }

  std::vector<std::vector<float>> Run() {
    for (uint64_t round = 1; round <= options_.steps; ++round) {
      for (int k = 0; k < options_.replicas; ++k) {
        if (options_.learning == 0) continue;
        Learn(options_.update_seed, k, round, &weights_[k], static_cast<float>(options_.learning));
      }
      if (options_.mode == attach::Mode::kOverlap && round > 1) Mix(round - 1);
      Publish();
      if (options_.mode == attach::Mode::kLockstep) Mix(round);
    }
    if (options_.mode == attach::Mode::kOverlap) Mix(options_.steps);
    return std::move(weights_);
  }

 private:
  void Publish() {
    for (int k = 0; k < options_.replicas; ++k) {
      client::EncodeWeights(options_.wire, weights_[k].data(), weights_[k].size(),
                            snapshots_[k].data());
    }
  }

  void Mix(uint64_t round) {
    for (uint32_t rank = 0; rank < view_.size(); ++rank) {
      const int reader = replica_of_rank_[rank];
      for (uint32_t segment = 0; segment < options_.segments; ++segment) {
        const Partners partners =
            schedule_->PartnersOf(view_, Round{round}, SegmentId{segment}, rank);
        const uint64_t first = bounds_[segment];
        const uint64_t offset = first * parameter_bytes_;
        client::MixWeights(options_.wire, 0.5f,
                           snapshots_[replica_of_rank_[partners.source]].data() + offset,
                           snapshots_[reader].data() + offset, bounds_[segment + 1] - first,
                           weights_[reader].data() + first);
      }
    }
  }

  const GossipOptions options_;
  const std::vector<uint64_t> bounds_;
  const uint64_t parameter_bytes_;
  const std::unique_ptr<Schedule> schedule_;
  View view_;
  std::vector<int> replica_of_rank_;
  std::vector<std::vector<float>> weights_;
  std::vector<Snapshot> snapshots_;
};

}  // namespace

std::vector<std::vector<float>> ReferenceWeights(const GossipOptions& options) {
  return Reference(options).Run();
}

}  // namespace weightmesh
