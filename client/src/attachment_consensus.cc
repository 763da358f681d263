// Rounds without training until all replicas agree: Attachment::Consensus.
#include <bit>
#include <cmath>
#include <limits>

#include "client/src/attachment.h"
#include "client/src/result_struct.h"

namespace weightmesh::client {
namespace {

constexpr uint64_t kTimeoutMsDefault = 60'000;
constexpr uint64_t kTimeoutMsMax = 86'400'000;
// A daemon that does not say how it ended is not waited for longer than so many collects.
constexpr int kCollectsWaited = 2;

}  // namespace

Status Attachment::Consensus(float* const* weights, size_t tensor_count, double epsilon,
                             uint64_t timeout_ms, weightmesh_agreement* result) {
  weightmesh_agreement scratch;
  result = OrScratch(result, &scratch);
  if (Status status = Clear("result", result); !status.ok()) return status;
  if (!std::isfinite(epsilon) || epsilon < 0) {
    return Invalid("epsilon is " + std::to_string(epsilon) +
                   ": give the consensus distance that will do, finite and at least 0");
  }
  if (timeout_ms > kTimeoutMsMax) {
    return Invalid("timeout_ms is " + std::to_string(timeout_ms) + ": at most " +
                   std::to_string(kTimeoutMsMax) + ", a day");
  }
  const Clock::time_point deadline =
      Clock::now() + std::chrono::milliseconds(timeout_ms != 0 ? timeout_ms : kTimeoutMsDefault);
  weightmesh_round round = WEIGHTMESH_INIT(weightmesh_round);
  Status status = EnterRound(weights, tensor_count, &round);
  if (status.ok() && rounds_->HasPendingRound()) status = MixRound(weights, &round);
  if (!status.ok()) return status;

  const control_page::ControlPage& page = arena_.page();
  const auto last_call =
      deadline + kCollectsWaited * std::chrono::microseconds(page.collect_wait_us.load());
  double wanted = epsilon;
  do {
    // Who gives up says so, and goes on until the others can know.
    if (Clock::now() >= deadline) wanted = std::numeric_limits<double>::infinity();
    rounds_->Agree(wanted);
    status = ExchangeOnce(weights, &round);
    if (round.round == 0) continue;
    ++result->rounds;
    result->last_round = round.round;
  } while (status.ok() && !rounds_->HasAgreed() && Clock::now() < last_call);
  const bool agreed = rounds_->HasAgreed() && wanted == epsilon;
  rounds_->EndAgreement();
  if (!status.ok()) return status;
  result->replicas = page.view_replicas.load(std::memory_order_acquire);
  result->consensus_distance = std::bit_cast<double>(page.agreed_distance_bits.load());
  if (agreed && result->consensus_distance <= epsilon) return {};
  return {WEIGHTMESH_NO_CONSENSUS,
          "after " + std::to_string(result->rounds) +
              " rounds the replicas do not agree, or not all of them have called "
              "weightmesh_consensus: weightmeshctl stats shows the consensus distance of each; "
              "give it more time, or a larger epsilon"};
}

}  // namespace weightmesh::client
