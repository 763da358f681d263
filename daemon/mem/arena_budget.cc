// The count of arena bytes, and the default limit from cgroup and MemTotal.
#include "daemon/mem/arena_budget.h"

#include <fstream>
#include <iterator>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "daemon/core/check.h"

namespace weightmesh {
namespace {

constexpr uint64_t kUnknownMemoryLimit = uint64_t{1} << 30;

// Files of /proc and /sys, which have no size of their own. Nothing when it cannot be read.
std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

// A number of bytes; nothing for "max" and whatever else is no number.
std::optional<uint64_t> ReadBytes(const std::string& path) {
  const std::optional<std::string> text = ReadFile(path);
  uint64_t bytes = 0;
  if (!text || !absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &bytes)) return std::nullopt;
  return bytes;
}

std::optional<uint64_t> ReadMemTotal(const std::string& path) {
  const std::optional<std::string> text = ReadFile(path);
  if (!text) return std::nullopt;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    uint64_t kibibytes = 0;
    if (absl::ConsumePrefix(&line, "MemTotal:") && absl::ConsumeSuffix(&line, "kB") &&
        absl::SimpleAtoi(absl::StripAsciiWhitespace(line), &kibibytes)) {
      return kibibytes * 1024;
    }
  }
  return std::nullopt;
}

// Lowers `least` to the limit that `file` of `cgroup` or any of its parents sets. In a container
// the path may name folders that only the host sees; the mount's own folder is then the
// container's.
void TakeLeast(absl::string_view mount, absl::string_view cgroup, absl::string_view file,
               ArenaLimit* least) {
  std::string path(absl::StripSuffix(cgroup, "/"));
  while (true) {
    const std::string limit_file = absl::StrCat(mount, path, "/", file);
    const std::optional<uint64_t> limit = ReadBytes(limit_file);
    if (limit && *limit < least->bytes) *least = {*limit, limit_file};
    if (path.empty()) return;
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

}  // namespace

ArenaLimit DefaultArenaLimit(absl::string_view root) {
  ArenaLimit least{UINT64_MAX, ""};
  const std::string meminfo = absl::StrCat(root, "/proc/meminfo");
  if (const std::optional<uint64_t> total = ReadMemTotal(meminfo)) {
    least = {*total, absl::StrCat("MemTotal of ", meminfo)};
  }
  // Lines are "0::/path" (v2) or "4:memory:/path" (v1).
  const std::string cgroups = ReadFile(absl::StrCat(root, "/proc/self/cgroup")).value_or("");
  for (absl::string_view line : absl::StrSplit(cgroups, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    if (fields[0] == "0" && fields[1].empty()) {
      TakeLeast(absl::StrCat(root, "/sys/fs/cgroup"), fields[2], "memory.max", &least);
    } else if (fields[1] == "memory") {
      TakeLeast(absl::StrCat(root, "/sys/fs/cgroup/memory"), fields[2], "memory.limit_in_bytes",
                &least);
    }
  }
  if (least.origin.empty()) {
    return {kUnknownMemoryLimit, "the default where neither cgroup nor /proc/meminfo can be read"};
  }
  return {least.bytes / 2, absl::StrCat("half of ", least.origin)};
}

absl::Status ArenaBudget::Take(uint64_t bytes) {
  const uint64_t left = limit_.bytes - taken_;
  if (bytes > left) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "this replica's arena takes ", bytes, " bytes and ", left, " of ", limit_.bytes,
        " are left for arenas (", limit_.origin,
        "); raise limits.arena_bytes_max or the memory limit behind it, or attach fewer replicas, "
        "fewer slots or bf16 on the wire"));
  }
  taken_ += bytes;
  return absl::OkStatus();
}

void ArenaBudget::Return(uint64_t bytes) {
  WEIGHTMESH_CHECK(bytes <= taken_, "more arena bytes were returned than taken");
  taken_ -= bytes;
}

}  // namespace weightmesh
