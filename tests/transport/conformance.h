// What every Transport must do: the parameters of the conformance suite in conformance_test.cc.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "daemon/transport/transport.h"

namespace weightmesh {

struct TransportLimits {
  size_t pulls_max = 4096;
  size_t sends_max = 4096;
};

// Makes transports that can reach each other.
using TransportFactory = std::function<std::unique_ptr<Transport>(const TransportLimits&)>;

struct TransportKind {
  std::string name;
  std::function<TransportFactory()> new_network;
  bool links_to_itself = false;  // whether a link to oneself is served
};

inline std::ostream& operator<<(std::ostream& out, const TransportKind& kind) {
  return out << kind.name;
}

// Each executable instantiates it for the transports that it links.
class TransportConformance : public testing::TestWithParam<TransportKind> {
 protected:
  std::unique_ptr<Transport> NewTransport(const TransportLimits& limits = {}) {
    return factory_(limits);
  }

 private:
  TransportFactory factory_ = GetParam().new_network();
};

}  // namespace weightmesh
