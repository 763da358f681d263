// Whom a daemon asks for what a joining replica is to be given.
#include "daemon/runtime/blob_fetch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace weightmesh {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

NodeId NodeOf(uint64_t k) { return NodeId{1, k}; }

class BlobFetchTest : public ::testing::Test {
 protected:
  BlobFetchTest() { topology_.self = NodeOf(0); }
  void Add(uint64_t node, uint64_t round, ReplicaState state = ReplicaState::kActive,
           bool reachable = true, const std::string& run_id = "run") {
    NodeSnapshot snapshot;
    snapshot.info.node_id = NodeOf(node);
    snapshot.info.control_address = "node" + std::to_string(node);
    topology_.nodes.push_back(snapshot);
    ReplicaSnapshot replica;
    replica.run_id = run_id;
    replica.node = NodeOf(node);
    replica.info.state = state;
    replica.info.published_round = Round{round};
    replica.reachable = reachable;
    topology_.replicas.push_back(replica);
  }
  std::vector<std::string> Hosts() const { return BlobHosts(topology_, "run"); }

  // Asks `addresses` in turn; those without an entry in answers_ have none.
  std::string Fetch(std::vector<std::string> addresses) {
    BlobFetchOptions options;
    options.addresses = std::move(addresses);
    options.ask = [this](const std::string& address, absl::Duration,
                         const std::function<void(absl::StatusOr<std::string>)>& answered) {
      asked_.push_back(address);
      const auto found = answers_.find(address);
      answered(found != answers_.end() ? found->second
                                       : absl::StatusOr<std::string>(absl::NotFoundError("none")));
    };
    int calls = 0;
    std::string got;
    FetchBlob(std::move(options), [&](std::string blob) {
      ++calls;
      got = std::move(blob);
    });
    EXPECT_EQ(calls, 1);
    return got;
  }

  TopologySnapshot topology_;
  std::map<std::string, absl::StatusOr<std::string>> answers_;
  std::vector<std::string> asked_;
};

TEST_F(BlobFetchTest, TheNewestOfThoseWhoTakePartAreAskedFirst) {
  EXPECT_THAT(Hosts(), IsEmpty());
  Add(0, 99);  // this daemon
  Add(1, 5);
  Add(2, 9, ReplicaState::kDraining);
  Add(3, 10, ReplicaState::kJoining);
  Add(4, 11, ReplicaState::kDead);
  Add(5, 12, ReplicaState::kActive, /*reachable=*/false);
  Add(6, 13, ReplicaState::kActive, true, "another");
  EXPECT_THAT(Hosts(), ElementsAre("node2", "node1"));
  Add(7, 6);
  Add(8, 7);
  EXPECT_THAT(Hosts(), ElementsAre("node2", "node8", "node7")) << "and not the whole mesh";
}

TEST_F(BlobFetchTest, TheFirstThatHasOneGivesIt) {
  answers_["b"] = "blob of b";
  answers_["a"] = absl::UnavailableError("it died");
  answers_["c"] = "blob of c";
  EXPECT_EQ(Fetch({"none", "a", "b", "c"}), "blob of b");
  EXPECT_THAT(asked_, ElementsAre("none", "a", "b"));
}

TEST_F(BlobFetchTest, WhereNobodyHasOneItIsEmpty) {
  EXPECT_EQ(Fetch({"a", "b"}), "");
  EXPECT_EQ(Fetch({}), "");
}

}  // namespace
}  // namespace weightmesh
