// From attach requests to the core's events: nothing lost, nothing unchecked.
#include "daemon/mem/founding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace weightmesh {
namespace {

using ::testing::HasSubstr;

attach::AttachRequest GoodRequest() {
  attach::AttachRequest request;
  request.run_id = "run";
  request.replica_name = "host/0";
  request.seed = 7;
  request.schedule = ScheduleKind::kDerangement;
  request.mode = Mode::kOverlap;
  request.wire = WireFormat::kBf16;
  request.alpha = 0.25;
  request.round_deadline_ms = 1234;
  request.replicas_min = 4;
  request.tensors = {{"w", attach::DataType::kFp32, {10}}};
  request.segment_bounds = {0, 4, 10};
  request.weights_digest_high = 11;
  request.weights_digest_low = 12;
  request.start_round = 100;
  request.start_timeout_ms = 60'000;
  request.slots = 5;
  return request;
}

absl::StatusOr<AttachRequested> Convert(const attach::AttachRequest& request) {
  const absl::StatusOr<Schema> schema = MakeSchema(request, SchemaLimits());
  if (!schema.ok()) return schema.status();
  return ToAttachRequested(AttachId{3}, request, *schema);
}

TEST(FoundingTest, CarriesEveryField) {
  const absl::StatusOr<AttachRequested> event = Convert(GoodRequest());
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->attach, AttachId{3});
  EXPECT_EQ(event->run_id, "run");
  EXPECT_EQ(event->replica_name, "host/0");
  EXPECT_EQ(event->start_timeout, absl::Minutes(1));
  const FoundingRecord& founding = event->founding;
  EXPECT_EQ(founding.config.seed, 7u);
  EXPECT_EQ(founding.config.schedule, ScheduleKind::kDerangement);
  EXPECT_EQ(founding.config.mode, Mode::kOverlap);
  EXPECT_EQ(founding.config.wire, WireFormat::kBf16);
  EXPECT_EQ(founding.config.alpha, 0.25);
  EXPECT_EQ(founding.config.round_deadline, absl::Milliseconds(1234));
  EXPECT_EQ(founding.config.replicas_min, 4u);
  EXPECT_EQ(founding.weights_digest, (Digest{11, 12}));
  EXPECT_FALSE(founding.schema_digest.IsZero());
  EXPECT_EQ(founding.start_round, Round{100});
  EXPECT_EQ(founding.parameters, 10u);
  EXPECT_EQ(founding.segments, 2u);
  // 4 and 6 parameters of 2 bytes, seal word, one checksum each.
  EXPECT_EQ(event->segment_bytes, (std::vector<uint64_t>{8 + 16, 16 + 16}));
}

TEST(FoundingTest, ForgetsTheWeightsDigestWhenTheyMayDiffer) {
  attach::AttachRequest request = GoodRequest();
  request.allow_different_init = 1;
  const absl::StatusOr<AttachRequested> event = Convert(request);
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_TRUE(event->founding.weights_digest.IsZero());
}

TEST(FoundingTest, AsyncBringsItsLimit) {
  attach::AttachRequest request = GoodRequest();
  request.mode = Mode::kAsync;
  request.staleness_rounds_max = 5;
  const absl::StatusOr<AttachRequested> event = Convert(request);
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->founding.config.mode, Mode::kAsync);
  EXPECT_EQ(event->founding.config.staleness_rounds_max, 5u);
}

TEST(FoundingTest, NamesTheFieldThatIsOutOfRange) {
  const struct {
    void (*spoil)(attach::AttachRequest*);
    std::string field;
  } cases[] = {
      {[](attach::AttachRequest* r) { r->run_id.clear(); }, "run_id"},
      {[](attach::AttachRequest* r) { r->run_id.assign(256, 'r'); }, "run_id"},
      {[](attach::AttachRequest* r) { r->replica_name.clear(); }, "replica_name"},
      {[](attach::AttachRequest* r) { r->replica_name = "a\nb"; }, "replica_name"},
      {[](attach::AttachRequest* r) { r->replica_name = "caf\xe9"; }, "is not UTF-8"},
      {[](attach::AttachRequest* r) { r->alpha = 0; }, "alpha"},
      {[](attach::AttachRequest* r) { r->alpha = std::nan(""); }, "alpha"},
      {[](attach::AttachRequest* r) { r->round_deadline_ms = 0; }, "round_deadline_ms"},
      {[](attach::AttachRequest* r) { r->round_deadline_ms = UINT64_MAX; }, "round_deadline_ms"},
      {[](attach::AttachRequest* r) { r->replicas_min = 0; }, "replicas_min"},
      {[](attach::AttachRequest* r) { r->staleness_rounds_max = 3; }, "staleness_rounds_max"},
      {[](attach::AttachRequest* r) { r->mode = Mode::kAsync; }, "staleness_rounds_max"},
      {[](attach::AttachRequest* r) { r->start_round = UINT64_MAX; }, "start_round"},
      {[](attach::AttachRequest* r) { r->start_timeout_ms = 0; }, "start_timeout_ms"},
      {[](attach::AttachRequest* r) { r->start_timeout_ms = UINT64_MAX; }, "start_timeout_ms"},
      {[](attach::AttachRequest* r) { r->slots = 1; }, "slots"},
      {[](attach::AttachRequest* r) { r->slots = 9; }, "slots"},
  };
  for (const auto& bad : cases) {
    attach::AttachRequest request = GoodRequest();
    bad.spoil(&request);
    const absl::Status status = Convert(request).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.field;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.field));
  }
}

}  // namespace
}  // namespace weightmesh
