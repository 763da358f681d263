/* Compiles weightmesh.h as C99 and uses its initializer; linked into client_abi_test. */
#include "weightmesh/weightmesh.h"

int weightmesh_header_is_c99(void) {
  const weightmesh_options options = WEIGHTMESH_INIT(weightmesh_options);
  const weightmesh_round round = WEIGHTMESH_INIT(weightmesh_round);
  const weightmesh_totals totals = WEIGHTMESH_INIT(weightmesh_totals);
  return options.struct_size == sizeof options && round.struct_size == sizeof round &&
         totals.struct_size == sizeof totals && __STDC_VERSION__ == 199901L;
}
