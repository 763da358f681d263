// UcxEndpoints: opens and closes endpoints by the calls of UCX.
#include "daemon/transport/ucx/endpoint.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace weightmesh {
namespace {

// Marks only: UCX calls it in the middle of its own work.
void OnEndpointError(void* argument, ucp_ep_h, ucs_status_t status) {
  auto* endpoint = static_cast<UcxEndpoint*>(argument);
  endpoint->failure.store(status);
  endpoint->any_failed->store(true);
}

void OnFlushed(void* request, ucs_status_t, void* argument) {
  auto* endpoint = static_cast<UcxEndpoint*>(argument);
  endpoint->flushing = false;
  endpoint->failure.store(UCS_ERR_CANCELED);  // has it closed by Care
  endpoint->any_failed->store(true);
  ucp_request_free(request);
}

void OnClosed(void* request, ucs_status_t, void* argument) {
  static_cast<UcxEndpoint*>(argument)->close_pending = false;
  ucp_request_free(request);
}

std::string PrintInfo(ucp_ep_h handle) {
  char* text = nullptr;
  size_t size = 0;
  FILE* stream = open_memstream(&text, &size);
  if (stream == nullptr) return "";
  ucp_ep_print_info(handle, stream);
  fclose(stream);
  std::string info(text, size);
  free(text);
  return info;
}

}  // namespace

absl::StatusOr<UcxEndpoint*> UcxEndpoints::Create(NodeId node, absl::string_view address) {
  const absl::StatusOr<absl::string_view> ucx_address = ParseWorkerAddress(address);
  if (!ucx_address.ok()) return ucx_address.status();

  auto endpoint = std::make_unique<UcxEndpoint>();
  endpoint->node = node;
  endpoint->any_failed = &any_failed_;
  ucp_ep_params_t params{};
  params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                      UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<const ucp_address_t*>(ucx_address->data());
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler.cb = OnEndpointError;
  params.err_handler.arg = endpoint.get();
  const ucs_status_t status = ucp_ep_create(worker_->handle(), &params, &endpoint->handle);
  if (status != UCS_OK) {
    return UcxError("UCX has no path to the peer; check the network devices of both", status);
  }
  endpoint->lane = BulkLane(PrintInfo(endpoint->handle));
  endpoints_.push_back(std::move(endpoint));
  ++open_;
  return endpoints_.back().get();
}

UcxEndpoint* UcxEndpoints::LeastRecentlyUsedIdle() {
  UcxEndpoint* least = nullptr;
  for (const auto& endpoint : endpoints_) {
    if (endpoint->leaving || endpoint->open_transfers > 0) continue;
    if (least == nullptr || endpoint->last_use < least->last_use) least = endpoint.get();
  }
  return least;
}

void UcxEndpoints::Leave(UcxEndpoint* endpoint) {
  if (endpoint->leaving) return;
  endpoint->leaving = true;
  --open_;
  ++leaving_;
}

void UcxEndpoints::CloseNow(UcxEndpoint* endpoint) {
  Leave(endpoint);
  if (endpoint->handle == nullptr) return;
  ucp_request_param_t params{};
  params.op_attr_mask =
      UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  params.flags = UCP_EP_CLOSE_FLAG_FORCE;
  params.cb.send = OnClosed;
  params.user_data = endpoint;
  endpoint->close_pending = true;
  const ucs_status_ptr_t request = ucp_ep_close_nbx(endpoint->handle, &params);
  if (!UCS_PTR_IS_PTR(request)) endpoint->close_pending = false;
  endpoint->handle = nullptr;
}

void UcxEndpoints::Abandon(UcxEndpoint* endpoint) {
  if (leaving_ >= endpoints_max_) {
    CloseNow(endpoint);
  } else {
    Leave(endpoint);
  }
}

void UcxEndpoints::CloseAllNow() {
  for (const auto& endpoint : endpoints_) CloseNow(endpoint.get());
}

void UcxEndpoints::CloseAfterFlush(UcxEndpoint* endpoint) {
  if (endpoint->leaving) return;
  Leave(endpoint);
  ucp_request_param_t params{};
  params.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  params.cb.send = OnFlushed;
  params.user_data = endpoint;
  endpoint->flushing = true;
  const ucs_status_ptr_t request = ucp_ep_flush_nbx(endpoint->handle, &params);
  if (UCS_PTR_IS_PTR(request)) return;
  endpoint->flushing = false;
  CloseNow(endpoint);
}

}  // namespace weightmesh
