// Maps the arena and checks it against the client's own layout.
#include "client/src/arena_mapping.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

namespace weightmesh::client {
namespace {

Status Differs(const char* what, uint64_t theirs, uint64_t ours) {
  return Refused(std::string("the daemon's arena has ") + what + " " + std::to_string(theirs) +
                 " where libweightmesh expects " + std::to_string(ours) +
                 ": install the same release of daemon and library");
}

}  // namespace

ArenaMapping::~ArenaMapping() { Unmap(); }

void ArenaMapping::Unmap() {
  if (base_ != nullptr) munmap(base_, layout_.arena_bytes);
  base_ = nullptr;
}

Status ArenaMapping::Map(int fd, const ArenaLayout& layout) {
  struct stat file;
  if (fstat(fd, &file) != 0) return Resources("fstat of the arena failed: " + ErrnoText(errno));
  if (static_cast<uint64_t>(file.st_size) != layout.arena_bytes) {
    return Differs("bytes", static_cast<uint64_t>(file.st_size), layout.arena_bytes);
  }
  void* const base = mmap(nullptr, layout.arena_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) {
    return Resources("mapping the arena of " + std::to_string(layout.arena_bytes) +
                     " bytes failed: " + ErrnoText(errno) +
                     "; raise the address space limit (ulimit -v) or use fewer slots");
  }
  base_ = static_cast<std::byte*>(base);
  layout_ = layout;
  if (madvise(base, layout.arena_bytes, MADV_DONTFORK) != 0) {
    return Resources("madvise of the arena failed: " + ErrnoText(errno));
  }
  const control_page::ControlPage& page = this->page();
  const uint64_t page_bytes = control_page::ControlPageBytes(layout.segments.size());
  if (page.magic != control_page::kMagic) {
    return Differs("control page magic", page.magic, control_page::kMagic);
  }
  if (page.version != control_page::kVersion) {
    return Differs("control page version", page.version, control_page::kVersion);
  }
  if (page.segments != segments()) return Differs("segments", page.segments, segments());
  if (page.slots != layout.slots) return Differs("slots", page.slots, layout.slots);
  if (page.page_bytes != page_bytes) return Differs("page_bytes", page.page_bytes, page_bytes);
  return {};
}

}  // namespace weightmesh::client
