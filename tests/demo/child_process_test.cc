// Programs that the launcher starts.
#include "deploy/demo/child_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include "tests/config/temporary_folder.h"

namespace weightmesh::demo {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(30);

class ChildProcessTest : public ::testing::Test {
 protected:
  Command Shell(const std::string& script) {
    Command command;
    command.name = "child";
    command.arguments = {"/bin/sh", "-c", script};
    command.log_file = folder_.path() + "/child.log";
    return command;
  }
  std::unique_ptr<ChildProcess> Start(const Command& command) {
    auto child = ChildProcess::Start(command);
    EXPECT_TRUE(child.ok()) << child.status();
    return child.ok() ? *std::move(child) : nullptr;
  }

  TemporaryFolder folder_;
};

TEST_F(ChildProcessTest, OutputAndErrorsGoToTheLog) {
  const auto child = Start(Shell("echo out; echo err >&2"));
  ASSERT_TRUE(child->WaitForEnd(kLong));
  EXPECT_TRUE(child->Result().ok());
  EXPECT_EQ(ReadFile(child->log_file()), "out\nerr\n");
}

TEST_F(ChildProcessTest, OutputCanGoToItsOwnFile) {
  Command command = Shell("echo out; echo err >&2");
  command.output_file = folder_.path() + "/output";
  const auto child = Start(command);
  ASSERT_TRUE(child->WaitForEnd(kLong));
  EXPECT_EQ(ReadFile(command.output_file), "out\n");
  EXPECT_EQ(ReadFile(command.log_file), "err\n");
}

TEST_F(ChildProcessTest, EnvironmentIsAddedAndReplaced) {
  setenv("WEIGHTMESH_TEST_KEPT", "kept", 1);
  setenv("WEIGHTMESH_TEST_CHANGED", "old", 1);
  Command command = Shell("echo $WEIGHTMESH_TEST_KEPT $WEIGHTMESH_TEST_CHANGED");
  command.environment = {"WEIGHTMESH_TEST_CHANGED=new"};
  const auto child = Start(command);
  ASSERT_TRUE(child->WaitForEnd(kLong));
  EXPECT_EQ(ReadFile(command.log_file), "kept new\n");
}

TEST_F(ChildProcessTest, FailureNamesTheLogAndItsLastLines) {
  const auto child = Start(Shell("for i in $(seq 30); do echo line $i; done; exit 3"));
  ASSERT_TRUE(child->WaitForEnd(kLong));
  EXPECT_THAT(std::string(child->Result().message()),
              AllOf(HasSubstr("child ended with exit code 3"), HasSubstr(child->log_file()),
                    HasSubstr("    line 30\n"), Not(HasSubstr("line 2\n"))));
}

TEST_F(ChildProcessTest, AMissingProgramIsNamed) {
  Command command = Shell("");
  command.arguments = {"/does/not/exist"};
  const auto child = ChildProcess::Start(command);
  EXPECT_THAT(std::string(child.status().message()),
              AllOf(HasSubstr("child"), HasSubstr("/does/not/exist"), HasSubstr("build it")));
}

TEST_F(ChildProcessTest, EndAllKillsThoseThatDoNotEnd) {
  std::vector<std::unique_ptr<ChildProcess>> children;
  children.push_back(Start(Shell("exec sleep 600")));
  Command stubborn = Shell("trap '' TERM; echo ready; while :; do read line; sleep 600; done");
  stubborn.log_file = folder_.path() + "/stubborn.log";
  children.push_back(Start(stubborn));
  children.push_back(nullptr);
  while (ReadFile(stubborn.log_file).empty()) ASSERT_TRUE(children[1]->IsRunning());
  EndAll(children, SIGTERM, absl::Milliseconds(50));
  EXPECT_THAT(std::string(children[0]->Result().message()), HasSubstr("Terminated"));
  EXPECT_THAT(std::string(children[1]->Result().message()), HasSubstr("Killed"));
}

TEST_F(ChildProcessTest, NothingIsLeftBehind) {
  pid_t pid = 0;
  {
    const auto child = Start(Shell("exec sleep 600"));
    pid = child->pid();
    EXPECT_EQ(kill(pid, 0), 0);
    EXPECT_TRUE(child->IsRunning());
    EXPECT_FALSE(child->WaitForEnd(absl::Milliseconds(1)));
  }
  EXPECT_EQ(kill(pid, 0), -1);
}

TEST(LastLines, ShowsTheEndOrSaysThatThereIsNone) {
  TemporaryFolder folder;
  EXPECT_EQ(LastLines(folder.Write("log", "a\nb\nc"), 2), "    b\n    c\n");
  EXPECT_EQ(LastLines(folder.Write("empty", ""), 2), "    (nothing was written)\n");
  EXPECT_EQ(LastLines(folder.path() + "/none", 2), "    (nothing was written)\n");
}

}  // namespace
}  // namespace weightmesh::demo
