// The conformance suite: links that are made again with the receive token they had before.
#include <cstddef>

#include "tests/transport/conformance.h"
#include "tests/transport/transport_node.h"

namespace weightmesh {
namespace {

// One side of the link between nodes 1 and 2, whose tokens are the same whenever it is joined.
void JoinToSource(TransportNode& reader, TransportNode& source) {
  reader.transport().Connect({source.id(), source.transport().address(), 0x21, 0x12});
}
void JoinToReader(TransportNode& source, TransportNode& reader) {
  source.transport().Connect({reader.id(), reader.transport().address(), 0x12, 0x21});
}

// A pull, which is the `nth` request that the source gets; 1000 bytes land.
void ExpectPullLands(TransportNode& reader, TransportNode& source, size_t nth) {
  const auto landing = reader.Allocate(1000);
  const RequestId pull = reader.Pull(source, landing);
  const SendId send = source.Send(source.WaitForRequest(nth), source.AllocatePattern(1000, nth));
  ASSERT_EQ(reader.WaitForEnd(pull), PullEnd::kLanded);
  EXPECT_TRUE(source.WaitForSent(send));
  EXPECT_TRUE(HoldsPattern(landing, nth));
}

TEST_P(TransportConformance, ConnectToARestartedPeerMayKeepTheReceiveToken) {
  TransportNode reader(1, NewTransport());
  TransportNode source(2, NewTransport());
  JoinToSource(reader, source);
  JoinToReader(source, reader);
  ASSERT_NO_FATAL_FAILURE(ExpectPullLands(reader, source, 0));
  TransportNode restarted(2, NewTransport());
  JoinToSource(reader, restarted);
  JoinToReader(restarted, reader);
  ASSERT_NO_FATAL_FAILURE(ExpectPullLands(reader, restarted, 0));
  ASSERT_NO_FATAL_FAILURE(ExpectPullLands(restarted, reader, 0));
  EXPECT_EQ(reader.transport().frames_refused(), 0u);
}

// Whatever the data thread has got to when the core connects again.
TEST_P(TransportConformance, ReconnectAfterDisconnectMayKeepTheReceiveToken) {
  for (const bool force : {true, false}) {
    SCOPED_TRACE(force ? "forced" : "drained");
    TransportNode reader(1, NewTransport());
    TransportNode source(2, NewTransport());
    JoinToSource(reader, source);
    JoinToReader(source, reader);
    for (size_t i = 0; i < 20; ++i) {
      ASSERT_NO_FATAL_FAILURE(ExpectPullLands(reader, source, i));
      reader.transport().Disconnect(source.id(), force);
      JoinToSource(reader, source);
    }
    ASSERT_NO_FATAL_FAILURE(ExpectPullLands(reader, source, 20));
    EXPECT_EQ(reader.transport().frames_refused(), 0u);
  }
}

}  // namespace
}  // namespace weightmesh
