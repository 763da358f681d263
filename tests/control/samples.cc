// Made-up nodes, runs and reports.
#include "tests/control/samples.h"

#include "absl/strings/str_cat.h"
#include "daemon/core/view.h"

namespace weightmesh::testing {

NodeInfo SampleNode(uint64_t k) {
  return NodeInfo{NodeId{(0xa0b1c2d0 + k) << 32, k + 1}, 7000 + k,
                  absl::StrCat("10.0.0.", k + 1, ":7473"), "0.1.0"};
}

ReplicaInfo SampleReplica(uint64_t k) {
  const std::string name = absl::StrCat("node", k, "/0");
  return ReplicaInfo{MakeReplicaId("letters", name), name, ReplicaState::kActive, Round{100 + k},
                     Round{99 + k}};
}

FoundingRecord SampleFounding() {
  FoundingRecord record;
  record.config.seed = 17;
  record.config.schedule = ScheduleKind::kDerangement;
  record.config.mode = Mode::kOverlap;
  record.config.wire = WireFormat::kBf16;
  record.config.alpha = 0.25;
  record.config.round_deadline = absl::Milliseconds(1500);
  record.config.replicas_min = 4;
  record.schema_digest = Digest{1, 2};
  record.weights_digest = Digest{3, 4};
  record.start_round = Round{10};
  record.parameters = 12000;
  record.segments = 2;
  return record;
}

RunState SampleRunState() {
  RunState run;
  run.run_id = "letters";
  run.founding = SampleFounding();
  run.started = true;
  for (uint64_t k = 0; k < 4; ++k) run.founders.push_back(SampleReplica(k).replica_id);
  run.founders_digest = ViewDigest(run.founders);
  run.view_digest = 77;
  run.newest_round = Round{103};
  run.round_time = absl::Milliseconds(140);
  run.replicas = {SampleReplica(0), SampleReplica(1)};
  run.gone = {SampleReplica(3)};
  run.gone[0].state = ReplicaState::kLeft;
  run.gone[0].active_from = Round{40};
  run.gone[0].left_at = Round{90};
  return run;
}

SyncMessage SampleSync() {
  SyncMessage message;
  message.sequence = 77;
  message.self = SampleNode(0);
  message.runs = {SampleRunState()};
  RunState waiting;
  waiting.run_id = "faces";
  waiting.founding = SampleFounding();
  waiting.waiting_digest = 88;
  message.runs.push_back(waiting);
  return message;
}

swim::Message SampleGossip() {
  swim::Message message;
  message.from = SampleNode(0);
  message.uptime = absl::Seconds(90);
  message.incarnation = 4;
  message.digest = 55;
  message.wants_whole = true;
  swim::MemberUpdate suspect;
  suspect.node = SampleNode(1);
  suspect.incarnation = 2;
  suspect.state = swim::MemberState::kSuspect;
  suspect.accusers = {SampleNode(2).node_id, SampleNode(3).node_id};
  suspect.record_version = 6;
  suspect.record = "record";
  swim::MemberUpdate dead;  // where it was is not told
  dead.node.node_id = SampleNode(2).node_id;
  dead.node.session = SampleNode(2).session;
  dead.incarnation = 7;
  dead.state = swim::MemberState::kDead;
  message.updates = {suspect, dead};
  return message;
}

LinkOffer SampleOffer() { return LinkOffer{SampleNode(0), std::string("\0\1\2", 3), "ucx", 99}; }

TopologySnapshot SampleTopology() {
  TopologySnapshot topology;
  topology.self = SampleNode(0).node_id;
  topology.nodes.push_back(NodeSnapshot{SampleNode(0), true, "", absl::ZeroDuration()});
  topology.nodes.push_back(
      NodeSnapshot{SampleNode(1), false, "connection refused", absl::Milliseconds(2500)});
  for (uint64_t k = 0; k < 2; ++k) {
    topology.replicas.push_back(ReplicaSnapshot{"letters", SampleReplica(k), SampleNode(k).node_id,
                                                static_cast<int32_t>(k), k == 0});
  }
  return topology;
}

RunSnapshot SampleRun() {
  RunSnapshot run;
  run.run_id = "letters";
  run.founding = SampleFounding();
  run.started = true;
  run.newest_round = Round{101};
  run.replicas = 4;
  run.local_replicas = 1;
  run.live_replicas = 3;
  run.times = DeriveTimes(run.founding.config, absl::ZeroDuration());
  return run;
}

StatsReport SampleStats() {
  ReplicaStatsReport replica;
  ReplicaStatsSnapshot& snapshot = replica.snapshot;
  snapshot.run_id = "letters";
  snapshot.info = SampleReplica(0);
  snapshot.source_ids = {SampleReplica(0).replica_id, SampleReplica(1).replica_id,
                         SampleReplica(2).replica_id};
  snapshot.source_names = {"node0/0", "node1/0", "node2/0"};
  snapshot.view_agreement = 0.75;
  ReplicaStatistics& statistics = snapshot.statistics;
  statistics.rounds_published = 50;
  statistics.publishes_skipped = 1;
  statistics.rounds_collected = 49;
  statistics.pulls[static_cast<uint32_t>(Outcome::kArrived)] = 90;
  statistics.pulls[static_cast<uint32_t>(Outcome::kLate)] = 6;
  statistics.pulls[static_cast<uint32_t>(Outcome::kDead)] = 4;
  statistics.redirects = 5;
  statistics.bytes_received = 3 << 20;
  statistics.bytes_sent = 1536;
  statistics.segments_read = 95;
  statistics.requests_late = 3;
  statistics.segments_published = 100;
  for (uint64_t k = 0; k < 90; ++k) statistics.pull_time_us.Add(1500);
  for (uint64_t k = 0; k < 50; ++k) statistics.round_time_us.Add(40000);
  for (uint64_t k = 0; k < 90; ++k) statistics.staleness.Add(k % 2);
  statistics.consensus_distance = 0.0125;
  statistics.segments.resize(2);
  statistics.segments[1].pulls[static_cast<uint32_t>(Outcome::kArrived)] = 45;
  statistics.segments[1].bytes_received = 4096;
  statistics.sources.resize(3);
  statistics.sources[1] = SourceStatistics{60, 2, 2 << 20};
  statistics.sources[2] = SourceStatistics{30, 8, 1 << 20};
  replica.scalars = {{"loss", 0.5}, {"accuracy", 0.9625}};
  StatsReport report{SampleNode(0).node_id, absl::Seconds(3723), {}, 5, {replica}};
  report.frames_refused[static_cast<size_t>(FrameRefusal::kMalformed)] = 1;
  report.frames_refused[static_cast<size_t>(FrameRefusal::kTooMany)] = 2;
  return report;
}

ScheduleSnapshot SampleSchedule(Round round) {
  ScheduleSnapshot table;
  table.schedule = ScheduleKind::kDerangement;
  table.round = round;
  for (uint64_t k = 0; k < 3; ++k) {
    const ReplicaInfo reader = SampleReplica(k);
    const ReplicaInfo source = SampleReplica((k + 1) % 3);
    table.assignments.push_back(
        AssignmentSnapshot{reader.replica_id, reader.name, source.replica_id, source.name});
  }
  return table;
}

LinksReport SampleLinks() {
  LinksReport report;
  LinkSnapshot link;
  link.peer = SampleNode(1);
  link.statistics.bytes_received = 5 << 20;
  link.statistics.bytes_sent = 2 << 20;
  link.statistics.pulls_landed = 90;
  link.statistics.sends_ended = 80;
  link.statistics.failures = 1;
  link.statistics.requests_refused = {1, 0, 0, 2};
  link.statistics.cuts = 2;
  link.statistics.busy_us = 2'000'000;
  for (uint64_t k = 0; k < 90; ++k) link.statistics.pull_time_us.Add(900);
  report.links.push_back(link);
  link = LinkSnapshot{};
  link.peer = SampleNode(2);
  report.links.push_back(link);
  report.paths.push_back(PathReport{SampleNode(1).node_id, "tcp", "eth0", "no RDMA device"});
  report.frames_refused[SampleNode(1).node_id] = {3, 0, 0, 1};
  report.frames_refused[NodeId{}] = {0, 9};
  return report;
}

EventsReport SampleEvents() {
  const absl::Time noon = absl::FromUnixSeconds(1'795'867'200);
  EventsReport report;
  report.events = {{4, noon, false, "node a is in the mesh"},
                   {5, noon + absl::Milliseconds(1500), true, "node b is dead: it did not answer"}};
  report.lost = 3;
  report.last_sequence = 5;
  return report;
}

ConfigReport SampleConfig() {
  ConfigReport report;
  report.config.set_listen_address("127.0.0.1:7473");
  report.config.add_seeds("10.0.0.2:7473");
  report.version = "0.1.0";
  report.transport_settings = {{"TCP_TX_SEG_SIZE", "256k"}};
  report.runs = {SampleRun()};
  report.detection_time = absl::Milliseconds(2570);
  return report;
}

}  // namespace weightmesh::testing
