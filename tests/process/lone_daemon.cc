// Starting one daemon, and reading what it says.
#include "tests/process/lone_daemon.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "tests/process/mesh.h"

namespace weightmesh {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(30);

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string{std::istreambuf_iterator<char>(file), {}};
}

// What follows `mark` in the daemon's line "… serves at ADDRESS; …".
std::string AddressIn(const std::string& log) {
  const std::string mark = " serves at ";
  const size_t at = log.find(mark);
  if (at == std::string::npos) return "";
  const size_t begin = at + mark.size();
  const size_t end = log.find(';', begin);
  return end == std::string::npos ? "" : log.substr(begin, end - begin);
}

}  // namespace

LoneDaemon::LoneDaemon(std::string folder, const std::vector<std::string>& arguments,
                       std::vector<std::string> program)
    : folder_(std::move(folder)) {
  std::filesystem::create_directories(folder_);
  const auto add = [&](const std::string& flag, const std::string& value) {
    for (const std::string& argument : arguments) {
      if (absl::StartsWith(argument, flag)) return;
    }
    program.push_back(flag + value);
  };
  add("--listen=", "127.0.0.1:0");
  add("--state-directory=", folder_ + "/state");
  add("--attach-socket=", socket());
  program.insert(program.end(), arguments.begin(), arguments.end());
  child_ = std::make_unique<Child>(std::move(program), folder_ + "/daemon.log");
}

std::string LoneDaemon::Log() const { return ReadAll(folder_ + "/daemon.log"); }

bool LoneDaemon::AwaitLog(const std::string& text) const {
  return Mesh::Await([&] { return absl::StrContains(Log(), text); }, kLimit);
}

std::string LoneDaemon::Address() {
  AwaitLog("; trainers attach at ");
  return AddressIn(Log());
}

EndedDaemon RunToItsEnd(const std::string& folder, const std::vector<std::string>& arguments) {
  LoneDaemon daemon(folder, arguments);
  EndedDaemon ended;
  ended.exit_code = daemon.child().Wait(kLimit);
  ended.errors = daemon.Log();
  return ended;
}

}  // namespace weightmesh
