// Who is there, with real daemons: a death becomes known to all, a pause is none, and who returns
// is back.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/config/temporary_folder.h"
#include "tests/process/lone_daemon.h"
#include "tests/process/mesh.h"

namespace weightmesh {
namespace {

constexpr int kDaemons = 4;
constexpr absl::Duration kLimit = absl::Seconds(60);

class MembershipTest : public testing::Test {
 protected:
  MembershipTest() : mesh_(kDaemons) {
    for (int k = 0; k < kDaemons; ++k) {
      EXPECT_TRUE(Mesh::Await([&] { return Reachable(k) == kDaemons; }, kLimit)) << mesh_.Logs();
    }
  }

  // Daemons that daemon k knows and that answer, itself included.
  int Reachable(int k) const {
    const v1::Topology topology = mesh_.Topology(k, "");
    int count = 0;
    for (const v1::Node& node : topology.nodes()) count += node.reachable();
    return count;
  }
  // Why the one daemon that does not answer daemon k does not; empty when all answer.
  std::string Reason(int k) const {
    const v1::Topology topology = mesh_.Topology(k, "");
    for (const v1::Node& node : topology.nodes()) {
      if (!node.reachable()) return node.unreachable_reason();
    }
    return "";
  }
  bool Logged(int k, const std::string& text) const {
    return mesh_.DaemonLog(k).find(text) != std::string::npos;
  }

  Mesh mesh_;
};

TEST_F(MembershipTest, ADeathIsKnownToAllAndSoIsTheReturn) {
  mesh_.Kill(kDaemons - 1);
  for (int k = 0; k + 1 < kDaemons; ++k) {
    EXPECT_TRUE(Mesh::Await([&] { return Logged(k, " is dead: it did not answer"); }, kLimit))
        << mesh_.Logs();
    EXPECT_EQ(Reachable(k), kDaemons - 1);
    EXPECT_NE(Reason(k), "");
  }
  mesh_.Restart(kDaemons - 1);
  for (int k = 0; k < kDaemons; ++k) {
    EXPECT_TRUE(Mesh::Await([&] { return Reachable(k) == kDaemons; }, kLimit)) << mesh_.Logs();
  }
}

// Half of the detection target.
TEST_F(MembershipTest, APauseIsNoDeath) {
  for (int victim : {1, 0}) {
    mesh_.daemon(victim).Signal(SIGSTOP);
    absl::SleepFor(absl::Milliseconds(1500));
    mesh_.daemon(victim).Signal(SIGCONT);
    absl::SleepFor(absl::Seconds(5));
    for (int k = 0; k < kDaemons; ++k) {
      EXPECT_FALSE(Logged(k, " is dead")) << mesh_.Logs();
      EXPECT_EQ(Reachable(k), kDaemons) << mesh_.Logs();
    }
  }
}

TEST_F(MembershipTest, NothingStopsWhenTheSeedDies) {
  mesh_.Kill(0);
  for (int k = 1; k < kDaemons; ++k) {
    EXPECT_TRUE(Mesh::Await([&] { return Logged(k, " is dead: it did not answer"); }, kLimit));
    EXPECT_EQ(Reachable(k), kDaemons - 1) << mesh_.Logs();
  }
}

// The only seed stays dead; the others are where they were.
TEST_F(MembershipTest, ARestartedDaemonFindsTheMeshByWhatItHasOnDisk) {
  const int last = kDaemons - 1;
  const std::string file = absl::StrCat(mesh_.Folder(), "/", last, "/members");
  const auto has_all = [&] {
    const std::string text = ReadFile(file);
    return absl::StrContains(text, mesh_.address(1)) && absl::StrContains(text, mesh_.address(2));
  };
  ASSERT_TRUE(Mesh::Await(has_all, kLimit)) << ReadFile(file) << mesh_.Logs();
  mesh_.Kill(0);
  mesh_.Kill(last);
  mesh_.Restart(last);
  for (int k : {1, 2, last}) {
    EXPECT_TRUE(Mesh::Await([&] { return Reachable(k) == kDaemons - 1; }, kLimit)) << mesh_.Logs();
  }
}

// A name stands for all its addresses; and a file on disk that is of no use stops nobody.
TEST(Seeds, AreFoundByName) {
  TemporaryFolder folder;
  LoneDaemon first(folder.path() + "/first", {});
  const std::string address = first.Address();
  ASSERT_TRUE(absl::StartsWith(address, "127.0.0.1:")) << first.Log();
  const std::string port = address.substr(address.find(':'));
  const std::string state = folder.path() + "/second/state";
  std::filesystem::create_directories(state);
  std::ofstream(state + "/members") << "no file of ours";
  LoneDaemon second(folder.path() + "/second", {"--seed=localhost" + port});
  EXPECT_TRUE(second.AwaitLog(address + " is in the mesh, of 2 daemons now")) << second.Log();
  EXPECT_TRUE(first.AwaitLog(" is in the mesh, of 2 daemons now")) << first.Log();
  EXPECT_TRUE(second.AwaitLog(state + "/members is damaged, or not this daemon's")) << second.Log();
  EXPECT_TRUE(
      Mesh::Await([&] { return absl::StrContains(ReadFile(state + "/members"), address); }, kLimit))
      << second.Log();
}

}  // namespace
}  // namespace weightmesh
