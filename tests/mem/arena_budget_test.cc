// The count of arena bytes, and its default limit read from made-up /proc and /sys trees.
#include "daemon/mem/arena_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A folder that stands for the root of a machine.
class DefaultArenaLimitTest : public testing::Test {
 protected:
  DefaultArenaLimitTest() {
    std::string name = (std::filesystem::temp_directory_path() / "weightmesh-root-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
  }
  ~DefaultArenaLimitTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }

  std::string root_;
};

TEST_F(DefaultArenaLimitTest, IsHalfOfMemTotalWithoutACgroup) {
  Write("/proc/meminfo", "MemTotal:       1000 kB\nMemFree:         10 kB\n");
  const ArenaLimit limit = DefaultArenaLimit(root_);
  EXPECT_EQ(limit.bytes, 512'000u);
  EXPECT_THAT(limit.origin, HasSubstr("half of MemTotal"));
}

TEST_F(DefaultArenaLimitTest, IsHalfOfTheLeastLimitAmongCgroupAndParents) {
  Write("/proc/meminfo", "MemTotal:  1000000 kB\n");
  Write("/proc/self/cgroup", "0::/jobs/train.service\n");
  Write("/sys/fs/cgroup/jobs/train.service/memory.max", "max\n");
  Write("/sys/fs/cgroup/jobs/memory.max", "3000000\n");
  const ArenaLimit limit = DefaultArenaLimit(root_);
  EXPECT_EQ(limit.bytes, 1'500'000u);
  EXPECT_THAT(limit.origin, HasSubstr("/jobs/memory.max"));
}

TEST_F(DefaultArenaLimitTest, FindsTheContainersLimitBehindAHostPath) {
  Write("/proc/meminfo", "MemTotal:  1000000 kB\n");
  Write("/proc/self/cgroup", "0::/kubepods/pod7\n");
  Write("/sys/fs/cgroup/memory.max", "4096000\n");
  EXPECT_EQ(DefaultArenaLimit(root_).bytes, 2'048'000u);
}

TEST_F(DefaultArenaLimitTest, ReadsVersionOneToo) {
  Write("/proc/meminfo", "MemTotal:  1000000 kB\n");
  Write("/proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/docker/abc\n");
  Write("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "2000000\n");
  EXPECT_EQ(DefaultArenaLimit(root_).bytes, 1'000'000u);
  Write("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(DefaultArenaLimit(root_).bytes, 512'000'000u);
}

TEST_F(DefaultArenaLimitTest, HasADefaultWhereNothingCanBeRead) {
  EXPECT_EQ(DefaultArenaLimit(root_).bytes, uint64_t{1} << 30);
  Write("/proc/meminfo", "rubbish");
  Write("/proc/self/cgroup", "rubbish\n0:\n::::\n");
  EXPECT_EQ(DefaultArenaLimit(root_).bytes, uint64_t{1} << 30);
}

TEST(ArenaBudgetTest, CountsToItsLimitAndBack) {
  ArenaBudget budget({1000, "limits.arena_bytes_max"});
  EXPECT_TRUE(budget.Take(600).ok());
  EXPECT_TRUE(budget.Take(400).ok());
  const absl::Status full = budget.Take(1);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()),
              AllOf(HasSubstr("0 of 1000"), HasSubstr("limits.arena_bytes_max")));
  EXPECT_EQ(budget.taken(), 1000u);
  budget.Return(400);
  EXPECT_EQ(budget.Take(UINT64_MAX).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(budget.Take(400).ok());
}

}  // namespace
}  // namespace weightmesh
