// Counts every operator new of the process, of any thread. The file that defines it replaces the
// global operators, so a sanitizer's build cannot have it.
#pragma once

#include <cstdint>
#include <string>

namespace weightmesh {

// Begins from 0, or ends.
void CountAllocations(bool count);
uint64_t AllocationsCounted();
// The call stacks of the first few that were counted, for people.
std::string FirstAllocations();

}  // namespace weightmesh
