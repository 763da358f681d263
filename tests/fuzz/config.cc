// Fuzz target: configuration files. First byte even: textproto; odd: JSON.
#include "daemon/runtime/config.h"

#include <string>

#include "daemon/core/check.h"
#include "daemon/runtime/config_file.h"
#include "tests/fuzz/input.h"

namespace weightmesh::fuzz {
namespace {

void Load(Input* input) {
  const char* name = input->Byte() % 2 == 0 ? "fuzz.textproto" : "fuzz.json";
  const absl::StatusOr<v1::DaemonConfig> parsed = ParseConfig(name, input->Rest());
  if (!parsed.ok()) {
    WEIGHTMESH_CHECK(absl::IsInvalidArgument(parsed.status()) && !parsed.status().message().empty(),
                     "an error that says nothing");
    return;
  }
  const v1::DaemonConfig config = ApplyDefaults(*parsed, uint64_t{1} << 30);
  const absl::Status valid = ValidateConfig(config);
  if (!valid.ok()) {
    WEIGHTMESH_CHECK(!valid.message().empty(), "an error that says nothing");
    return;
  }
  // What is printed can be read, and means the same.
  const std::string text = ToTextproto(config);
  const absl::StatusOr<v1::DaemonConfig> again = ParseConfig("again.textproto", text);
  WEIGHTMESH_CHECK(again.ok(), "a printed configuration does not parse");
  WEIGHTMESH_CHECK(ToTextproto(*again) == text, "a printed configuration means something else");
  WEIGHTMESH_CHECK(ValidateConfig(*again).ok(), "a printed configuration is not valid");
}

}  // namespace
}  // namespace weightmesh::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  weightmesh::fuzz::Input input(data, size);
  weightmesh::fuzz::Load(&input);
  return 0;
}
