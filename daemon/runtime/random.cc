// Random bits, from getrandom(2).
#include "daemon/runtime/random.h"

#include <sys/random.h>

#include "daemon/core/check.h"

namespace weightmesh {

uint64_t RandomBits() {
  uint64_t bits = 0;
  while (bits == 0) {
    const ssize_t got = getrandom(&bits, sizeof bits, 0);
    WEIGHTMESH_CHECK(got == static_cast<ssize_t>(sizeof bits), "getrandom gives no random bits");
  }
  return bits;
}

}  // namespace weightmesh
