#!/usr/bin/env bash
# What each folder may include: the layers of the design, held by looking at the #include lines.
#
# Usage: includes.sh ROOT
set -euo pipefail
cd "$1"

bad=0
looked_at=0

# allow NAME FOLDER... -- PATTERN...: every #include in the folders matches one of the patterns
# (extended regular expressions over the whole of <...> or "...").
allow() {
  local name=$1 folders=() allowed line
  shift
  while [ "$1" != -- ]; do folders+=("$1"); shift; done
  shift
  allowed=$(IFS='|'; echo "$*")
  while IFS= read -r line; do
    looked_at=$((looked_at + 1))
    local place=${line%%:#*} what=${line#*#*include}
    what=${what#"${what%%[![:space:]]*}"}
    if ! [[ "$what" =~ ^($allowed)([[:space:]]|$) ]]; then
      printf '%s: %s may not include %s\n' "$place" "$name" "$what"
      bad=$((bad + 1))
    fi
  done < <(grep -rnE '^#[[:space:]]*include' --include='*.cc' --include='*.h' --include='*.hpp' \
             --include='*.c' "${folders[@]}" 2>/dev/null || true)
}

# forbid NAME FOLDER PATTERN WHY
forbid() {
  local found
  found=$(grep -rnE "^#[[:space:]]*include[[:space:]]*$3" --include='*.cc' --include='*.h' "$2" || true)
  if [ -n "$found" ]; then
    printf '%s\n%s must not: %s\n' "$found" "$1" "$4"
    bad=$((bad + 1))
  fi
}

standard='<[a-z_0-9]+>'
contract='"proto/[a-z_]+\.h"'  # never proto/weightmesh/v1, which is generated

allow "daemon/core" daemon/core -- "$standard" '<xxhash\.h>' '"absl/[a-z_/]+\.h"' \
  '"daemon/core/[a-z_]+\.h"' "$contract"
forbid "daemon/core" daemon/core '<(chrono|ctime|thread|future|random|iostream|fstream|filesystem)>' \
  "time, randomness, threads and files are passed in or stay outside"
forbid "daemon/core" daemon/core '"absl/(random|hash|synchronization|time/clock)' \
  "these differ by process, or read a clock"

allow "a plain contract (proto/*.h)" proto -- "$standard" '<xxhash\.h>' "$contract"

allow "daemon/mem" daemon/mem -- "$standard" '<[a-z_]+\.h>' '<(sys|linux)/[a-z_]+\.h>' \
  '"absl/[a-z_/]+\.h"' '"(daemon/core|daemon/mem|cuda)/[a-z_]+\.h"' "$contract"

allow "cuda" cuda -- "$standard" '<[a-z_]+\.h>' '<sys/[a-z_]+\.h>' '"absl/[a-z_/]+\.h"' \
  '"cuda/[a-z_]+\.h"' '"daemon/mem/file_descriptor\.h"' '"daemon/transport/transport\.h"'

# Only ucx/ knows UCX; the rest is built without it.
allow "daemon/transport" daemon/transport -- "$standard" '<[a-z_]+\.h>' \
  '<(arpa|netinet|sys)/[a-z_]+\.h>' '<ucp/api/ucp\.h>' '<ucs/sys/string\.h>' '"absl/[a-z_/]+\.h"' \
  '"daemon/(core|transport|transport/ucx)/[a-z_]+\.h"' "$contract"
for file in daemon/transport/*.h daemon/transport/*.cc; do
  forbid "$file" "$file" '(<uc[pst]/|"daemon/transport/ucx/)' "UCX stays inside daemon/transport/ucx"
done

allow "daemon/control" daemon/control -- "$standard" '<[a-z_]+\.h>' '<(arpa|netinet|sys)/[a-z_]+\.h>' \
  '<(grpc|grpcpp|google/protobuf)/[a-z_/]+\.h>' '"absl/[a-z_/]+\.h"' '"daemon/(core|control)/[a-z_]+\.h"' \
  '"daemon/transport/transport\.h"' '"proto/weightmesh/v1/[a-z_]+(\.grpc)?\.pb\.h"' "$contract"

allow "the client library" client/src client/include -- "$standard" '<[a-z_]+\.h>' \
  '<(sys|linux)/[a-z_]+\.h>' '[<"]weightmesh/weightmesh\.(h|hpp)[>"]' \
  '"client/(src|include/weightmesh)/[a-z_0-9]+\.(h|hpp)"' "$contract"

allow "an example (the public face only)" client/examples -- "$standard" '<[a-z_]+\.h>' \
  '<sys/[a-z_]+\.h>' '<CLI/CLI\.hpp>' '<Eigen/[A-Za-z]+>' '[<"](client/include/)?weightmesh/weightmesh\.(h|hpp)[>"]' \
  '"client/examples/[a-z_]+\.h"'

if [ "$looked_at" -lt 50 ]; then
  echo "only $looked_at #include lines found under $1; is that the root?"
  bad=$((bad + 1))
fi
echo "$looked_at #include lines looked at, $bad complaints"
[ "$bad" -eq 0 ]
