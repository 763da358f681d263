// ChildProcess: one program that the launcher started; it never outlives the launcher. Used from
// the main thread only, for a child dies with the thread that forked it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace weightmesh::demo {

struct Command {
  std::string name;                      // for people: "daemon 2"
  std::vector<std::string> arguments;    // the program's path first
  std::vector<std::string> environment;  // NAME=value, added to one's own
  std::string log_file;                  // takes its standard error, and its output unless:
  std::string output_file;               // takes its standard output; empty: the log file
  bool append = false;                   // to the log file, instead of a new one
  bool low_priority = false;
};

class ChildProcess {
 public:
  // Starts it in a process group of its own (a terminal's Ctrl-C does not reach it), reading
  // nothing, no signal blocked. An error names the program, or the log file, and the cure.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const Command& command);

  // Kills it if it still runs, and reaps it.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Whether it still runs; reaps it when not. Never blocks.
  bool IsRunning();
  // Waits until it has ended, at most `timeout`; whether it has.
  bool WaitForEnd(absl::Duration timeout);
  // Does nothing once it has ended.
  void Signal(int signal_number);

  // OK for exit code 0. Otherwise says how it ended, names its log and shows the last lines.
  // REQUIRES: it has ended.
  absl::Status Result() const;
  // How it ended; nullopt while it runs, and where it ended the other way.
  std::optional<int> exit_code() const;
  std::optional<int> end_signal() const;
  // `what` happened to it, with the log's name and last lines.
  absl::Status Failure(const std::string& what) const;

  const std::string& name() const { return name_; }
  const std::string& log_file() const { return log_file_; }
  pid_t pid() const { return pid_; }

 private:
  ChildProcess(const Command& command, pid_t pid)
      : name_(command.name), log_file_(command.log_file), pid_(pid) {}

  const std::string name_;
  const std::string log_file_;
  const pid_t pid_;
  std::optional<int> wait_status_;  // of waitpid(2), once it has ended
};

// The last `lines` lines of a file, each indented by four blanks; a remark if there is none.
std::string LastLines(const std::string& file, int lines);

// Ends children: `signal_number` to all, stopped ones too, and after `patience` SIGKILL to those
// that still run. Null entries are skipped.
void EndAll(const std::vector<std::unique_ptr<ChildProcess>>& children, int signal_number,
            absl::Duration patience);

}  // namespace weightmesh::demo
