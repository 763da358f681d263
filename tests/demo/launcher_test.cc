// The whole launcher with the real daemon and trainer, and few rounds.
#include <gmock/gmock.h>
#include <signal.h>

#include "tests/demo/launcher_fixture.h"

namespace weightmesh::demo {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(120);

TEST_F(LauncherTest, TrainsAndReportsAsJson) {
  const auto demo = Start({"--nodes", "3", "--rounds", "30", "--output", "json"});
  ASSERT_TRUE(demo->WaitForEnd(kLong)) << Errors();
  ASSERT_TRUE(demo->Result().ok()) << demo->Result();
  const google::protobuf::Struct document = Document();
  const auto& replicas = document.fields().at("replicas").list_value();
  ASSERT_EQ(replicas.values_size(), 3);
  for (const auto& value : replicas.values()) {
    const auto& replica = value.struct_value().fields();
    EXPECT_FALSE(replica.at("alone").bool_value());
    EXPECT_EQ(replica.at("rounds_published").number_value(), 30);
    EXPECT_EQ(replica.at("pulls").struct_value().fields().at("ARRIVED").number_value(), 30 * 18);
    double from = 0;
    for (const auto& count : replica.at("arrived_from").list_value().values()) {
      from += count.number_value();
    }
    EXPECT_EQ(from, 30 * 18);
  }
  EXPECT_GT(
      document.fields().at("all_reduce").struct_value().fields().at("accuracy").number_value(), 0);
}

TEST_F(LauncherTest, ADaemonCanBeKilled) {
  const auto demo = Start({"--nodes", "3", "--rounds", "200", "--kill", "1@5", "--no-baselines"});
  ASSERT_TRUE(demo->WaitForEnd(kLong)) << Errors();
  EXPECT_TRUE(demo->Result().ok()) << demo->Result();
  EXPECT_THAT(Output(), HasSubstr("Killed daemon 1"));
  EXPECT_THAT(Output(), HasSubstr("its daemon was killed"));
}

TEST_F(LauncherTest, AFailureNamesTheLog) {
  const auto demo = Start({"--nodes", "2", "--rounds", "5", "--data", "/does/not/exist"});
  ASSERT_TRUE(demo->WaitForEnd(kLong)) << Errors();
  EXPECT_THAT(std::string(demo->Result().message()), HasSubstr("exit code 1"));
  EXPECT_THAT(Errors(), HasSubstr("/work/trainer-"));
  EXPECT_THAT(Errors(), HasSubstr("/does/not/exist"));
}

TEST_F(LauncherTest, CtrlCEndsEverythingInOrder) {
  const auto demo = Start({"--nodes", "2", "--rounds", "1000000", "--no-baselines"});
  while (Output().find("round ") == std::string::npos) ASSERT_TRUE(demo->IsRunning()) << Errors();
  demo->Signal(SIGINT);
  ASSERT_TRUE(demo->WaitForEnd(kLong));
  EXPECT_THAT(Errors(), HasSubstr("interrupted"));
  EXPECT_THAT(ReadFile(folder_.path() + "/work/daemon-0.log"), HasSubstr("stopped"));
}

}  // namespace
}  // namespace weightmesh::demo
