// A daemon that runs out of memory, descriptors or disk says so, lives, and disturbs nobody.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/config/temporary_folder.h"
#include "tests/process/lone_daemon.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"
#include "tests/runtime/test_trainer.h"
#include "tests/testing/other_user.h"

namespace weightmesh {
namespace {

using attach::MessageType;
using attach::ReplyCode;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr absl::Duration kLimit = absl::Seconds(60);
constexpr uint64_t kMiB = uint64_t{1} << 20;

// Attaches as the only replica of a run of its own, with a model of so many bytes.
attach::AttachReply Attach(const std::string& socket, uint64_t model_bytes) {
  static int runs = 0;
  attach::AttachRequest request;
  request.run_id = absl::StrCat("run", ++runs);
  request.replica_name = "lone";
  request.tensors = {{"w", attach::DataType::kFp32, {model_bytes / 4}}};
  request.segment_bounds = {0, model_bytes / 4};
  TestTrainer trainer(socket);
  EXPECT_TRUE(trainer.Send(MessageType::kAttachRequest, attach::Encode(request)));
  attach::AttachReply reply;
  reply.code = ReplyCode::kUnavailable;
  while (const auto message = trainer.Receive()) {
    if (message->type() != MessageType::kAttachReply) continue;
    EXPECT_TRUE(attach::Decode(message->payload, &reply));
    break;
  }
  return reply;
}

bool AwaitAttach(const std::string& socket) {
  return Mesh::Await([&] { return Attach(socket, 4096).code == ReplyCode::kOk; }, kLimit);
}

// Sets a soft limit of another process, and gives back the former one.
rlim_t Limit(pid_t pid, __rlimit_resource resource, rlim_t value) {
  rlimit former{};
  EXPECT_EQ(::prlimit(pid, resource, nullptr, &former), 0);
  const rlimit next{value, former.rlim_max};
  EXPECT_EQ(::prlimit(pid, resource, &next, nullptr), 0);
  return former.rlim_cur;
}

rlim_t Descriptors(pid_t pid) {
  const std::filesystem::directory_iterator open("/proc/" + std::to_string(pid) + "/fd");
  return static_cast<rlim_t>(std::distance(begin(open), end(open)));
}

uint64_t VirtualBytes(pid_t pid) {
  std::ifstream statm("/proc/" + std::to_string(pid) + "/statm");
  uint64_t pages = 0;
  statm >> pages;
  return pages * 4096;
}

// Two trainers that train through all that a test does to daemon 0.
class ResourcesTest : public testing::Test {
 protected:
  ResourcesTest() {
    for (int k = 0; k < 2; ++k) {
      EXPECT_TRUE(Mesh::Await([&] { return run_.Stats(k).round() >= 5; }, kLimit));
    }
  }
  static GossipOptions Options() {
    GossipOptions options;
    options.run_id = "undisturbed";
    options.replicas = 2;
    options.steps = 0;
    options.parameters = 20'000;
    options.step_ms = {5, 5};
    return options;
  }
  // Every pull has arrived, and no trainer was alone.
  void ExpectUndisturbed() {
    const uint64_t round = run_.Stats(0).round();
    EXPECT_TRUE(Mesh::Await([&] { return run_.Stats(0).round() >= round + 10; }, kLimit));
    run_.Stop();
    for (int k = 0; k < 2; ++k) {
      const TrainerResult result = run_.Result(k, kLimit);
      EXPECT_EQ(result.exit_code, 0);
      EXPECT_EQ(result.alone, 0u);
      EXPECT_EQ(result.Pulls(Outcome::kArrived) + result.Pulls(Outcome::kDead), result.AllPulls())
          << result.DescribePulls();
      // Whoever stops first may leave the other one a last round without it.
      EXPECT_LE(result.Pulls(Outcome::kDead), 2 * Options().segments);
    }
  }
  pid_t daemon() { return mesh_.daemon(0).pid(); }

  Mesh mesh_{2};
  GossipRun run_{&mesh_, Options()};
};

TEST_F(ResourcesTest, OutOfDescriptors) {
  // One more, which the connection takes: none is left for an arena.
  const rlim_t former = Limit(daemon(), RLIMIT_NOFILE, Descriptors(daemon()) + 1);
  const attach::AttachReply refused = Attach(mesh_.socket(0), 4096);
  EXPECT_EQ(refused.code, ReplyCode::kLimit);
  EXPECT_THAT(refused.message, HasSubstr("LimitNOFILE="));
  // None at all: the trainers wait in line, and the log says why.
  Limit(daemon(), RLIMIT_NOFILE, 1);
  {
    TestTrainer waits(mesh_.socket(0));
    EXPECT_TRUE(Mesh::Await(
        [&] { return absl::StrContains(mesh_.DaemonLog(0), "cannot accept a trainer"); }, kLimit));
  }
  Limit(daemon(), RLIMIT_NOFILE, former);
  EXPECT_TRUE(AwaitAttach(mesh_.socket(0))) << "it does not recover";
  ExpectUndisturbed();
}

TEST_F(ResourcesTest, OutOfMemory) {
  // Address space for some more, and not for this.
  const rlim_t former = Limit(daemon(), RLIMIT_AS, VirtualBytes(daemon()) + 64 * kMiB);
  const attach::AttachReply mapped = Attach(mesh_.socket(0), 64 * kMiB);
  EXPECT_EQ(mapped.code, ReplyCode::kLimit);
  EXPECT_THAT(mapped.message, AllOf(HasSubstr("cannot allocate"), HasSubstr("MemoryMax=")));
  Limit(daemon(), RLIMIT_AS, former);

  // A limit on files, which an arena is one of.
  const rlim_t file = Limit(daemon(), RLIMIT_FSIZE, 8 * kMiB);
  const attach::AttachReply sized = Attach(mesh_.socket(0), 16 * kMiB);
  EXPECT_EQ(sized.code, ReplyCode::kLimit);
  EXPECT_THAT(sized.message, HasSubstr("cannot allocate"));
  Limit(daemon(), RLIMIT_FSIZE, file);

  // More than the machine has: refused before anything is allocated.
  const attach::AttachReply beyond = Attach(mesh_.socket(0), uint64_t{1} << 41);
  EXPECT_EQ(beyond.code, ReplyCode::kLimit);
  EXPECT_THAT(beyond.message, HasSubstr("limits.arena_bytes_max"));
  EXPECT_TRUE(AwaitAttach(mesh_.socket(0)));
  ExpectUndisturbed();
}

// --- disks ---

class FullDiskTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return folder_.path() + "/" + name; }
  // Runs what follows with a tiny disk at `disk`, in a mount namespace of its own.
  std::vector<std::string> WithTinyDisk(const std::string& disk, const std::string& prepare) {
    std::filesystem::create_directories(disk);
    return {"/usr/bin/unshare",
            "-m",
            "--propagation",
            "private",
            "/bin/sh",
            "-c",
            "mount -t tmpfs -o size=16k none " + disk + " && " + prepare + " && exec \"$@\"",
            "sh",
            WEIGHTMESHD};
  }
  static bool CanMount() {
    return IsRoot() && std::filesystem::exists("/usr/bin/unshare") &&
           ::system("unshare -m mount -t tmpfs none /mnt 2>/dev/null") == 0;
  }

  TemporaryFolder folder_;
};

#define SKIP_UNLESS_MOUNTING() \
  if (!CanMount()) GTEST_SKIP() << "a tiny disk takes root and mount namespaces"

TEST_F(FullDiskTest, NoRoomForTheState) {
  SKIP_UNLESS_MOUNTING();
  const std::string disk = Path("disk");
  LoneDaemon daemon(Path("daemon"), {"--state-directory=" + disk},
                    WithTinyDisk(disk, "! dd if=/dev/zero of=" + disk + "/full 2>/dev/null"));
  EXPECT_EQ(daemon.child().Wait(kLimit), 1);
  EXPECT_THAT(daemon.Log(),
              AllOf(HasSubstr(disk), HasSubstr("No space left"), HasSubstr("--state-directory")));
}

TEST_F(FullDiskTest, TheLogsDiskFillsUp) {
  SKIP_UNLESS_MOUNTING();
  const std::string disk = Path("disk");
  LoneDaemon daemon(Path("daemon"), {"--log-file=" + disk + "/log", "--log-level=debug"},
                    WithTinyDisk(disk, "true"));
  ASSERT_TRUE(Mesh::Await([&] { return std::filesystem::exists(daemon.socket()); }, kLimit));
  // Every attach is a line or two.
  EXPECT_TRUE(Mesh::Await(
      [&] {
        EXPECT_EQ(Attach(daemon.socket(), 4096).code, ReplyCode::kOk);
        return absl::StrContains(daemon.Log(), "cannot be written");
      },
      kLimit))
      << daemon.Log();
  EXPECT_THAT(daemon.Log(), AllOf(HasSubstr(disk + "/log"), HasSubstr("free some space")));
  EXPECT_EQ(daemon.child().Wait(absl::ZeroDuration()), -1);
  EXPECT_TRUE(AwaitAttach(daemon.socket()));
  daemon.child().Signal(SIGTERM);
  EXPECT_EQ(daemon.child().Wait(kLimit), 0);
}

TEST_F(FullDiskTest, ALogThatTakesNothing) {
  LoneDaemon daemon(Path("daemon"), {"--log-file=/dev/full"});
  ASSERT_TRUE(Mesh::Await([&] { return std::filesystem::exists(daemon.socket()); }, kLimit));
  EXPECT_TRUE(AwaitAttach(daemon.socket()));
  EXPECT_THAT(daemon.Log(),
              AllOf(HasSubstr("/dev/full cannot be written"), HasSubstr("free some space")));
}

}  // namespace
}  // namespace weightmesh
