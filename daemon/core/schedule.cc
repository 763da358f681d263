// The three schedules of this version. To add one: a class here, a name in attach.h and
// run_config.proto, a line in MakeSchedule, and a vector in tests/core/schedule_test.cc.
#include "daemon/core/schedule.h"

#include <bit>
#include <limits>
#include <utility>
#include <vector>

#include "daemon/core/check.h"
#include "daemon/core/hash.h"

namespace weightmesh {
namespace {

// Replicas in the order of Mix64(h(replica_id) ^ h(seed, round, segment)); the source is the
// successor: one random cycle through all. A replica more or less changes one link of it.
class HashCycle final : public Schedule {
 public:
  explicit HashCycle(uint64_t seed) : seed_(seed) {}

  Partners PartnersOf(const View& view, Round round, SegmentId segment, uint32_t rank) override {
    const uint64_t salt = Hash64({seed_, Value(round), Value(segment)});
    const auto hashes = view.replica_hashes();
    const uint64_t own = Mix64(hashes[rank] ^ salt);
    // Distances on the ring of 64-bit keys: the successor is the least ahead, the predecessor the
    // least behind. Mix64 is a bijection, so keys are equal only where two ids hash alike (2^-64).
    Partners partners{rank, rank};
    uint64_t ahead = std::numeric_limits<uint64_t>::max();
    uint64_t behind = ahead;
    for (uint32_t other = 0; other < hashes.size(); ++other) {
      if (other == rank) continue;
      const uint64_t key = Mix64(hashes[other] ^ salt);
      if (key - own < ahead) {
        ahead = key - own;
        partners.source = other;
      }
      if (own - key < behind) {
        behind = own - key;
        partners.sink = other;
      }
    }
    return partners;
  }

  bool source_is_uniform() const override { return true; }

 private:
  const uint64_t seed_;
};

// A uniform random derangement: Fisher-Yates shuffles from a keyed counter, until one has no fixed
// point (e tries on average).
class Derangement final : public Schedule {
 public:
  explicit Derangement(uint64_t seed) : seed_(seed) {}

  Partners PartnersOf(const View& view, Round round, SegmentId segment, uint32_t rank) override {
    if (view.size() == 1) return {rank, rank};
    Draw(view, round, segment);
    return {sources_[rank], sinks_[rank]};
  }

  bool source_is_uniform() const override { return true; }

 private:
  void Draw(const View& view, Round round, SegmentId segment) {
    const uint64_t key = Hash64({seed_, Value(round), Value(segment), view.digest()});
    if (key == drawn_key_ && sources_.size() == view.size()) return;
    drawn_key_ = key;
    sources_.resize(view.size());
    sinks_.resize(view.size());
    CounterRng rng(key);
    do {
      for (uint32_t k = 0; k < view.size(); ++k) sources_[k] = k;
      for (uint32_t k = view.size() - 1; k > 0; --k) {
        std::swap(sources_[k], sources_[rng.Below(k + 1)]);
      }
    } while (HasFixedPoint());
    for (uint32_t k = 0; k < view.size(); ++k) sinks_[sources_[k]] = k;
  }

  bool HasFixedPoint() const {
    for (uint32_t k = 0; k < sources_.size(); ++k) {
      if (sources_[k] == k) return true;
    }
    return false;
  }

  const uint64_t seed_;
  uint64_t drawn_key_ = 0;
  std::vector<uint32_t> sources_;
  std::vector<uint32_t> sinks_;
};

// The one-peer exponential graph of SGP: in round r everybody pulls from the rank 2^k ahead,
// k = r mod ceil(log2 n).
class Exponential final : public Schedule {
 public:
  Partners PartnersOf(const View& view, Round round, SegmentId, uint32_t rank) override {
    const uint64_t n = view.size();
    if (n == 1) return {rank, rank};
    const uint64_t period = std::bit_width(n - 1);
    const uint64_t hop = uint64_t{1} << (Value(round) % period);
    return {static_cast<uint32_t>((rank + hop) % n), static_cast<uint32_t>((rank + n - hop) % n)};
  }

  bool source_is_uniform() const override { return false; }
};

}  // namespace

std::unique_ptr<Schedule> MakeSchedule(ScheduleKind kind, uint64_t seed) {
  switch (kind) {
    case ScheduleKind::kHashCycle:
      return std::make_unique<HashCycle>(seed);
    case ScheduleKind::kDerangement:
      return std::make_unique<Derangement>(seed);
    case ScheduleKind::kExponential:
      return std::make_unique<Exponential>();
  }
  WEIGHTMESH_CHECK(false, "a schedule without a class");
  return nullptr;
}

}  // namespace weightmesh
