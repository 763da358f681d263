// LoneDaemon: one weightmeshd with the arguments and surroundings that a test chooses.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/process/child.h"

namespace weightmesh {

struct EndedDaemon {
  int exit_code = -1;
  std::string errors;  // all of its standard error
};

class LoneDaemon {
 public:
  // Its state directory and attach socket are in `folder`, unless `arguments` name others; its
  // standard error goes to `folder`/daemon.log.
  LoneDaemon(std::string folder, const std::vector<std::string>& arguments,
             std::vector<std::string> program = {WEIGHTMESHD});

  // Waits until it serves; its control address, empty when it does not within 30 s.
  std::string Address();
  std::string socket() const { return folder_ + "/attach.sock"; }
  Child& child() { return *child_; }
  std::string Log() const;
  // Waits until the log holds `text`.
  bool AwaitLog(const std::string& text) const;

 private:
  const std::string folder_;
  std::unique_ptr<Child> child_;
};

// Runs a daemon that is expected to end by itself, in a folder of its own.
EndedDaemon RunToItsEnd(const std::string& folder, const std::vector<std::string>& arguments);

}  // namespace weightmesh
