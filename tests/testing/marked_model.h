// MarkedModel: weights that say of themselves whose they are and of which step, and what a mix made
// of them.
//
// With alpha = 1 and fp32 on the wire a mixed block is exactly the peer's, so that a trainer can
// tell a torn, misplaced or mixed-up block from a good one without knowing more than its own marks.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace weightmesh {

constexpr uint64_t kMarkSteps = 65536;  // a mark names its step modulo this

// What was found in one segment after a mix.
struct MarkRecord {
  uint64_t round;  // that was mixed
  uint32_t segment;
  uint32_t replica;  // whose mark it bears
  uint64_t step;     // of that replica, modulo kMarkSteps
};

// Whether the marked snapshot is of a round that will do for the one that was mixed: that round
// itself; in async also any newer one, and any at most `staleness_rounds_max` older.
// `step_of_round`: by round that its replica published.
inline bool IsOfARoundThatWillDo(const MarkRecord& record,
                                 const std::map<uint64_t, uint64_t>& step_of_round, bool async,
                                 uint64_t staleness_rounds_max) {
  const uint64_t oldest = record.round - std::min(record.round, async ? staleness_rounds_max : 0);
  for (auto row = step_of_round.lower_bound(oldest); row != step_of_round.end(); ++row) {
    if (!async && row->first != record.round) return false;
    if (row->second % kMarkSteps == record.step) return true;
  }
  return false;
}

class MarkedModel {
 public:
  // Of replica `replica`, 0-based. `bounds` are the segments', in parameters. REQUIRES:
  // replicas × segments <= 256: marks are whole numbers below 2^24, exact in fp32, and so are their
  // differences.
  MarkedModel(uint64_t replica, uint64_t replicas, std::vector<uint64_t> bounds)
      : replica_(replica),
        replicas_(replicas),
        segments_(bounds.size() - 1),
        bounds_(std::move(bounds)) {}

  // Fills `weights` with the marks of `step`.
  void Write(uint64_t step, std::vector<float>* weights) const {
    for (uint64_t segment = 0; segment < segments_; ++segment) {
      std::fill(weights->begin() + bounds_[segment], weights->begin() + bounds_[segment + 1],
                Mark(segment, step));
    }
  }

  // Looks at `weights` after the mix, as `round`, of what was published with the marks of `step`;
  // `arrived` segments are said to be the peers' from end to end.
  void Check(const std::vector<float>& weights, uint64_t step, uint64_t round, uint64_t arrived) {
    uint64_t whole = 0;
    for (uint64_t segment = 0; segment < segments_; ++segment) {
      const float* found = nullptr;  // a mark that is not this replica's own
      bool kept = false;
      for (uint64_t at = bounds_[segment]; at < bounds_[segment + 1]; at += kBlockParameters) {
        const float* const block = &weights[at];
        const uint64_t size = std::min(kBlockParameters, bounds_[segment + 1] - at);
        if (std::any_of(block, block + size, [&](float x) { return x != *block; })) {
          ++torn_;
          kept = true;
        } else if (*block == Mark(segment, step)) {
          kept = true;
        } else if (found != nullptr && *found != *block) {
          ++torn_;  // two blocks of one segment, of two snapshots
        } else {
          found = block;
        }
      }
      if (found != nullptr) Record(*found, segment, round);
      whole += found != nullptr && !kept;
    }
    miscounted_ += whole != arrived;
  }

  // Blocks, or segments, of more than one snapshot.
  uint64_t torn() const { return torn_; }
  // Segments that bear no mark of theirs.
  uint64_t misplaced() const { return misplaced_; }
  // Rounds in which another number of segments was mixed than arrived.
  uint64_t miscounted() const { return miscounted_; }
  const std::vector<MarkRecord>& records() const { return records_; }

 private:
  static constexpr uint64_t kBlockParameters = 16384;  // of fp32: 64 KiB

  float Mark(uint64_t segment, uint64_t step) const {
    return static_cast<float>((replica_ * segments_ + segment) * kMarkSteps + step % kMarkSteps);
  }

  void Record(float found, uint64_t segment, uint64_t round) {
    const bool whole_number = found >= 0 && found < 0x1p24f && found == std::floor(found);
    const uint64_t mark = whole_number ? static_cast<uint64_t>(found) : 0;
    const uint64_t place = mark / kMarkSteps;
    if (!whole_number || place % segments_ != segment || place / segments_ >= replicas_) {
      ++misplaced_;
      return;
    }
    records_.push_back({round, static_cast<uint32_t>(segment),
                        static_cast<uint32_t>(place / segments_), mark % kMarkSteps});
  }

  const uint64_t replica_;
  const uint64_t replicas_;
  const uint64_t segments_;
  const std::vector<uint64_t> bounds_;
  uint64_t torn_ = 0;
  uint64_t misplaced_ = 0;
  uint64_t miscounted_ = 0;
  std::vector<MarkRecord> records_;
};

}  // namespace weightmesh
