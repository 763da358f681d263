// Forking the source, and linking both sides.
#include "tests/bench/ucx_pair.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>

#include "tests/testing/star_network.h"

namespace weightmesh::bench {
namespace {

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "benchmark: %s\n", what.c_str());
  std::_Exit(1);
}

void Enter(const Site& site) {
  if (!site.network_namespace.empty()) EnterNamespace(site.network_namespace);
}

std::unique_ptr<UcxTransport> StartUcx(const Site& site, Segments* segments, QueuedSink* sink) {
  auto transport = NewUcxTransport({.network_devices = {}, .control_ip = site.ip});
  if (!transport.ok()) Fail(transport.status().ToString());
  absl::Status done = (*transport)->Start(sink);
  if (done.ok()) {
    done = (*transport)->Register(absl::MakeSpan(segments->snapshot), MemoryKind::kHost);
  }
  if (!done.ok()) Fail(done.ToString());
  return *std::move(transport);
}

// Addresses cross a socket of packets.
void Tell(int socket, const std::string& text) {
  if (::send(socket, text.data(), text.size(), 0) < 0) Fail("the other process is gone");
}
std::string Hear(int socket) {
  char text[65536];
  const ssize_t bytes = ::recv(socket, text, sizeof text, 0);
  return std::string(text, bytes < 0 ? 0 : static_cast<size_t>(bytes));
}

// Until the socket closes.
void RunSource(const Site& site, Segments* segments, int socket) {
  Enter(site);
  QueuedSink sink;
  const std::unique_ptr<UcxTransport> transport = StartUcx(site, segments, &sink);
  Tell(socket, transport->address());
  transport->Connect({kReaderNode, Hear(socket), kReaderToken, kSourceToken});
  Tell(socket, "connected");
  std::thread server([&] { ServeSegments(*segments, transport.get(), &sink); });
  Hear(socket);
  sink.Wake();
  server.join();
  transport->Stop();
}

}  // namespace

UcxPair::UcxPair(uint64_t segments, uint64_t segment_bytes, const Site& source, const Site& reader)
    : segments_(segments, segment_bytes) {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) != 0) Fail("no socket pair");
  source_ = ::fork();
  if (source_ < 0) Fail("cannot fork");
  if (source_ == 0) {
    ::close(sockets[0]);
    RunSource(source, &segments_, sockets[1]);
    std::_Exit(0);
  }
  ::close(sockets[1]);
  socket_ = sockets[0];
  Enter(reader);
  transport_ = StartUcx(reader, &segments_, &sink_);
  const std::string address = Hear(socket_);
  if (address.empty()) Fail("the source did not start");
  Tell(socket_, transport_->address());
  if (Hear(socket_).empty()) Fail("the source did not connect");
  transport_->Connect({kSourceNode, address, kSourceToken, kReaderToken});
}

UcxPair::~UcxPair() {
  transport_->Stop();
  ::close(socket_);
  ::waitpid(source_, nullptr, 0);
}

double UcxPair::MibPerSecond(uint64_t count, uint64_t in_flight, bool mixes) {
  const double seconds =
      PullSegments(&segments_, transport_.get(), &sink_, count, in_flight, mixes);
  const double bytes = static_cast<double>(count) * segments_.layout.arena.segments[0].total_bytes;
  return bytes / seconds / (1 << 20);
}

}  // namespace weightmesh::bench
