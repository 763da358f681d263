// Host memory: sealed, shareable, and errors that name the cure.
#include "cuda/host_device.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace weightmesh {
namespace {

using ::testing::HasSubstr;

TEST(HostDeviceTest, GivesZeroedMemoryOfTheExactSize) {
  HostDevice device;
  const auto memory = device.Allocate(12345);
  ASSERT_TRUE(memory.ok()) << memory.status();
  const absl::Span<std::byte> bytes = (*memory)->bytes();
  EXPECT_EQ(bytes.size(), 12345u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes.data()) % 4096, 0u);
  EXPECT_TRUE(
      std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{}; }));
  EXPECT_EQ((*memory)->kind(), MemoryKind::kHost);
}

TEST(HostDeviceTest, NobodyCanResizeItOrAddSeals) {
  HostDevice device;
  const auto memory = device.Allocate(8192);
  ASSERT_TRUE(memory.ok()) << memory.status();
  const int fd = (*memory)->descriptor();
  EXPECT_EQ(::ftruncate(fd, 4096), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(fd, 16384), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}

TEST(HostDeviceTest, OutlivesTheObjectWhereOthersMappedIt) {
  HostDevice device;
  auto memory = device.Allocate(4096);
  ASSERT_TRUE(memory.ok()) << memory.status();
  auto* const mapped = static_cast<std::byte*>(
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, (*memory)->descriptor(), 0));
  ASSERT_NE(mapped, MAP_FAILED);
  mapped[7] = std::byte{42};
  EXPECT_EQ((*memory)->bytes()[7], std::byte{42});
  memory->reset();
  EXPECT_EQ(mapped[7], std::byte{42});
  ::munmap(mapped, 4096);
}

TEST(HostDeviceTest, RefusesNothingAndTooMuch) {
  HostDevice device;
  EXPECT_EQ(device.Allocate(0).status().code(), absl::StatusCode::kInvalidArgument);
  for (const uint64_t bytes : {uint64_t{1} << 62, UINT64_MAX}) {
    const absl::Status status = device.Allocate(bytes).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(status.message()), HasSubstr("memory limit"));
  }
}

TEST(HostDeviceTest, NamesTheLimitOfOpenFiles) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  HostDevice device;
  const absl::Status status = device.Allocate(4096).status();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("open files"));
}

}  // namespace
}  // namespace weightmesh
