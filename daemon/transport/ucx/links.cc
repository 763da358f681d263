// UcxDataThread: links, their endpoints, and how both end.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/transport/ucx/data_thread.h"

namespace weightmesh {

UcxDataThread::Link* UcxDataThread::FindLink(NodeId node) {
  const auto found = links_.find(node);
  if (found == links_.end() || found->second.draining || stopping_) return nullptr;
  return &found->second;
}

absl::StatusOr<UcxEndpoint*> UcxDataThread::EndpointOf(Link* link) {
  const auto found = newest_connections_.find(link->peer.node);
  const ucp_ep_h newest = found == newest_connections_.end() ? nullptr : found->second;
  if (link->endpoint != nullptr && newest != nullptr && link->endpoint->handle != newest &&
      link->endpoint->not_paired_with != newest && link->endpoint->open_transfers == 0) {
    endpoints_.Abandon(std::exchange(link->endpoint, nullptr));
  }
  if (link->endpoint == nullptr) {
    const absl::StatusOr<UcxEndpoint*> opened = OpenPaired(*link, newest);
    endpoints_open_.store(endpoints_.open(), std::memory_order_relaxed);
    if (!opened.ok()) {
      const absl::string_view reason = opened.status().message();
      ReportPath(*link, std::string(reason));
      if (!absl::IsResourceExhausted(opened.status())) {
        sink_->OnLinkDown(link->peer.node, reason);
      }
      return opened.status();
    }
    link->endpoint = *opened;
    link->endpoint->link_serial = link->serial;
    ReportPath(*link, "");
  }
  endpoints_.Touch(link->endpoint);
  return link->endpoint;
}

// UCX pairs the endpoints of two workers by the order in which each side opened them, so that after
// one side has closed and opened again, the other's next one may pair with the closed one, and what
// it sends is dropped in silence until UCX's keepalive notices. So we open until we hold the other
// end of the connection by which the peer's newest request came.
absl::StatusOr<UcxEndpoint*> UcxDataThread::OpenPaired(const Link& link, ucp_ep_h newest) {
  constexpr int kTriesMax = 8;
  for (int tries = 1;; ++tries) {
    const absl::StatusOr<UcxEndpoint*> opened = endpoints_.Open(
        link.peer.node, link.peer.address, [this](UcxEndpoint* idle) { MakeRoom(idle); });
    if (!opened.ok() || newest == nullptr || (*opened)->handle == newest) return opened;
    if (tries == kTriesMax) {
      (*opened)->not_paired_with = newest;  // a connection of its own; it works as well
      return opened;
    }
    endpoints_.Abandon(*opened);
  }
}

void UcxDataThread::MakeRoom(UcxEndpoint* idle) {
  const auto found = links_.find(idle->node);
  if (found != links_.end() && found->second.endpoint == idle) {
    SendIdleClose(found->second);
    found->second.endpoint = nullptr;
  }
  endpoints_.CloseAfterFlush(idle);
}

bool UcxDataThread::CareForEndpoints() {
  const bool moved =
      endpoints_.Care([this](UcxEndpoint* endpoint) { OnEndpointFailed(endpoint); },
                      [this](const UcxEndpoint& endpoint) { OnEndpointGone(endpoint); });
  if (draining_ > 0) ForgetDrained();
  endpoints_open_.store(endpoints_.open(), std::memory_order_relaxed);
  return moved;
}

void UcxDataThread::OnEndpointFailed(UcxEndpoint* endpoint) {
  const auto found = links_.find(endpoint->node);
  if (found != links_.end() && found->second.endpoint == endpoint) {
    found->second.endpoint = nullptr;
    const bool idle_close = endpoint->peer_closes && endpoint->open_transfers == 0;
    endpoint->report_down = !found->second.draining && !idle_close;
  }
  endpoint->reason = ucs_status_string(endpoint->failure.load());
  EndAskedPulls(endpoint);
  endpoints_.CloseNow(endpoint);
}

// All that ran over it has ended, so that the sink hears of the break after those ends.
void UcxDataThread::OnEndpointGone(const UcxEndpoint& endpoint) {
  const auto found = links_.find(endpoint.node);
  if (!endpoint.report_down || found == links_.end() ||
      found->second.serial != endpoint.link_serial) {
    return;
  }
  if (found->second.endpoint == nullptr) ReportPath(found->second, endpoint.reason);
  if (!found->second.draining) sink_->OnLinkDown(endpoint.node, endpoint.reason);
}

// Ends what is open on the link; what UCX is moving ends as soon as it has let go of the memory.
// The core's thread has seen to the link's token, and may have set the next link's since.
void UcxDataThread::CutOff(Link* link) {
  if (link->endpoint == nullptr) return;
  UcxEndpoint* endpoint = std::exchange(link->endpoint, nullptr);
  endpoint->report_down = false;
  EndAskedPulls(endpoint);
  const auto newest = newest_connections_.find(endpoint->node);
  const bool asked_over = newest != newest_connections_.end() && newest->second == endpoint->handle;
  if (endpoint->answered || asked_over || endpoint->open_transfers > 0) {
    endpoints_.CloseNow(endpoint);
  } else {
    endpoints_.Abandon(endpoint);
  }
}

void UcxDataThread::ForgetDrained() {
  std::vector<NodeId> drained;
  for (const auto& [node, link] : links_) {
    const bool idle = link.endpoint == nullptr || link.endpoint->open_transfers == 0;
    if (link.draining && idle) drained.push_back(node);
  }
  for (const NodeId& node : drained) {
    Link& link = links_.at(node);
    tokens_.RemoveIf(node, link.serial);
    if (link.endpoint != nullptr) endpoints_.CloseAfterFlush(link.endpoint);
    links_.erase(node);
    newest_connections_.erase(node);
    --draining_;
  }
}

void UcxDataThread::ReportPath(const Link& link, std::string reason) {
  if (link.draining) return;
  PathReport report{link.peer.node, "", "", std::move(reason)};
  if (link.endpoint != nullptr) {
    PathFacts facts = path_facts_;
    facts.same_host = link.endpoint->lane.device == "lo";
    report.transport = link.endpoint->lane.transport;
    report.device = link.endpoint->lane.device;
    report.reason = WhyNotFaster(link.endpoint->lane, facts);
  }
  MutexLock lock(&paths_mutex_);
  paths_[link.peer.node] = std::move(report);
}

void UcxDataThread::ForgetPath(NodeId node) {
  MutexLock lock(&paths_mutex_);
  paths_.erase(node);
}

}  // namespace weightmesh
