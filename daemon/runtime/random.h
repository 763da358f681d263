// Random bits from the operating system: identities, sessions and tokens. Any thread.
#pragma once

#include <cstdint>

namespace weightmesh {

// 64 unpredictable bits, never 0.
uint64_t RandomBits();

}  // namespace weightmesh
