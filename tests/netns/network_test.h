// NetworkTest: real daemons in a star of network namespaces, which the tests of one program share.
//
// The test itself is in the hub, from where it reaches every daemon whatever the daemons hear of
// each other. Skipped where namespaces cannot be made.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"
#include "tests/testing/star_network.h"

namespace weightmesh {

constexpr absl::Duration kLimit = absl::Seconds(60);

class NetworkTest : public testing::Test {
 public:
  static constexpr int kNodes = 4;
  // Those from here on are beyond the trunk.
  static constexpr int kFarFrom = kNodes / 2;

 protected:
  void SetUp() override;
  // Nothing is cut off or lost any more.
  void TearDown() override { Heal(); }

  // One daemon to a namespace. Their seeds, and whatever else, are the caller's.
  static MeshOptions MeshOf(int daemons, const std::string& config = "");
  // Nobody learns anything: all weights stay what they are, whatever was mixed from whom.
  static GossipOptions EndlessRun(int replicas);

  static const StarNetwork& network() { return *network_; }
  // iptables in namespace k; false, and the test is to be skipped, where there is none.
  static bool Filter(int k, const std::string& rule);
  // What comes to node `to` from node `from` goes to `target` ("DROP").
  static bool Block(int from, int to, const std::string& target);
  static void Heal();

  // Daemons that daemon k knows and that answer, itself included.
  static int Reachable(const Mesh& mesh, int k);
  static bool AwaitOneMesh(const Mesh& mesh, const std::vector<int>& daemons);
  // Until daemon k has so many replicas in its view.
  static bool AwaitView(const Mesh& mesh, const GossipRun& run, int k, int size);
  // Until each replica, or each but `without`, has published so many more rounds.
  static bool AwaitRounds(const GossipRun& run, uint64_t more, int without = -1);
  // Until no replica is more than a round or two ahead of another.
  static bool AwaitCoupled(const GossipRun& run);
  // Segments that replica k has mixed of replica `source`.
  static uint64_t ArrivedFrom(const GossipRun& run, int k, int source);
  // All end in order, with the weights that the run began with.
  static void ExpectOneModel(GossipRun* run);

 private:
  static std::unique_ptr<StarNetwork> network_;  // until the program ends
};

}  // namespace weightmesh
