// The formulas, and the options that follow from the time in which a death is to be known.
#include "daemon/core/swim_policy.h"

#include <algorithm>
#include <cmath>

namespace weightmesh::swim {
namespace {

// All times as shares of the probe interval. Found by simulation (tests/sim/swim_test.cc): a pause
// of half the detection target is survived, with time left to refute.
constexpr double kProbeTimeoutShare = 0.5;
constexpr double kGossipShare = 0.25;
constexpr double kPushPullShare = 40;
constexpr double kSuspicionMult = 2.6;
constexpr double kSuspicionFloorShare = 5;
constexpr double kSuspicionMaxMult = 2.5;

// Of the detection target; the rest is for what a busy machine and network add.
constexpr double kExpectedShare = 0.9;

constexpr size_t kPushPullNodes = 32;  // memberlist's pushPullScaleThreshold

SwimOptions Shaped(absl::Duration probe_interval) {
  SwimOptions options;
  options.probe_interval = probe_interval;
  options.probe_timeout = probe_interval * kProbeTimeoutShare;
  options.suspicion_mult = kSuspicionMult;
  options.suspicion_floor = probe_interval * kSuspicionFloorShare;
  options.suspicion_max_mult = kSuspicionMaxMult;
  options.gossip_interval = probe_interval * kGossipShare;
  options.push_pull_interval = probe_interval * kPushPullShare;
  return options;
}

}  // namespace

SwimOptions OptionsFor(absl::Duration detection_target) {
  const absl::Duration unit = absl::Seconds(1);
  const double intervals =
      absl::FDivDuration(ExpectedDetection(Shaped(unit), kDetectionTargetNodes), unit);
  return Shaped(
      std::max(kProbeIntervalMin,
               absl::Trunc(kExpectedShare * detection_target / intervals, absl::Milliseconds(1))));
}

SwimOptions WithoutLifeguard(SwimOptions options) {
  options.suspicion_max_mult = 1;
  options.confirmations = 0;
  options.health_max = 1;
  options.buddy = false;
  options.stall_awareness = false;
  return options;
}

bool Overrides(uint64_t incarnation, MemberState state, uint64_t known_incarnation,
               MemberState known_state) {
  if (incarnation != known_incarnation) return incarnation > known_incarnation;
  return state > known_state;
}

absl::Duration SuspicionMin(const SwimOptions& options, size_t nodes) {
  const double scale = std::max(1.0, std::log10(std::max(1.0, static_cast<double>(nodes))));
  return std::max(options.suspicion_floor, options.probe_interval * options.suspicion_mult * scale);
}

absl::Duration SuspicionMax(const SwimOptions& options, size_t nodes) {
  return SuspicionMin(options, nodes) * std::max(1.0, options.suspicion_max_mult);
}

uint32_t ConfirmationsWanted(const SwimOptions& options, size_t nodes) {
  const size_t others = nodes < 3 ? 0 : nodes - 2;
  return static_cast<uint32_t>(std::min<size_t>(options.confirmations, others));
}

absl::Duration SuspicionTimeout(absl::Duration min, absl::Duration max, uint32_t confirmations,
                                uint32_t wanted) {
  if (wanted == 0 || confirmations >= wanted) return min;
  const double share = std::log(confirmations + 1.0) / std::log(wanted + 1.0);
  return max - (max - min) * share;
}

uint32_t RetransmitLimit(uint32_t mult, size_t nodes) {
  return mult * static_cast<uint32_t>(std::ceil(std::log10(static_cast<double>(nodes) + 1)));
}

absl::Duration PushPullInterval(absl::Duration interval, size_t nodes) {
  if (nodes <= kPushPullNodes) return interval;
  const double doublings = std::log2(static_cast<double>(nodes) / kPushPullNodes);
  return interval * (std::ceil(doublings) + 1);
}

absl::Duration ScaledByHealth(absl::Duration time, uint32_t score) { return time * (score + 1); }

absl::Duration RelayTimeout(absl::Duration timeout) { return timeout * 0.8; }

absl::Duration DisseminationTime(const SwimOptions& options, size_t nodes) {
  if (nodes < 2) return absl::ZeroDuration();
  const double rounds = std::log(static_cast<double>(nodes)) / std::log(options.gossip_fanout + 1);
  return options.gossip_interval * std::ceil(rounds);
}

absl::Duration ExpectedDetection(const SwimOptions& options, size_t nodes) {
  const absl::Duration interval = options.probe_interval;
  const absl::Duration first_probe = interval * std::log(2.0);
  const absl::Duration min = SuspicionMin(options, nodes);
  const absl::Duration max = SuspicionMax(options, nodes);
  const uint32_t wanted = ConfirmationsWanted(options, nodes);
  absl::Duration suspicion = SuspicionTimeout(min, max, 0, wanted);
  for (uint32_t c = 1; c <= wanted; ++c) {
    const absl::Duration confirmed = std::max(c * interval, SuspicionTimeout(min, max, c, wanted));
    suspicion = std::min(suspicion, confirmed);
  }
  return first_probe + interval + suspicion + DisseminationTime(options, nodes) / 2;
}

}  // namespace weightmesh::swim
