// Which UCX devices belong to a control address.
#include "daemon/transport/ucx/network_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace weightmesh {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A temporary /sys with interface eth7 on the second port of mlx5_3, and mlx5_0 without an
// interface.
class NetworkDeviceTest : public testing::Test {
 protected:
  NetworkDeviceTest() {
    char name[] = "/tmp/weightmesh_sys_XXXXXX";
    root_ = mkdtemp(name);
    std::filesystem::create_directories(root_ + "/class/net/eth7/device/infiniband/mlx5_3");
    std::filesystem::create_directories(root_ + "/class/net/lo");
    std::filesystem::create_directories(root_ + "/class/infiniband/mlx5_3/ports/1");
    std::filesystem::create_directories(root_ + "/class/infiniband/mlx5_3/ports/2");
    std::filesystem::create_directories(root_ + "/class/infiniband/mlx5_0/ports/1");
    std::ofstream(root_ + "/class/net/eth7/dev_port") << "1\n";
  }
  ~NetworkDeviceTest() override { std::filesystem::remove_all(root_); }

  std::string root_;
};

TEST_F(NetworkDeviceTest, FindsTheInterfaceOfTheLoopbackAddresses) {
  EXPECT_EQ(*NetworkDevicesOf("127.0.0.1"), "lo");
  EXPECT_EQ(*NetworkDevicesOf("127.3.2.1"), "lo");
}

TEST_F(NetworkDeviceTest, LeavesTheChoiceToUcxWithoutAnAddress) {
  for (const char* any : {"", "0.0.0.0", "::"}) EXPECT_EQ(*NetworkDevicesOf(any), "");
}

TEST_F(NetworkDeviceTest, NamesTheCureForAWrongAddress) {
  const auto foreign = NetworkDevicesOf("203.0.113.7");
  EXPECT_EQ(foreign.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(foreign.status().message()), HasSubstr("203.0.113.7"));
  EXPECT_THAT(std::string(foreign.status().message()), HasSubstr("name the network devices"));
  const auto name = NetworkDevicesOf("node-a");
  EXPECT_EQ(name.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(name.status().message()), HasSubstr("as numbers"));
}

TEST_F(NetworkDeviceTest, FindsTheRdmaPortOfAnInterface) {
  EXPECT_THAT(RdmaPortsOf("eth7", root_), ElementsAre("mlx5_3:2"));
  EXPECT_THAT(RdmaPortsOf("lo", root_), IsEmpty());
  EXPECT_THAT(RdmaDevices(root_), ElementsAre("mlx5_0", "mlx5_3"));
}

TEST_F(NetworkDeviceTest, ChecksTheDevicesThatAUserNames) {
  EXPECT_TRUE(CheckNetworkDevices("mlx5_3:2,eth7", root_).ok());
  EXPECT_TRUE(CheckNetworkDevices("all", root_).ok());
  const absl::Status wrong = CheckNetworkDevices("eth7,eth8", root_);
  EXPECT_EQ(wrong.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(wrong.message()), HasSubstr("'eth8'"));
  EXPECT_THAT(std::string(wrong.message()), HasSubstr("mlx5_3"));
}

}  // namespace
}  // namespace weightmesh
