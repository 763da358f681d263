#!/usr/bin/env bash
# libweightmesh.so loads into any trainer: it needs only libc, libm and the loader, exports only
# weightmesh_*, and answers inside python3.
#
# Usage: client_library.sh LIBRARY NM READELF VERSION
set -euo pipefail
library=$1
nm=$2
readelf=$3
version=$4
bad=0
complain() { printf '%s\n' "$1"; bad=$((bad + 1)); }

needed=$("$readelf" -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p')
[ -n "$needed" ] || complain "$library needs no library at all; is it a shared library?"
for name in $needed; do
  case "$name" in
    libc.so.6|libm.so.6|ld-linux-*.so.*) ;;
    *) complain "$library needs $name; only libc, libm and the loader may be needed" ;;
  esac
done

exported=$("$nm" --dynamic --defined-only "$library" | awk '$2 != "A" { print $3 }' | sed 's/@.*//')
foreign=$(grep -v '^weightmesh_' <<<"$exported" || true)
[ -z "$foreign" ] || complain "$library exports more than weightmesh_*: ${foreign//$'\n'/ }"
grep -qx weightmesh_attach <<<"$exported" || complain "$library does not export weightmesh_attach"

answer=$(/usr/bin/python3 - "$library" <<'PYTHON'
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.weightmesh_version.restype = ctypes.c_char_p
print(library.weightmesh_version().decode())
PYTHON
) || complain "python3 could not load $library"
[ "$answer" = "$version" ] || complain "weightmesh_version() says '$answer', the build '$version'"

echo "needs: ${needed//$'\n'/ }; exports $(wc -l <<<"$exported") functions; $bad complaints"
[ "$bad" -eq 0 ]
