// Allocation of sealed memfds.
#include "cuda/host_device.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/mem/file_descriptor.h"

namespace weightmesh {
namespace {

class HostMemory : public DeviceMemory {
 public:
  HostMemory(FileDescriptor file, absl::Span<std::byte> bytes)
      : file_(std::move(file)), bytes_(bytes) {}
  ~HostMemory() override { ::munmap(bytes_.data(), bytes_.size()); }

  absl::Span<std::byte> bytes() const override { return bytes_; }
  int descriptor() const override { return file_.get(); }
  MemoryKind kind() const override { return MemoryKind::kHost; }

 private:
  const FileDescriptor file_;
  const absl::Span<std::byte> bytes_;
};

// `call` failed with `error` while allocating `bytes`.
absl::Status Failure(absl::string_view call, int error, uint64_t bytes) {
  const std::string what = absl::StrCat("cannot allocate ", bytes, " bytes of host memory: ", call,
                                        ": ", std::strerror(error), "; ");
  switch (error) {
    case EMFILE:
    case ENFILE:
      return absl::ResourceExhaustedError(
          absl::StrCat(what, "raise the limit of open files (ulimit -n, LimitNOFILE=)"));
    case ENOMEM:
    case ENOSPC:
    case EFBIG:
    case EINVAL:  // ftruncate: more than a file can hold
    case EAGAIN:
      return absl::ResourceExhaustedError(
          absl::StrCat(what,
                       "raise the memory limit (MemoryMax=, the container's limit, ulimit -v), "
                       "or attach fewer replicas, fewer slots or bf16 on the wire"));
    default:
      return absl::FailedPreconditionError(
          absl::StrCat(what,
                       "the system must allow memfd_create with sealing (Linux 3.17 or newer; "
                       "check the container's seccomp profile)"));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceMemory>> HostDevice::Allocate(uint64_t bytes) {
  if (bytes == 0) return absl::InvalidArgumentError("cannot allocate 0 bytes; ask for at least 1");
  FileDescriptor file(::memfd_create("weightmesh-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.valid()) return Failure("memfd_create", errno, bytes);
  // Beyond what off_t holds ftruncate would see a negative length.
  if (bytes > uint64_t{INT64_MAX}) return Failure("ftruncate", EFBIG, bytes);
  if (::ftruncate(file.get(), static_cast<off_t>(bytes)) != 0) {
    return Failure("ftruncate", errno, bytes);
  }
  if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return Failure("fcntl(F_ADD_SEALS)", errno, bytes);
  }
  void* const address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) return Failure("mmap", errno, bytes);
  return std::make_unique<HostMemory>(std::move(file),
                                      absl::MakeSpan(static_cast<std::byte*>(address), bytes));
}

}  // namespace weightmesh
