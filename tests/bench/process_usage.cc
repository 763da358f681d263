// Reading /proc.
#include "tests/bench/process_usage.h"

#include <sys/stat.h>
#include <time.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <set>

namespace weightmesh::bench {

double CpuSeconds(pid_t pid) {
  // The same as utime + stime of /proc/PID/stat, but not in ticks of 10 ms.
  clockid_t clock;
  timespec time{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

uint64_t StatusBytes(pid_t pid, const std::string& field) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  const std::string begin = field + ":";
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(begin, 0) == 0) return std::stoull(line.substr(begin.size())) * 1024;
  }
  return 0;
}

uint64_t MemoryFileBytes(pid_t pid) {
  uint64_t bytes = 0;
  std::set<ino_t> seen;
  std::error_code ignored;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", ignored)) {
    const std::string target = std::filesystem::read_symlink(entry.path(), ignored).string();
    if (target.rfind("/memfd:", 0) != 0) continue;
    struct stat file {};
    if (stat(entry.path().c_str(), &file) != 0 || !seen.insert(file.st_ino).second) continue;
    bytes += static_cast<uint64_t>(file.st_size);
  }
  return bytes;
}

}  // namespace weightmesh::bench
