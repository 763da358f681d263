// The report as one JSON document, by protobuf's Struct.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include "absl/status/status.h"
#include "deploy/demo/report.h"

namespace weightmesh::demo {
namespace {

using google::protobuf::ListValue;
using google::protobuf::Struct;

void Set(const char* key, double value, Struct* object) {
  (*object->mutable_fields())[key].set_number_value(value);
}
void Set(const char* key, uint64_t value, Struct* object) {
  Set(key, static_cast<double>(value), object);  // counts stay below 2^53
}
void Set(const char* key, const std::string& value, Struct* object) {
  (*object->mutable_fields())[key].set_string_value(value);
}
void SetBool(const char* key, bool value, Struct* object) {
  (*object->mutable_fields())[key].set_bool_value(value);
}
Struct* AddObject(const char* key, Struct* object) {
  return (*object->mutable_fields())[key].mutable_struct_value();
}
ListValue* AddList(const char* key, Struct* object) {
  return (*object->mutable_fields())[key].mutable_list_value();
}

void FillOptions(const Options& options, Struct* object) {
  Set("nodes", static_cast<uint64_t>(options.nodes), object);
  Set("rounds", options.rounds, object);
  Set("segments", options.segments, object);
  Set("schedule", options.schedule, object);
  Set("wire", options.wire, object);
  Set("mode", options.mode, object);
  Set("pace_ms", options.pace_ms, object);
  // A string: a seed may need all its bits.
  Set("seed", std::to_string(options.seed), object);
  if (options.slow.has_value()) {
    Struct* slow = AddObject("slow", object);
    Set("trainer", static_cast<uint64_t>(options.slow->trainer), slow);
    Set("factor", options.slow->factor, slow);
  }
  if (!options.kill.has_value()) return;
  Struct* kill = AddObject("kill", object);
  Set("node", static_cast<uint64_t>(options.kill->node), kill);
  Set("round", options.kill->round, kill);
}

void FillReplica(size_t index, const ReplicaReport& replica, Struct* object) {
  Set("replica", static_cast<uint64_t>(index), object);
  if (replica.has_result) {
    Set("accuracy", replica.accuracy, object);
    Set("final_loss", replica.final_loss, object);
    Set("seconds", replica.seconds, object);
    Set("first_round", replica.first_round, object);
    Set("rejoins", replica.rejoins, object);
  }
  SetBool("alone", replica.alone, object);
  SetBool("daemon_killed", replica.daemon_killed, object);
  SetBool("away", replica.away, object);
  Set("rounds_published", replica.rounds_published, object);
  Set("redirects", replica.redirects, object);
  Set("bytes_received", replica.bytes_received, object);
  Set("daemon_address", replica.daemon_address, object);
  Struct* pulls = AddObject("pulls", object);
  for (const auto& [outcome, count] : replica.pulls) Set(outcome.c_str(), count, pulls);
  ListValue* from = AddList("arrived_from", object);
  for (uint64_t count : replica.arrived_from) {
    from->add_values()->set_number_value(static_cast<double>(count));
  }
}

void FillChaos(const Report& report, Struct* object) {
  const ChaosReport& chaos = *report.chaos;
  Set("seed", std::to_string(chaos.seed), object);
  Set("trainers_killed", chaos.trainers_killed, object);
  Set("daemons_killed", chaos.daemons_killed, object);
  Set("drains", chaos.drains, object);
  Set("trainers_paused", chaos.trainers_paused, object);
  Set("daemons_paused", chaos.daemons_paused, object);
  Set("daemons_aborted", chaos.daemons_aborted, object);
  Set("joins", chaos.joins, object);
  Set("rejoins", chaos.rejoins, object);
  Set("away_at_end", AwayCount(report), object);
  uint64_t redirects = 0;
  for (const ReplicaReport& replica : report.replicas) redirects += replica.redirects;
  Set("redirects", redirects, object);
}

void FillBaselines(const Report& report, Struct* object) {
  if (report.all_reduce_accuracy.has_value()) {
    Set("accuracy", *report.all_reduce_accuracy, AddObject("all_reduce", object));
  }
  if (!report.alone.has_value()) return;
  Struct* alone = AddObject("no_communication", object);
  Set("mean_accuracy", report.alone->mean, alone);
  Set("mean_model_accuracy", report.alone->mean_model, alone);
  ListValue* accuracies = AddList("accuracies", alone);
  for (double accuracy : report.alone->accuracies) {
    accuracies->add_values()->set_number_value(accuracy);
  }
}

}  // namespace

absl::StatusOr<std::string> ReportJson(const Report& report) {
  Struct document;
  FillOptions(report.options, AddObject("options", &document));
  ListValue* replicas = AddList("replicas", &document);
  for (size_t k = 0; k < report.replicas.size(); ++k) {
    FillReplica(k, report.replicas[k], replicas->add_values()->mutable_struct_value());
  }
  Set("mean_accuracy", MeanAccuracy(report), &document);
  Set("mean_model_accuracy", report.mean_model_accuracy, &document);
  FillBaselines(report, &document);
  if (report.chaos.has_value()) FillChaos(report, AddObject("chaos", &document));
  Set("training_seconds", report.training_seconds, &document);
  Set("work_dir", report.work_dir, &document);
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  std::string text;
  const auto printed = google::protobuf::util::MessageToJsonString(document, &text, options);
  if (!printed.ok()) {
    return absl::InvalidArgumentError("the report cannot be written as JSON: " +
                                      std::string(printed.message()));
  }
  return text.empty() || text.back() != '\n' ? text + "\n" : text;
}

}  // namespace weightmesh::demo
