// Fork, exec, wait.
#include "deploy/demo/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/mem/file_descriptor.h"

namespace weightmesh::demo {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(5);
constexpr int kLogLinesShown = 12;
constexpr int kLowPriority = 15;
constexpr int kExecFailed = 127;

absl::StatusOr<FileDescriptor> OpenToWrite(const std::string& path, bool append) {
  const int how = append ? O_APPEND : O_TRUNC;
  FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | how, 0644));
  if (file.valid()) return file;
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path));
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// One's own environment, where `added` does not name the same variable.
std::vector<std::string> MergeEnvironment(const std::vector<std::string>& added) {
  std::vector<std::string> merged = added;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string own = *entry;
    const std::string name = own.substr(0, own.find('=') + 1);
    const bool replaced = std::any_of(added.begin(), added.end(), [&](const std::string& a) {
      return a.compare(0, name.size(), name) == 0;
    });
    if (!replaced) merged.push_back(own);
  }
  return merged;
}

// Between fork and exec: only calls that are safe there.
[[noreturn]] void RunChild(pid_t parent, bool low_priority, int input, int output, int error,
                           char* const* arguments, char* const* environment) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kExecFailed);  // it died before the line above
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  if (low_priority) setpriority(PRIO_PROCESS, 0, kLowPriority);
  dup2(input, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(error, STDERR_FILENO);
  execve(arguments[0], arguments, environment);
  const char* reason = strerrordesc_np(errno);
  const char message[] = "cannot be executed: ";
  [[maybe_unused]] ssize_t ignored = write(STDERR_FILENO, message, sizeof(message) - 1);
  ignored = write(STDERR_FILENO, reason, strlen(reason));
  ignored = write(STDERR_FILENO, "\n", 1);
  _exit(kExecFailed);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(const Command& command) {
  const std::string& program = command.arguments.at(0);
  if (access(program.c_str(), X_OK) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat(command.name, ": cannot execute ", program,
                                                   "; build it, or name another (see --help)"));
  }
  absl::StatusOr<FileDescriptor> log = OpenToWrite(command.log_file, command.append);
  if (!log.ok()) return log.status();
  FileDescriptor output;
  if (!command.output_file.empty()) {
    absl::StatusOr<FileDescriptor> opened = OpenToWrite(command.output_file, /*append=*/false);
    if (!opened.ok()) return opened.status();
    output = *std::move(opened);
  }
  const FileDescriptor input(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const std::vector<std::string> environment = MergeEnvironment(command.environment);
  const std::vector<char*> argument_pointers = Pointers(command.arguments);
  const std::vector<char*> environment_pointers = Pointers(environment);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot start ", command.name));
  if (pid == 0) {
    RunChild(parent, command.low_priority, input.get(), output.valid() ? output.get() : log->get(),
             log->get(), argument_pointers.data(), environment_pointers.data());
  }
  return std::unique_ptr<ChildProcess>(new ChildProcess(command, pid));
}

ChildProcess::~ChildProcess() {
  Signal(SIGKILL);
  if (!wait_status_.has_value()) {
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

bool ChildProcess::IsRunning() {
  if (wait_status_.has_value()) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == pid_) wait_status_ = status;
  return !wait_status_.has_value();
}

bool ChildProcess::WaitForEnd(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (IsRunning()) {
    if (absl::Now() >= deadline) return false;
    absl::SleepFor(kPollInterval);
  }
  return true;
}

void ChildProcess::Signal(int signal_number) {
  if (IsRunning()) kill(pid_, signal_number);
}

absl::Status ChildProcess::Result() const {
  const int status = wait_status_.value();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  if (WIFEXITED(status)) {
    return Failure(absl::StrCat("ended with exit code ", WEXITSTATUS(status)));
  }
  return Failure(absl::StrCat("was ended by signal ", WTERMSIG(status), " (",
                              strsignal(WTERMSIG(status)), ")"));
}

std::optional<int> ChildProcess::exit_code() const {
  if (!wait_status_.has_value() || !WIFEXITED(*wait_status_)) return std::nullopt;
  return WEXITSTATUS(*wait_status_);
}

std::optional<int> ChildProcess::end_signal() const {
  if (!wait_status_.has_value() || !WIFSIGNALED(*wait_status_)) return std::nullopt;
  return WTERMSIG(*wait_status_);
}

absl::Status ChildProcess::Failure(const std::string& what) const {
  return absl::InternalError(absl::StrCat(name_, " ", what, "; the end of its log, ", log_file_,
                                          ":\n", LastLines(log_file_, kLogLinesShown)));
}

std::string LastLines(const std::string& file, int lines) {
  std::ifstream stream(file);
  std::deque<std::string> last;
  for (std::string line; std::getline(stream, line);) {
    last.push_back(line);
    if (last.size() > static_cast<size_t>(lines)) last.pop_front();
  }
  if (last.empty()) return "    (nothing was written)\n";
  std::string text;
  for (const std::string& line : last) absl::StrAppend(&text, "    ", line, "\n");
  return text;
}

void EndAll(const std::vector<std::unique_ptr<ChildProcess>>& children, int signal_number,
            absl::Duration patience) {
  for (const auto& child : children) {
    if (child == nullptr) continue;
    child->Signal(signal_number);
    child->Signal(SIGCONT);
  }
  const absl::Time deadline = absl::Now() + patience;
  for (const auto& child : children) {
    if (child == nullptr) continue;
    if (!child->WaitForEnd(std::max(deadline - absl::Now(), absl::ZeroDuration()))) {
      child->Signal(SIGKILL);
      child->WaitForEnd(absl::InfiniteDuration());
    }
  }
}

}  // namespace weightmesh::demo
