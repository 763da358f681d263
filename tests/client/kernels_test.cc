// The loops of client/src/kernels.h: equal bits on every CPU target, bf16 rounding, the delta form.
#include "client/src/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "proto/segment_seal.h"

namespace weightmesh::client {
namespace {

constexpr size_t kCountMax = 83;
constexpr size_t kShiftMax = 17;

float FromBits(uint32_t bits) { return std::bit_cast<float>(bits); }

uint16_t ToBf16(float value) {
  uint16_t half;
  EncodeWeights(WireFormat::kBf16, &value, 1, &half);
  return half;
}

// Finite values over the whole range of exponents, subnormal ones included.
std::vector<float> FiniteValues(size_t count, uint64_t seed) {
  std::mt19937_64 bits(seed);
  std::vector<float> values(count);
  for (float& value : values) {
    do {
      value = FromBits(static_cast<uint32_t>(bits()));
    } while (!std::isfinite(value) || std::fabs(value) > 1e38f);
  }
  return values;
}

class KernelsTest : public testing::TestWithParam<WireFormat> {
 protected:
  size_t value_bytes() const { return WireBytesPerParameter(GetParam()); }
};

TEST_P(KernelsTest, EncodeGivesEqualBitsOnEveryTarget) {
  std::vector<float> values = FiniteValues(kCountMax + kShiftMax, 1);
  values[20] = FromBits(0x7f800001);  // NaN
  values[40] = FromBits(0xff800000);  // -infinity
  for (size_t shift = 0; shift < kShiftMax; ++shift) {
    for (size_t count = 0; count <= kCountMax; ++count) {
      std::vector<std::byte> expected;
      bool expected_finite = true;
      for (const Kernels* kernels : RunnableKernels()) {
        std::vector<std::byte> wire_data((count + 1) * value_bytes(), std::byte{0x5a});
        const bool finite =
            kernels->encode(GetParam(), values.data() + shift, count, wire_data.data());
        if (kernels == RunnableKernels().front()) {
          expected = wire_data;
          expected_finite = finite;
        }
        ASSERT_EQ(wire_data, expected) << kernels->target << " " << shift << " " << count;
        ASSERT_EQ(finite, expected_finite) << kernels->target << " " << shift << " " << count;
        ASSERT_EQ(wire_data.back(), std::byte{0x5a}) << "wrote beyond the end";
      }
      const bool holds_non_finite =
          (shift <= 20 && shift + count > 20) || (shift <= 40 && shift + count > 40);
      ASSERT_EQ(expected_finite, !holds_non_finite) << shift << " " << count;
    }
  }
}

TEST_P(KernelsTest, MixGivesEqualBitsOnEveryTargetAndMatchesTheFormula) {
  const std::vector<float> weights = FiniteValues(kCountMax + kShiftMax, 2);
  const std::vector<float> own = FiniteValues(kCountMax + kShiftMax, 3);
  const std::vector<float> peer = FiniteValues(kCountMax + kShiftMax, 4);
  std::vector<std::byte> own_wire(own.size() * value_bytes());
  std::vector<std::byte> peer_wire(peer.size() * value_bytes());
  EncodeWeights(GetParam(), own.data(), own.size(), own_wire.data());
  EncodeWeights(GetParam(), peer.data(), peer.size(), peer_wire.data());
  const auto widen = [&](const std::vector<std::byte>& wire, size_t index) {
    uint32_t bits = 0;
    std::memcpy(reinterpret_cast<char*>(&bits) + (4 - value_bytes()),
                wire.data() + index * value_bytes(), value_bytes());
    return FromBits(bits);
  };

  const float alpha = 0.3f;
  for (size_t shift = 0; shift < kShiftMax; ++shift) {
    for (size_t count = 0; count <= kCountMax; ++count) {
      // The formula, one parameter after the other.
      std::vector<float> expected = weights;
      DifferenceLanes expected_lanes;
      for (size_t i = 0; i < count; ++i) {
        volatile float difference = widen(peer_wire, i) - widen(own_wire, i);
        volatile float scaled = alpha * difference;
        expected[shift + i] += scaled;
        const double wide = difference;
        volatile double square = wide * wide;
        expected_lanes.sums[(5 + shift + i) % kDifferenceLanes] += square;
      }
      for (const Kernels* kernels : RunnableKernels()) {
        std::vector<float> mixed = weights;
        DifferenceLanes lanes;
        const MixRun run = {mixed.data() + shift, own_wire.data(), peer_wire.data(), count,
                            5 + shift};
        kernels->mix(GetParam(), run, alpha, &lanes);
        ASSERT_EQ(std::memcmp(mixed.data(), expected.data(), mixed.size() * sizeof(float)), 0)
            << kernels->target << " shift " << shift << " count " << count;
        ASSERT_EQ(std::memcmp(&lanes, &expected_lanes, sizeof lanes), 0)
            << kernels->target << " shift " << shift << " count " << count;
      }
    }
  }
}

TEST_P(KernelsTest, CuttingARunChangesNoBit) {
  const size_t count = 200;
  const std::vector<float> start = FiniteValues(count, 5);
  std::vector<std::byte> own(count * value_bytes());
  std::vector<std::byte> peer(count * value_bytes());
  EncodeWeights(GetParam(), FiniteValues(count, 6).data(), count, own.data());
  EncodeWeights(GetParam(), FiniteValues(count, 7).data(), count, peer.data());
  std::vector<float> whole = start;
  const double whole_sum =
      MixWeights(GetParam(), 0.5f, peer.data(), own.data(), count, whole.data());
  for (size_t cut = 0; cut <= count; ++cut) {
    std::vector<float> cut_weights = start;
    DifferenceLanes lanes;
    BestKernels().mix(GetParam(), {cut_weights.data(), own.data(), peer.data(), cut, 0}, 0.5f,
                      &lanes);
    BestKernels().mix(GetParam(),
                      {cut_weights.data() + cut, own.data() + cut * value_bytes(),
                       peer.data() + cut * value_bytes(), count - cut, cut},
                      0.5f, &lanes);
    ASSERT_EQ(std::memcmp(cut_weights.data(), whole.data(), count * sizeof(float)), 0) << cut;
    ASSERT_EQ(lanes.Total(), whole_sum) << cut;
  }
}

TEST(Checksum, IsThatOfTheContractOnEveryTarget) {
  std::vector<std::byte> data(kBlockBytes);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 131 >> 3);
  const SealKey key = {1, 2, 3, 4};
  for (const size_t bytes : {size_t{1}, size_t{16}, size_t{129}, size_t{241}, size_t{1024},
                             size_t{5000}, data.size() - 1, data.size()}) {
    const uint64_t expected = BlockChecksum(key, 5, data.data(), bytes);
    for (const Kernels* kernels : RunnableKernels()) {
      EXPECT_EQ(kernels->checksum(data.data(), bytes, BlockSeed(key, 5)), expected)
          << kernels->target << " " << bytes;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Wires, KernelsTest, testing::Values(WireFormat::kFp32, WireFormat::kBf16),
                         [](const testing::TestParamInfo<WireFormat>& info) {
                           return info.param == WireFormat::kFp32 ? "fp32" : "bf16";
                         });

TEST(Bf16, RoundsToNearestEvenAndKeepsNaN) {
  const struct {
    uint32_t fp32;
    uint16_t bf16;
  } kTable[] = {
      {0x00000000, 0x0000}, {0x80000000, 0x8000},  // ±0
      {0x3f800000, 0x3f80},                        // 1
      {0x3f807fff, 0x3f80},                        // just below the middle: down
      {0x3f808000, 0x3f80},                        // the middle: to even, down
      {0x3f808001, 0x3f81},                        // just above: up
      {0x3f818000, 0x3f82},                        // the middle: to even, up
      {0xbf818000, 0xbf82},                        // the same below zero
      {0x3fffffff, 0x4000},                        // carries into the exponent
      {0x00008000, 0x0000}, {0x00008001, 0x0001},  // subnormal
      {0x007fffff, 0x0080},                        // subnormal to normal
      {0x7f7f7fff, 0x7f7f},                        // the largest that stays finite
      {0x7f7f8000, 0x7f80}, {0x7f7fffff, 0x7f80},  // finite in fp32, infinite in bf16
      {0x7f800000, 0x7f80}, {0xff800000, 0xff80},  // ±infinity
      {0x7f800001, 0x7fc0}, {0xff800001, 0xffc0},  // signalling NaN becomes quiet, not infinity
      {0x7fffffff, 0x7fff}, {0xffc12345, 0xffc1},  // quiet NaN
  };
  for (const auto& row : kTable) {
    EXPECT_EQ(ToBf16(FromBits(row.fp32)), row.bf16) << std::hex << row.fp32;
    const float value = FromBits(row.fp32);
    uint16_t half;
    EXPECT_EQ(EncodeWeights(WireFormat::kBf16, &value, 1, &half), (row.bf16 & 0x7f80) != 0x7f80)
        << std::hex << row.fp32;
  }
}

// design.md, Numerics: two replicas that add 1e-4 a step, which is below one bf16 ulp at 1.
TEST(Freeze, PlainAveragingFreezesAndTheDeltaFormDoesNot) {
  constexpr int kSteps = 1000;
  constexpr float kUpdate = 1e-4f;
  float plain[2] = {1.0f, 1.0f};
  float delta[2] = {1.0f, 1.0f};
  for (int step = 0; step < kSteps; ++step) {
    uint16_t plain_wire[2];
    uint16_t delta_wire[2];
    for (int k = 0; k < 2; ++k) {
      plain[k] += kUpdate;
      delta[k] += kUpdate;
      plain_wire[k] = ToBf16(plain[k]);
      delta_wire[k] = ToBf16(delta[k]);
    }
    for (int k = 0; k < 2; ++k) {
      const float peer = FromBits(static_cast<uint32_t>(plain_wire[1 - k]) << 16);
      plain[k] = (plain[k] + peer) / 2;
      MixWeights(WireFormat::kBf16, 0.5f, &delta_wire[1 - k], &delta_wire[k], 1, &delta[k]);
    }
  }
  EXPECT_LT(plain[0], 1.001f) << "plain averaging was expected to freeze near 1";
  EXPECT_NEAR(delta[0], 1.0 + kSteps * kUpdate, 1e-3);
  EXPECT_NEAR(delta[1], 1.0 + kSteps * kUpdate, 1e-3);
}

// The delta form brings replicas together although the wire rounds.
TEST(Freeze, TheDeltaFormContractsToWithinOneUlp) {
  float weights[2] = {1.0f, 1.5f};
  for (int step = 0; step < 50; ++step) {
    const uint16_t wire_data[2] = {ToBf16(weights[0]), ToBf16(weights[1])};
    for (int k = 0; k < 2; ++k) {
      MixWeights(WireFormat::kBf16, 0.5f, &wire_data[1 - k], &wire_data[k], 1, &weights[k]);
    }
  }
  EXPECT_NEAR(weights[0], weights[1], 1.0f / 128);
  EXPECT_NEAR(weights[0] + weights[1], 2.5f, 1e-5) << "the mean is kept";
}

}  // namespace
}  // namespace weightmesh::client
