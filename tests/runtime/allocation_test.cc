// Nothing of ours allocates per pull: whole daemons and trainers run rounds over UCX while every
// operator new of the process is counted. UCX is C and is not; all of weightmesh is.
#include <gtest/gtest.h>

#include <array>
#include <barrier>
#include <chrono>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/transport/ucx/ucx_transport.h"
#include "tests/runtime/counting_new.h"
#include "tests/runtime/mini_mesh.h"
#include "weightmesh/weightmesh.hpp"

namespace weightmesh {
namespace {

constexpr int kReplicas = 3;
constexpr uint64_t kSegments = 48;
constexpr uint64_t kParameters = kSegments * 4096;
// Until every table has grown to what is usual.
constexpr uint64_t kWarmUpRounds = 100;
constexpr uint64_t kCountedRounds = 100;

void Train(const MiniMesh& mesh, weightmesh_mode mode, int replica, std::barrier<>* all,
           uint64_t* arrived) {
  std::vector<float> weights(kParameters, static_cast<float>(replica));
  const std::vector<Tensor> model = {{"weights", {kParameters}, weights.data()}};
  Options options;
  options.socket_path = mesh.socket(replica);
  options.run_id = "allocations";
  options.replica_name = absl::StrCat("replica-", replica);
  options.replicas_min = kReplicas;
  options.mode = mode;
  options.segments = kSegments;
  options.allow_different_init = true;
  Replica attached(options, model);
  for (uint64_t round = 0; round < kWarmUpRounds + kCountedRounds; ++round) {
    if (round == kWarmUpRounds) {
      all->arrive_and_wait();
      if (replica == 0) CountAllocations(true);
      all->arrive_and_wait();
    }
    attached.Publish(model);
    if (mode == WEIGHTMESH_OVERLAP) {  // in step, and with time for the transfers
      all->arrive_and_wait();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    const RoundResult result = attached.Mix(model);
    if (round >= kWarmUpRounds) *arrived += result.pulls[WEIGHTMESH_ARRIVED];
  }
  all->arrive_and_wait();
  if (replica == 0) CountAllocations(false);
  all->arrive_and_wait();
  attached.Leave();
}

class Allocations : public testing::TestWithParam<weightmesh_mode> {};

TEST_P(Allocations, NoneForAPull) {
  // One sync at the start and none afterwards: it may allocate, and is not what is asked.
  MiniMesh mesh(kReplicas, absl::Hours(1), [] {
    return *NewUcxTransport({.network_devices = {}, .control_ip = "127.0.0.1"});
  });
  std::barrier all(kReplicas);
  std::array<uint64_t, kReplicas> arrived = {};
  std::vector<std::thread> trainers;
  for (int k = 0; k < kReplicas; ++k) {
    trainers.emplace_back([&, k] { Train(mesh, GetParam(), k, &all, &arrived[k]); });
  }
  for (std::thread& trainer : trainers) trainer.join();

  EXPECT_GT(std::accumulate(arrived.begin(), arrived.end(), uint64_t{0}), 0u);
  // A queue may still grow when threads are held up otherwise than before; a pull that allocates
  // does so in every one of these.
  constexpr uint64_t kPulls = kReplicas * kCountedRounds * kSegments;
  EXPECT_LT(AllocationsCounted(), kPulls / 500) << "in " << kPulls << " pulls; the first:\n"
                                                << FirstAllocations();
}

INSTANTIATE_TEST_SUITE_P(Modes, Allocations,
                         testing::Values(WEIGHTMESH_LOCKSTEP, WEIGHTMESH_OVERLAP),
                         [](const auto& info) {
                           return info.param == WEIGHTMESH_LOCKSTEP ? "lockstep" : "overlap";
                         });

}  // namespace
}  // namespace weightmesh
