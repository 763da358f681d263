// The whole launcher with the real daemon and trainer, and few rounds.
#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include "deploy/demo/child_process.h"
#include "tests/config/temporary_folder.h"

namespace weightmesh::demo {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(120);

class LauncherTest : public ::testing::Test {
 protected:
  std::unique_ptr<ChildProcess> Start(std::vector<std::string> options) {
    Command command;
    command.name = "weightmesh_demo";
    command.arguments = {getenv("WEIGHTMESH_DEMO"), "--work-dir", folder_.path() + "/work"};
    command.arguments.insert(command.arguments.end(), options.begin(), options.end());
    command.log_file = folder_.path() + "/error";
    command.output_file = folder_.path() + "/output";
    auto child = ChildProcess::Start(command);
    EXPECT_TRUE(child.ok()) << child.status();
    return child.ok() ? *std::move(child) : nullptr;
  }
  std::string Output() { return ReadFile(folder_.path() + "/output"); }
  std::string Errors() { return ReadFile(folder_.path() + "/error"); }

  TemporaryFolder folder_;
};

TEST_F(LauncherTest, TrainsAndReportsAsJson) {
  const auto demo = Start({"--nodes", "3", "--rounds", "30", "--output", "json"});
  ASSERT_TRUE(demo->WaitForEnd(kLong)) << Errors();
  ASSERT_TRUE(demo->Result().ok()) << demo->Result();
  google::protobuf::Struct document;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(Output(), &document).ok()) << Output();
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
