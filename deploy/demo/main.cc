// weightmesh_demo: several daemons and trainers on one machine train a model, and one can watch.
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <system_error>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "deploy/demo/demo.h"

namespace weightmesh::demo {
namespace {

constexpr int kExitFailed = 1;

// The folder of this program, where a build puts the others, too.
std::string ProgramFolder() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "." : self.parent_path().string();
}

absl::StatusOr<std::string> MakeWorkDir(const std::string& wanted) {
  std::error_code error;
  if (!wanted.empty()) {
    std::filesystem::create_directories(wanted, error);
    if (error) {
      return absl::UnavailableError(
          absl::StrCat("cannot create the folder ", wanted, ": ", error.message()));
    }
    return std::filesystem::absolute(wanted, error).string();
  }
  std::string name =
      (std::filesystem::temp_directory_path(error) / "weightmesh-demo-XXXXXX").string();
  if (error || mkdtemp(name.data()) == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("cannot create a temporary folder (", name, "); name one with --work-dir"));
  }
  return name;
}

int Main(int argc, char** argv) {
  const ParsedOptions parsed = ParseOptions(argc, argv, ProgramFolder());
  if (parsed.exit_code.has_value()) {
    std::fputs(parsed.text.c_str(), *parsed.exit_code == 0 ? stdout : stderr);
    return *parsed.exit_code;
  }
  Interrupt interrupt;
  Screen screen(parsed.options.json ? stderr : stdout);
  const absl::StatusOr<std::string> work_dir = MakeWorkDir(parsed.options.work_dir);
  absl::Status status = work_dir.status();
  if (status.ok()) status = Demo(parsed.options, *work_dir, &interrupt, &screen).Run();
  if (status.ok()) return 0;
  std::fprintf(stderr, "weightmesh_demo: %s\n", std::string(status.message()).c_str());
  if (work_dir.ok()) std::fprintf(stderr, "All logs are in %s\n", work_dir->c_str());
  return kExitFailed;
}

}  // namespace
}  // namespace weightmesh::demo

int main(int argc, char** argv) { return weightmesh::demo::Main(argc, argv); }
