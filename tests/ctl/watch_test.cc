// weightmeshctl --watch against a real server: what it prints, what it outlives, how it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/control/server.h"
#include "google/protobuf/util/json_util.h"
#include "proto/weightmesh/v1/mesh.pb.h"
#include "tests/control/asked_mesh.h"
#include "tests/control/samples.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::chrono::seconds kLimit(30);

size_t CountOf(const std::string& text, const std::string& word) {
  size_t count = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

// A weightmeshctl that runs beside the test.
class CtlProcess {
 public:
  explicit CtlProcess(const std::string& arguments) {
    // The shell says its process id, and then is weightmeshctl.
    pipe_ =
        popen(absl::StrCat("echo $$; exec ", WEIGHTMESHCTL, " ", arguments, " 2>&1").c_str(), "r");
    ReadUntil("\n");
    pid_ = std::atoi(out_.c_str());
    out_.clear();
  }
  ~CtlProcess() {
    if (pipe_ == nullptr) return;
    kill(pid_, SIGKILL);
    pclose(pipe_);
  }
  CtlProcess(const CtlProcess&) = delete;
  CtlProcess& operator=(const CtlProcess&) = delete;

  // Reads on until `text` has come `times` times; false when it ends first, or after the limit.
  bool ReadUntil(const std::string& text, size_t times = 1) {
    const auto end = std::chrono::steady_clock::now() + kLimit;
    while (CountOf(out_, text) < times) {
      pollfd readable{fileno(pipe_), POLLIN, 0};
      if (poll(&readable, 1, 100) == 0 && std::chrono::steady_clock::now() < end) continue;
      char buffer[65536];
      const ssize_t got = (readable.revents != 0) ? read(fileno(pipe_), buffer, sizeof buffer) : 0;
      if (got <= 0) return false;
      out_.append(buffer, static_cast<size_t>(got));
    }
    return true;
  }
  void Signal(int signal_number) { kill(pid_, signal_number); }
  // Reads to its end. The exit code; -1 when it does not end by itself.
  int Wait() {
    ReadUntil("\1");  // never comes
    const int status = pclose(std::exchange(pipe_, nullptr));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  // Standard output and error so far.
  const std::string& out() const { return out_; }

 private:
  FILE* pipe_ = nullptr;
  pid_t pid_ = 0;
  std::string out_;
};

std::vector<std::string> Lines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

template <typename Event>
Event Parse(const std::string& line) {
  Event event;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(line, &event).ok()) << line;
  return event;
}

class CtlWatch : public ::testing::Test {
 protected:
  void SetUp() override {
    source_.AnswerAlways(testing::SampleTopology());
    source_.AnswerAlways(testing::SampleStats());
    Start("127.0.0.1:0");
  }

  void Start(const std::string& address) {
    auto server = ControlServer::Start(address, &source_, &handler_, options_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    address_ = server_->address();
  }

  std::string Arguments(const std::string& arguments) {
    return absl::StrCat("--daemon ", address_, " ", arguments);
  }

  // The sample, with its second node reachable.
  static TopologySnapshot Healed() {
    TopologySnapshot topology = testing::SampleTopology();
    topology.nodes[1].reachable = true;
    topology.nodes[1].unreachable_reason.clear();
    return topology;
  }

  ServerOptions options_;
  testing::AskedMesh source_;
  testing::FakePeerHandler handler_;
  std::unique_ptr<ControlServer> server_;
  std::string address_;
};

TEST_F(CtlWatch, TopologyIsShownAgainWhenItChanges) {
  CtlProcess ctl(Arguments("topology --watch --count 2 --interval-ms 100"));
  ASSERT_TRUE(ctl.ReadUntil("node1/0")) << ctl.out();
  EXPECT_THAT(ctl.out(), HasSubstr("unreachable for"));
  source_.AnswerAlways(Healed());
  EXPECT_EQ(ctl.Wait(), 0);
  EXPECT_THAT(ctl.out(), Not(HasSubstr("\x1b")));
  const size_t second = ctl.out().rfind("2 daemons, 2 replicas");
  ASSERT_GT(second, 0u) << ctl.out();
  EXPECT_THAT(ctl.out().substr(second),
              AllOf(HasSubstr("0.1.0    reachable\n"), Not(HasSubstr("unreachable for"))));
}

TEST_F(CtlWatch, JsonIsOneEventALine) {
  CtlProcess ctl(Arguments("topology --watch --count 2 --interval-ms 100 --output json"));
  ASSERT_TRUE(ctl.ReadUntil("\n")) << ctl.out();
  TopologySnapshot topology = Healed();
  source_.AnswerAlways(topology);
  EXPECT_EQ(ctl.Wait(), 0);
  const std::vector<std::string> lines = Lines(ctl.out());
  ASSERT_EQ(lines.size(), 2u) << ctl.out();
  EXPECT_EQ(Parse<v1::TopologyEvent>(lines[0]).full().nodes_size(), 2);
  EXPECT_THAT(lines[0], HasSubstr("\"events_lost\":\"0\""));
  const auto change = Parse<v1::TopologyEvent>(lines[1]);
  EXPECT_EQ(change.sequence(), 2u);
  EXPECT_TRUE(change.change().nodes(0).reachable());
}

TEST_F(CtlWatch, StatisticsFollowTheInterval) {
  CtlProcess table(Arguments("stats --watch --count 3 --interval-ms 100 --sources"));
  EXPECT_EQ(table.Wait(), 0);
  EXPECT_TRUE(table.ReadUntil("daemon a0b1c2d0", 3)) << table.out();
  EXPECT_TRUE(table.ReadUntil("PULLED FROM", 3)) << table.out();
  CtlProcess json(Arguments("stats --watch --count 2 --interval-ms 100 --segments --output json"));
  EXPECT_EQ(json.Wait(), 0);
  const std::vector<std::string> lines = Lines(json.out());
  ASSERT_EQ(lines.size(), 2u) << json.out();
  EXPECT_EQ(Parse<v1::StatsEvent>(lines[0]).full().replicas(0).segments_size(), 2);
  EXPECT_EQ(Parse<v1::StatsEvent>(lines[1]).change().stats().uptime_ms(), 3723000u);
}

TEST_F(CtlWatch, ControlCEndsItWithZero) {
  for (const char* arguments :
       {"topology --watch", "stats --watch --output json", "runs --watch"}) {
    CtlProcess ctl(Arguments(arguments));
    ASSERT_TRUE(ctl.ReadUntil("\n")) << ctl.out();
    ctl.Signal(SIGINT);
    EXPECT_EQ(ctl.Wait(), 0) << arguments << "\n" << ctl.out();
    EXPECT_THAT(ctl.out(), Not(HasSubstr("weightmeshctl:"))) << arguments;
  }
}

TEST_F(CtlWatch, LostEventsAreSaid) {
  server_.reset();
  options_.watches.events_waiting_max = 2;
  options_.watches.tick_ms = 10;
  Start("127.0.0.1:0");
  TopologySnapshot topology = testing::SampleTopology();
  const auto change = [&](int step) {  // every event is larger than what a connection takes unread
    topology.nodes[1].info.control_address = absl::StrCat("step", step, ":1");
    topology.nodes.resize(2);
    for (int k = 2; k < 300; ++k) {
      topology.nodes.push_back(NodeSnapshot{testing::SampleNode(k), false,
                                            absl::StrCat(step, std::string(1000, 'x')),
                                            absl::ZeroDuration()});
    }
    source_.AnswerAlways(topology);
  };
  change(0);
  CtlProcess ctl(Arguments("topology --watch --interval-ms 10"));
  ASSERT_TRUE(ctl.ReadUntil("step0:1")) << ctl.out();
  ctl.Signal(SIGSTOP);
  for (int step = 1; step <= 30; ++step) {
    const uint64_t asked = source_.asked();
    change(step);
    while (source_.asked() < asked + 2) poll(nullptr, 0, 1);  // one of them began after the change
  }
  ctl.Signal(SIGCONT);
  ASSERT_TRUE(ctl.ReadUntil("step30:1")) << ctl.out().substr(0, 2000);
  ASSERT_TRUE(ctl.ReadUntil("events were lost, because they were not read in time"));
  ctl.Signal(SIGINT);
  EXPECT_EQ(ctl.Wait(), 0);
}

TEST_F(CtlWatch, ADaemonThatGoesIsSaidOnceAndWaitedFor) {
  CtlProcess ctl(Arguments("topology --watch --output json --interval-ms 100"));
  ASSERT_TRUE(ctl.ReadUntil("\n")) << ctl.out();
  server_.reset();
  ASSERT_TRUE(ctl.ReadUntil("weightmeshctl: no weightmeshd answers at " + address_)) << ctl.out();
  source_.AnswerAlways(Healed());
  Start(address_);
  ASSERT_TRUE(ctl.ReadUntil("\"full\"", 2)) << ctl.out();
  ctl.Signal(SIGINT);
  EXPECT_EQ(ctl.Wait(), 0);
  const std::vector<std::string> lines = Lines(ctl.out());
  EXPECT_EQ(Parse<v1::TopologyEvent>(lines.back()).sequence(), 1u);
  EXPECT_TRUE(Parse<v1::TopologyEvent>(lines.back()).full().nodes(1).reachable());
  EXPECT_LE(lines.size(), 5u) << "its absence is said when the reason changes, not at every try\n"
                              << ctl.out();
}

TEST_F(CtlWatch, NothingIsWaitedForThatNeverWas) {
  CtlProcess unknown(Arguments("stats --watch --run leters"));
  EXPECT_EQ(unknown.Wait(), 1);
  EXPECT_EQ(unknown.out(), absl::StrCat("weightmeshctl: weightmeshd at ", address_,
                                        ": run \"leters\" is not known to this daemon; it knows "
                                        "\"letters\"\n"));
  CtlProcess quick(Arguments("stats --watch --interval-ms 50"));
  EXPECT_EQ(quick.Wait(), 1);
  EXPECT_THAT(quick.out(), HasSubstr("interval_ms is 50; allowed: 100 to 3600000"));
  server_.reset();
  CtlProcess nobody(Arguments("topology --watch"));
  EXPECT_EQ(nobody.Wait(), 1);
  EXPECT_THAT(nobody.out(), StartsWith("weightmeshctl: no weightmeshd answers at " + address_));
}

TEST(CtlWatchTimeout, SilenceIsSaidWithTheCure) {
  testing::AskedMesh source;  // answers nothing
  testing::FakePeerHandler handler;
  const auto server = ControlServer::Start("127.0.0.1:0", &source, &handler);
  ASSERT_TRUE(server.ok()) << server.status();
  CtlProcess ctl(
      absl::StrCat("--daemon ", (*server)->address(), " --timeout-ms 100 topology --watch"));
  EXPECT_EQ(ctl.Wait(), 1);
  EXPECT_THAT(ctl.out(), AllOf(HasSubstr("did not answer in 100ms"), HasSubstr("--timeout-ms")));
}

}  // namespace
}  // namespace weightmesh
