// ControlServer: the daemon's gRPC port with its services; called from one thread (main's).
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/control/mesh_source.h"
#include "daemon/control/peer_handler.h"
#include "daemon/control/watch_limits.h"

namespace weightmesh {

struct ServerOptions {
  WatchOptions watches;
  // A client that does not answer a ping of this interval within the timeout is gone, with all its
  // calls: its machine or its network has vanished.
  absl::Duration ping_interval = absl::Seconds(10);
  absl::Duration ping_timeout = absl::Seconds(10);
};

// PeerService, MeshService, and the standard health and reflection services.
class ControlServer {
 public:
  // Listens on `listen_address`, "host:port"; port 0 takes a free one. InvalidArgument: not an
  // address; Unavailable: it cannot be listened on, with the reason. `source` and `handler` must
  // outlive it, and may be called before it returns. Health says NOT_SERVING until
  // SetServing(true). Whether plaintext is allowed there is for CheckPlaintext to say.
  static absl::StatusOr<std::unique_ptr<ControlServer>> Start(const std::string& listen_address,
                                                              MeshSource* source,
                                                              PeerHandler* handler,
                                                              const ServerOptions& options = {});
  ~ControlServer();  // Shutdown(absl::ZeroDuration()) if that was not called
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // listen_address with the port that was taken.
  const std::string& address() const;

  // What the health service says: of the whole, and of each service.
  void SetServing(bool serving);

  // Takes no more calls, ends watches, waits at most `grace` for calls under way, cancels the rest
  // and returns when no service can be called any more; `source` and `handler` may go then.
  // Idempotent.
  void Shutdown(absl::Duration grace);

 private:
  class Impl;
  explicit ControlServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weightmesh
