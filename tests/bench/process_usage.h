// What a live process of ours takes of the machine, from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace weightmesh::bench {

// Processor time of all its threads; NaN when there is no such process.
double CpuSeconds(pid_t pid);

// A field of /proc/PID/status that is given in kB ("VmRSS"), in bytes; 0 when there is none.
uint64_t StatusBytes(pid_t pid, const std::string& field);

// Sizes of the files in memory that it holds open, whether or not all of it has been touched yet.
uint64_t MemoryFileBytes(pid_t pid);

}  // namespace weightmesh::bench
