// Footprints from /proc.
#include "tests/process/footprint.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "tests/process/mesh.h"

namespace weightmesh {
namespace {

int CountEntries(const std::string& folder) {
  int count = 0;
  std::error_code ignored;
  for (auto entry = std::filesystem::directory_iterator(folder, ignored);
       !ignored && entry != std::filesystem::directory_iterator(); entry.increment(ignored)) {
    ++count;
  }
  return count;
}

}  // namespace

std::string Footprint::ToString() const {
  return absl::StrCat(descriptors, " descriptors, ", threads, " threads, ", mappings, " mappings, ",
                      resident_kb, " KiB resident");
}

Footprint FootprintOf(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  Footprint footprint;
  footprint.descriptors = CountEntries(folder + "/fd");
  footprint.threads = CountEntries(folder + "/task");
  std::ifstream maps(folder + "/maps");
  for (std::string line; std::getline(maps, line);) ++footprint.mappings;
  std::ifstream status(folder + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmRSS:", 0) == 0) footprint.resident_kb = std::stol(line.substr(6));
  }
  return footprint;
}

std::string AwaitReturnTo(const Footprint& before, pid_t pid, const GrowthLimit& limit,
                          absl::Duration patience) {
  Footprint now;
  const bool returned = Mesh::Await(
      [&] {
        now = FootprintOf(pid);
        return now.descriptors <= before.descriptors + limit.descriptors &&
               now.threads <= before.threads + limit.threads &&
               now.mappings <= before.mappings + limit.mappings &&
               now.resident_kb <= before.resident_kb + limit.resident_kb;
      },
      patience);
  std::printf("process %d: %s; before: %s\n", pid, now.ToString().c_str(),
              before.ToString().c_str());
  if (returned) return "";
  return absl::StrCat("process ", pid, " holds ", now.ToString(), "; before it held ",
                      before.ToString());
}

}  // namespace weightmesh
