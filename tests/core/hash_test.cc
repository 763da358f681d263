// Published vectors of the hashes and of the counter PRNG: equal on every compiler and build type.
#include "daemon/core/hash.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <vector>

namespace weightmesh {
namespace {

TEST(Hash, Vectors) {
  EXPECT_EQ(Hash64(""), 0x2d06800538d394c2u);  // XXH3's own vector for no input
  EXPECT_EQ(Hash64("abc"), 0x78af5f94892f3950u);
  EXPECT_EQ(Hash64("weightmesh"), 0x7c4c25b7ee35268au);
  EXPECT_EQ(Hash128("abc").ToString(), "06b05ab6733a618578af5f94892f3950");
}

TEST(Hash, OfWordsIsThatOfTheirLittleEndianBytes) {
  EXPECT_EQ(Hash64({1}), 0x2fbc593564db792eu);
  EXPECT_EQ(Hash64({1, 2, 3}), 0x7c68b4906e7ea780u);
  EXPECT_EQ(Hash64({7, 42, 17}), 0x21af6cc2557390fau);
  EXPECT_EQ(Hash64({1}), Hash64(absl::string_view("\1\0\0\0\0\0\0\0", 8)));
}

TEST(Mix64, Vectors) {
  EXPECT_EQ(Mix64(0), 0u);
  EXPECT_EQ(Mix64(1), 0x5692161d100b05e5u);
  EXPECT_EQ(Mix64(0x0123456789abcdef), 0xb2c058e4ebb5112cu);
}

TEST(Mix64, OneBitInChangesAboutHalfOfTheBitsOut) {
  for (int bit = 0; bit < 64; ++bit) {
    int changed = 0;
    for (uint64_t k = 1; k <= 100; ++k) {
      const uint64_t value = k * 0x9e3779b97f4a7c15u;
      changed += std::popcount(Mix64(value) ^ Mix64(value ^ uint64_t{1} << bit));
    }
    EXPECT_NEAR(changed / 100.0, 32, 2) << "bit " << bit;
  }
}

TEST(CounterRng, Vectors) {
  CounterRng rng(42);  // SplitMix64's first numbers from the seed 42
  EXPECT_EQ(rng.Next(), 0xbdd732262feb6e95u);
  EXPECT_EQ(rng.Next(), 0x28efe333b266f103u);
  EXPECT_EQ(rng.Next(), 0x47526757130f9f52u);
  EXPECT_EQ(rng.Next(), 0x581ce1ff0e4ae394u);
}

TEST(CounterRng, BelowVectors) {
  CounterRng small(7);
  for (const uint64_t expected : {3, 0, 9, 5, 4, 2, 4, 3, 1, 4, 1, 9}) {
    EXPECT_EQ(small.Below(10), expected);
  }
  CounterRng large(7);  // a bound that rejects a quarter of the draws
  EXPECT_EQ(large.Below(0xC000000000000000u), 5393317200669280865u);
  EXPECT_EQ(large.Below(0xC000000000000000u), 12462076310111707009u);
  EXPECT_EQ(large.Below(0xC000000000000000u), 8064874446226104152u);
}

TEST(CounterRng, UnitVectors) {
  CounterRng rng(7);
  EXPECT_EQ(rng.Unit(), 0x1.8f2f879164c82p-2);
  EXPECT_EQ(rng.Unit(), 0x1.130f35fd0f18p-6);
  EXPECT_EQ(rng.Unit(), 0x1.cd30810175625p-1);
}

TEST(CounterRng, BelowIsUniform) {
  constexpr int kDraws = 60000;
  std::array<int, 6> counts{};
  CounterRng rng(1);
  for (int k = 0; k < kDraws; ++k) ++counts[rng.Below(6)];
  double chi_square = 0;
  for (int count : counts) chi_square += (count - 10000.0) * (count - 10000.0) / 10000.0;
  EXPECT_LT(chi_square, 20.5);  // 5 degrees of freedom, 99.9 %
  EXPECT_EQ(rng.Below(1), 0u);
}

}  // namespace
}  // namespace weightmesh
