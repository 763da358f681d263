// weightmeshctl: looks at a running mesh through one daemon.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <variant>

#include "client/ctl/command_line.h"
#include "client/ctl/look.h"
#include "client/ctl/mesh_client.h"
#include "daemon/control/grpc_log.h"

namespace weightmesh::ctl {
namespace {

constexpr int kMeshSaysNo = 1;
constexpr int kUsageError = 2;
constexpr char kDefaultDaemon[] = "127.0.0.1:7473";
constexpr char kClearScreen[] = "\x1b[H\x1b[2J\x1b[3J";

void Complain(const absl::Status& status) {
  std::fprintf(stderr, "weightmeshctl: %s\n", std::string(status.message()).c_str());
}

// Redraws on a terminal; elsewhere the answers follow each other, tables with an empty line
// between. Once the daemon has answered, its absence is shown and waited out.
int Watch(const CommandLine& line, MeshClient* client) {
  const bool redraw = !line.json && isatty(STDOUT_FILENO) == 1;
  for (uint64_t looks = 1;; ++looks) {
    const absl::StatusOr<std::string> answer = Look(line, client);
    if (!answer.ok() && looks == 1) {
      Complain(answer.status());
      return kMeshSaysNo;
    }
    if (redraw) std::fputs(kClearScreen, stdout);
    if (!redraw && !line.json && looks > 1) std::fputs("\n", stdout);
    if (answer.ok()) {
      std::fputs(answer->c_str(), stdout);
    } else {
      Complain(answer.status());
    }
    if (std::fflush(stdout) != 0) return kMeshSaysNo;  // nobody reads any more
    if (looks == line.looks_max) return answer.ok() ? 0 : kMeshSaysNo;
    std::this_thread::sleep_for(absl::ToChronoMilliseconds(line.interval));
  }
}

int Run(const CommandLine& line) {
  absl::StatusOr<MeshClient> client = MeshClient::Create(line.daemon, line.timeout);
  if (!client.ok()) {
    Complain(client.status());
    return kUsageError;
  }
  if (line.watch) return Watch(line, &*client);
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
