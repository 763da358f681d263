// Schemas in parts: cut and joined they are the same, and whatever else a daemon answers is a
// failure, never a schema.
#include "daemon/runtime/schema_fetch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "absl/strings/str_cat.h"

namespace weightmesh {
namespace {

using ::testing::ElementsAre;

SchemaLimits Limits() {
  SchemaLimits limits;
  limits.segments_max = 65536;
  return limits;
}

Schema SchemaOf(uint64_t tensors, size_t name_bytes = 30, uint32_t segments = 2) {
  attach::AttachRequest request;
  for (uint64_t k = 0; k < tensors; ++k) {
    std::string name = absl::StrCat("tensor", k, ".");
    name.resize(std::max(name.size(), name_bytes), 'x');
    request.tensors.push_back({name, attach::DataType::kFp32, {segments, 3}});
  }
  for (uint32_t k = 0; k <= segments; ++k) {
    request.segment_bounds.push_back(k == segments ? tensors * segments * 3 : k);
  }
  const absl::StatusOr<Schema> schema = MakeSchema(request, Limits());
  EXPECT_TRUE(schema.ok()) << schema.status();
  return *schema;
}

class SchemaFetchTest : public testing::Test {
 protected:
  using Answer = std::function<absl::StatusOr<SchemaPart>(const SchemaQuery&)>;

  absl::StatusOr<Schema> Fetch(Digest digest, std::vector<std::string> addresses,
                               const std::function<Answer(const std::string&)>& daemon) {
    SchemaFetchOptions options;
    options.ask = [&](const std::string& address, SchemaQuery query, absl::Duration timeout,
                      std::function<void(absl::StatusOr<SchemaPart>)> done) {
      EXPECT_GT(timeout, absl::ZeroDuration());
      asked_.push_back(address);
      ASSERT_LT(asked_.size(), 1000u) << "it asks for ever";
      now_ += step_;
      done(daemon(address)(query));
    };
    options.now = [this] { return now_; };
    options.addresses = std::move(addresses);
    options.run_id = "run";
    options.digest = digest;
    options.limits = Limits();
    options.timeout = absl::Seconds(3);
    std::optional<absl::StatusOr<Schema>> result;
    FetchSchema(std::move(options), [&](absl::StatusOr<Schema> schema) {
      EXPECT_FALSE(result.has_value()) << "done twice";
      result = std::move(schema);
    });
    EXPECT_TRUE(result.has_value()) << "never done";
    return result.has_value() ? *std::move(result) : absl::InternalError("never done");
  }
  static Answer Of(const Schema& schema) {
    return [&schema](const SchemaQuery& query) {
      EXPECT_EQ(query.run_id, "run");
      return SchemaPartOf(schema, query.first_tensor, query.first_bound);
    };
  }

  absl::Time now_ = absl::UnixEpoch();
  absl::Duration step_ = absl::Milliseconds(1);
  std::vector<std::string> asked_;
};

TEST_F(SchemaFetchTest, JoinsWhatWasCut) {
  for (const Schema& schema : {SchemaOf(1), SchemaOf(1000), SchemaOf(100'000), SchemaOf(2000, 1024),
                               SchemaOf(65536, 20, 65536)}) {
    asked_.clear();
    const auto fetched = Fetch(schema.digest, {"a:1"}, [&](auto&) { return Of(schema); });
    ASSERT_TRUE(fetched.ok()) << fetched.status();
    EXPECT_EQ(DescribeSchemaDifference(*fetched, schema), "");
    EXPECT_LE(asked_.size(), 20u);
  }
  EXPECT_GT(asked_.size(), 1u) << "the largest fitted into one part";
}

TEST_F(SchemaFetchTest, APartIsBounded) {
  const SchemaPart part = SchemaPartOf(SchemaOf(2000, 1024), 0, 0);
  EXPECT_LT(part.tensors.size(), 1024u);
  EXPECT_TRUE(part.bounds.empty()) << "bounds come after the last tensor";
  const SchemaPart beyond = SchemaPartOf(SchemaOf(1), 7, 99);
  EXPECT_TRUE(beyond.tensors.empty());
  EXPECT_TRUE(beyond.bounds.empty());
}

TEST_F(SchemaFetchTest, AsksTheNextDaemonWhereOneFails) {
  const Schema schema = SchemaOf(3);
  const Schema other = SchemaOf(4);
  const auto fetched = Fetch(
      schema.digest, {"dead:1", "other:1", "good:1"}, [&](const std::string& address) -> Answer {
        if (address == "good:1") return Of(schema);
        if (address == "other:1") return Of(other);
        return [](const SchemaQuery&) { return absl::UnavailableError("nobody answers"); };
      });
  EXPECT_TRUE(fetched.ok()) << fetched.status();
  EXPECT_THAT(asked_, ElementsAre("dead:1", "other:1", "good:1"));
}

TEST_F(SchemaFetchTest, FailsWhereNobodyHasIt) {
  EXPECT_EQ(Fetch({1, 2}, {}, [](auto&) { return Answer(); }).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(Fetch({1, 2}, {"a:1"},
                  [](auto&) -> Answer {
                    return [](const SchemaQuery&) { return absl::UnavailableError("gone"); };
                  })
                .status()
                .code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(SchemaFetchTest, PartsThatDoNotFitTogetherAreNoSchema) {
  const Schema schema = SchemaOf(3);
  const auto failing = [&](SchemaPart part) {
    return Fetch(schema.digest, {"a:1"},
                 [&](auto&) -> Answer { return [&](const SchemaQuery&) { return part; }; });
  };
  SchemaPart part = SchemaPartOf(schema, 0, 0);
  SchemaPart empty;
  empty.tensors_count = 3;
  EXPECT_FALSE(failing(empty).ok()) << "it would ask for ever";
  SchemaPart more = part;
  more.tensors_count = 2;
  EXPECT_FALSE(failing(more).ok());
  SchemaPart early = part;
  early.tensors_count = 9;
  EXPECT_FALSE(failing(early).ok()) << "bounds before the last tensor";
  SchemaPart endless = part;
  endless.bounds.clear();
  endless.tensors_count = UINT64_MAX;
  endless.tensors.assign(60'000, endless.tensors[0]);
  for (attach::Tensor& tensor : endless.tensors) tensor.name.assign(1024, 'x');
  EXPECT_FALSE(failing(endless).ok());
  EXPECT_LT(asked_.size(), 10u);
  SchemaPart wrong = part;
  wrong.bounds = {0, 5, 5, 18};
  wrong.bounds_count = 4;
  EXPECT_FALSE(failing(wrong).ok());
}

TEST_F(SchemaFetchTest, EndsAtItsDeadline) {
  const Schema schema = SchemaOf(100'000);
  step_ = absl::Seconds(2);
  const auto late = Fetch(schema.digest, {"a:1", "b:1"}, [&](auto&) { return Of(schema); });
  EXPECT_EQ(late.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(asked_.size(), 2u);
}

}  // namespace
}  // namespace weightmesh
