// What a reader sees when its source's process is stopped or killed: every pull ends exactly once,
// and nothing lands afterwards.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "daemon/transport/ucx/ucx_transport.h"
#include "tests/transport/transport_node.h"

namespace weightmesh {
namespace {

constexpr NodeId kSource{77, 78};

// The process of ucx_peer_process.cc. Killed when this goes.
class SourceProcess {
 public:
  // `signal_at_first_send`: what it does to itself once its first send has ended; 0: nothing.
  explicit SourceProcess(int signal_at_first_send = 0) {
    int to_child[2], from_child[2];
    EXPECT_EQ(pipe2(to_child, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(from_child, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to_child[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from_child[1], STDOUT_FILENO);
    std::string name = UCX_PEER_PROCESS;
    std::string argument = absl::StrCat(signal_at_first_send);
    char* arguments[] = {name.data(), argument.data(), nullptr};
    EXPECT_EQ(posix_spawn(&pid_, UCX_PEER_PROCESS, &actions, nullptr, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(to_child[0]);
    close(from_child[1]);
    in_ = fdopen(to_child[1], "w");
    out_ = fdopen(from_child[0], "r");
    address_ = absl::HexStringToBytes(ReadLine());
  }
  ~SourceProcess() {
    Signal(SIGKILL);
    Signal(SIGCONT);
    waitpid(pid_, nullptr, 0);
    fclose(in_);
    fclose(out_);
  }

  void Signal(int number) { kill(pid_, number); }

  // Waits until it has stopped itself.
  void WaitForStop() {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, WUNTRACED), pid_);
    EXPECT_TRUE(WIFSTOPPED(status));
  }

  // Joins `reader` and the process by new tokens.
  void Connect(TransportNode& reader, uint64_t tokens) {
    const std::string address = absl::BytesToHexString(reader.transport().address());
    fprintf(in_, "connect %lu %lu %lu %lu %s\n", reader.id().high, reader.id().low, tokens,
            tokens + 1, address.c_str());
    fflush(in_);
    EXPECT_EQ(ReadLine(), "connected");
    reader.transport().Connect({kSource, address_, tokens + 1, tokens});
  }

 private:
  std::string ReadLine() {
    std::string line;
    for (int c = fgetc(out_); c != EOF && c != '\n'; c = fgetc(out_)) line += static_cast<char>(c);
    return line;
  }

  pid_t pid_ = -1;
  FILE* in_ = nullptr;
  FILE* out_ = nullptr;
  std::string address_;
};

class PeerDeathTest : public testing::Test {
 protected:
  static std::unique_ptr<Transport> NewReader() {
    auto transport = NewUcxTransport({.network_devices = {}, .control_ip = "127.0.0.1"});
    EXPECT_TRUE(transport.ok()) << transport.status();
    return *std::move(transport);
  }

  // A small pull, so that the source's first send ends while the seven large ones run.
  void BeginPulls() {
    for (size_t i = 0; i < 8; ++i) {
      const size_t bytes = (i == 0 ? size_t{1} : size_t{32}) << 20;
      landings_.push_back(reader_.Allocate(bytes));
      pulls_.push_back(
          reader_.PullFrom(kSource, landings_.back(), static_cast<uint32_t>(bytes >> 10)));
    }
  }

  // Waits for the end of all, and marks the landings, so that a later write would show.
  void EndPulls() {
    for (size_t i = 0; i < pulls_.size(); ++i) {
      const PullEnd end = reader_.WaitForEnd(pulls_[i]);
      EXPECT_TRUE(end == PullEnd::kLanded || end == PullEnd::kFailed);
      failed_ += end == PullEnd::kFailed ? 1 : 0;
      std::fill(landings_[i].begin(), landings_[i].end(), kUntouched);
    }
  }

  void ExpectLandingsUntouched() {
    for (const auto& landing : landings_) EXPECT_TRUE(IsUntouched(landing));
  }

  void PullSmall() {
    const auto landing = reader_.Allocate(4096);
    EXPECT_EQ(reader_.WaitForEnd(reader_.PullFrom(kSource, landing, 4)), PullEnd::kLanded);
    EXPECT_TRUE(std::all_of(landing.begin(), landing.end(),
                            [](std::byte byte) { return byte == std::byte{0x77}; }));
  }

  TransportNode reader_{1, NewReader(), size_t{300} << 20};
  std::vector<absl::Span<std::byte>> landings_;
  std::vector<RequestId> pulls_;
  int failed_ = 0;
};

TEST_F(PeerDeathTest, ForcedDisconnectEndsTransfersOfAStoppedSource) {
  SourceProcess source(SIGSTOP);
  source.Connect(reader_, 100);
  BeginPulls();
  source.WaitForStop();
  reader_.transport().Disconnect(kSource, true);
  EndPulls();
  EXPECT_GT(failed_, 0);

  // The source wakes, and goes on sending into what is closed.
  source.Signal(SIGCONT);
  source.Connect(reader_, 200);
  PullSmall();
  ExpectLandingsUntouched();
}

TEST_F(PeerDeathTest, ForcedDisconnectEndsPullsThatAStoppedSourceNeverAnswered) {
  SourceProcess source;
  source.Connect(reader_, 100);
  PullSmall();
  source.Signal(SIGSTOP);
  std::vector<RequestId> silent;
  for (int i = 0; i < 10; ++i)
    silent.push_back(reader_.PullFrom(kSource, reader_.Allocate(1024), 1));
  reader_.transport().Disconnect(kSource, true);
  for (const RequestId pull : silent) EXPECT_EQ(reader_.WaitForEnd(pull), PullEnd::kFailed);
  source.Signal(SIGCONT);
  source.Connect(reader_, 200);
  PullSmall();
}

TEST_F(PeerDeathTest, AKilledSourceFailsItsTransfersAndBreaksTheLink) {
  {
    SourceProcess source(SIGKILL);
    source.Connect(reader_, 100);
    BeginPulls();
    EndPulls();
  }
  EXPECT_GT(failed_, 0);
  // A pull that was still to leave when the link broke tries again, and breaks it again.
  EXPECT_TRUE(
      reader_.sink().WaitFor([](const RecordingSink& sink) { return !sink.links_down.empty(); }));
  SourceProcess successor;
  successor.Connect(reader_, 200);
  PullSmall();
  ExpectLandingsUntouched();
}

TEST_F(PeerDeathTest, AKilledSourceFailsThePullsThatWait) {
  auto source = std::make_unique<SourceProcess>();
  source->Connect(reader_, 100);
  const RequestId waiting = reader_.PullFrom(kSource, reader_.Allocate(100), 0);
  EXPECT_TRUE(reader_.sink().WaitFor(
      [&](const RecordingSink& sink) { return sink.pulls.count(waiting) > 0; }));
  source->Signal(SIGKILL);
  EXPECT_EQ(reader_.WaitForEnd(waiting), PullEnd::kFailed);
  EXPECT_TRUE(reader_.sink().WaitFor(
      [](const RecordingSink& sink) { return sink.links_down.size() == 1; }));
}

}  // namespace
}  // namespace weightmesh
