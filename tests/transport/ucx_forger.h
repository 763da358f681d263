// UcxForger: a peer that speaks UCX, and sends what it likes.
#pragma once

#include <gtest/gtest.h>
#include <ucp/api/ucp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "daemon/transport/ucx/ucx_worker.h"
#include "proto/wire.h"

namespace weightmesh {

// Longer than anything may take on a loaded machine.
constexpr std::chrono::seconds kForgerPatience{40};

template <typename Frame>
std::string Bytes(const Frame& frame) {
  return std::string(reinterpret_cast<const char*>(&frame), sizeof frame);
}

// A frame of `type` whose other fields are zero.
template <typename Frame>
Frame MakeFrame(wire::FrameType type, uint64_t token) {
  Frame frame{};
  frame.header = {wire::kMagic, wire::kVersion, static_cast<uint16_t>(type), token};
  return frame;
}

// To the transport at `address`. Used by one thread.
class UcxForger {
 public:
  explicit UcxForger(const std::string& address) {
    auto made = UcxWorker::New("lo");
    EXPECT_TRUE(made.ok()) << made.status();
    worker_ = *std::move(made);
    // UCX 1.13 crashes on a message with an id that has no handler.
    for (unsigned id = 0; id < 8; ++id) {
      ucp_am_handler_param_t handler{};
      handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB;
      handler.id = id;
      handler.cb = [](void*, const void*, size_t, void*, size_t, const ucp_am_recv_param_t*) {
        return UCS_OK;
      };
      EXPECT_EQ(ucp_worker_set_am_recv_handler(worker_->handle(), &handler), UCS_OK);
    }
    ucp_ep_params_t params{};
    params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE;
    params.address = reinterpret_cast<const ucp_address_t*>(ParseWorkerAddress(address)->data());
    params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
    EXPECT_EQ(ucp_ep_create(worker_->handle(), &params, &endpoint_), UCS_OK);
  }
  ~UcxForger() { worker_->CloseWorker(); }

  const std::string& address() const { return worker_->address(); }

  // Sends an active message and waits until the transport has dealt with it.
  ucs_status_t Send(unsigned id, const std::string& header, const std::string& data,
                    uint32_t flags) {
    ucp_request_param_t params{};
    params.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
    params.flags = flags;
    ucs_status_ptr_t request = ucp_am_send_nbx(endpoint_, id, header.data(), header.size(),
                                               data.data(), data.size(), &params);
    const ucs_status_t status = Wait(request);
    params.op_attr_mask = 0;
    EXPECT_EQ(Wait(ucp_ep_flush_nbx(endpoint_, &params)), UCS_OK);
    return status;
  }

  // Lets UCX work until `condition`.
  bool ProgressUntil(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kForgerPatience;
    while (!condition()) {
      if (!worker_->Progress()) std::this_thread::yield();
      if (std::chrono::steady_clock::now() > deadline) return false;
    }
    return true;
  }

 private:
  ucs_status_t Wait(ucs_status_ptr_t request) {
    if (!UCS_PTR_IS_PTR(request)) return UCS_PTR_STATUS(request);
    EXPECT_TRUE(ProgressUntil([&] { return ucp_request_check_status(request) != UCS_INPROGRESS; }));
    const ucs_status_t status = ucp_request_check_status(request);
    ucp_request_free(request);
    return status;
  }

  std::unique_ptr<UcxWorker> worker_;
  ucp_ep_h endpoint_ = nullptr;
};

}  // namespace weightmesh
