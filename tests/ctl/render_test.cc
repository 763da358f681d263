// What people see, letter by letter.
#include "client/ctl/render.h"

#include <gtest/gtest.h>

#include "daemon/control/convert_mesh.h"
#include "tests/control/samples.h"

namespace weightmesh::ctl {
namespace {

TEST(Render, Topology) {
  EXPECT_EQ(RenderTopology(ToProto(testing::SampleTopology())),
            R"(2 daemons, 2 replicas, as seen by a0b1c2d0

NODE      ADDRESS        VERSION  STATE
a0b1c2d0  10.0.0.1:7473  0.1.0    this daemon
a0b1c2d1  10.0.0.2:7473  0.1.0    unreachable for 2.50 s: connection refused

RUN      RANK  REPLICA   NAME     NODE      STATE                PUBLISHED  MIXED
letters     0  816109ad  node0/0  a0b1c2d0  active                     100     99
letters     1  1617dd22  node1/0  a0b1c2d1  active, unreachable        101    100
)");
}

TEST(Render, TopologyOfOneAndOutsideTheView) {
  TopologySnapshot topology = testing::SampleTopology();
  topology.nodes.resize(1);
  topology.replicas.resize(1);
  topology.replicas[0].rank = -1;
  topology.replicas[0].info.state = ReplicaState::kWaiting;
  EXPECT_EQ(RenderTopology(ToProto(topology)),
            R"(1 daemon, 1 replica, as seen by a0b1c2d0

NODE      ADDRESS        VERSION  STATE
a0b1c2d0  10.0.0.1:7473  0.1.0    this daemon

RUN      RANK  REPLICA   NAME     NODE      STATE    PUBLISHED  MIXED
letters     -  816109ad  node0/0  a0b1c2d0  waiting        100     99
)");
}

TEST(Render, Stats) {
  EXPECT_EQ(
      RenderStats(ToProto(testing::SampleStats(), false), {}),
      R"(daemon a0b1c2d0, up 62.0 min, 3 frames refused (1 malformed, 2 too many); ~ marks a median

RUN      REPLICA  STATE   ROUND  SKIPPED  ROUND TIME  STALENESS  DISTANCE  VIEW    READ  REPORTED
letters  node0/0  active    100        1    ~49.2 ms        0.5    0.0125  75 %  95.0 %  loss=0.5 accuracy=0.9625

RUN      REPLICA  ARRIVED   SHARE  NOT ARRIVED     REDIRECTS  PULL TIME  RECEIVED      SENT
letters  node0/0       90  90.0 %  6 late, 4 dead          5   ~1.54 ms  3.00 MiB  1.50 KiB
)");
}

TEST(Render, StatsWithSourcesAndSegments) {
  const std::string text = RenderStats(ToProto(testing::SampleStats(), true), {true, true});
  EXPECT_EQ(text.substr(text.find("RUN      REPLICA  PULLED")),
            R"(RUN      REPLICA  PULLED FROM  ARRIVED  FAILED  RECEIVED
letters  node0/0  node1/0           60       2  2.00 MiB
letters  node0/0  node2/0           30       8  1.00 MiB

RUN      REPLICA  SEGMENT  ARRIVED  NOT ARRIVED  RECEIVED
letters  node0/0        0        0  -                 0 B
letters  node0/0        1       45  -            4.00 KiB
)");
}

TEST(Render, StatsOfAFreshReplica) {
  StatsReport report = testing::SampleStats();
  report.replicas[0].snapshot.statistics = ReplicaStatistics{};
  report.replicas[0].snapshot.consensus_distance_is_bound = true;
  report.replicas[0].scalars.clear();
  report.frames_refused = {0, 1};
  EXPECT_EQ(RenderStats(ToProto(report, false), {}),
            R"(daemon a0b1c2d0, up 62.0 min, 1 frame refused (1 unknown token); ~ marks a median

RUN      REPLICA  STATE   ROUND  SKIPPED  ROUND TIME  STALENESS  DISTANCE  VIEW  READ  REPORTED
letters  node0/0  active    100        0           -          -      <= 0  75 %     -

RUN      REPLICA  ARRIVED  SHARE  NOT ARRIVED  REDIRECTS  PULL TIME  RECEIVED  SENT
letters  node0/0        0      -  -                    0          -       0 B   0 B
)");
}

TEST(Render, Links) {
  EXPECT_EQ(RenderLinks(ToProto(testing::SampleLinks())),
            "NODE      ADDRESS        TRANSPORT      DEVICE  RECEIVED      SENT  PULLS  SENDS  "
            "PULL TIME     GOODPUT  FAILURES  REFUSED  WHY NOT FASTER\n"
            "a0b1c2d1  10.0.0.2:7473  tcp            eth0    5.00 MiB  2.00 MiB     90     80    "
            "~768 µs  2.50 MiB/s         1        7  no RDMA device\n"
            "a0b1c2d2  10.0.0.3:7473  not connected               0 B       0 B      0      0    "
            "      -           -         0        0\n");
}

TEST(Render, Runs) {
  RunSnapshot waiting = testing::SampleRun();
  waiting.run_id = "faces";
  waiting.started = false;
  waiting.replicas = 2;
  waiting.founding.config.schedule = ScheduleKind::kHashCycle;
  waiting.founding.config.mode = Mode::kAsync;
  waiting.founding.config.staleness_rounds_max = 8;
  EXPECT_EQ(RenderRuns(ToProto(std::vector<RunSnapshot>{testing::SampleRun(), waiting})),
            "RUN      STATE            ROUND  REPLICAS  LIVE  HERE  SCHEDULE     MODE     WIRE  "
            "ALPHA  DEADLINE  PARAMETERS  SEGMENTS  SEED\n"
            "letters  started            101         4     3     1  derangement  overlap  bf16   "
            "0.25    1.50 s       12000         2    17\n"
            "faces    waiting: 2 of 4    101         2     3     1  hash_cycle   async 8  bf16   "
            "0.25    1.50 s       12000         2    17\n");
}

TEST(Render, NoRuns) {
  const std::string text = RenderRuns(v1::RunList());
  EXPECT_EQ(text.substr(text.find('\n')), "\n(none)\n");
}

TEST(Render, Config) {
  EXPECT_EQ(RenderConfig(ToProto(testing::SampleConfig())), R"(weightmeshd 0.1.0

listen_address: "127.0.0.1:7473"
seeds: "10.0.0.2:7473"

a daemon's death is known here within 2.57 s (median)

TRANSPORT SETTING  VALUE
TCP_TX_SEG_SIZE    256k

RUN      ROUND DEADLINE  PROBE TIMEOUT  OVERLAP GRACE  PUBLISH WAIT
letters          1.50 s         300 ms         150 ms        150 ms
)");
}

TEST(Render, Schedule) {
  const v1::ScheduleTable table =
      ToProto(testing::SampleSchedule(Round{7}), "letters", SegmentId{1});
  EXPECT_EQ(RenderSchedule(table), R"(run letters, round 7, derangement, segment 1

READER   PULLS FROM
node0/0  node1/0
node1/0  node2/0
node2/0  node0/0
)");
}

TEST(Render, ScheduleMatrix) {
  const v1::ScheduleTable first =
      ToProto(testing::SampleSchedule(Round{7}), "letters", SegmentId{0});
  v1::ScheduleTable second = first;
  second.set_segment(10);
  second.mutable_assignments(0)->mutable_source()->set_low(1);  // a replica that reads nothing
  second.mutable_assignments()->RemoveLast();
  EXPECT_EQ(RenderScheduleMatrix({first, second}),
            R"(run letters, round 7, derangement; each cell: the number of the replica pulled from

#  READER   S0  S10
0  node0/0   1    -
1  node1/0   2    2
2  node2/0   0
)");
}

}  // namespace
}  // namespace weightmesh::ctl
