// operator new and delete over malloc, with a count.
#include "tests/runtime/counting_new.h"

#include <execinfo.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <new>

#include "absl/strings/str_cat.h"

namespace {

// Where one allocation came from, for the message of a failure.
struct Site {
  std::array<void*, 16> frames;
  int depth = 0;
};
constexpr size_t kSitesKept = 12;
std::array<Site, kSitesKept> sites;
std::atomic<uint64_t> allocations{0};
std::atomic<bool> counting{false};
thread_local bool in_backtrace = false;

void Count() {
  if (!counting.load(std::memory_order_relaxed) || in_backtrace) return;
  const uint64_t number = allocations.fetch_add(1, std::memory_order_relaxed);
  if (number >= kSitesKept) return;
  in_backtrace = true;
  Site& site = sites[number];
  site.depth = ::backtrace(site.frames.data(), static_cast<int>(site.frames.size()));
  in_backtrace = false;
}

}  // namespace

// All other forms call these two.
void* operator new(size_t size) {
  Count();
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(size_t size, std::align_val_t alignment) {
  Count();
  const size_t align = static_cast<size_t>(alignment);
  void* memory = std::aligned_alloc(align, (size + align - 1) / align * align);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace weightmesh {

void CountAllocations(bool count) {
  if (count) allocations = 0;
  counting = count;
}

uint64_t AllocationsCounted() { return allocations; }

std::string FirstAllocations() {
  std::string text;
  for (size_t k = 0; k < std::min<size_t>(kSitesKept, allocations); ++k) {
    char** names = ::backtrace_symbols(sites[k].frames.data(), sites[k].depth);
    absl::StrAppend(&text, "allocation ", k + 1, ":\n");
    for (int i = 2; names != nullptr && i < sites[k].depth; ++i) {
      absl::StrAppend(&text, "  ", names[i], "\n");
    }
    std::free(names);
  }
  return text;
}

}  // namespace weightmesh
