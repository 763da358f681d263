// Cutting a schema into parts, and putting the parts together again.
#include "daemon/runtime/schema_fetch.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace weightmesh {
namespace {

// Longest that one daemon is waited for, so that others can be asked, too.
constexpr absl::Duration kPartTimeout = absl::Seconds(1);

// A bound on the bytes of a SchemaTensor: keys, lengths, and ten bytes for every number.
size_t BytesOf(const attach::Tensor& tensor) {
  return tensor.name.size() + 10 * tensor.shape.size() + 40;
}

class Fetch : public std::enable_shared_from_this<Fetch> {
 public:
  Fetch(SchemaFetchOptions options, std::function<void(absl::StatusOr<Schema>)> done)
      : options_(std::move(options)),
        done_(std::move(done)),
        deadline_(options_.now() + options_.timeout) {}

  void AskNext() {
    const absl::Duration left = deadline_ - options_.now();
    if (left <= absl::ZeroDuration()) {
      return done_(absl::DeadlineExceededError("the run's schema did not come in time"));
    }
    if (address_ >= options_.addresses.size()) return done_(failure_);
    SchemaQuery query;
    query.run_id = options_.run_id;
    query.digest = options_.digest;
    query.first_tensor = request_.tensors.size();
    query.first_bound = request_.segment_bounds.size();
    options_.ask(options_.addresses[address_], std::move(query), std::min(left, kPartTimeout),
                 [self = shared_from_this()](absl::StatusOr<SchemaPart> part) {
                   self->OnPart(std::move(part));
                 });
  }

 private:
  void OnPart(absl::StatusOr<SchemaPart> part) {
    absl::Status taken = part.ok() ? Take(*std::move(part)) : part.status();
    if (taken.ok() && !complete_) return AskNext();
    if (taken.ok()) {
      absl::StatusOr<Schema> schema = MakeSchema(request_, options_.limits);
      if (schema.ok() && schema->digest == options_.digest) return done_(std::move(schema));
      taken = schema.ok() ? absl::DataLossError("it is another schema") : schema.status();
    }
    failure_ = std::move(taken);
    request_ = {};
    bytes_ = 0;
    complete_ = false;
    ++address_;
    AskNext();
  }

  // Every part brings something, and all of them no more than a trainer may.
  absl::Status Take(SchemaPart part) {
    for (const attach::Tensor& tensor : part.tensors) bytes_ += BytesOf(tensor);
    bytes_ += part.bounds.size() * sizeof(uint64_t);
    const uint64_t tensors = request_.tensors.size() + part.tensors.size();
    const uint64_t bounds = request_.segment_bounds.size() + part.bounds.size();
    if (part.tensors.empty() && part.bounds.empty()) return absl::DataLossError("an empty part");
    if (bytes_ > 2 * size_t{attach::kPayloadBytesMax} || tensors > part.tensors_count ||
        bounds > part.bounds_count || (bounds > 0 && tensors < part.tensors_count)) {
      return absl::DataLossError("parts that do not fit together");
    }
    std::move(part.tensors.begin(), part.tensors.end(), std::back_inserter(request_.tensors));
    request_.segment_bounds.insert(request_.segment_bounds.end(), part.bounds.begin(),
                                   part.bounds.end());
    complete_ = tensors == part.tensors_count && bounds == part.bounds_count;
    return absl::OkStatus();
  }

  const SchemaFetchOptions options_;
  const std::function<void(absl::StatusOr<Schema>)> done_;
  const absl::Time deadline_;
  size_t address_ = 0;
  attach::AttachRequest request_;  // what came so far, as MakeSchema takes it
  size_t bytes_ = 0;
  bool complete_ = false;
  absl::Status failure_ = absl::NotFoundError("no daemon is known that has the run's schema");
};

}  // namespace

SchemaPart SchemaPartOf(const Schema& schema, uint64_t first_tensor, uint64_t first_bound) {
  SchemaPart part;
  part.tensors_count = schema.tensors.size();
  part.bounds_count = schema.bounds.size();
  size_t bytes = 0;
  uint64_t next = first_tensor;
  for (; next < schema.tensors.size(); ++next) {
    bytes += BytesOf(schema.tensors[next]);
    if (bytes > kSchemaPartBytesMax && !part.tensors.empty()) return part;
    part.tensors.push_back(schema.tensors[next]);
  }
  if (first_bound < schema.bounds.size()) {
    part.bounds.assign(schema.bounds.begin() + static_cast<ptrdiff_t>(first_bound),
                       schema.bounds.end());
  }
  return part;
}

void FetchSchema(SchemaFetchOptions options, std::function<void(absl::StatusOr<Schema>)> done) {
  std::make_shared<Fetch>(std::move(options), std::move(done))->AskNext();
}

}  // namespace weightmesh
