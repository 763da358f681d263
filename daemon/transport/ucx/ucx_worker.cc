// UcxWorker: opens UCX with our settings and the environment's, and sleeps on its descriptors.
#include "daemon/transport/ucx/ucx_worker.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <ucs/sys/string.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "daemon/core/check.h"
#include "daemon/core/hash.h"

namespace weightmesh {
namespace {

// Before UCX's own bytes, which UCX does not check: magic, their size and XXH3-64, little endian.
constexpr uint64_t kAddressMagic = 0x3158435544574d57;  // "WMWDUCX1"
constexpr size_t kAddressPrefix = 3 * sizeof(uint64_t);

struct Setting {
  const char* name;   // without UCX_
  std::string value;  // empty: not set by us
};

// Our defaults, each with its reason.
std::vector<Setting> Defaults(const std::string& network_devices, unsigned major, unsigned minor) {
  std::vector<Setting> defaults;
  // Each operation names its memory's type; the cache takes recycled addresses for the wrong kind.
  defaults.push_back({"MEMTYPE_CACHE", "n"});
  defaults.push_back({"NET_DEVICES", network_devices});
  // How soon a peer that lost its side of an endpoint is noticed when nothing else tells; 20 s is
  // UCX's.
  defaults.push_back({"KEEPALIVE_INTERVAL", "1s"});
  // By default connect() blocks: to a peer whose packets vanish, for minutes, and with it every
  // other peer's pulls.
  defaults.push_back({"TCP_CONN_NB", "y"});
  // From 1.20 on, TCP with error handling moves 1.1 GiB/s in the default segments, 2.9 in 256k, 3.8
  // in 512k and 3.6 in 1m (1.22, pull_bench, two segments of 4 MiB in flight); 1.13 needs none.
  if (std::pair(major, minor) >= std::pair(1u, 20u)) {
    defaults.push_back({"TCP_TX_SEG_SIZE", "512k"});
    defaults.push_back({"TCP_RX_SEG_SIZE", "512k"});
  } else {
    defaults.push_back({"TCP_RX_SEG_SIZE", "64k"});  // UCX's own; tcp_guard.h must know it
  }
  return defaults;
}

// What ucp_config_modify knows a setting by. Before 1.17 it wants those of a transport without the
// transport's prefix, and ignores them with it.
absl::string_view KeyOf(absl::string_view name, unsigned major, unsigned minor) {
  if (std::pair(major, minor) < std::pair(1u, 17u)) absl::ConsumePrefix(&name, "TCP_");
  return name;
}

std::string PackAddress(absl::string_view ucx_address) {
  const uint64_t prefix[] = {kAddressMagic, ucx_address.size(), Hash64(ucx_address)};
  static_assert(sizeof prefix == kAddressPrefix);
  std::string address(reinterpret_cast<const char*>(prefix), sizeof prefix);
  address.append(ucx_address.data(), ucx_address.size());
  return address;
}

}  // namespace

absl::Status UcxError(absl::string_view what, ucs_status_t status) {
  const std::string text = absl::StrCat(what, ": ", ucs_status_string(status));
  switch (status) {
    case UCS_ERR_INVALID_PARAM:
    case UCS_ERR_INVALID_ADDR:
    case UCS_ERR_UNSUPPORTED:
      return absl::InvalidArgumentError(text);
    case UCS_ERR_NO_MEMORY:
    case UCS_ERR_NO_RESOURCE:
      return absl::ResourceExhaustedError(text);
    default:
      return absl::UnavailableError(text);
  }
}

absl::StatusOr<absl::string_view> ParseWorkerAddress(absl::string_view address) {
  uint64_t prefix[3];
  if (address.size() > sizeof prefix) {
    std::memcpy(prefix, address.data(), sizeof prefix);
    const absl::string_view ucx_address = address.substr(sizeof prefix);
    if (prefix[0] == kAddressMagic && prefix[1] == ucx_address.size() &&
        prefix[2] == Hash64(ucx_address)) {
      return ucx_address;
    }
  }
  return absl::InvalidArgumentError(
      "the peer's transport address is not a whole UCX address; run the same transport on both");
}

ucs_memory_type_t UcxMemoryType(MemoryKind kind) {
  return kind == MemoryKind::kCuda ? UCS_MEMORY_TYPE_CUDA : UCS_MEMORY_TYPE_HOST;
}

absl::StatusOr<std::unique_ptr<UcxWorker>> UcxWorker::New(const std::string& network_devices) {
  std::unique_ptr<UcxWorker> worker(new UcxWorker);
  absl::Status status = worker->OpenContext(network_devices);
  if (status.ok()) status = worker->OpenWorker();
  if (status.ok()) status = worker->OpenDescriptors();
  if (!status.ok()) return status;
  return worker;
}

UcxWorker::~UcxWorker() {
  CloseWorker();
  if (epoll_fd_ >= 0) close(epoll_fd_);
  if (wake_fd_ >= 0) close(wake_fd_);
  if (context_ != nullptr) ucp_cleanup(context_);
}

std::string UcxWorker::setting(const std::string& name) const {
  const auto found = settings_.find(name);
  return found == settings_.end() ? "" : found->second.substr(0, found->second.rfind(" ("));
}

void UcxWorker::CloseWorker() {
  if (worker_ != nullptr) ucp_worker_destroy(worker_);
  worker_ = nullptr;
}

absl::Status UcxWorker::OpenContext(const std::string& network_devices) {
  unsigned major = 0, minor = 0, release = 0;
  ucp_get_version(&major, &minor, &release);
  version_ = absl::StrCat(major, ".", minor, ".", release);
  settings_["UCX version"] = version_;

  ucp_config_t* config = nullptr;
  ucs_status_t status = ucp_config_read(nullptr, nullptr, &config);
  if (status != UCS_OK) {
    return UcxError("UCX refuses its settings; correct the UCX_* variables of the environment",
                    status);
  }
  const std::unique_ptr<ucp_config_t, void (*)(ucp_config_t*)> owner(config, ucp_config_release);
  // UCX reads its settings from the environment by itself, before we can ask. This is the only
  // place that looks there too: so that what the user set wins, and everything can be shown.
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const absl::string_view variable(*entry);
    const size_t equals = variable.find('=');
    if (!absl::StartsWith(variable, "UCX_") || equals == absl::string_view::npos) continue;
    settings_[std::string(variable.substr(0, equals))] =
        absl::StrCat(variable.substr(equals + 1), " (environment)");
  }
  for (const Setting& setting : Defaults(network_devices, major, minor)) {
    const std::string variable = absl::StrCat("UCX_", setting.name);
    if (setting.value.empty() || settings_.count(variable) > 0) continue;
    const std::string key(KeyOf(setting.name, major, minor));
    status = ucp_config_modify(config, key.c_str(), setting.value.c_str());
    if (status != UCS_OK) {
      return UcxError(absl::StrCat("UCX ", version_, " refuses ", variable, "=", setting.value,
                                   "; set ", variable, " in the environment"),
                      status);
    }
    settings_[variable] = absl::StrCat(setting.value, " (weightmesh)");
  }
  status = ucs_str_to_memunits(setting("UCX_TCP_RX_SEG_SIZE").c_str(), &tcp_receive_segment_);
  if (status != UCS_OK) return UcxError("UCX_TCP_RX_SEG_SIZE is no size; unset it", status);

  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES;
  params.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;
  status = ucp_init(&params, config, &context_);
  if (status != UCS_OK) {
    context_ = nullptr;
    return UcxError(
        absl::StrCat("UCX ", version_, " cannot start on the network devices '", network_devices,
                     "'; name others, or unset UCX_TLS and UCX_NET_DEVICES"),
        status);
  }
  ucp_context_attr_t attributes{};
  attributes.field_mask = UCP_ATTR_FIELD_MEMORY_TYPES;
  supports_cuda_ = ucp_context_query(context_, &attributes) == UCS_OK &&
                   (attributes.memory_types & UCS_BIT(UCS_MEMORY_TYPE_CUDA)) != 0;
  return absl::OkStatus();
}

absl::Status UcxWorker::OpenWorker() {
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  params.thread_mode = UCS_THREAD_MODE_SERIALIZED;  // made here, used on the data thread
  ucs_status_t status = ucp_worker_create(context_, &params, &worker_);
  if (status != UCS_OK) {
    worker_ = nullptr;
    return UcxError("UCX cannot open a worker; raise the limits of open files and locked memory",
                    status);
  }
  ucp_address_t* address = nullptr;
  size_t size = 0;
  status = ucp_worker_get_address(worker_, &address, &size);
  if (status != UCS_OK) return UcxError("UCX has no address; name other network devices", status);
  address_ = PackAddress(absl::string_view(reinterpret_cast<const char*>(address), size));
  ucp_worker_release_address(worker_, address);
  return absl::OkStatus();
}

absl::Status UcxWorker::OpenDescriptors() {
  int worker_fd = -1;
  const ucs_status_t status = ucp_worker_get_efd(worker_, &worker_fd);
  if (status != UCS_OK) {
    return UcxError("a UCX transport cannot wake a sleeping thread; leave it out of UCX_TLS",
                    status);
  }
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  for (const int fd : {worker_fd, wake_fd_}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (epoll_fd_ < 0 || wake_fd_ < 0 || epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "cannot open event descriptors: ", strerror(errno), "; raise the limit of open files"));
    }
  }
  return absl::OkStatus();
}

void UcxWorker::Sleep(int timeout_ms) {
  if (ucp_worker_arm(worker_) != UCS_OK) return;  // busy: there is something to progress
  epoll_event events[2];
  const int count = epoll_wait(epoll_fd_, events, 2, timeout_ms);
  for (int i = 0; i < count; ++i) {
    uint64_t wakes;
    if (events[i].data.fd == wake_fd_ && read(wake_fd_, &wakes, sizeof wakes) < 0) {
      WEIGHTMESH_CHECK(errno == EAGAIN, "an eventfd cannot be read");
    }
  }
}

void UcxWorker::Wake() {
  const uint64_t one = 1;
  WEIGHTMESH_CHECK(write(wake_fd_, &one, sizeof one) == sizeof one || errno == EAGAIN,
                   "an eventfd cannot be written");
}

absl::StatusOr<ucp_mem_h> UcxWorker::Map(absl::Span<std::byte> memory, MemoryKind kind) {
  ucp_mem_map_params_t params{};
  params.field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH |
                      UCP_MEM_MAP_PARAM_FIELD_MEMORY_TYPE;
  params.address = memory.data();
  params.length = memory.size();
  params.memory_type = UcxMemoryType(kind);
  ucp_mem_h handle = nullptr;
  const ucs_status_t status = ucp_mem_map(context_, &params, &handle);
  if (status == UCS_OK) return handle;
  return UcxError(
      absl::StrCat("UCX cannot register ", memory.size(),
                   " bytes; raise the limit of locked memory (LimitMEMLOCK, ulimit -l)"),
      status);
}

void UcxWorker::Unmap(ucp_mem_h memory) { ucp_mem_unmap(context_, memory); }

}  // namespace weightmesh
