// The result of a demo, as text and as JSON.
#include "deploy/demo/report.h"

#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

namespace weightmesh::demo {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Report ThreeReplicas() {
  Report report;
  report.options.nodes = 3;
  report.options.weightmeshctl = "/build/bin/weightmeshctl";
  report.work_dir = "/tmp/demo";
  report.training_seconds = 12.34;
  for (int k = 0; k < 3; ++k) {
    ReplicaReport replica;
    replica.accuracy = 0.96 + 0.001 * k;
    replica.seconds = 12;
    replica.redirects = 1;
    replica.bytes_received = 10'000'000;
    replica.pulls = {{"ARRIVED", 999}, {"LATE", 1}, {"GONE", 0}};
    replica.arrived_from = {500, 499, 498};
    replica.daemon_address = "127.0.0.1:4000" + std::to_string(k);
    report.replicas.push_back(replica);
  }
  report.replicas[0].alone = report.replicas[0].daemon_killed = true;
  report.mean_model_accuracy = 0.97;
  report.all_reduce_accuracy = 0.965;
  report.alone = AloneReport{{0.91, 0.93, 0.92}, 0.92, 0.1};
  return report;
}

TEST(Report, TextIsAsPeopleSeeIt) {
  EXPECT_EQ(ReportText(ThreeReplicas()), R"(
Test accuracy, rows 16,001-20,000 of UCI Letter
  replica 0             96.00 %   its daemon was killed
  replica 1             96.10 %
  replica 2             96.20 %
  mean of the others    96.15 %
  their mean model      97.00 %
  exact averaging       96.50 %   all gradients averaged in each round
  no communication      92.00 %   mean of 3, each on its own shard (91.00 to 93.00)

Segments pulled: who (row) from whom (column)
  replica        0       1       2
        0        -     499     498
        1      500       -     498
        2      500     499       -

Pulls: ARRIVED 2997 (99.90 %) LATE 3 (0.10 %); 3 redirects; 30.0 MB moved; trained 12.3 s
Logs, results and weights: /tmp/demo
To look further, add --keep-running: the daemons stay up for commands as
  /build/bin/weightmeshctl --daemon 127.0.0.1:40001 topology
  /build/bin/weightmeshctl --daemon 127.0.0.1:40001 stats
  /build/bin/weightmeshctl --daemon 127.0.0.1:40001 links
  /build/bin/weightmeshctl --daemon 127.0.0.1:40001 runs
  /build/bin/weightmeshctl --daemon 127.0.0.1:40001 schedule --round 1 --segment 0
)");
}

TEST(Report, TextWithoutBaselines) {
  Report report = ThreeReplicas();
  report.all_reduce_accuracy.reset();
  report.alone.reset();
  report.options.keep_running = true;
  const std::string text = ReportText(report);
  EXPECT_THAT(text, Not(HasSubstr("exact averaging")));
  EXPECT_THAT(text, Not(HasSubstr("no communication")));
  EXPECT_THAT(text, HasSubstr("The daemons run on."));
}

TEST(Report, TheSlowReplicaIsToldApart) {
  Report report = ThreeReplicas();
  report.options.mode = "async";
  report.options.slow = Slow{2, 3};
  report.replicas[2].pulls = {{"ARRIVED", 50}, {"LATE", 50}};
  const std::string text = ReportText(report);
  EXPECT_THAT(text, HasSubstr("  replica 2             96.20 %   3 times slower, 93 rounds\n"));
  EXPECT_THAT(text, HasSubstr("\n  of the slow replica: ARRIVED 50 (50.00 %) LATE 50 (50.00 %)\n"
                              "  of the others: ARRIVED 1998 (99.90 %) LATE 2 (0.10 %)\n"));
  const auto json = ReportJson(report);
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_THAT(*json, HasSubstr("\"slow\""));
  EXPECT_THAT(*json, HasSubstr("\"factor\""));
}

TEST(Report, ChaosIsCounted) {
  Report report = ThreeReplicas();
  report.replicas[0].alone = report.replicas[0].daemon_killed = false;
  report.replicas[0].away = true;
  report.replicas[2].first_round = 57;
  report.replicas[2].rejoins = 3;
  report.chaos = ChaosReport{1, 2, 3, 4, 5, 6, 9, 7, 8};
  const std::string text = ReportText(report);
  EXPECT_THAT(text, HasSubstr("  replica 0             96.00 %   it was away at the end\n"));
  EXPECT_THAT(text, HasSubstr("  mean of the others    96.15 %\n"));
  EXPECT_THAT(text, HasSubstr(R"(
Chaos (seed 1): killed 2 trainers and 3 daemons, drained 4 daemons, stopped 5 trainers and 6 daemons
  for a moment; 7 joins, 8 rejoins, 1 away at the end
  UCX aborted 9 daemons, as it may before 1.14 when a peer dies (openucx/ucx#8175)
)"));
  report.replicas[0].has_result = false;
  EXPECT_THAT(ReportText(report), HasSubstr("  replica 0                 -     it was away"));
  const auto json = ReportJson(report);
  ASSERT_TRUE(json.ok()) << json.status();
  google::protobuf::Struct document;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(*json, &document).ok()) << *json;
  const auto& chaos = document.fields().at("chaos").struct_value().fields();
  EXPECT_EQ(chaos.at("seed").string_value(), "1");
  for (const auto& [key, value] : {std::pair("trainers_killed", 2),
                                   {"daemons_killed", 3},
                                   {"drains", 4},
                                   {"trainers_paused", 5},
                                   {"daemons_paused", 6},
                                   {"daemons_aborted", 9},
                                   {"joins", 7},
                                   {"rejoins", 8},
                                   {"away_at_end", 1},
                                   {"redirects", 3}}) {
    EXPECT_EQ(chaos.at(key).number_value(), value) << key;
  }
  const auto& replicas = document.fields().at("replicas").list_value();
  const auto& away = replicas.values(0).struct_value().fields();
  EXPECT_TRUE(away.at("away").bool_value());
  EXPECT_EQ(away.count("accuracy"), 0u) << "there is none";
  const auto& joined = replicas.values(2).struct_value().fields();
  EXPECT_EQ(joined.at("first_round").number_value(), 57);
  EXPECT_EQ(joined.at("rejoins").number_value(), 3);
}

TEST(Report, CommandsCanBePasted) {
  Report report = ThreeReplicas();
  report.options.weightmeshctl = "/a b/it's";
  EXPECT_THAT(CommandsText(report),
              HasSubstr("  '/a b/it'\\''s' --daemon 127.0.0.1:40001 stats\n"));
}

TEST(Report, JsonHoldsEverything) {
  Report report = ThreeReplicas();
  report.options.kill = Kill{0, 100};
  const auto text = ReportJson(report);
  ASSERT_TRUE(text.ok()) << text.status();
  google::protobuf::Struct document;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(*text, &document).ok()) << *text;
  const auto& fields = document.fields();
  EXPECT_EQ(fields.at("options").struct_value().fields().at("schedule").string_value(),
            "hash_cycle");
  EXPECT_EQ(fields.at("options")
                .struct_value()
                .fields()
                .at("kill")
                .struct_value()
                .fields()
                .at("round")
                .number_value(),
            100);
  ASSERT_EQ(fields.at("replicas").list_value().values_size(), 3);
  const auto& replica = fields.at("replicas").list_value().values(1).struct_value().fields();
  EXPECT_EQ(replica.at("pulls").struct_value().fields().at("ARRIVED").number_value(), 999);
  EXPECT_EQ(replica.at("arrived_from").list_value().values(2).number_value(), 498);
  EXPECT_EQ(replica.at("daemon_address").string_value(), "127.0.0.1:40001");
  EXPECT_NEAR(fields.at("mean_accuracy").number_value(), 0.9615, 1e-12);
  EXPECT_EQ(fields.at("mean_model_accuracy").number_value(), 0.97);
  EXPECT_EQ(fields.at("all_reduce").struct_value().fields().at("accuracy").number_value(), 0.965);
  EXPECT_EQ(
      fields.at("no_communication").struct_value().fields().at("mean_accuracy").number_value(),
      0.92);
  EXPECT_EQ(fields.at("work_dir").string_value(), "/tmp/demo");
}

TEST(Report, DesertedAreThoseThatNobodyKilled) {
  Report report = ThreeReplicas();
  EXPECT_THAT(Deserted(report), ElementsAre());
  report.replicas[2].alone = true;
  EXPECT_THAT(Deserted(report), ElementsAre(2));
  report.replicas[2].away = true;
  EXPECT_THAT(Deserted(report), ElementsAre());
}

}  // namespace
}  // namespace weightmesh::demo
