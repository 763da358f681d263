// The whole launcher while trainers and daemons are killed, stopped, drained and brought back: it
// ends in order, and what was learned is as good as without that.
//
// 30 seconds of chaos, of twenty rounds each: so many rounds learn so well that single rows of the
// data hardly count. WEIGHTMESH_CHAOS_SECONDS: so many seconds instead, of five rounds each, as the
// launcher paces chaos by itself. WEIGHTMESH_CHAOS_SEED: another plan.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "deploy/demo/options.h"
#include "tests/demo/launcher_fixture.h"

namespace weightmesh::demo {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Minutes(10);
constexpr double kPointsLostMax = 0.5;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  uint64_t value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

class DemoChaosTest : public LauncherTest {
 protected:
  // The report of a run that ended well.
  google::protobuf::Struct Train(const std::vector<std::string>& more) {
    std::vector<std::string> options = {"--nodes",  "8",    "--rounds",      absl::StrCat(rounds_),
                                        "--output", "json", "--no-baselines"};
    options.insert(options.end(), more.begin(), more.end());
    const auto demo = Start(options);
    EXPECT_TRUE(demo->WaitForEnd(kLong + absl::Milliseconds(rounds_ * pace_ms_))) << Errors();
    if (demo->IsRunning()) return {};
    EXPECT_TRUE(demo->Result().ok()) << demo->Result() << "\n" << Errors();
    return demo->Result().ok() ? Document() : google::protobuf::Struct();
  }

  const uint64_t seed_ = FromEnvironment("WEIGHTMESH_CHAOS_SEED", 1);
  const uint64_t seconds_ = FromEnvironment("WEIGHTMESH_CHAOS_SECONDS", 0);
  const uint64_t pace_ms_ = seconds_ > 0 ? kChaosPaceMs : 50;
  const uint64_t rounds_ = ((seconds_ > 0 ? seconds_ : 30) * 1000 + kChaosQuietMs) / pace_ms_;
};

TEST_F(DemoChaosTest, AllComeBackAndLearnAsWithoutIt) {
  const auto report = Train({"--chaos", absl::StrCat(seed_), "--pace-ms", absl::StrCat(pace_ms_)});
  const std::string told = Errors();
  ASSERT_FALSE(HasFailure());
  const auto& chaos = report.fields().at("chaos").struct_value().fields();
  const auto count = [&](const char* what) { return chaos.at(what).number_value(); };
  const double gone = count("trainers_killed") + count("daemons_killed") + count("drains");
  const double aborted = count("daemons_aborted");  // one that was coming, or that drained, or not
  EXPECT_GT(gone, 0) << told;
  EXPECT_GT(count("trainers_paused") + count("daemons_paused"), 0) << told;
  EXPECT_GE(count("joins") + count("rejoins"), gone - aborted) << told;
  EXPECT_LE(count("joins") + count("rejoins"), gone + aborted) << told;
  EXPECT_EQ(count("away_at_end"), 0) << told;
  EXPECT_THAT(told, HasSubstr("takes part again, after"));
  EXPECT_THAT(told, HasSubstr("daemon 0: daemon "));
  for (const auto& replica : report.fields().at("replicas").list_value().values()) {
    EXPECT_FALSE(replica.struct_value().fields().at("alone").bool_value()) << told;
  }

  std::printf("seed %s: %g gone, %g joins, %g rejoins, %g aborted, %g redirects\n",
              absl::StrCat(seed_).c_str(), gone, count("joins"), count("rejoins"), aborted,
              count("redirects"));
  const auto quiet = Train({});
  ASSERT_FALSE(HasFailure());
  for (const char* what : {"mean_accuracy", "mean_model_accuracy"}) {
    const double without = 100 * quiet.fields().at(what).number_value();
    const double with = 100 * report.fields().at(what).number_value();
    std::printf("%s: %.2f %% with chaos, %.2f %% without\n", what, with, without);
    EXPECT_GE(with, without - kPointsLostMax) << told;
  }
}

// A trainer that cannot join is the demo's failure, and its log is named.
TEST_F(DemoChaosTest, AJoinThatFailsIsAFailure) {
  const std::string demo = getenv("WEIGHTMESH_DEMO");
  const std::string real = demo.substr(0, demo.rfind('/')) + "/letter_trainer";
  const std::string trainer = folder_.Write(
      "trainer", absl::StrCat("#!/bin/sh\ncase \"$*\" in *--join*) echo no, never >&2; exit 1 ;; "
                              "esac\nexec ",
                              real, " \"$@\"\n"));
  ASSERT_EQ(chmod(trainer.c_str(), 0755), 0);
  const auto child = Start({"--nodes", "4", "--rounds", "100000", "--pace-ms", "20", "--chaos",
                            absl::StrCat(seed_), "--letter-trainer", trainer, "--no-baselines"});
  ASSERT_TRUE(child->WaitForEnd(kLong)) << Errors();
  EXPECT_THAT(std::string(child->Result().message()), HasSubstr("exit code 1"));
  EXPECT_THAT(Errors(), HasSubstr("no, never"));
  EXPECT_THAT(Errors(), HasSubstr("/work/trainer-"));
}

}  // namespace
}  // namespace weightmesh::demo
