// GossipModel: the small model that process tests train, and its seeded updates; used alike by the
// trainer program and the reference.
#pragma once

#include <cstdint>
#include <vector>

namespace weightmesh {

// Parameters of its tensors: a scalar, odd sizes, one longer than a block (where there are so
// many). REQUIRES: parameters >= 64.
inline std::vector<uint64_t> TensorSizes(uint64_t parameters) {
  const uint64_t second = parameters > 2000 ? 999 : parameters / 3;
  return {1, second, 13, parameters - 1 - second - 13};
}

// A well-mixed 64-bit value of three (murmur3's finalizer over a weighted sum).
inline uint64_t Scramble(uint64_t a, uint64_t b, uint64_t c) {
  uint64_t x = a * 0x9e3779b97f4a7c15u + b * 0xc2b2ae3d27d4eb4fu + c * 0x165667b19e3779f9u + 1;
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdu;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53u;
  return x ^ x >> 33;
}

// In [-1, 1).
inline float UnitFloat(uint64_t bits) { return static_cast<float>(bits >> 40) * 0x1p-23f - 1.0f; }

// Equal on all replicas.
inline std::vector<float> InitialWeights(uint64_t seed, uint64_t parameters) {
  std::vector<float> weights(parameters);
  for (uint64_t k = 0; k < parameters; ++k) weights[k] = UnitFloat(Scramble(seed, 0, k));
  return weights;
}

// Replica `replica`'s own, for runs that allow_different_init.
inline std::vector<float> OwnInitialWeights(uint64_t seed, uint64_t replica, uint64_t parameters) {
  return InitialWeights(seed + 1000 * (replica + 1), parameters);
}

// What replica `replica` (0-based) "learns" in `step` (1-based) at parameter k.
inline float Update(uint64_t seed, uint64_t replica, uint64_t step, uint64_t k,
                    float learning = 0.01f) {
  return learning * UnitFloat(Scramble(seed + replica + 1, step, k));
}

// Every weight moves a little.
inline void Learn(uint64_t seed, uint64_t replica, uint64_t step, std::vector<float>* weights,
                  float learning = 0.01f) {
  for (uint64_t k = 0; k < weights->size(); ++k) {
    (*weights)[k] += Update(seed, replica, step, k, learning);
  }
}

}  // namespace weightmesh
