// The path that is read out of UCX's text, and the reason why it is no faster one.
#include "daemon/transport/ucx/path_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weightmesh {
namespace {

using testing::HasSubstr;

TEST(PathReportTest, ReadsTheBulkLaneOfUcx113) {
  const UcxLane lane = BulkLane(
      "#\n# UCP endpoint \n#\n#               peer: <no debug data>\n"
      "#                 lane[0]:  1:tcp/lo.0 md[1]                -> md[1]/tcp/sysdev[255] am "
      "am_bw#0 keepalive wireup\n#\n");
  EXPECT_EQ(lane.transport, "tcp");
  EXPECT_EQ(lane.device, "lo");
}

TEST(PathReportTest, PrefersTheLaneOfBulkData) {
  const UcxLane lane = BulkLane(
      "# lane[0]:  3:ud_mlx5/mlx5_0:1.0 md[2] -> md[2]/ib/sysdev[1] seg 4096 am wireup\n"
      "# lane[1]:  7:tcp/eth0.100.0 md[2]     -> md[2]/tcp/sysdev[1] seg 8192 rma_bw#1 am_bw#0\n"
      "# lane[2]:  2:rc_mlx5/mlx5_0:1.0 md[2] -> md[2]/ib/sysdev[1] seg 8192 rma_bw#0 am_bw#1\n");
  EXPECT_EQ(lane.transport, "rc_mlx5");
  EXPECT_EQ(lane.device, "mlx5_0:1");
}

TEST(PathReportTest, KeepsDotsInDeviceNames) {
  EXPECT_EQ(BulkLane("lane[0]: 7:tcp/eth0.100.0 md[2] -> md[2]/tcp/sysdev[1] am").device,
            "eth0.100");
}

TEST(PathReportTest, SaysWhenItCannotTell) {
  const UcxLane lane = BulkLane("lane[0]: something -> new\n");
  EXPECT_EQ(lane.transport, "");
  EXPECT_THAT(WhyNotFaster(lane, {}), HasSubstr("did not tell"));
}

TEST(PathReportTest, NamesTheReasonForTcp) {
  const UcxLane tcp{"tcp", "eth0"};
  PathFacts facts;
  facts.ucx_version = "1.13.1";
  EXPECT_EQ(WhyNotFaster(tcp, facts), "no RDMA device on this host");
  facts.rdma_devices = {"mlx5_0"};
  EXPECT_THAT(WhyNotFaster(tcp, facts), HasSubstr("found no RDMA path from mlx5_0"));
  facts.network_devices = "eth0";
  EXPECT_THAT(WhyNotFaster(tcp, facts), HasSubstr("eth0 do not include"));
  facts.network_devices = "mlx5_0:1,eth0";
  EXPECT_THAT(WhyNotFaster(tcp, facts), HasSubstr("found no RDMA path"));
  for (const char* without : {"tcp", "tcp,self", "^ib"}) {
    facts.transports = without;
    EXPECT_THAT(WhyNotFaster(tcp, facts), HasSubstr("UCX_TLS=")) << without;
  }
  facts.transports = "rc,tcp";
  EXPECT_THAT(WhyNotFaster(tcp, facts), HasSubstr("found no RDMA path"));
  facts.same_host = true;
  EXPECT_THAT(WhyNotFaster(tcp, facts), HasSubstr("1.13.1 ran no shared memory"));
}

TEST(PathReportTest, HasNoReasonForTheFastest) {
  EXPECT_EQ(WhyNotFaster({"rc_mlx5", "mlx5_0:1"}, {}), "");
  EXPECT_EQ(WhyNotFaster({"posix", "memory"}, {}), "");
}

}  // namespace
}  // namespace weightmesh
