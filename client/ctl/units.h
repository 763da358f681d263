// Numbers, times and identities as people read them; pure.
#pragma once

#include <cstdint>
#include <string>

#include "proto/weightmesh/v1/mesh.pb.h"

namespace weightmesh::ctl {

// The first 8 hexadecimal digits, or "-" for none.
std::string ShortId(const v1::Id& id);

// "17 B", "1.50 KiB", "3.00 MiB", …: three digits or so.
std::string FormatBytes(double bytes);
// "850 µs", "1.54 ms", "2.50 s", "62.0 min", "26.1 h".
std::string FormatMicroseconds(double microseconds);
// "90.0 %"; "-" of nothing.
std::string FormatShare(uint64_t part, uint64_t whole);
// Four significant digits: "0.0125", "1.5e-09".
std::string FormatNumber(double value);

// "hash_cycle" of SCHEDULE_HASH_CYCLE: the name without its prefix, in lower case.
std::string EnumWord(const std::string& name, const std::string& prefix);

// The median by linear interpolation inside its power of two; 0 when nothing was counted.
double Median(const v1::Histogram& histogram);
double Mean(const v1::Histogram& histogram);

}  // namespace weightmesh::ctl
