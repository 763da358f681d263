// What a shell command prints; for the programs that figures are compared with.
#pragma once

#include <cstdio>
#include <string>

namespace weightmesh::bench {

// Empty when it cannot be run.
inline std::string OutputOf(const std::string& command) {
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return "";
  std::string output;
  char part[4096];
  while (const size_t bytes = std::fread(part, 1, sizeof part, pipe)) output.append(part, bytes);
  ::pclose(pipe);
  return output;
}

}  // namespace weightmesh::bench
