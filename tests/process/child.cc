// fork, exec, and bounded waits.
#include "tests/process/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "daemon/core/check.h"

namespace weightmesh {

Child::Child(std::vector<std::string> arguments, const std::string& log_file,
             const std::vector<std::string>& environment) {
  signal(SIGPIPE, SIG_IGN);
  int in[2];
  int out[2];
  WEIGHTMESH_CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0, "no pipes");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::vector<std::string> variables = environment;
  std::vector<char*> envp;
  for (std::string& variable : variables) envp.push_back(variable.data());
  for (char** inherited = environ; *inherited != nullptr; ++inherited) envp.push_back(*inherited);
  envp.push_back(nullptr);
  const int log = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  WEIGHTMESH_CHECK(log >= 0, "the log file cannot be opened");

  pid_ = fork();
  WEIGHTMESH_CHECK(pid_ >= 0, "fork failed");
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  close(log);
  to_ = FileDescriptor(in[1]);
  from_ = FileDescriptor(out[0]);
}

Child::~Child() {
  if (exit_code_ < 0) {
    Signal(SIGKILL);
    Wait(absl::Seconds(10));
  }
}

void Child::Signal(int signal_number) {
  if (exit_code_ >= 0) return;
  kill(pid_, signal_number);
  if (signal_number != SIGSTOP) return;
  siginfo_t stopped;
  waitid(P_PID, static_cast<id_t>(pid_), &stopped, WSTOPPED | WEXITED | WNOWAIT);
}

int Child::Wait(absl::Duration limit) {
  if (exit_code_ >= 0) return exit_code_;
  const FileDescriptor process(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  pollfd ended{process.get(), POLLIN, 0};
  if (poll(&ended, 1, static_cast<int>(absl::ToInt64Milliseconds(limit))) <= 0) return -1;
  int status = 0;
  waitpid(pid_, &status, 0);
  exit_code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return exit_code_;
}

bool Child::Tell(char byte) { return write(to_.get(), &byte, 1) == 1; }

char Child::Hear(absl::Duration limit) {
  pollfd readable{from_.get(), POLLIN, 0};
  if (poll(&readable, 1, static_cast<int>(absl::ToInt64Milliseconds(limit))) <= 0) return 0;
  char byte = 0;
  return read(from_.get(), &byte, 1) == 1 ? byte : 0;
}

}  // namespace weightmesh
