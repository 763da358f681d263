// The conformance suite on UCX over the loopback interface.
#include <memory>
#include <utility>

#include "daemon/transport/ucx/ucx_transport.h"
#include "tests/transport/conformance.h"

namespace weightmesh {
namespace {

TransportFactory NewUcxNetwork() {
  return [](const TransportLimits& limits) -> std::unique_ptr<Transport> {
    auto transport = NewUcxTransport({.network_devices = {},
                                      .control_ip = "127.0.0.1",
                                      .pulls_max = limits.pulls_max,
                                      .sends_max = limits.sends_max});
    EXPECT_TRUE(transport.ok()) << transport.status();
    return *std::move(transport);
  };
}

INSTANTIATE_TEST_SUITE_P(Ucx, TransportConformance,
                         testing::Values(TransportKind{"ucx", NewUcxNetwork}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace weightmesh
