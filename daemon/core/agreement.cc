// Who is content, and where all stop.
#include "daemon/core/agreement.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace weightmesh {
namespace {

// What is told of the consensus distance by who gives up before it could tell: far too much.
constexpr double kUnknown = std::numeric_limits<double>::max();

bool IsThere(const Member& member) { return TakesPart(member.info.state) && !member.host_gone; }

// Whether `member` still exchanges in `round`.
bool IsThereIn(const Member& member, Round round) {
  const ReplicaInfo& info = member.info;
  return IsThere(member) && info.active_from <= round &&
         (info.left_at == kNoRound || round < info.left_at);
}

}  // namespace

bool Agreement::gives_up() const { return std::isinf(distance_); }

void Agreement::Forget() {
  ReplicaInfo& own = info();
  own.content_at = own.stops_after = kNoRound;
  own.consensus_distance = 0;
}

void Agreement::Want(Round round, double distance, bool first) {
  if (first || !is_wanted()) {
    Forget();
    trained_ = Round{Value(round) - 1};
    mixed_ = kNoRound;
    estimate_ = kUnknown;
    pace_ = absl::InfiniteDuration();
    publishes_ = 0;
  }
  wanted_ = round;
  distance_ = distance;
}

void Agreement::Publish(absl::Time now, Round round) {
  if (!is_wanted()) return;
  if (round != wanted_) {
    wanted_ = kNoRound;
    return Forget();
  }
  absl::Time& published_at = published_at_[publishes_ % kRoundsTimed];
  if (publishes_ >= kRoundsTimed) pace_ = std::min(pace_, (now - published_at) / kRoundsTimed);
  published_at = now;
  ++publishes_;
}

bool Agreement::IsAlone() const {
  return std::none_of(run_->members().begin(), run_->members().end(), [this](const auto& entry) {
    return entry.first != replica_ && IsThere(entry.second);
  });
}

bool Agreement::Mixed(Round round, std::optional<double> distance) {
  if (!is_wanted() || round <= trained_) return false;
  mixed_ = round;
  const bool alone = IsAlone();
  if (alone) distance = 0;
  if (distance.has_value()) estimate_ = *distance;
  ReplicaInfo& own = info();
  const bool announced = own.stops_after != kNoRound;
  const bool near = distance.has_value() && *distance <= distance_;
  // Whoever was near once gets nearer, and keeps its word.
  if (!announced && !near && !gives_up()) return false;
  own.content_at = round;
  // As it was then: it only falls from there, and what others have heard of it may be old.
  if (!announced) own.consensus_distance = estimate_;
  const bool measured = pace_ != absl::InfiniteDuration();
  if (announced || !(measured || alone || gives_up())) return false;
  own.stops_after = alone ? round : run_->AnnouncedRound(measured ? pace_ : absl::ZeroDuration());
  return true;
}

// The rounds that were announced count even where who announced them is gone since: others may have
// heard of them, and not of that.
std::optional<Agreement::End> Agreement::end() const {
  if (!is_wanted()) return std::nullopt;  // as a rule
  const ReplicaInfo& own = info();
  if (own.stops_after == kNoRound) return std::nullopt;
  End end;
  for (const auto& [replica, member] : run_->members()) {
    if (IsContent(member.info)) end.round = std::max(end.round, member.info.stops_after);
  }
  bool all_content = true;
  uint32_t content = 0;
  for (const auto& [replica, member] : run_->members()) {
    if (!IsThereIn(member, end.round)) continue;
    if (IsContent(member.info) && member.info.stops_after != kNoRound) {
      end.distance += member.info.consensus_distance;
      ++content;
    } else {
      all_content = false;
    }
  }
  if (content > 0) end.distance /= content;
  if (all_content) return end;
  if (!gives_up() || mixed_ < own.stops_after) return std::nullopt;
  end.round = own.stops_after;
  return end;
}

}  // namespace weightmesh
