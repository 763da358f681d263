// weightmeshctl: looks at a running mesh through one daemon.
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <variant>

#include "client/ctl/command_line.h"
#include "client/ctl/drain.h"
#include "client/ctl/look.h"
#include "client/ctl/mesh_client.h"
#include "client/ctl/watch.h"
#include "daemon/control/grpc_log.h"

namespace weightmesh::ctl {
namespace {

constexpr int kMeshSaysNo = 1;
constexpr int kUsageError = 2;
constexpr char kDefaultDaemon[] = "127.0.0.1:7473";

void Complain(const absl::Status& status) {
  std::fprintf(stderr, "weightmeshctl: %s\n", std::string(status.message()).c_str());
}

int Run(const CommandLine& line) {
  std::optional<Interrupt> interrupt;
  if (line.watch) interrupt.emplace();  // before gRPC's threads
  absl::StatusOr<MeshClient> client = MeshClient::Create(line.daemon, line.timeout);
  if (!client.ok()) {
    Complain(client.status());
    return kUsageError;
  }
  if (line.watch) return Watch(line, &*client, &*interrupt);
  if (line.command == Command::kDrain) {
    const absl::Status drained = Drain(line, &*client);
    if (!drained.ok()) Complain(drained);
    return drained.ok() ? 0 : kMeshSaysNo;
  }
  const absl::StatusOr<std::string> answer = Look(line, &*client);
  if (!answer.ok()) {
    Complain(answer.status());
    return kMeshSaysNo;
  }
  std::fputs(answer->c_str(), stdout);
  return 0;
}

}  // namespace
}  // namespace weightmesh::ctl

int main(int argc, char** argv) {
  using weightmesh::ctl::CommandLine;
  using weightmesh::ctl::ExitCode;
  weightmesh::SetGrpcLogSink(nullptr);  // a failed call says all that matters
  const char* const daemon = std::getenv("WEIGHTMESH_DAEMON");
  const std::variant<CommandLine, ExitCode> parsed = weightmesh::ctl::ParseCommandLine(
      argc, argv, daemon == nullptr || *daemon == '\0' ? weightmesh::ctl::kDefaultDaemon : daemon);
  if (const auto* exit_code = std::get_if<ExitCode>(&parsed)) return exit_code->value;
  return weightmesh::ctl::Run(std::get<CommandLine>(parsed));
}
