#!/usr/bin/env bash
# daemon/core needs nothing at link time but Abseil, the C++ library and plain C functions on memory.
#
# Usage: core_symbols.sh ARCHIVE NM
set -euo pipefail
archive=$1
nm=$2

symbols() { "$nm" "$1" "$archive" | awk 'NF >= 2 { print $NF }' | LC_ALL=C sort -u; }

defined=$(symbols --defined-only)
if ! grep -q '^_ZNK\?10weightmesh' <<<"$defined"; then
  echo "$archive defines nothing of weightmesh; is that the core?"
  exit 1
fi
outside=$(LC_ALL=C comm -13 <(echo "$defined") <(symbols --undefined-only))

# Mangled names: a name of std:: (St, Sa, Ss, ...), absl::, __gnu_cxx:: or __cxxabiv1::, its vtable
# or type information, and operator new and delete.
allowed='^(_Z(T[VISTh]|GV)?N?[VK]?[RO]?(St|S[absiod]|4absl|9__gnu_cxx|10__cxxabiv1)'
allowed+='|_Z(nw|na|dl|da)[mP]'
# What the compiler calls by itself; C on memory, strings and numbers.
allowed+='|__(cxa|gxx|stack_chk|assert|dso)_[a-z0-9_]+$|__u?(div|mod)ti3$|_Unwind_[A-Za-z]+$'
allowed+='|_GLOBAL_OFFSET_TABLE_$|__tls_get_addr$|__libc_single_threaded$|__errno_location$'
allowed+='|abort$|free$|malloc$'
allowed+='|(mem|str)[a-z0-9_]+$|bcmp$|__(mem|str)[a-z]+_chk$'
allowed+='|(ceil|floor|round|l?lround|fma|fmod|sqrt|log|log2|log10|exp|pow)f?$)'
foreign=$(grep -vE "$allowed" <<<"$outside" || true)

if [ -n "$foreign" ]; then
  printf 'daemon/core is pure, but %s needs:\n%s\n' "$archive" "$(c++filt <<<"$foreign")"
  exit 1
fi
echo "$(wc -l <<<"$outside") symbols from outside: Abseil, C++ library and plain C"
