// Events put together give what a Get call would answer.
#include "client/ctl/watched_mesh.h"

#include <gtest/gtest.h>

#include "daemon/control/convert_mesh.h"
#include "daemon/control/watched_state.h"
#include "tests/control/samples.h"

namespace weightmesh::ctl {
namespace {

constexpr absl::Time kStart = absl::UnixEpoch();

v1::TopologyEvent FullOf(const TopologySnapshot& topology) {
  v1::TopologyEvent event;
  event.ParseFromString(MakeWatched(topology)->Full({}));
  return event;
}

v1::TopologyEvent Change(const TopologySnapshot& before, const TopologySnapshot& after) {
  v1::TopologyEvent event;
  event.ParseFromString(MakeWatched(after)->ChangeSince(*MakeWatched(before), {}));
  return event;
}

TEST(WatchedTopology, ChangesGiveWhatGetTopologySays) {
  TopologySnapshot before = testing::SampleTopology();
  before.nodes.push_back(NodeSnapshot{testing::SampleNode(5), true, "", absl::ZeroDuration()});
  TopologySnapshot after = before;
  after.nodes.erase(after.nodes.begin() + 1);
  after.nodes.insert(after.nodes.begin() + 1,
                     NodeSnapshot{testing::SampleNode(3), true, "", absl::ZeroDuration()});
  after.nodes[2].info.version = std::string("9");
  after.replicas[0].rank = 7;
  after.replicas.pop_back();
  WatchedTopology watched;
  watched.Apply(FullOf(before), kStart);
  watched.Apply(Change(before, after), kStart);
  EXPECT_EQ(watched.At(kStart).DebugString(), ToProto(after).DebugString());
}

TEST(WatchedTopology, AFullStateTakesThePlaceOfAll) {
  TopologySnapshot small = testing::SampleTopology();
  small.nodes.pop_back();
  small.replicas.pop_back();
  WatchedTopology watched;
  watched.Apply(FullOf(testing::SampleTopology()), kStart);
  watched.Apply(FullOf(small), kStart);
  EXPECT_EQ(watched.At(kStart).DebugString(), ToProto(small).DebugString());
}

TEST(WatchedTopology, SilenceGrowsBetweenEvents) {
  WatchedTopology watched;
  TopologySnapshot topology = testing::SampleTopology();
  topology.nodes.push_back(NodeSnapshot{testing::SampleNode(5), true, "", absl::Seconds(1)});
  watched.Apply(FullOf(topology), kStart);
  const v1::Topology later = watched.At(kStart + absl::Seconds(4));
  EXPECT_EQ(later.nodes(1).silent_ms(), 6500u);  // unreachable for 2.5 s then
  EXPECT_EQ(later.nodes(2).silent_ms(), 0u);     // reachable
}

TEST(WatchedStats, ChangesGiveWhatGetStatsSays) {
  StatsReport before = testing::SampleStats();
  before.replicas.push_back(before.replicas[0]);
  before.replicas[1].snapshot.info = testing::SampleReplica(1);
  StatsReport after = before;
  after.uptime += absl::Seconds(1);
  after.frames_refused = {9};
  after.answers_unasked = 5;
  after.replicas.push_back(before.replicas[0]);
  after.replicas[2].snapshot.info = testing::SampleReplica(2);
  ++after.replicas[1].snapshot.statistics.redirects;
  after.replicas.erase(after.replicas.begin());
  v1::StatsEvent full;
  full.ParseFromString(MakeWatched(before)->Full({}));
  v1::StatsEvent change;
  change.ParseFromString(MakeWatched(after)->ChangeSince(*MakeWatched(before), {}));
  WatchedStats watched;
  watched.Apply(full);
  watched.Apply(change);
  EXPECT_EQ(watched.stats().DebugString(), ToProto(after, false).DebugString());
}

}  // namespace
}  // namespace weightmesh::ctl
