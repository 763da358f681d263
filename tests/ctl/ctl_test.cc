// The weightmeshctl program against a real server with fakes behind it: output and exit codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/control/server.h"
#include "google/protobuf/util/json_util.h"
#include "proto/weightmesh/v1/mesh.pb.h"
#include "tests/control/fake_mesh.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Result {
  int exit_code = -1;
  std::string out;  // standard output and error, as they came
};

// Runs `weightmeshctl <arguments>` in a shell, with `environment` ("NAME=value ...") set.
Result RunCtl(const std::string& arguments, const std::string& environment = "") {
  const std::string command = absl::StrCat("unset WEIGHTMESH_DAEMON; ", environment, " timeout 30 ",
                                           WEIGHTMESHCTL, " ", arguments, " 2>&1");
  Result result;
  FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return result;
  char buffer[4096];
  for (size_t got; (got = fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
    result.out.append(buffer, got);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  return result;
}

class Ctl : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = ControlServer::Start("127.0.0.1:0", &source_, &handler_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  Result Ask(const std::string& arguments) {
    return RunCtl(absl::StrCat("--daemon ", server_->address(), " ", arguments));
  }

  testing::FakeMeshSource source_;
  testing::FakePeerHandler handler_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(Ctl, EveryCommandAnswers) {
  const struct {
    const char* arguments;
    const char* words;
  } cases[] = {{"topology", "2 daemons, 2 replicas"},
               {"topology --run letters", "node1/0"},
               {"stats", "6 late, 4 dead"},
               {"stats --sources", "PULLED FROM"},
               {"stats --segments", "SEGMENT"},
               {"links", "no RDMA device"},
               {"runs", "derangement"},
               {"config", "TCP_TX_SEG_SIZE"},
               {"schedule --run letters --round 5 --segment 1", "round 5, derangement, segment 1"},
               {"schedule", "run letters, round 101, derangement, segment 0"},
               {"schedule --all-segments", "S0  S1"}};
  for (const auto& c : cases) {
    const Result result = Ask(c.arguments);
    EXPECT_EQ(result.exit_code, 0) << c.arguments << "\n" << result.out;
    EXPECT_THAT(result.out, HasSubstr(c.words)) << c.arguments;
  }
}

TEST_F(Ctl, JsonIsTheMessage) {
  const Result result = Ask("--output json stats --segments");
  ASSERT_EQ(result.exit_code, 0) << result.out;
  EXPECT_THAT(result.out, HasSubstr("\"rounds_published\""));  // the contract's names
  v1::Stats stats;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(result.out, &stats).ok()) << result.out;
  EXPECT_EQ(stats.replicas(0).bytes_received(), 3u << 20);
  EXPECT_EQ(stats.replicas(0).segments_size(), 2);
  const Result matrix = Ask("schedule --all-segments --output json");
  EXPECT_EQ(matrix.exit_code, 0);
  EXPECT_THAT(matrix.out, AllOf(StartsWith("{\"tables\":[{\"run_id\":\"letters\""),
                                HasSubstr("\"segment\":1")));
}

TEST_F(Ctl, WatchRepeatsInPlainBlocks) {
  const Result result = Ask("runs --watch --count 3 --interval-ms 10");
  EXPECT_EQ(result.exit_code, 0) << result.out;
  EXPECT_THAT(result.out, Not(HasSubstr("\x1b")));
  const std::vector<std::string> blocks = absl::StrSplit(result.out, "\n\n");
  ASSERT_EQ(blocks.size(), 3u) << result.out;
  for (const std::string& block : blocks) EXPECT_THAT(block, StartsWith("RUN"));
  const Result json = Ask("links --watch --count 3 --interval-ms 10 --output json");
  const std::vector<std::string> lines = absl::StrSplit(json.out, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 3u) << json.out;
  for (const std::string& line : lines) {
    v1::LinkList links;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(line, &links).ok()) << line;
  }
}

TEST_F(Ctl, TheEnvironmentNamesTheDaemonAndTheOptionWins) {
  EXPECT_EQ(RunCtl("runs", absl::StrCat("WEIGHTMESH_DAEMON=", server_->address())).exit_code, 0);
  EXPECT_EQ(
      RunCtl(absl::StrCat("runs --daemon ", server_->address()), "WEIGHTMESH_DAEMON=192.0.2.1:1 ")
          .exit_code,
      0);
}

TEST_F(Ctl, TheMeshSaysNo) {
  const Result unknown = Ask("stats --run leters");
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_EQ(unknown.out, absl::StrCat("weightmeshctl: weightmeshd at ", server_->address(),
                                      ": run \"leters\" is not known to this daemon; it knows "
                                      "\"letters\"\n"));
  const Result matrix = Ask("schedule --all-segments --run leters");
  EXPECT_EQ(matrix.exit_code, 1);
  EXPECT_THAT(matrix.out, HasSubstr("it knows letters"));
  const Result segment = Ask("schedule --segment 2");
  EXPECT_EQ(segment.exit_code, 1);
  EXPECT_THAT(segment.out, HasSubstr("the run has 2 segments"));
  source_.FailWith(absl::ResourceExhaustedError("the core's queue is full"));
  EXPECT_EQ(Ask("runs").exit_code, 1);
  EXPECT_EQ(Ask("runs --watch").exit_code, 1);
}

TEST_F(Ctl, NobodyThereIsSaidWithTheCure) {
  const std::string address = server_->address();
  server_.reset();
  const Result result = RunCtl(absl::StrCat("--daemon ", address, " topology"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, AllOf(StartsWith("weightmeshctl: no weightmeshd answers at " + address),
                                HasSubstr("start it"), HasSubstr("--daemon")));
}

// Never answers the question for links.
class SilentSource : public testing::FakeMeshSource {
 public:
  void Links(Done<LinksReport> done) override { kept_.push_back(std::move(done)); }

 private:
  std::vector<Done<LinksReport>> kept_;
};

TEST(CtlTimeout, SilenceIsSaidWithTheCure) {
  SilentSource source;
  testing::FakePeerHandler handler;
  const auto server = ControlServer::Start("127.0.0.1:0", &source, &handler);
  ASSERT_TRUE(server.ok()) << server.status();
  const Result result =
      RunCtl(absl::StrCat("--daemon ", (*server)->address(), " --timeout-ms 50 links"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, AllOf(HasSubstr("did not answer in 50ms"), HasSubstr("--timeout-ms")));
}

TEST(CtlUsage, WrongUsageIsTwoAndHelpIsZero) {
  for (const char* arguments :
       {"", "frobnicate", "stats --no-such-option", "--output xml runs", "--timeout-ms 0 runs",
        "schedule --segment 1 --all-segments", "schedule --round -1",
        "schedule --segment 4294967296", "--daemon nowhere runs"}) {
    const Result result = RunCtl(arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments << "\n" << result.out;
    EXPECT_NE(result.out, "") << arguments;
  }
  const Result help = RunCtl("--help");
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, AllOf(HasSubstr("topology"), HasSubstr("--watch"), HasSubstr("Exit codes"),
                              HasSubstr("127.0.0.1:7473")));
  EXPECT_EQ(RunCtl("schedule --help").exit_code, 0);
  const Result version = RunCtl("--version");
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.out, StartsWith("weightmeshctl 0."));
}

TEST_F(Ctl, EventsAreToldInOrder) {
  const Result result = Ask("events");
  EXPECT_EQ(result.exit_code, 0) << result.out;
  EXPECT_THAT(result.out, StartsWith("3 earlier events are not kept any more\n"));
  EXPECT_THAT(result.out, HasSubstr(".000           node a is in the mesh\n"));
  EXPECT_THAT(result.out, HasSubstr(".500  warning  node b is dead: it did not answer\n"));
}

TEST_F(Ctl, EventsAreFollowedAndToldOnce) {
  const Result result = Ask("events --watch --interval-ms 10 --count 3");
  EXPECT_EQ(result.exit_code, 0) << result.out;
  EXPECT_EQ(std::vector<std::string>(absl::StrSplit(result.out, "node b is dead")).size(), 2u)
      << result.out;
  const Result json = Ask("events --watch --interval-ms 10 --count 2 --output json");
  EXPECT_EQ(json.exit_code, 0) << json.out;
  EXPECT_THAT(json.out, HasSubstr("\"text\":\"node a is in the mesh\"}\n{"));
}

TEST_F(Ctl, DrainSaysWhoLeavesAndWaits) {
  const Result result = Ask("drain --deadline-ms 7000");
  EXPECT_EQ(result.exit_code, 0) << result.out;
  EXPECT_THAT(result.out, HasSubstr("replica node0/0 of run letters leaves: it takes no part from "
                                    "round 7\nreplica node0/0 of run letters has left\ndrained: 1 "
                                    "replica; no trainer attaches to "));
  EXPECT_EQ(Ask("drain --watch").exit_code, 2);
  EXPECT_EQ(Ask("drain --deadline-ms 3600001").exit_code, 2);
  const Result json = Ask("drain --output json");
  EXPECT_EQ(json.exit_code, 0) << json.out;
  EXPECT_THAT(json.out, HasSubstr("\"state\": \"REPLICA_STATE_DRAINING\""));
}

}  // namespace
}  // namespace weightmesh
