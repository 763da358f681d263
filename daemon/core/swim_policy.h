// The numbers of the failure detector as pure functions, each with its source; any thread.
//
// SWIM: A. Das, I. Gupta, A. Motivala, "SWIM: Scalable Weakly-consistent Infection-style Process
// Group Membership Protocol", DSN 2002. Lifeguard: A. Dadgar, J. Phillips, J. Currey, "Lifeguard:
// Local Health Awareness for More Accurate Failure Detection", DSN-W 2018. The scalings by log10
// and log2 of the number of nodes are those of hashicorp/memberlist.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "daemon/core/swim_message.h"

namespace weightmesh::swim {

// By default as OptionsFor(kDetectionTargetDefault) makes them.
struct SwimOptions {
  // --- failure detection ---
  // A node probes one other each interval. The probe must be answered within probe_timeout;
  // otherwise others are asked to try, for the rest of the interval.
  absl::Duration probe_interval;
  absl::Duration probe_timeout;
  uint32_t indirect_probes = 3;
  // How long a suspect may take to refute: see SuspicionMin and SuspicionMax. The floor is what
  // keeps a node of a small mesh alive that stood still for half the detection target.
  double suspicion_mult = 0;
  absl::Duration suspicion_floor;
  double suspicion_max_mult = 0;
  // Accusers beside the first that bring the timeout down to its least; below kAccusersMax.
  uint32_t confirmations = 3;
  // The local health score stays below this; 1 switches it off.
  uint32_t health_max = 8;
  // Whoever is suspected hears of it with every message that goes to it.
  bool buddy = true;
  // A node that finds that it stood still itself blames nobody for it.
  bool stall_awareness = true;

  // --- dissemination ---
  // While there is news, each interval to so many random nodes beside those that are probed.
  absl::Duration gossip_interval;
  uint32_t gossip_fanout = 3;
  // Half again as much as memberlist's 4: a refutation must not miss anybody.
  uint32_t retransmit_mult = 6;
  // Of updates in one message.
  size_t message_bytes_max = 8192;
  // The base of PushPullInterval. A dead node is tried anew as often, so that halves of a mesh that
  // was parted meet again.
  absl::Duration push_pull_interval;

  // --- limits ---
  // All that are known, this node and the dead included.
  uint32_t nodes_max = 4096;
  // Dead and left nodes are remembered for so long, and so many of them.
  absl::Duration dead_kept = absl::Minutes(10);
  uint32_t dead_max = 1024;
  // Less than half of message_bytes_max: every update must fit.
  size_t record_bytes_max = 4000;
};

constexpr absl::Duration kDetectionTargetDefault = absl::Seconds(3);
// The number of nodes for which the detection target is meant.
constexpr size_t kDetectionTargetNodes = 64;
constexpr absl::Duration kProbeIntervalMin = absl::Milliseconds(50);

// Options with which a death is known in half of the cases within `detection_target` among
// kDetectionTargetNodes nodes: all times are shares of the probe interval, so that
// ExpectedDetection is proportional to it.
SwimOptions OptionsFor(absl::Duration detection_target);
// The same without Lifeguard's refinements: SWIM alone. To measure what they are good for.
SwimOptions WithoutLifeguard(SwimOptions options);

// Whether news of a node replaces what is believed of it. SWIM section 4.2, but that a dead node
// can return: the higher incarnation wins, and within one the later of alive, suspect, dead, left.
// A total order, so that views converge whatever order the news comes in.
bool Overrides(uint64_t incarnation, MemberState state, uint64_t known_incarnation,
               MemberState known_state);

// Least and longest time from suspicion to death among `nodes` nodes: memberlist's
// mult · max(1, log10(n)) · interval, at least the floor; and max_mult times that.
absl::Duration SuspicionMin(const SwimOptions& options, size_t nodes);
absl::Duration SuspicionMax(const SwimOptions& options, size_t nodes);
// Accusers beside the first that can be hoped for: those who are neither it nor the accused.
uint32_t ConfirmationsWanted(const SwimOptions& options, size_t nodes);
// Lifeguard section III.B: max − (max − min) · log(c + 1) / log(k + 1) after c of k confirmations.
absl::Duration SuspicionTimeout(absl::Duration min, absl::Duration max, uint32_t confirmations,
                                uint32_t wanted);

// SWIM section 4.1: λ · log n messages reach all; memberlist's λ · ceil(log10(n + 1)).
uint32_t RetransmitLimit(uint32_t mult, size_t nodes);

// memberlist's scale: the base interval up to 32 nodes, and one more of it for each doubling.
absl::Duration PushPullInterval(absl::Duration interval, size_t nodes);

// Lifeguard section III.A: interval and timeout of probes grow with the local health score.
absl::Duration ScaledByHealth(absl::Duration time, uint32_t score);

// What an indirect prober leaves the node that asked it, so that a nack is there in time: Lifeguard
// section III.A sends it at 80 % of the timeout.
absl::Duration RelayTimeout(absl::Duration timeout);

// Until news has reached nearly all: each interval everybody who has it tells gossip_fanout others.
absl::Duration DisseminationTime(const SwimOptions& options, size_t nodes);

// From a crash to the moment when half of the others hold the node for dead: the first probe
// (median of the earliest of n − 1 probers that each reach every node once in n − 1 intervals), the
// interval in which it fails, the suspicion with a further accuser each interval, and half of the
// dissemination.
absl::Duration ExpectedDetection(const SwimOptions& options, size_t nodes);

}  // namespace weightmesh::swim
