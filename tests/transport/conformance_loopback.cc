// The conformance suite on the loopback transport, alone and under a fault decorator without
// faults.
#include <memory>

#include "daemon/transport/fault.h"
#include "daemon/transport/loopback.h"
#include "tests/transport/conformance.h"

namespace weightmesh {
namespace {

TransportFactory NewLoopbackNetwork() {
  return [hub = std::make_shared<LoopbackHub>()](const TransportLimits& limits) {
    return std::make_unique<LoopbackTransport>(*hub,
                                               LoopbackOptions{limits.pulls_max, limits.sends_max});
  };
}

TransportFactory NewFaultNetwork(const FaultOptions& options) {
  return [options, loopback = NewLoopbackNetwork()](const TransportLimits& limits) {
    return std::make_unique<FaultTransport>(loopback(limits), options);
  };
}

INSTANTIATE_TEST_SUITE_P(
    InProcess, TransportConformance,
    testing::Values(TransportKind{"loopback", NewLoopbackNetwork, true},
                    TransportKind{"fault", [] { return NewFaultNetwork({}); }, true},
                    TransportKind{
                        "fault_delay",
                        [] { return NewFaultNetwork({.delay_ms_min = 0, .delay_ms_max = 3}); },
                        true}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace weightmesh
