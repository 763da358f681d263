// UcxEndpoints: the open endpoints of a worker, and those that are on their way out.
//
// Owned by the data thread. An endpoint leaves in steps: it fails or is closed; what runs over it
// ends in UCX; then it is gone. Until then it stays allocated, for UCX's callbacks know it.
#pragma once

#include <ucp/api/ucp.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/core/ids.h"
#include "daemon/transport/ucx/path_report.h"
#include "daemon/transport/ucx/ucx_worker.h"

namespace weightmesh {

struct UcxEndpoint {
  NodeId node;
  ucp_ep_h handle = nullptr;  // null once closed
  uint64_t link_serial = 0;   // ConnectCommand::serial of the link that it was opened for
  UcxLane lane;

  // Pulls and sends that use it. While there are any, it is neither idle nor gone.
  size_t open_transfers = 0;
  uint64_t last_use = 0;

  // A connection of the peer that this endpoint turned out not to be the other end of.
  ucp_ep_h not_paired_with = nullptr;

  // The peer has answered what was sent over it.
  bool answered = false;
  // The peer said that it closes its side because it is idle.
  bool peer_closes = false;
  // Set by UCX's error handler, on whatever thread that runs; the data thread then closes.
  std::atomic<ucs_status_t> failure{UCS_OK};
  std::atomic<bool>* any_failed = nullptr;

  // Leaving: why, and whether the owner wants to be told once it is gone.
  bool leaving = false;
  bool report_down = false;
  std::string reason;
  bool flushing = false;       // UCX still delivers what was sent before the close
  bool close_pending = false;  // UCX has not confirmed the close yet
};

class UcxEndpoints {
 public:
  // `worker` must outlive the endpoints.
  UcxEndpoints(UcxWorker* worker, size_t endpoints_max)
      : worker_(worker), endpoints_max_(endpoints_max) {}

  // Opens an endpoint to the worker at `address` (see ParseWorkerAddress). Never blocks: a peer
  // that cannot be reached fails it later. When endpoints_max are open, `make_room` is called with
  // the least recently used idle one, which it must close; ResourceExhausted when none is idle.
  template <typename MakeRoom>
  absl::StatusOr<UcxEndpoint*> Open(NodeId node, absl::string_view address, MakeRoom make_room) {
    if (open_ >= endpoints_max_) {
      UcxEndpoint* idle = LeastRecentlyUsedIdle();
      if (idle == nullptr) {
        return absl::ResourceExhaustedError(
            "all endpoints are in use; raise the limit of endpoints");
      }
      make_room(idle);
    }
    return Create(node, address);
  }

  void Touch(UcxEndpoint* endpoint) { endpoint->last_use = ++uses_; }

  // Closes at once: UCX cuts off what runs over it and completes it as failed.
  void CloseNow(UcxEndpoint* endpoint);
  // Closes once what was sent before has left, or the endpoint fails.
  void CloseAfterFlush(UcxEndpoint* endpoint);

  void CloseAllNow();
  // Uses it no more, and closes it once it fails: for one whose other end seems to be closed
  // already, where closing it actively would disturb the TCP connection of its successor; and for
  // one that may still be on its way to be connected, which UCX 1.13 cannot close (it aborts where
  // its own reply to the peer is not sent yet). Closes it actively when endpoints_max are leaving
  // already.
  void Abandon(UcxEndpoint* endpoint);

  // Calls `failed` for each endpoint that UCX has marked as failed and that is not leaving, which
  // must close it; then calls `gone` for each that is gone, and frees it. True if there were any.
  template <typename Failed, typename Gone>
  bool Care(Failed failed, Gone gone) {
    bool moved = false;
    if (any_failed_.exchange(false)) {
      for (size_t i = 0; i < endpoints_.size(); ++i) {  // `failed` may open another
        UcxEndpoint* endpoint = endpoints_[i].get();
        if (endpoint->failure.load() == UCS_OK) continue;
        if (!endpoint->leaving) {
          failed(endpoint);
        } else {
          CloseNow(endpoint);
        }
        moved = true;
      }
    }
    if (leaving_ == 0) return moved;
    for (size_t i = 0; i < endpoints_.size();) {
      if (!IsGone(*endpoints_[i])) {
        ++i;
        continue;
      }
      const std::unique_ptr<UcxEndpoint> endpoint = std::move(endpoints_[i]);
      endpoints_[i] = std::move(endpoints_.back());
      endpoints_.pop_back();
      --leaving_;
      moved = true;
      gone(*endpoint);
    }
    return moved;
  }

  // Those that are not leaving.
  size_t open() const { return open_; }
  // All that are allocated.
  size_t size() const { return endpoints_.size(); }

 private:
  static bool IsGone(const UcxEndpoint& endpoint) {
    return endpoint.leaving && endpoint.handle == nullptr && endpoint.open_transfers == 0 &&
           !endpoint.close_pending && !endpoint.flushing;
  }
  absl::StatusOr<UcxEndpoint*> Create(NodeId node, absl::string_view address);
  UcxEndpoint* LeastRecentlyUsedIdle();
  void Leave(UcxEndpoint* endpoint);

  UcxWorker* const worker_;
  const size_t endpoints_max_;
  std::vector<std::unique_ptr<UcxEndpoint>> endpoints_;
  size_t open_ = 0;
  size_t leaving_ = 0;
  uint64_t uses_ = 0;
  std::atomic<bool> any_failed_{false};
};

}  // namespace weightmesh
