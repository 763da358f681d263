// FileDescriptor: owns one descriptor of the operating system. Any thread, one at a time.
#pragma once

#include <unistd.h>

#include <utility>

namespace weightmesh {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  // Takes ownership of `fd`; negative means none.
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() { Reset(); }

  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      Reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }

  // -1 when it owns none.
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

  // Closes it, if there is one.
  void Reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

}  // namespace weightmesh
