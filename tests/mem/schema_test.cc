// Schemas: what is refused and why, the digest, and the first difference.
#include "daemon/mem/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weightmesh {
namespace {

using ::testing::HasSubstr;

attach::AttachRequest SmallRequest() {
  attach::AttachRequest request;
  request.tensors = {{"fc1.weight", attach::DataType::kFp32, {4, 3}},
                     {"fc1.bias", attach::DataType::kFp32, {4}},
                     {"scale", attach::DataType::kFp32, {}}};
  request.segment_bounds = {0, 8, 17};
  return request;
}

Schema SchemaOf(const attach::AttachRequest& request) {
  const absl::StatusOr<Schema> schema = MakeSchema(request, SchemaLimits());
  EXPECT_TRUE(schema.ok()) << schema.status();
  return schema.value_or(Schema());
}

void ExpectRefused(const attach::AttachRequest& request, absl::StatusCode code,
                   const std::string& why, SchemaLimits limits = {}) {
  const absl::Status status = MakeSchema(request, limits).status();
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(why));
}

TEST(SchemaTest, CountsParametersAndKeepsTheRequest) {
  const Schema schema = SchemaOf(SmallRequest());
  EXPECT_EQ(schema.parameters, 17u);
  EXPECT_EQ(schema.segments(), 2u);
  EXPECT_EQ(schema.tensors.size(), 3u);
  EXPECT_EQ(schema.bounds, (std::vector<uint64_t>{0, 8, 17}));
}

TEST(SchemaTest, DigestIsPartOfTheContract) {
  EXPECT_EQ(SchemaOf(SmallRequest()).digest.ToString(), "759c1dff07f3b1718f50df0907182fae");
}

TEST(SchemaTest, EveryFieldEntersTheDigest) {
  const Digest digest = SchemaOf(SmallRequest()).digest;
  EXPECT_EQ(SchemaOf(SmallRequest()).digest, digest);
  attach::AttachRequest changed = SmallRequest();
  changed.tensors[1].name = "fc1.bios";
  EXPECT_NE(SchemaOf(changed).digest, digest);
  changed = SmallRequest();
  changed.tensors[0].shape = {3, 4};
  EXPECT_NE(SchemaOf(changed).digest, digest);
  changed = SmallRequest();
  std::swap(changed.tensors[0], changed.tensors[1]);
  EXPECT_NE(SchemaOf(changed).digest, digest);
  changed = SmallRequest();
  changed.segment_bounds = {0, 9, 17};
  EXPECT_NE(SchemaOf(changed).digest, digest);
  changed = SmallRequest();
  changed.seed = 99;  // RunConfig, not schema
  EXPECT_EQ(SchemaOf(changed).digest, digest);
}

TEST(SchemaTest, RefusesBadTensors) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  attach::AttachRequest request = SmallRequest();
  request.tensors.clear();
  ExpectRefused(request, kInvalid, "at least one");
  request = SmallRequest();
  request.tensors[1].name.clear();
  ExpectRefused(request, kInvalid, "tensor 1 has no name");
  request = SmallRequest();
  request.tensors[2].name = "fc1.weight";
  ExpectRefused(request, kInvalid, "'fc1.weight' of an earlier one");
  request = SmallRequest();
  for (attach::Tensor& tensor : request.tensors) tensor.shape = {0, 7};
  ExpectRefused(request, kInvalid, "no parameters");
  request = SmallRequest();
  request.tensors[0].name = std::string(2000, 'n');
  ExpectRefused(request, kInvalid, "at most 1024");
  request = SmallRequest();
  request.tensors[0].shape.assign(65, 1);
  ExpectRefused(request, kInvalid, "rank 65");
  request = SmallRequest();
  request.tensors[0].name = request.tensors[1].name = "evil\n\x1b[2J";
  ExpectRefused(request, kInvalid, "'evil\\n\\x1b[2J'");
}

TEST(SchemaTest, RefusesWhatIsTooLarge) {
  constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
  attach::AttachRequest request = SmallRequest();
  request.tensors[1].shape = {uint64_t{1} << 33, uint64_t{1} << 33};  // overflows
  ExpectRefused(request, kExhausted, "'fc1.bias'");
  request.tensors[1].shape = {UINT64_MAX};
  ExpectRefused(request, kExhausted, "'fc1.bias'");
  request.tensors[1].shape = {uint64_t{1} << 33, uint64_t{1} << 33, 0};  // empty, whatever the rest
  request.segment_bounds = {0, 13};
  EXPECT_TRUE(MakeSchema(request, SchemaLimits()).ok());

  SchemaLimits limits;
  limits.parameters_max = 16;
  ExpectRefused(SmallRequest(), kExhausted, "'scale'", limits);
  limits.parameters_max = 17;
  EXPECT_TRUE(MakeSchema(SmallRequest(), limits).ok());
  limits.tensors_max = 2;
  ExpectRefused(SmallRequest(), kExhausted, "3 tensors", limits);
  limits = {};
  limits.segments_max = 1;
  ExpectRefused(SmallRequest(), kExhausted, "segments_max", limits);
}

TEST(SchemaTest, RefusesBadBounds) {
  const struct {
    std::vector<uint64_t> bounds;
    std::string why;
  } cases[] = {{{}, "at least"},          {{0}, "at least"},
               {{1, 17}, "must be 0"},    {{0, 8, 8, 17}, "ascend"},
               {{0, 9, 8, 17}, "ascend"}, {{0, 16}, "must be 17"},
               {{0, 18}, "must be 17"},   {{0, UINT64_MAX}, "must be 17"}};
  for (const auto& bad : cases) {
    attach::AttachRequest request = SmallRequest();
    request.segment_bounds = bad.bounds;
    ExpectRefused(request, absl::StatusCode::kInvalidArgument, bad.why);
  }
}

TEST(SchemaTest, NamesTheFirstDifference) {
  const Schema schema = SchemaOf(SmallRequest());
  EXPECT_EQ(DescribeSchemaDifference(schema, schema), "");

  attach::AttachRequest other = SmallRequest();
  other.tensors[0].shape = {3, 4};
  other.tensors[1].name = "later";
  EXPECT_EQ(DescribeSchemaDifference(schema, SchemaOf(other)),
            "tensor 0 is 'fc1.weight' [4, 3] here and 'fc1.weight' [3, 4] in the run");

  other = SmallRequest();
  other.tensors.push_back({"extra", attach::DataType::kFp32, {2}});
  other.segment_bounds = {0, 8, 19};
  EXPECT_EQ(DescribeSchemaDifference(schema, SchemaOf(other)),
            "tensor 3, 'extra' [2], is only in the run");
  EXPECT_EQ(DescribeSchemaDifference(SchemaOf(other), schema),
            "tensor 3, 'extra' [2], is only here");

  other = SmallRequest();
  other.segment_bounds = {0, 9, 17};
  EXPECT_EQ(DescribeSchemaDifference(schema, SchemaOf(other)),
            "segment bound 1 is 8 here and 9 in the run");
}

}  // namespace
}  // namespace weightmesh
