// Numbers, times and identities as people read them.
#include "client/ctl/units.h"

#include <cmath>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace weightmesh::ctl {
namespace {

std::string ThreeDigits(double value) {
  if (value < 10) return absl::StrFormat("%.2f", value);
  return value < 100 ? absl::StrFormat("%.1f", value) : absl::StrFormat("%.0f", value);
}

}  // namespace

std::string ShortId(const v1::Id& id) {
  if (id.high() == 0 && id.low() == 0) return "-";
  return absl::StrCat(absl::Hex(id.high() >> 32, absl::kZeroPad8));
}

std::string FormatBytes(double bytes) {
  if (bytes < 1024) return absl::StrFormat("%.0f B", bytes);
  const char* const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  for (bytes /= 1024; bytes >= 1024 && unit + 1 < std::size(units); ++unit) bytes /= 1024;
  return absl::StrCat(ThreeDigits(bytes), " ", units[unit]);
}

std::string FormatMicroseconds(double microseconds) {
  if (microseconds < 1e3) return absl::StrFormat("%.0f µs", microseconds);
  if (microseconds < 1e6) return absl::StrCat(ThreeDigits(microseconds / 1e3), " ms");
  if (microseconds < 120e6) return absl::StrCat(ThreeDigits(microseconds / 1e6), " s");
  if (microseconds < 7200e6) return absl::StrCat(ThreeDigits(microseconds / 60e6), " min");
  return absl::StrCat(ThreeDigits(microseconds / 3600e6), " h");
}

std::string FormatShare(uint64_t part, uint64_t whole) {
  if (whole == 0) return "-";
  return absl::StrFormat("%.1f %%", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string FormatNumber(double value) { return absl::StrFormat("%.4g", value); }

std::string EnumWord(const std::string& name, const std::string& prefix) {
  return absl::AsciiStrToLower(absl::StripPrefix(name, prefix));
}

double Median(const v1::Histogram& histogram) {
  const double half = static_cast<double>(histogram.count()) / 2;
  double below = 0;
  for (int k = 0; k < histogram.buckets_size(); ++k) {
    const auto here = static_cast<double>(histogram.buckets(k));
    if (here > 0 && below + here >= half) {
      const double first = k == 0 ? 0 : std::ldexp(1.0, k);
      return first + (std::ldexp(1.0, k + 1) - first) * (half - below) / here;
    }
    below += here;
  }
  return 0;
}

double Mean(const v1::Histogram& histogram) {
  if (histogram.count() == 0) return 0;
  return static_cast<double>(histogram.sum()) / static_cast<double>(histogram.count());
}

}  // namespace weightmesh::ctl
