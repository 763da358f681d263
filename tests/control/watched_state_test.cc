// States as events: the full one, what leads from one to the next, and the numbers before them.
#include "daemon/control/watched_state.h"

#include <gtest/gtest.h>

#include <cmath>

#include "daemon/control/convert_mesh.h"
#include "tests/control/samples.h"

namespace weightmesh {
namespace {

template <typename Event>
Event Parse(const std::string& bytes) {
  Event event;
  EXPECT_TRUE(event.ParseFromString(bytes));
  return event;
}

v1::TopologyEvent ParseTopology(const std::string& bytes) {
  return Parse<v1::TopologyEvent>(bytes);
}
v1::StatsEvent ParseStats(const std::string& bytes) { return Parse<v1::StatsEvent>(bytes); }

WatchFilter OfRun(const std::string& run_id) { return WatchFilter{run_id, false, 100}; }
WatchFilter Detailed() { return WatchFilter{"", true, 100}; }

TEST(WatchedTopology, FullIsWhatGetTopologySays) {
  TopologySnapshot topology = testing::SampleTopology();
  topology.replicas[1].run_id = "faces";
  const WatchedStatePtr state = MakeWatched(topology);
  const v1::TopologyEvent all = ParseTopology(state->Full({}));
  EXPECT_EQ(all.full().SerializeAsString(), ToProto(topology).SerializeAsString());
  const v1::TopologyEvent one = ParseTopology(state->Full(OfRun("faces")));
  EXPECT_EQ(one.full().nodes_size(), 2);
  ASSERT_EQ(one.full().replicas_size(), 1);
  EXPECT_EQ(one.full().replicas(0).run_id(), "faces");
}

TEST(WatchedTopology, OnlyChangesAreTold) {
  TopologySnapshot topology = testing::SampleTopology();
  const WatchedStatePtr before = MakeWatched(topology);
  EXPECT_EQ(MakeWatched(topology)->ChangeSince(*before, {}), "");
  topology.replicas[0].info.published_round = Round{1000};
  EXPECT_EQ(MakeWatched(topology)->ChangeSince(*before, {}), "");
  EXPECT_EQ(ParseTopology(MakeWatched(topology)->ChangeSince(*before, Detailed()))
                .change()
                .replicas(0)
                .info()
                .published_round(),
            1000u);
  topology.nodes.pop_back();
  topology.replicas.pop_back();
  const v1::TopologyEvent gone = ParseTopology(MakeWatched(topology)->ChangeSince(*before, {}));
  ASSERT_EQ(gone.change().nodes_removed_size(), 1);
  EXPECT_EQ(gone.change().nodes_removed(0).low(), testing::SampleNode(1).node_id.low);
  ASSERT_EQ(gone.change().replicas_removed_size(), 1);
  EXPECT_EQ(gone.change().replicas_removed(0).run_id(), "letters");
  EXPECT_NE(MakeWatched(topology)->ChangeSince(*before, OfRun("faces")), "");  // the node
}

TEST(WatchedStats, UnchangedRowsAreLeftOut) {
  StatsReport report = testing::SampleStats();
  report.replicas[0].scalars.push_back({"loss", std::nan("")});  // like is like
  const WatchedStatePtr before = MakeWatched(report);
  report.uptime += absl::Seconds(1);
  report.frames_refused = {9, 0, 0, 0, 1};
  const v1::StatsEvent same = ParseStats(MakeWatched(report)->ChangeSince(*before, Detailed()));
  EXPECT_EQ(same.change().stats().replicas_size(), 0);
  EXPECT_EQ(same.change().stats().uptime_ms(), 3724000u);
  EXPECT_EQ(same.change().stats().frames_refused(), 10u);

  ++report.replicas[0].snapshot.statistics.redirects;
  const v1::StatsEvent changed = ParseStats(MakeWatched(report)->ChangeSince(*before, {}));
  ASSERT_EQ(changed.change().stats().replicas_size(), 1);
  EXPECT_EQ(changed.change().stats().replicas(0).segments_size(), 0);
  const v1::StatsEvent detailed = ParseStats(MakeWatched(report)->ChangeSince(*before, Detailed()));
  EXPECT_EQ(detailed.change().stats().replicas(0).segments_size(), 2);

  report.replicas.clear();
  const v1::StatsEvent gone =
      ParseStats(MakeWatched(report)->ChangeSince(*before, OfRun("letters")));
  ASSERT_EQ(gone.change().replicas_removed_size(), 1);
  EXPECT_EQ(ParseStats(MakeWatched(report)->ChangeSince(*before, OfRun("faces")))
                .change()
                .replicas_removed_size(),
            0);
}

// A dead trainer's statistics are there until its transfers end; its successor's count.
TEST(WatchedStats, OneRowAReplica) {
  StatsReport report = testing::SampleStats();
  report.replicas.push_back(report.replicas[0]);
  report.replicas[1].snapshot.info.published_round = Round{7};
  const v1::StatsEvent full = ParseStats(MakeWatched(report)->Full({}));
  ASSERT_EQ(full.full().replicas_size(), 1);
  EXPECT_EQ(full.full().replicas(0).round(), 7u);
  EXPECT_EQ(full.full().uptime_ms(), 3723000u);
}

TEST(EventNumbers, StandBeforeTheEvent) {
  const WatchedStatePtr state = MakeWatched(testing::SampleStats());
  const v1::StatsEvent event = ParseStats(EventNumbers(uint64_t{1} << 63, 17) + state->Full({}));
  EXPECT_EQ(event.sequence(), uint64_t{1} << 63);
  EXPECT_EQ(event.events_lost(), 17u);
  EXPECT_EQ(event.full().replicas_size(), 1);
}

}  // namespace
}  // namespace weightmesh
