// Made-up nodes, runs and reports for the tests of the control plane and of weightmeshctl.
#pragma once

#include <string>

#include "daemon/control/link_offer.h"
#include "daemon/control/mesh_source.h"
#include "daemon/core/snapshot.h"
#include "daemon/core/swim_message.h"
#include "daemon/core/sync_message.h"

namespace weightmesh::testing {

// Node k: its id begins with a0b1c2d<k> and ends with k + 1; "10.0.0.<k + 1>:7473".
NodeInfo SampleNode(uint64_t k);
// Replica "node<k>/0" of run "letters", active, at round 100 + k.
ReplicaInfo SampleReplica(uint64_t k);
FoundingRecord SampleFounding();
// Run "letters", started by four founders; the sender hosts the first two.
RunState SampleRunState();
SyncMessage SampleSync();
// News of two nodes: one suspect, one dead.
swim::Message SampleGossip();
LinkOffer SampleOffer();

// Two nodes, the second unreachable, and a replica on each.
TopologySnapshot SampleTopology();
RunSnapshot SampleRun();
// One replica: 90 pulls ARRIVED, 6 LATE, 4 DEAD; two segments; "loss" and "accuracy".
StatsReport SampleStats();
ScheduleSnapshot SampleSchedule(Round round);
LinksReport SampleLinks();
ConfigReport SampleConfig();
// Events 4 and 5; the three before them are lost.
EventsReport SampleEvents();

}  // namespace weightmesh::testing
