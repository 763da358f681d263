// Daemons that end unasked. The daemon is a script: it says that it is ready, and aborts.
#include "deploy/demo/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/config/temporary_folder.h"

namespace weightmesh::demo {
namespace {

using ::testing::HasSubstr;

class ClusterTest : public ::testing::Test {
 protected:
  // A cluster whose one daemon says `last_words` and has aborted.
  std::unique_ptr<Cluster> Aborted(const std::string& last_words) {
    options_.nodes = 1;
    options_.weightmeshd = folder_.Write("weightmeshd", absl::StrCat(R"(#!/usr/bin/python3
import os, socket, sys
ready = b"READY=1\nWEIGHTMESH_LISTENING=127.0.0.1:1\n"
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(ready, os.environ["NOTIFY_SOCKET"])
sys.stderr.write(")",
                                                                     last_words, R"(\n")
sys.stderr.flush()
os.abort()
)"));
    EXPECT_EQ(chmod(options_.weightmeshd.c_str(), 0755), 0);
    auto cluster = std::make_unique<Cluster>(options_, folder_.path(), [] { return false; });
    EXPECT_TRUE(cluster->StartDaemons().ok());
    const absl::Time limit = absl::Now() + absl::Seconds(30);
    while (cluster->DaemonRunning(0) && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(1));
    EXPECT_FALSE(cluster->DaemonRunning(0));
    return cluster;
  }

  TemporaryFolder folder_;
  Options options_;
};

constexpr char kUcxSays[] =
    "ucp_request.c:684  Assertion `(req->send.wireup.type == UCP_WIREUP_MSG_EP_REMOVED) || ...";

TEST_F(ClusterTest, ADaemonThatAbortsIsAFailureThatNamesItsLog) {
  options_.chaos = 1;
  const auto cluster = Aborted("something else");
  EXPECT_FALSE(cluster->AbortedByUcx(0));
  EXPECT_THAT(std::string(cluster->Check().message()),
              AllOf(HasSubstr("daemon 0 was ended by signal 6"), HasSubstr("/daemon-0.log"),
                    HasSubstr("something else")));
}

TEST_F(ClusterTest, WithChaosOneThatUcxAbortsIsNone) {
  options_.chaos = 1;
  const auto cluster = Aborted(kUcxSays);
  EXPECT_TRUE(cluster->AbortedByUcx(0));
  EXPECT_TRUE(cluster->Check().ok()) << cluster->Check();
}

TEST_F(ClusterTest, WithoutChaosThatIsAFailureToo) {
  EXPECT_THAT(std::string(Aborted(kUcxSays)->Check().message()), HasSubstr("signal 6"));
}

}  // namespace
}  // namespace weightmesh::demo
