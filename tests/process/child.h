// Child: a program that a test starts, and that never outlives it.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/mem/file_descriptor.h"

namespace weightmesh {

class Child {
 public:
  // Starts arguments[0] with `environment` ("NAME=value") added to this process's. Its standard
  // error goes to `log_file` (appended); standard input and output are pipes. Aborts the test
  // program if it cannot be started.
  Child(std::vector<std::string> arguments, const std::string& log_file,
        const std::vector<std::string>& environment = {});
  // Kills it, if it still runs.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  // SIGSTOP: returns when all its threads stand still, or it has ended.
  void Signal(int signal_number);

  // Waits for its end. The exit code; 128 + n after signal n; -1 when it still runs after `limit`.
  int Wait(absl::Duration limit);

  // One byte to its standard input. False when it does not read any more.
  bool Tell(char byte);
  // One byte from its standard output; 0 when it has ended or `limit` has passed.
  char Hear(absl::Duration limit);
  // Closes its standard input.
  void HangUp() { to_.Reset(); }

 private:
  pid_t pid_ = -1;
  int exit_code_ = -1;
  FileDescriptor to_;
  FileDescriptor from_;
};

}  // namespace weightmesh
