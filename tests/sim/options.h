// SimOptions: everything that a simulation depends on; equal options give equal traces.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "daemon/core/run_config.h"

namespace weightmesh::sim {

// Which of the operations of one kind a fault hits: the nth of the whole mesh (counted from 1; 0:
// none), and of the others each with probability `rate`.
struct Fault {
  double rate = 0;
  uint64_t nth = 0;
};

// What the data plane does to frames and transfers. Frames that are lost: SimOptions::frame_loss.
struct SimFaults {
  Fault delay;                                        // a frame, and all behind it …
  absl::Duration delay_max = absl::Milliseconds(50);  // … by up to this
  Fault duplicate;                                    // a request, answer or cancel arrives twice
  Fault fail;                                         // a pull ends as failed, and nothing is sent
  Fault no_room;  // a pull ends as beyond a limit of its own transport
  Fault corrupt;  // one bit of landed data is flipped
  Fault tear;     // the second half of what lands stays what it was
  Fault stop;     // data stops half-way; the rest lands when the link is cut
};

struct SimOptions {
  // Of every random draw of the world. RunConfig.seed is the schedule's alone.
  uint64_t seed = 1;

  // --- the mesh ---
  uint32_t nodes = 8;
  uint32_t replicas_per_node = 1;
  uint32_t spare_rows = 0;  // of the ledger, for trainers that come later under names of their own
  uint32_t seeds = 1;       // the first so many nodes are everybody's seeds
  uint32_t wave = 0;        // so many nodes start at once, and the next ones a second later; 0: all
  absl::Duration sync_interval = absl::Seconds(1);
  uint32_t sends_per_peer_max = 4;

  // --- the run ---
  RunConfig run;  // replicas_min 0: all replicas
  uint32_t segments = 18;
  uint32_t slots = 3;
  uint64_t rounds = 100;  // steps that each trainer takes before it leaves
  absl::Duration start_timeout = absl::Minutes(10);

  // --- the data plane ---
  absl::Duration frame_delay = absl::Microseconds(50);   // of a small message, at least
  absl::Duration frame_jitter = absl::Microseconds(50);  // uniform on top; never out of order
  absl::Duration transfer = absl::Microseconds(300);     // of one segment, at least
  absl::Duration transfer_jitter = absl::Microseconds(300);
  double frame_loss = 0;  // chance that a frame vanishes
  SimFaults faults;
  // After which a source learns that the frame of a transfer was lost.
  absl::Duration loss_detected = absl::Milliseconds(20);
  // After which the transports find out that a link hangs, and break it.
  absl::Duration keepalive = absl::InfiniteDuration();

  // --- the control plane ---
  absl::Duration control_delay = absl::Microseconds(300);
  absl::Duration control_jitter = absl::Microseconds(500);  // uniform on top; may overtake
  double control_loss = 0;                                  // chance for a request or an answer
  double control_duplicate = 0;                             // chance that a request comes twice

  // --- the trainers ---
  absl::Duration doorbell = absl::Microseconds(20);      // between trainer and daemon, each way
  absl::Duration attach_spread = absl::Milliseconds(5);  // trainers attach within it at random
  absl::Duration publish_time = absl::Microseconds(200);
  absl::Duration mix_time = absl::Microseconds(200);
  absl::Duration step = absl::Milliseconds(10);  // computing, at least
  double step_jitter = 0;                        // a step takes step · (1 ± this), uniformly
  double stall_chance = 0;                       // of a step, to stall …
  absl::Duration stall_max;                      // … for up to this long
  std::vector<double> slowness;                  // by trainer: factor on its steps; 1 if missing
  double noise = 0;     // each step adds a uniform draw of ± this to every segment
  bool single = false;  // weights and mix in fp32
  bool verify = true;   // false: mixes what landed unseen, to see that the ledger finds out
  // By trainer: the step from which on its weights are NaN and infinite; never if missing.
  std::vector<uint64_t> poisoned_from;
};

}  // namespace weightmesh::sim
