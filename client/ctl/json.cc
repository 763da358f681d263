// Messages as JSON.
#include "client/ctl/json.h"

#include "absl/status/status.h"
#include "google/protobuf/util/json_util.h"

namespace weightmesh::ctl {

absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message, bool one_line) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  options.add_whitespace = !one_line;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) return absl::InternalError(status.ToString());
  if (one_line) text += '\n';
  return text;
}

}  // namespace weightmesh::ctl
