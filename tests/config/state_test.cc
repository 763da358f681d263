// node_id and the lock on disk.
#include "daemon/runtime/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "tests/config/temporary_folder.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(StateDirectory, KeepsItsNodeId) {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/deep/er/state";
  NodeId first;
  {
    const auto state = StateDirectory::Open(path);
    ASSERT_TRUE(state.ok()) << state.status();
    EXPECT_TRUE((*state)->is_new());
    first = (*state)->node_id();
    EXPECT_EQ(ReadFile(path + "/node_id"), first.ToString() + "\n");
    EXPECT_FALSE(std::filesystem::exists(path + "/node_id.new"));
  }
  const auto other = StateDirectory::Open(folder.path() + "/other");
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_NE((*other)->node_id(), first);
  const auto again = StateDirectory::Open(path);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE((*again)->is_new());
  EXPECT_EQ((*again)->node_id(), first);
}

TEST(StateDirectory, IsForOneDaemonAtATime) {
  TemporaryFolder folder;
  auto first = StateDirectory::Open(folder.path());
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = StateDirectory::Open(folder.path());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr(folder.path()), HasSubstr(std::to_string(getpid())),
                    HasSubstr("--state-directory")));
  first->reset();
  EXPECT_TRUE(StateDirectory::Open(folder.path()).ok());
}

TEST(StateDirectory, NamesADamagedNodeIdAndTheCure) {
  for (const char* content :
       {"", "abc", "00000000000000000000000000000000", "zz000000000000000000000000000001",
        "00000000000000000000000000000001ff"}) {
    TemporaryFolder folder;
    const std::string file = folder.Write("node_id", content);
    const auto state = StateDirectory::Open(folder.path());
    EXPECT_EQ(state.status().code(), absl::StatusCode::kFailedPrecondition) << content;
    EXPECT_THAT(std::string(state.status().message()),
                AllOf(HasSubstr(file), HasSubstr("delete it")));
    EXPECT_EQ(ReadFile(file), content);
  }
}

TEST(StateDirectory, NamesAPathThatCannotBe) {
  TemporaryFolder folder;
  const std::string file = folder.Write("file", "");
  EXPECT_THAT(std::string(StateDirectory::Open(file + "/state").status().message()),
              HasSubstr(file + "/state"));
  EXPECT_FALSE(StateDirectory::Open(file).ok());
}

}  // namespace
}  // namespace weightmesh
