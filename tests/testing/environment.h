// Numbers that the environment may raise: how long, or how often, a test goes on. README.md,
// "Developing", lists them.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace weightmesh {

// The variable's value, or `otherwise` when it is not set to a whole number above 0.
inline uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  const uint64_t value = text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
  return value > 0 ? value : otherwise;
}

}  // namespace weightmesh
