// The rounds around a heal.
#include "daemon/core/heal_watch.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "daemon/core/run.h"

namespace weightmesh {
namespace {

// Those who come back of one partition are heard of one by one.
constexpr absl::Duration kGathering = absl::Seconds(2);
// One estimate is a draw of a few differences: it counts for one part in this many.
constexpr double kMemory = 8;
constexpr size_t kNamesShown = 4;

}  // namespace

void HealWatch::Returned(absl::Time now, uint32_t number) {
  if (heal_.rounds == 0) heal_.before = distance_;
  heal_.back.insert(number);
  returned_at_ = now;
}

std::optional<Heal> HealWatch::Mixed(absl::Time now, bool with_returned, double distance) {
  distance_ = distance_ == 0 ? distance : distance_ + (distance - distance_) / kMemory;
  if (heal_.back.empty()) {  // nobody came back, or all are gone again
    heal_ = Heal{};
    return std::nullopt;
  }
  if (with_returned) {
    heal_.highest = std::max(heal_.highest, distance);
    ++heal_.rounds;
  }
  if (heal_.rounds == 0 || now < returned_at_ + kGathering) return std::nullopt;
  return std::exchange(heal_, Heal{});
}

std::string DescribeHeal(const Run& run, const Heal& heal) {
  std::vector<std::string> names;
  for (uint32_t number : heal.back) {
    const ReplicaInfo& info = run.MemberAt(number).info;
    if (TakesPart(info.state)) names.push_back(info.name);
  }
  if (names.empty()) return "";
  const size_t shown = std::min(names.size(), kNamesShown);
  std::string who =
      absl::StrJoin(names.begin(), names.begin() + static_cast<ptrdiff_t>(shown), ", ");
  if (names.size() > shown) absl::StrAppend(&who, " and ", names.size() - shown, " more");
  const std::string when = heal.rounds == 1
                               ? "in the first round"
                               : absl::StrCat("at most in the first ", heal.rounds, " rounds");
  return absl::StrFormat(
      "run %s: %d %s back in the view (%s); consensus distance %.1e before, %.1e %s with them",
      run.run_id(), names.size(), names.size() == 1 ? "replica is" : "replicas are", who,
      heal.before, heal.highest, when);
}

}  // namespace weightmesh
