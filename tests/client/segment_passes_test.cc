// Publish and mix of whole segments: the wire data, the seals, and what a flipped bit comes to.
#include "client/src/segment_passes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/client/test_model.h"

namespace weightmesh::client {
namespace {

constexpr SealKey KeyOf(uint64_t replica, uint64_t segment) { return {replica, 17, 4, segment}; }

std::vector<std::byte> Snapshot(const ModelLayout& layout) {
  return std::vector<std::byte>(layout.arena.snapshot_bytes);
}

void PublishAll(const ModelLayout& layout, const Kernels& kernels, uint64_t replica,
                TestModel* model, std::vector<std::byte>* slot) {
  const std::vector<float*> weights = model->Pointers();
  for (size_t segment = 0; segment < layout.arena.segments.size(); ++segment) {
    PublishSegment(layout, kernels, KeyOf(replica, segment), weights.data(), slot->data());
  }
}

// The flattened weights after a mix of all segments, by EncodeWeights and MixWeights alone; checks
// the wire data in `own_slot` and `inbox` on the way.
void ExpectMixed(const ModelLayout& layout, const std::vector<float>& own,
                 const std::vector<float>& peer, const std::vector<std::byte>& own_slot,
                 const std::vector<std::byte>& inbox, const std::vector<float>& mixed,
                 const std::vector<double>& sums) {
  std::vector<float> expected = own;
  for (size_t segment = 0; segment < layout.arena.segments.size(); ++segment) {
    const SegmentPlace& place = layout.arena.segments[segment];
    std::vector<std::byte> own_wire(place.data_bytes);
    std::vector<std::byte> peer_wire(place.data_bytes);
    EncodeWeights(layout.wire, own.data() + place.first_parameter, place.parameters,
                  own_wire.data());
    EncodeWeights(layout.wire, peer.data() + place.first_parameter, place.parameters,
                  peer_wire.data());
    ASSERT_EQ(std::memcmp(own_wire.data(), own_slot.data() + place.offset, place.data_bytes), 0);
    ASSERT_EQ(std::memcmp(peer_wire.data(), inbox.data() + place.offset, place.data_bytes), 0);
    const double sum = MixWeights(layout.wire, 0.5f, peer_wire.data(), own_wire.data(),
                                  place.parameters, expected.data() + place.first_parameter);
    ASSERT_EQ(sum, sums[segment]);
  }
  ASSERT_EQ(std::memcmp(mixed.data(), expected.data(), mixed.size() * sizeof(float)), 0);
}

void ExpectRoundTrip(const std::vector<uint64_t>& sizes, const std::vector<uint64_t>& bounds,
                     WireFormat wire) {
  for (const Kernels* kernels : RunnableKernels()) {
    SCOPED_TRACE(kernels->target);
    TestModel own(sizes, 1);
    TestModel peer(sizes, 1000);
    const ModelLayout layout = own.Layout(bounds, wire);
    std::vector<std::byte> own_slot = Snapshot(layout);
    std::vector<std::byte> inbox = Snapshot(layout);
    PublishAll(layout, *kernels, 1, &own, &own_slot);
    PublishAll(layout, *kernels, 2, &peer, &inbox);
    const std::vector<float> before = own.Flat();
    std::vector<double> sums;
    for (size_t segment = 0; segment + 1 < bounds.size(); ++segment) {
      const SegmentMix mix = MixSegment(layout, *kernels, KeyOf(2, segment), 0.5f, inbox.data(),
                                        own_slot.data(), own.Pointers().data());
      ASSERT_EQ(mix.outcome, Outcome::kArrived);
      ASSERT_EQ(mix.blocks_bad, 0u);
      sums.push_back(mix.difference_squared);
    }
    ExpectMixed(layout, before, peer.Flat(), own_slot, inbox, own.Flat(), sums);
  }
}

TEST(SegmentPasses, EveryMisalignmentOfTensorsToBlocks) {
  for (const WireFormat wire : {WireFormat::kFp32, WireFormat::kBf16}) {
    const uint64_t block = kBlockBytes / WireBytesPerParameter(wire);
    for (uint64_t first = 1; first <= 17; ++first) {
      SCOPED_TRACE(first);
      // The second tensor crosses a block, the third a block and a segment.
      const std::vector<uint64_t> sizes = {first, block, 2 * block - 3, 19 - first, 1};
      uint64_t parameters = 0;
      for (const uint64_t size : sizes) parameters += size;
      ExpectRoundTrip(sizes, {0, 2 * block + 5, parameters - 7, parameters}, wire);
    }
  }
}

TEST(SegmentPasses, SmallSegmentsOfOddSizes) {
  for (const WireFormat wire : {WireFormat::kFp32, WireFormat::kBf16}) {
    ExpectRoundTrip({5, 31, 1, 64, 3}, {0, 1, 3, 20, 37, 38, 104}, wire);
  }
}

class SealTest : public testing::Test {
 protected:
  // Two whole blocks and a part of a third, in one segment.
  void Prepare(uint64_t parameters) {
    own_ = std::make_unique<TestModel>(std::vector<uint64_t>{parameters}, 1);
    peer_ = std::make_unique<TestModel>(std::vector<uint64_t>{parameters}, 2);
    layout_ = own_->Layout({0, parameters}, WireFormat::kFp32);
    own_slot_ = Snapshot(layout_);
    inbox_ = Snapshot(layout_);
    PublishAll(layout_, BestKernels(), 1, own_.get(), &own_slot_);
    PublishAll(layout_, BestKernels(), 2, peer_.get(), &inbox_);
    before_ = own_->Flat();
  }

  SegmentMix Mix(const SealKey& key) {
    own_->tensors[0] = before_;
    const SegmentMix mix = MixSegment(layout_, BestKernels(), key, 0.5f, inbox_.data(),
                                      own_slot_.data(), own_->Pointers().data());
    const SegmentMix verified = VerifySegment(layout_, BestKernels(), key, inbox_.data());
    EXPECT_EQ(verified.outcome, mix.outcome);
    EXPECT_EQ(verified.blocks_bad, mix.blocks_bad);
    return mix;
  }

  SegmentMix MixWithFlippedBit(uint64_t bit) {
    inbox_[bit / 8] ^= std::byte{1} << bit % 8;
    const SegmentMix mix = Mix(KeyOf(2, 0));
    inbox_[bit / 8] ^= std::byte{1} << bit % 8;
    return mix;
  }

  const SegmentPlace& place() const { return layout_.arena.segments[0]; }

  std::unique_ptr<TestModel> own_;
  std::unique_ptr<TestModel> peer_;
  ModelLayout layout_;
  std::vector<std::byte> own_slot_;
  std::vector<std::byte> inbox_;
  std::vector<float> before_;
};

TEST_F(SealTest, EveryFlippedBitOfASmallSegmentIsCaught) {
  Prepare(300);
  ASSERT_EQ(Mix(KeyOf(2, 0)).outcome, Outcome::kArrived);
  for (uint64_t bit = 0; bit < 8 * place().total_bytes; ++bit) {
    const SegmentMix mix = MixWithFlippedBit(bit);
    ASSERT_EQ(mix.outcome, Outcome::kCorrupt) << "bit " << bit;
    ASSERT_EQ(mix.blocks_bad, 1u) << "bit " << bit;
    ASSERT_EQ(own_->tensors[0], before_) << "bit " << bit;
  }
}

TEST_F(SealTest, ABadBlockKeepsItsOwnValueAndTheOthersAreMixed) {
  const uint64_t block = kBlockBytes / 4;
  Prepare(2 * block + 500);
  const double whole = Mix(KeyOf(2, 0)).difference_squared;
  const std::vector<float> mixed = own_->tensors[0];
  for (uint64_t bad = 0; bad < 3; ++bad) {
    const uint64_t bits[] = {bad * kBlockBytes * 8 + 12345,
                             8 * (place().seal_offset + 8 + 8 * bad)};
    for (const uint64_t bit : bits) {
      const SegmentMix mix = MixWithFlippedBit(bit);
      EXPECT_EQ(mix.outcome, Outcome::kCorrupt);
      EXPECT_EQ(mix.blocks_bad, 1u);
      EXPECT_GT(mix.difference_squared, 0);
      EXPECT_LT(mix.difference_squared, whole);
      for (uint64_t i = 0; i < before_.size(); ++i) {
        ASSERT_EQ(own_->tensors[0][i], i / block == bad ? before_[i] : mixed[i]) << i;
      }
    }
  }
}

TEST_F(SealTest, ABadSealWordMixesNothing) {
  Prepare(2 * kBlockBytes / 4);
  for (uint64_t bit = 0; bit < 64; ++bit) {
    const SegmentMix mix = MixWithFlippedBit(8 * place().seal_offset + bit);
    EXPECT_EQ(mix.outcome, Outcome::kCorrupt);
    EXPECT_EQ(mix.blocks_bad, 2u);
    EXPECT_EQ(mix.difference_squared, 0);
    EXPECT_EQ(own_->tensors[0], before_);
  }
}

TEST_F(SealTest, ASnapshotOfAnotherReplicaRoundOrSegmentIsCorrupt) {
  Prepare(300);
  const SealKey right = KeyOf(2, 0);
  for (int field = 0; field < 3; ++field) {
    SealKey wrong = right;
    (field == 0 ? wrong.replica_high : field == 1 ? wrong.replica_low : wrong.round) += 1;
    EXPECT_EQ(Mix(wrong).outcome, Outcome::kCorrupt) << field;
    EXPECT_EQ(own_->tensors[0], before_);
  }
  const SealKey other_segment = {right.replica_high, right.replica_low, right.round, 1};
  EXPECT_FALSE(SealWordIsValid(other_segment, MakeSealWord(right, 0)));
}

TEST_F(SealTest, ABlockInAnothersPlaceIsCorrupt) {
  Prepare(2 * kBlockBytes / 4);
  std::byte* const seal = inbox_.data() + place().seal_offset;
  std::swap_ranges(inbox_.begin(), inbox_.begin() + kBlockBytes, inbox_.begin() + kBlockBytes);
  std::swap_ranges(seal + 8, seal + 16, seal + 16);
  const SegmentMix mix = Mix(KeyOf(2, 0));
  EXPECT_EQ(mix.outcome, Outcome::kCorrupt);
  EXPECT_EQ(mix.blocks_bad, 2u);
}

TEST_F(SealTest, ANonFiniteSnapshotIsRefused) {
  for (const float poison :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Prepare(2 * kBlockBytes / 4 + 1);
    peer_->tensors[0].back() = poison;
    PublishAll(layout_, BestKernels(), 2, peer_.get(), &inbox_);
    const SegmentMix mix = Mix(KeyOf(2, 0));
    EXPECT_EQ(mix.outcome, Outcome::kRefused);
    EXPECT_EQ(mix.difference_squared, 0);
    EXPECT_EQ(own_->tensors[0], before_);
  }
}

}  // namespace
}  // namespace weightmesh::client
