// JSON from letter_trainer, by protobuf's Struct.
#include "deploy/demo/results.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <fstream>
#include <iterator>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace weightmesh::demo {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

absl::StatusOr<Struct> ReadObject(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return absl::NotFoundError(absl::StrCat("the trainer did not write ", file));
  const std::string text(std::istreambuf_iterator<char>(stream), {});
  Struct object;
  const auto parsed = google::protobuf::util::JsonStringToMessage(text, &object);
  if (parsed.ok()) return object;
  return absl::DataLossError(
      absl::StrCat(file, " is not valid JSON: ", std::string(parsed.message())));
}

// Null stands for a number that is not finite.
absl::StatusOr<double> Number(const Struct& object, const std::string& key,
                              const std::string& file) {
  const auto found = object.fields().find(key);
  if (found != object.fields().end()) {
    if (found->second.has_number_value()) return found->second.number_value();
    if (found->second.has_null_value()) return 0;
  }
  return absl::DataLossError(absl::StrCat(file, " has no number \"", key, "\""));
}

absl::StatusOr<const google::protobuf::ListValue*> List(const Struct& object,
                                                        const std::string& key,
                                                        const std::string& file) {
  const auto found = object.fields().find(key);
  if (found != object.fields().end() && found->second.has_list_value()) {
    return &found->second.list_value();
  }
  return absl::DataLossError(absl::StrCat(file, " has no list \"", key, "\""));
}

}  // namespace

absl::StatusOr<TrainerResult> ReadTrainerResult(const std::string& file) {
  const absl::StatusOr<Struct> object = ReadObject(file);
  if (!object.ok()) return object.status();
  TrainerResult result;
  const std::pair<const char*, double*> numbers[] = {{"accuracy", &result.accuracy},
                                                     {"final_loss", &result.final_loss},
                                                     {"seconds", &result.seconds}};
  for (const auto& [key, target] : numbers) {
    const absl::StatusOr<double> number = Number(*object, key, file);
    if (!number.ok()) return number.status();
    *target = *number;
  }
  const auto& fields = object->fields();
  if (fields.find("rounds_published") == fields.end()) return result;  // not on the mesh
  for (const auto& [key, target] :
       {std::pair("alone", &result.alone), {"drained", &result.drained}}) {
    const auto found = fields.find(key);
    *target = found != fields.end() && found->second.bool_value();
  }
  for (const auto& [key, target] :
       {std::pair("first_round", &result.first_round), {"rejoins", &result.rejoins}}) {
    const absl::StatusOr<double> number = Number(*object, key, file);
    if (!number.ok()) return number.status();
    *target = static_cast<uint64_t>(*number);
  }
  return result;
}

absl::StatusOr<ModelScores> ReadEvaluation(const std::string& file) {
  const absl::StatusOr<Struct> object = ReadObject(file);
  if (!object.ok()) return object.status();
  ModelScores scores;
  const auto models = List(*object, "models", file);
  if (!models.ok()) return models.status();
  for (const Value& model : (*models)->values()) {
    const absl::StatusOr<double> accuracy = Number(model.struct_value(), "accuracy", file);
    if (!accuracy.ok()) return accuracy.status();
    scores.accuracies.push_back(*accuracy);
  }
  const absl::StatusOr<double> mean = Number(*object, "mean_model_accuracy", file);
  if (!mean.ok()) return mean.status();
  scores.mean_model = *mean;
  return scores;
}

absl::StatusOr<ModelScores> ReadAloneResult(const std::string& file) {
  const absl::StatusOr<Struct> object = ReadObject(file);
  if (!object.ok()) return object.status();
  ModelScores scores;
  const auto accuracies = List(*object, "accuracies", file);
  if (!accuracies.ok()) return accuracies.status();
  for (const Value& accuracy : (*accuracies)->values()) {
    scores.accuracies.push_back(accuracy.number_value());
  }
  const absl::StatusOr<double> mean = Number(*object, "mean_model_accuracy", file);
  if (!mean.ok()) return mean.status();
  scores.mean_model = *mean;
  return scores;
}

}  // namespace weightmesh::demo
