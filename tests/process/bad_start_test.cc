// Daemons that must not start: exit status, and a last line that names the thing and the cure.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/config/temporary_folder.h"
#include "tests/process/lone_daemon.h"
#include "tests/process/mesh.h"
#include "tests/testing/other_user.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr absl::Duration kLimit = absl::Seconds(30);

std::unique_ptr<v1::MeshService::Stub> StubOf(LoneDaemon& daemon) {
  return v1::MeshService::NewStub(
      grpc::CreateChannel(daemon.Address(), grpc::InsecureChannelCredentials()));
}

class BadStartTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return folder_.path() + "/" + name; }
  EndedDaemon Run(const std::vector<std::string>& arguments) {
    return RunToItsEnd(Path("daemon" + std::to_string(runs_++)), arguments);
  }
  EndedDaemon RunConfig(const std::string& name, const std::string& text) {
    return Run({"--config=" + folder_.Write(name, text)});
  }

  TemporaryFolder folder_;
  int runs_ = 0;
};

TEST_F(BadStartTest, AConfigurationThatIsWrong) {
  struct Case {
    std::string name;
    std::string text;
    std::vector<std::string> expected;
  };
  const Case cases[] = {
      {"field.textproto", "seeds: \"a:1\"\nlisten: \"b:1\"\n", {"field.textproto:2:", "listen"}},
      {"type.textproto", "limits {\n  runs_max: \"many\"\n}\n", {"type.textproto:2:", "many"}},
      {"range.textproto",
       "limits {\n  runs_max: 2\n  replicas_max: 2000\n}\n",
       {"range.textproto:3:3: ", "limits.replicas_max is 2000", "1 to 1024"}},
      {"field.json",
       "{\"limits\": {\"runs\": 1}}",
       {"field.json", "limits.runs", "the fields are"}},
      {"type.json", "{\"limits\": {\"runsMax\": \"many\"}}", {"type.json"}},
      {"range.json",
       "{\"membership\": {\"syncIntervalMs\": 1}}",
       {"range.json", "membership.sync_interval_ms is 1", "50 to 60000"}},
  };
  for (const Case& one : cases) {
    const EndedDaemon ended = RunConfig(one.name, one.text);
    EXPECT_EQ(ended.exit_code, kUsage) << one.name;
    for (const std::string& part : one.expected) EXPECT_THAT(ended.errors, HasSubstr(part));
  }
}

TEST_F(BadStartTest, AFlagThatIsWrong) {
  const EndedDaemon flag = Run({"--lisen=127.0.0.1:0"});
  EXPECT_EQ(flag.exit_code, kUsage);
  EXPECT_THAT(flag.errors, HasSubstr("--lisen"));
  const EndedDaemon path = Run({"--attach-socket=/tmp/" + std::string(120, 'a')});
  EXPECT_EQ(path.exit_code, kUsage);
  EXPECT_THAT(path.errors, AllOf(HasSubstr("attach_socket"), HasSubstr("at most 107")));
  const EndedDaemon group = Run({"--attach-group=no-such-group"});
  EXPECT_EQ(group.exit_code, kFailed);
  EXPECT_THAT(group.errors, AllOf(HasSubstr("no-such-group"), HasSubstr("groupadd")));
}

TEST_F(BadStartTest, APortThatIsInUse) {
  LoneDaemon first(Path("first"), {});
  const std::string address = first.Address();
  ASSERT_NE(address, "") << first.Log();
  const EndedDaemon second = Run({"--listen=" + address});
  EXPECT_EQ(second.exit_code, kFailed);
  EXPECT_THAT(second.errors, AllOf(HasSubstr(address), HasSubstr("in use"), HasSubstr("choose")));
  EXPECT_EQ(first.child().Wait(absl::ZeroDuration()), -1) << "the first one lives";
}

TEST_F(BadStartTest, ASocketAndAStateDirectoryOfALiveDaemon) {
  LoneDaemon first(Path("first"), {});
  ASSERT_NE(first.Address(), "") << first.Log();
  const EndedDaemon socket = Run({"--attach-socket=" + first.socket()});
  EXPECT_EQ(socket.exit_code, kFailed);
  EXPECT_THAT(socket.errors, AllOf(HasSubstr("another daemon listens at " + first.socket()),
                                   HasSubstr("another path")));
  const EndedDaemon state = Run({"--state-directory=" + Path("first/state")});
  EXPECT_EQ(state.exit_code, kFailed);
  EXPECT_THAT(state.errors, AllOf(HasSubstr(Path("first/state")), HasSubstr("--state-directory"),
                                  HasSubstr(std::to_string(first.child().pid()))));
  EXPECT_TRUE(std::filesystem::exists(first.socket()));
}

TEST_F(BadStartTest, WhatADeadDaemonLeftIsTakenOver) {
  {
    LoneDaemon dead(Path("daemon"), {});
    ASSERT_NE(dead.Address(), "") << dead.Log();
    dead.child().Signal(SIGKILL);
    dead.child().Wait(kLimit);
    ASSERT_TRUE(std::filesystem::exists(dead.socket()));
  }
  std::filesystem::remove(Path("daemon/daemon.log"));
  LoneDaemon next(Path("daemon"), {});
  EXPECT_NE(next.Address(), "") << next.Log();
}

TEST_F(BadStartTest, AStateDirectoryThatCannotBeWritten) {
  const std::string file = folder_.Write("file", "");
  const EndedDaemon no_folder = Run({"--state-directory=" + file + "/state"});
  EXPECT_EQ(no_folder.exit_code, kFailed);
  EXPECT_THAT(no_folder.errors, AllOf(HasSubstr(file + "/state"), HasSubstr("--state-directory")));
  const EndedDaemon no_log = Run({"--log-file=" + file + "/log"});
  EXPECT_EQ(no_log.exit_code, kFailed);
  EXPECT_THAT(no_log.errors, AllOf(HasSubstr(file + "/log"), HasSubstr("--log-file")));
}

// Root may write everywhere, so it must be somebody else.
TEST_F(BadStartTest, AStateDirectoryOfAnotherUser) {
  WEIGHTMESH_SKIP_UNLESS_ROOT();
  if (!std::filesystem::exists("/usr/bin/setpriv")) GTEST_SKIP() << "setpriv is not installed";
  std::filesystem::create_directory(Path("state"));
  std::filesystem::create_directory(Path("open"));
  ::chmod(folder_.path().c_str(), 0711);
  ::chmod(Path("state").c_str(), 0755);
  ::chmod(Path("open").c_str(), 0777);
  // A copy that this user may run, wherever the build lies.
  std::filesystem::copy_file(WEIGHTMESHD, Path("weightmeshd"));
  LoneDaemon daemon(
      Path("open"), {"--state-directory=" + Path("state")},
      {"/usr/bin/setpriv", "--reuid=4711", "--regid=4711", "--clear-groups", Path("weightmeshd")});
  EXPECT_EQ(daemon.child().Wait(kLimit), kFailed);
  EXPECT_THAT(daemon.Log(), AllOf(HasSubstr(Path("state")), HasSubstr("ermission denied"),
                                  HasSubstr("--state-directory")));
}

TEST_F(BadStartTest, ADamagedNodeId) {
  std::filesystem::create_directory(Path("state"));
  std::ofstream(Path("state/node_id")) << "rubbish\n";
  const EndedDaemon ended = Run({"--state-directory=" + Path("state")});
  EXPECT_EQ(ended.exit_code, kFailed);
  EXPECT_THAT(ended.errors, AllOf(HasSubstr(Path("state/node_id") + " is damaged"),
                                  HasSubstr("delete it"), HasSubstr("new identity")));
}

// A copied state directory, as a cloned disk has it: a third daemon tells the later of the two.
TEST_F(BadStartTest, AClonedNodeId) {
  LoneDaemon witness(Path("witness"), {"--sync-interval-ms=100"});
  const std::string seed = "--seed=" + witness.Address();
  LoneDaemon original(Path("original"), {seed, "--sync-interval-ms=100"});
  ASSERT_NE(original.Address(), "") << original.Log();
  // Starts that lie closer together are not told apart.
  ASSERT_TRUE(Mesh::Await(
      [&] {
        v1::Stats stats;
        grpc::ClientContext context;
        return StubOf(original)->GetStats(&context, {}, &stats).ok() && stats.uptime_ms() > 1500;
      },
      kLimit));
  std::filesystem::create_directories(Path("clone/state"));
  std::filesystem::copy_file(Path("original/state/node_id"), Path("clone/state/node_id"));
  LoneDaemon clone(Path("clone"), {seed, "--sync-interval-ms=100"});
  EXPECT_EQ(clone.child().Wait(kLimit), kFailed) << clone.Log();
  EXPECT_THAT(clone.Log(),
              AllOf(HasSubstr("weightmeshd: "), HasSubstr(" with "), HasSubstr("node_id"),
                    HasSubstr(original.Address()), HasSubstr("delete node_id")));
  EXPECT_TRUE(witness.AwaitLog("it is refused")) << witness.Log();
  EXPECT_EQ(original.child().Wait(absl::ZeroDuration()), -1) << original.Log();
  EXPECT_EQ(original.Log().find("silent"), std::string::npos) << original.Log();

  // The original may restart at another port.
  original.child().Signal(SIGKILL);
  original.child().Wait(kLimit);
  std::filesystem::remove(Path("original/daemon.log"));
  LoneDaemon again(Path("original"), {seed, "--sync-interval-ms=100"});
  const std::string address = again.Address();
  ASSERT_NE(address, "") << again.Log();
  EXPECT_TRUE(Mesh::Await(
      [&] {
        grpc::ClientContext context;
        v1::Topology topology;
        if (!StubOf(witness)->GetTopology(&context, {}, &topology).ok()) return false;
        for (const v1::Node& node : topology.nodes()) {
          if (node.info().control_address() == address && node.reachable()) return true;
        }
        return false;
      },
      kLimit))
      << witness.Log();
  EXPECT_EQ(again.child().Wait(absl::ZeroDuration()), -1) << again.Log();
}

}  // namespace
}  // namespace weightmesh
