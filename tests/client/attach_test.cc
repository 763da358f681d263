// weightmesh_attach against a fake daemon: what it asks, and what it makes of every answer.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <cstring>
#include <string>

#include "client/include/weightmesh/weightmesh.h"
#include "proto/segment_seal.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/test_model.h"

namespace weightmesh::client {
namespace {

using attach::MessageType;
using attach::ReplyCode;
using testing::Test;

// Open descriptors of this process, and how many of them an exec would inherit.
struct Descriptors {
  int open = 0;
  int inherited = 0;
};

Descriptors CountDescriptors() {
  Descriptors count;
  DIR* folder = opendir("/proc/self/fd");
  while (const dirent* entry = readdir(folder)) {
    const int fd = std::atoi(entry->d_name);
    if (*entry->d_name == '.' || fd == dirfd(folder) || fd <= 2) continue;
    ++count.open;
    char target[PATH_MAX] = {};
    if (readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1) < 0) continue;
    const bool ours = std::strstr(target, "socket") || std::strstr(target, "arena") ||
                      std::strstr(target, "eventfd");
    if (ours && (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0) ++count.inherited;
  }
  closedir(folder);
  return count;
}

class AttachTest : public Test {
 protected:
  AttachTest() : model_({5, 40, 7}, 1) {
    options_.socket_path = daemon_.socket_path().c_str();
    options_.run_id = "run";
  }
  ~AttachTest() override { weightmesh_detach(handle_); }

  weightmesh_status Attach() {
    return weightmesh_attach(&options_, model_.described.data(), model_.Pointers().data(),
                             model_.tensors.size(), &handle_);
  }
  // Detaches, and waits until the daemon is done with it, so that its script can be changed.
  void Detach() {
    weightmesh_detach(handle_);
    handle_ = nullptr;
    EXPECT_TRUE(daemon_.WaitForHangUp());
  }
  std::string message() const { return weightmesh_message(handle_); }

  // Attaches to a daemon that refuses with `code` and `text`.
  weightmesh_status AttachRefused(ReplyCode code, const char* text) {
    daemon_.on_request = [=, this](const attach::AttachRequest&) {
      daemon_.Send(MessageType::kAttachReply, Encode(attach::AttachReply{code, text, 0, 0, 0, 0}));
    };
    return Attach();
  }

  FakeDaemon daemon_;
  TestModel model_;
  weightmesh_options options_ = WEIGHTMESH_INIT(weightmesh_options);
  weightmesh_handle* handle_ = nullptr;
};

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(AttachTest, SendsDefaultsAndMapsTheArena) {
  unsetenv("LOCAL_RANK");
  ASSERT_EQ(Attach(), WEIGHTMESH_OK) << message();
  const attach::AttachRequest& request = daemon_.request();
  char hostname[256] = {};
  gethostname(hostname, sizeof hostname - 1);
  EXPECT_EQ(request.client_version, weightmesh_version());
  EXPECT_EQ(request.run_id, "run");
  EXPECT_EQ(request.replica_name, std::string(hostname) + "/0");
  EXPECT_EQ(request.schedule, attach::ScheduleKind::kHashCycle);
  EXPECT_EQ(request.mode, attach::Mode::kLockstep);
  EXPECT_EQ(request.wire, WireFormat::kFp32);
  EXPECT_EQ(request.alpha, 0.5);
  EXPECT_EQ(request.round_deadline_ms, 5000u);
  EXPECT_EQ(request.replicas_min, 1u);
  EXPECT_EQ(request.staleness_rounds_max, 0u);
  EXPECT_EQ(request.start_timeout_ms, 600000u);
  EXPECT_EQ(request.slots, 3u);
  EXPECT_EQ(request.segment_bounds, EqualSegmentBounds(52, 18));
  ASSERT_EQ(request.tensors.size(), 3u);
  EXPECT_EQ(request.tensors[1].name, "tensor1");
  EXPECT_EQ(request.tensors[1].shape, std::vector<uint64_t>{40});
  const std::vector<float> flat = model_.Flat();
  const XXH128_hash_t digest = XXH3_128bits(flat.data(), flat.size() * sizeof(float));
  EXPECT_EQ(request.weights_digest_high, digest.high64);
  EXPECT_EQ(request.weights_digest_low, digest.low64);
}

TEST_F(AttachTest, SendsWhatIsAskedFor) {
  setenv("LOCAL_RANK", "3", 1);
  const uint64_t bounds[] = {0, 1, 52};
  options_.segments = 2;
  options_.segment_bounds = bounds;
  options_.seed = 9;
  options_.schedule = WEIGHTMESH_EXPONENTIAL;
  options_.mode = WEIGHTMESH_OVERLAP;
  options_.wire = WEIGHTMESH_BF16;
  options_.alpha = 0.25;
  options_.replicas_min = 4;
  options_.start_round = 70;
  options_.allow_different_init = 1;
  options_.slots = 5;
  ASSERT_EQ(Attach(), WEIGHTMESH_OK) << message();
  unsetenv("LOCAL_RANK");
  const attach::AttachRequest& request = daemon_.request();
  EXPECT_EQ(request.replica_name.substr(request.replica_name.size() - 2), "/3");
  EXPECT_EQ(request.segment_bounds, (std::vector<uint64_t>{0, 1, 52}));
  EXPECT_EQ(request.seed, 9u);
  EXPECT_EQ(request.schedule, attach::ScheduleKind::kExponential);
  EXPECT_EQ(request.mode, attach::Mode::kOverlap);
  EXPECT_EQ(request.wire, WireFormat::kBf16);
  EXPECT_EQ(request.alpha, 0.25);
  EXPECT_EQ(request.replicas_min, 4u);
  EXPECT_EQ(request.start_round, 70u);
  EXPECT_EQ(request.allow_different_init, 1u);
  EXPECT_EQ(request.slots, 5u);
}

TEST_F(AttachTest, AsyncTakesItsLimitOrTheDefault) {
  options_.mode = WEIGHTMESH_ASYNC;
  ASSERT_EQ(Attach(), WEIGHTMESH_OK) << message();
  EXPECT_EQ(daemon_.request().mode, attach::Mode::kAsync);
  EXPECT_EQ(daemon_.request().staleness_rounds_max, 8u);
}

TEST_F(AttachTest, AsyncTakesTheLimitAskedFor) {
  options_.mode = WEIGHTMESH_ASYNC;
  options_.staleness_rounds_max = 1024;
  ASSERT_EQ(Attach(), WEIGHTMESH_OK) << message();
  EXPECT_EQ(daemon_.request().staleness_rounds_max, 1024u);
}

TEST_F(AttachTest, KeepsNoDescriptorOpenForAnExecOrAfterDetach) {
  ASSERT_EQ(Attach(), WEIGHTMESH_OK) << message();
  EXPECT_EQ(CountDescriptors().inherited, 0);
  const int attached = CountDescriptors().open;
  Detach();
  // The trainer's socket and two doorbells, and the daemon's end of the socket; the mapping needs
  // no descriptor.
  EXPECT_EQ(CountDescriptors().open, attached - 4);
}

TEST_F(AttachTest, PassesProgressOnInOrder) {
  std::string heard;
  options_.progress = [](const char* message, void* context) {
    *static_cast<std::string*>(context) += std::string(message) + ";";
  };
  options_.progress_context = &heard;
  daemon_.on_request = [this](const attach::AttachRequest&) {
    daemon_.Send(MessageType::kAttachProgress, "1 of 2 replicas");
    daemon_.Send(MessageType::kAttachProgress, "2 of 2 replicas");
    daemon_.Accept();
  };
  EXPECT_EQ(Attach(), WEIGHTMESH_OK) << message();
  EXPECT_EQ(heard, "1 of 2 replicas;2 of 2 replicas;");
}

TEST_F(AttachTest, NoDaemonIsAlone) {
  const std::string nowhere = daemon_.socket_path() + ".not";
  options_.socket_path = nowhere.c_str();
  EXPECT_EQ(Attach(), WEIGHTMESH_ALONE);
  EXPECT_HAS(message(), nowhere);
  weightmesh_round result = WEIGHTMESH_INIT(weightmesh_round);
  EXPECT_EQ(weightmesh_exchange(handle_, model_.Pointers().data(), 3, &result), WEIGHTMESH_ALONE);
  EXPECT_EQ(result.round, 0u);
  EXPECT_EQ(weightmesh_step(handle_, model_.Pointers().data(), 3, nullptr), WEIGHTMESH_ALONE);
  EXPECT_EQ(weightmesh_mix(handle_, model_.Pointers().data(), 3, nullptr), WEIGHTMESH_ALONE);
  EXPECT_EQ(weightmesh_report(handle_, "loss", 1), WEIGHTMESH_ALONE);
  weightmesh_totals totals = WEIGHTMESH_INIT(weightmesh_totals);
  EXPECT_EQ(weightmesh_stats(handle_, &totals), WEIGHTMESH_ALONE);
  EXPECT_EQ(totals.replicas, 0u);
  EXPECT_EQ(weightmesh_leave(handle_), WEIGHTMESH_ALONE);
  EXPECT_HAS(message(), nowhere);
}

TEST_F(AttachTest, ASocketThatNobodyListensOnIsAlone) {
  const std::string stale = daemon_.socket_path() + ".stale";
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, stale.c_str());
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  options_.socket_path = stale.c_str();
  EXPECT_EQ(Attach(), WEIGHTMESH_ALONE);
  close(fd);
  unlink(stale.c_str());
}

TEST_F(AttachTest, TheEnvironmentNamesTheSocket) {
  options_.socket_path = nullptr;
  setenv("WEIGHTMESH_SOCKET", daemon_.socket_path().c_str(), 1);
  EXPECT_EQ(Attach(), WEIGHTMESH_OK) << message();
  unsetenv("WEIGHTMESH_SOCKET");
}

TEST_F(AttachTest, APathThatIsTooLongIsInvalid) {
  const std::string path(200, 'x');
  options_.socket_path = path.c_str();
  EXPECT_EQ(Attach(), WEIGHTMESH_INVALID);
  EXPECT_HAS(message(), "107");
}

TEST_F(AttachTest, RefusalsKeepTheirReason) {
  EXPECT_EQ(AttachRefused(ReplyCode::kMismatch, "RunConfig.seed is 7 here and 9 in the run"),
            WEIGHTMESH_REFUSED);
  EXPECT_HAS(message(), "RunConfig.seed is 7 here and 9 in the run");
  EXPECT_EQ(weightmesh_exchange(handle_, model_.Pointers().data(), 3, nullptr), WEIGHTMESH_INVALID);
  EXPECT_HAS(message(), "RunConfig.seed");
  EXPECT_EQ(weightmesh_leave(handle_), WEIGHTMESH_INVALID);
}

TEST_F(AttachTest, StartTimeoutAndAStoppingDaemonHaveTheirOwnStatus) {
  EXPECT_EQ(AttachRefused(ReplyCode::kStartTimeout, "2 of 3 replicas came"),
            WEIGHTMESH_START_TIMEOUT);
  EXPECT_HAS(message(), "2 of 3 replicas came");
  Detach();
  EXPECT_EQ(AttachRefused(ReplyCode::kUnavailable, "stopping"), WEIGHTMESH_ALONE);
}

TEST_F(AttachTest, AnotherVersionIsRefusedNamingBoth) {
  EXPECT_EQ(AttachRefused(ReplyCode::kVersion, "this daemon speaks version 7"), WEIGHTMESH_REFUSED);
  EXPECT_HAS(message(), "version 7");
  EXPECT_HAS(message(), "version 3");
  Detach();
  daemon_.on_request = [this](const attach::AttachRequest&) {
    daemon_.Send(MessageType::kAttachReply, "of a later shape", 8);
  };
  EXPECT_EQ(Attach(), WEIGHTMESH_REFUSED);
  EXPECT_HAS(message(), "version 8");
  EXPECT_HAS(message(), "version 3");
}

TEST_F(AttachTest, RubbishIsRefused) {
  const std::string rubbish[] = {
      std::string("HTTP/1.1 400 Bad Request\r\n\r\n"),
      std::string("WMA1\x03\0\x03\0\xff\xff\xff\xff\0\0\0\0", 16),  // 4 GiB announced
      std::string("WMA1\x03\0\x03\0\x02\0\0\0\0\0\0\0??", 18),      // no reply inside
      std::string("WMA1\x02\0\x05\0\0\0\0\0\0\0\0\0", 16),          // a kLeaveReply
  };
  for (const std::string& bytes : rubbish) {
    daemon_.on_request = [&](const attach::AttachRequest&) { daemon_.SendRaw(bytes); };
    EXPECT_EQ(Attach(), WEIGHTMESH_REFUSED) << bytes;
    EXPECT_HAS(message(), daemon_.socket_path());
    Detach();
  }
}

TEST_F(AttachTest, AnEndInTheMiddleIsAlone) {
  const std::string begun = std::string("WMA1\x03\0\x03\0\x30\0\0\0\0\0\0\0half of it", 26);
  for (const size_t bytes : {size_t{0}, size_t{5}, size_t{16}, begun.size()}) {
    daemon_.on_request = [&](const attach::AttachRequest&) {
      daemon_.SendRaw(begun.substr(0, bytes));
      daemon_.HangUp();
    };
    EXPECT_EQ(Attach(), WEIGHTMESH_ALONE) << bytes;
    EXPECT_HAS(message(), daemon_.socket_path());
    Detach();
  }
}

// A daemon may refuse before it has read a long request; what it said counts.
TEST_F(AttachTest, AnEarlyRefusalOfALongRequestIsHeard) {
  TestModel long_model(std::vector<uint64_t>(20'000, 1), 1);
  daemon_.reads_request = false;
  daemon_.on_request = [this](const attach::AttachRequest&) {
    daemon_.Send(MessageType::kAttachReply,
                 Encode(attach::AttachReply{ReplyCode::kLimit, "too many tensors", 0, 0, 0, 0}));
    daemon_.HangUp();
  };
  EXPECT_EQ(weightmesh_attach(&options_, long_model.described.data(), long_model.Pointers().data(),
                              long_model.tensors.size(), &handle_),
            WEIGHTMESH_REFUSED);
  EXPECT_HAS(message(), "too many tensors");
}

TEST_F(AttachTest, MissingDescriptorsAreRefused) {
  for (const int sent : {0, 2}) {
    daemon_.descriptors_sent = sent;
    EXPECT_EQ(Attach(), WEIGHTMESH_REFUSED);
    EXPECT_HAS(message(), "descriptors");
    Detach();
  }
}

TEST_F(AttachTest, AnArenaOfAnotherLayoutIsRefused) {
  using Change = void (*)(attach::AttachReply*, control_page::ControlPage*);
  const Change changes[] = {
      [](attach::AttachReply* reply, control_page::ControlPage*) { reply->arena_bytes += 4096; },
      [](attach::AttachReply* reply, control_page::ControlPage*) { reply->control_bytes += 1; },
      [](attach::AttachReply*, control_page::ControlPage* page) { page->magic = 0; },
      [](attach::AttachReply*, control_page::ControlPage* page) { page->version += 1; },
      [](attach::AttachReply*, control_page::ControlPage* page) { page->segments = 17; },
      [](attach::AttachReply*, control_page::ControlPage* page) { page->slots = 4; },
  };
  for (const Change& change : changes) {
    daemon_.change_reply = change;
    EXPECT_EQ(Attach(), WEIGHTMESH_REFUSED);
    EXPECT_HAS(message(), "same release");
    Detach();
  }
}

TEST_F(AttachTest, LeaveWaitsForTheFarewell) {
  ASSERT_EQ(Attach(), WEIGHTMESH_OK) << message();
  EXPECT_EQ(weightmesh_leave(handle_), WEIGHTMESH_OK) << message();
  EXPECT_TRUE(daemon_.WaitForHangUp());
  EXPECT_EQ(weightmesh_exchange(handle_, model_.Pointers().data(), 3, nullptr), WEIGHTMESH_ALONE);
  EXPECT_HAS(message(), "left");
}

TEST_F(AttachTest, LeaveOfADyingDaemonIsAlone) {
  daemon_.on_leave = [this] { daemon_.HangUp(); };
  ASSERT_EQ(Attach(), WEIGHTMESH_OK) << message();
  EXPECT_EQ(weightmesh_leave(handle_), WEIGHTMESH_ALONE);
}

}  // namespace
}  // namespace weightmesh::client
