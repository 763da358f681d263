// Checks, digest and comparison of schemas.
#include "daemon/mem/schema.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/core/hash.h"
#include "proto/byte_codec.h"

namespace weightmesh {
namespace {

// Names come from a trainer and go into messages.
std::string Quoted(const std::string& name) {
  constexpr size_t kShown = 64;
  return absl::StrCat("'", absl::CHexEscape(name.substr(0, kShown)),
                      name.size() > kShown ? "…'" : "'");
}

std::string Describe(const attach::Tensor& tensor) {
  return absl::StrCat(Quoted(tensor.name), " [", absl::StrJoin(tensor.shape, ", "), "]");
}

// Counts the elements of `tensor`; ResourceExhausted when they are more than `elements_max`.
absl::StatusOr<uint64_t> CountElements(const attach::Tensor& tensor, uint64_t elements_max) {
  if (std::find(tensor.shape.begin(), tensor.shape.end(), 0u) != tensor.shape.end()) return 0;
  uint64_t elements = 1;
  bool fits = elements_max >= 1;  // a scalar, too, is one element
  for (uint64_t extent : tensor.shape) {
    fits = fits && extent <= elements_max / elements;
    if (fits) elements *= extent;
  }
  if (!fits) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "tensor ", Quoted(tensor.name), " takes the model beyond the limit of parameters (",
        elements_max, " were left for it); check its shape, or split the model into several runs"));
  }
  return elements;
}

absl::Status CheckNameAndRank(const attach::Tensor& tensor, size_t index,
                              const SchemaLimits& limits) {
  if (tensor.name.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", index, " has no name; give every tensor a name of its own"));
  }
  if (tensor.name.size() > limits.name_bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the name of tensor ", index, ", ", Quoted(tensor.name), ", has ", tensor.name.size(),
        " bytes; at most ", limits.name_bytes_max, " are allowed"));
  }
  if (tensor.shape.size() > limits.rank_max) {
    return absl::InvalidArgumentError(absl::StrCat("tensor ", Quoted(tensor.name), " has rank ",
                                                   tensor.shape.size(), "; at most ",
                                                   limits.rank_max, " is allowed"));
  }
  return absl::OkStatus();
}

// Checks all tensors; returns the number of parameters.
absl::StatusOr<uint64_t> CheckTensors(const std::vector<attach::Tensor>& tensors,
                                      const SchemaLimits& limits) {
  if (tensors.empty()) {
    return absl::InvalidArgumentError("the model has no tensors; give at least one");
  }
  if (tensors.size() > limits.tensors_max) {
    return absl::ResourceExhaustedError(absl::StrCat("the model has ", tensors.size(),
                                                     " tensors; at most ", limits.tensors_max,
                                                     " are allowed: merge small ones"));
  }
  absl::flat_hash_set<absl::string_view> names;
  names.reserve(tensors.size());
  uint64_t parameters = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const attach::Tensor& tensor = tensors[i];
    if (absl::Status named = CheckNameAndRank(tensor, i, limits); !named.ok()) return named;
    if (!names.insert(absl::string_view(tensor.name.data(), tensor.name.size())).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", i, " has the name ", Quoted(tensor.name),
                       " of an earlier one; give every tensor a name of its own"));
    }
    const absl::StatusOr<uint64_t> elements =
        CountElements(tensor, limits.parameters_max - parameters);
    if (!elements.ok()) return elements.status();
    parameters += *elements;
  }
  if (parameters == 0) {
    return absl::InvalidArgumentError(
        "the model has no parameters: every tensor has an extent of 0; check the shapes");
  }
  return parameters;
}

absl::Status CheckBounds(const std::vector<uint64_t>& bounds, uint64_t parameters,
                         const SchemaLimits& limits) {
  if (bounds.size() < 2) {
    return absl::InvalidArgumentError(absl::StrCat("there are ", bounds.size(),
                                                   " segment bounds; give 0 and ", parameters,
                                                   " (the number of parameters) at least"));
  }
  if (bounds.size() - 1 > limits.segments_max) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the model is cut into ", bounds.size() - 1, " segments and this daemon allows ",
        limits.segments_max, "; use fewer, or raise limits.segments_max of every daemon"));
  }
  if (bounds.front() != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the first segment bound is ", bounds.front(), "; it must be 0"));
  }
  for (size_t i = 1; i < bounds.size(); ++i) {
    if (bounds[i] <= bounds[i - 1]) {
      return absl::InvalidArgumentError(absl::StrCat(
          "segment bound ", i, " is ", bounds[i], " and the one before it ", bounds[i - 1],
          "; they must ascend, and no segment may be empty (use at most ",
          "as many segments as there are parameters)"));
    }
  }
  if (bounds.back() != parameters) {
    return absl::InvalidArgumentError(absl::StrCat("the last segment bound is ", bounds.back(),
                                                   "; it must be ", parameters,
                                                   ", the number of parameters"));
  }
  return absl::OkStatus();
}

Digest DigestOf(const Schema& schema) {
  ByteWriter out;
  out.U64(schema.tensors.size());
  for (const attach::Tensor& tensor : schema.tensors) {
    out.Text(tensor.name);
    out.U32(static_cast<uint32_t>(tensor.data_type));
    out.U64(tensor.shape.size());
    for (uint64_t extent : tensor.shape) out.U64(extent);
  }
  out.U64(schema.bounds.size());
  for (uint64_t bound : schema.bounds) out.U64(bound);
  return Hash128(out.Take());
}

bool Equal(const attach::Tensor& a, const attach::Tensor& b) {
  return a.name == b.name && a.data_type == b.data_type && a.shape == b.shape;
}

}  // namespace

absl::StatusOr<Schema> MakeSchema(const attach::AttachRequest& request,
                                  const SchemaLimits& limits) {
  const absl::StatusOr<uint64_t> parameters = CheckTensors(request.tensors, limits);
  if (!parameters.ok()) return parameters.status();
  if (absl::Status bounds = CheckBounds(request.segment_bounds, *parameters, limits);
      !bounds.ok()) {
    return bounds;
  }
  Schema schema;
  schema.tensors = request.tensors;
  schema.bounds = request.segment_bounds;
  schema.parameters = *parameters;
  schema.digest = DigestOf(schema);
  return schema;
}

std::string DescribeSchemaDifference(const Schema& here, const Schema& in_the_run) {
  const size_t shared = std::min(here.tensors.size(), in_the_run.tensors.size());
  for (size_t i = 0; i < shared; ++i) {
    const attach::Tensor& a = here.tensors[i];
    const attach::Tensor& b = in_the_run.tensors[i];
    if (!Equal(a, b)) {
      return absl::StrCat("tensor ", i, " is ", Describe(a), " here and ", Describe(b),
                          " in the run");
    }
  }
  if (here.tensors.size() != in_the_run.tensors.size()) {
    const bool more = here.tensors.size() > shared;
    return absl::StrCat("tensor ", shared, ", ",
                        Describe((more ? here : in_the_run).tensors[shared]), ", is only ",
                        more ? "here" : "in the run");
  }
  const size_t bounds = std::min(here.bounds.size(), in_the_run.bounds.size());
  for (size_t i = 0; i < bounds; ++i) {
    if (here.bounds[i] != in_the_run.bounds[i]) {
      return absl::StrCat("segment bound ", i, " is ", here.bounds[i], " here and ",
                          in_the_run.bounds[i], " in the run");
    }
  }
  if (here.bounds.size() != in_the_run.bounds.size()) {
    return absl::StrCat("there are ", here.segments(), " segments here and ", in_the_run.segments(),
                        " in the run");
  }
  return "";
}

}  // namespace weightmesh
