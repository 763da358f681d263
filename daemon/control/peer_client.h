// PeerClient: asks other daemons over gRPC without blocking; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/control/indirect_probe.h"
#include "daemon/control/link_offer.h"
#include "daemon/control/schema_part.h"
#include "daemon/core/sync_message.h"

namespace weightmesh {

struct PeerClientOptions {
  size_t channels_max = 256;  // kept open; the least recently used one closes first
  size_t calls_max = 16384;   // under way at once; more are refused with ResourceExhausted
};

// Every method calls `done` exactly once: on a gRPC thread, or before it returns when the call
// cannot be made. Failures name the address; the code is the peer's (FailedPrecondition: another
// protocol version), Unavailable when nobody answers there, DeadlineExceeded after `timeout`,
// Cancelled by the destructor, InvalidArgument for a wrong address or a malformed answer.
class PeerClient {
 public:
  template <typename T>
  using Done = std::function<void(absl::StatusOr<T>)>;

  explicit PeerClient(const PeerClientOptions& options);
  // Cancels the calls under way and returns when all their `done`s have run. Not to be called from
  // one.
  ~PeerClient();
  PeerClient(const PeerClient&) = delete;
  PeerClient& operator=(const PeerClient&) = delete;

  void Sync(absl::string_view address, const SyncMessage& message, absl::Duration timeout,
            Done<SyncMessage> done);
  void Probe(absl::string_view address, const NodeInfo& self, absl::Duration timeout,
             Done<NodeInfo> done);
  void Gossip(absl::string_view address, const swim::Message& message, absl::Duration timeout,
              Done<swim::Message> done);
  // The other side is given query.timeout as its own.
  void IndirectProbe(absl::string_view address, const IndirectProbeQuery& query,
                     Done<IndirectProbeResult> done);
  void Connect(absl::string_view address, const LinkOffer& offer, absl::Duration timeout,
               Done<LinkOffer> done);
  // NotFound: that daemon has no such schema; Unimplemented: it is of an older release.
  void GetSchema(absl::string_view address, const SchemaQuery& query, absl::Duration timeout,
                 Done<SchemaPart> done);

  // What a trainer of the run there wants who joins to be given, at most attach::kBlobBytesMax.
  // NotFound: none has given any; Unimplemented: that daemon is of an older release.
  void GetBlob(absl::string_view address, const NodeInfo& self, const std::string& run_id,
               absl::Duration timeout, Done<std::string> done);

  // Nobody will be asked at `address` for a while: closes what is kept open to it, once the calls
  // under way have ended.
  void Forget(absl::string_view address);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weightmesh
