#!/usr/bin/env bash
# daemon/core needs nothing at link time but Abseil, the C++ library and plain C functions on memory.
#
# Usage: core_symbols.sh ARCHIVE NM
set -euo pipefail
archive=$1
nm=$2

defined=$("$nm" --defined-only --demangle "$archive" | awk 'NF >= 3 { $1 = $2 = ""; print substr($0, 3) }' |
            LC_ALL=C sort -u)
if ! grep -q '^weightmesh::' <<<"$defined"; then
  echo "$archive defines nothing of weightmesh; is that the core?"
  exit 1
fi
needed=$("$nm" --undefined-only --demangle "$archive" |
           awk '$1 ~ /^[Uwv]$/ { $1 = ""; print substr($0, 2) }' | LC_ALL=C sort -u)
outside=$(LC_ALL=C comm -13 <(echo "$defined") <(echo "$needed"))

# Namespaces of the C++ library and Abseil, what the compiler calls by itself, memory and strings.
allowed='^((non-virtual thunk to |(vtable|typeinfo|typeinfo name|guard variable|VTT) for )?(std|absl|__gnu_cxx|__cxxabiv1)::'
allowed+='|([a-z_A-Z0-9:<>,&*() ]+ )?(std|absl|__gnu_cxx)::'
allowed+='|operator (new|delete)(\[\])?\('
allowed+='|(mem|str)[a-z0-9_]+$|__(memcpy|memset|memmove|strcpy|sprintf|snprintf|vsnprintf)_chk$'
allowed+='|__(cxa|gxx|stack_chk|assert|dso)_[a-z0-9_]+$|__(u|)(div|mod)ti3$'
allowed+='|_Unwind_[A-Za-z]+$|_GLOBAL_OFFSET_TABLE_$|__tls_get_addr$|abort$|free$|malloc$'
allowed+='|(ceil|floor|fma|sqrt|log|log2|exp|pow|lround|llround|round|fmod)f?$|__errno_location$)'
foreign=$(grep -vE "$allowed" <<<"$outside" || true)

if [ -n "$foreign" ]; then
  printf 'daemon/core is pure, but %s needs:\n%s\n' "$archive" "$foreign"
  exit 1
fi
echo "$(wc -l <<<"$outside") symbols from outside, all of them Abseil, C++ library or plain C"
