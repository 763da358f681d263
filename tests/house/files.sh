#!/usr/bin/env bash
# Every file of ours has at most 500 lines and begins with a comment that says what it is.
#
# Usage: files.sh ROOT
set -euo pipefail
cd "$1"

lines_max=500
files=0
bad=0
complain() { printf '%s\n' "$1"; bad=$((bad + 1)); }

while IFS= read -r file; do
  files=$((files + 1))
  lines=$(wc -l <"$file")
  if [ "$lines" -gt "$lines_max" ]; then
    complain "$file: $lines lines, at most $lines_max; split it by concept"
  fi
  # The first line, or the second after an interpreter's line.
  first=$(awk 'NR == 1 && /^#!/ { next } { print; exit }' "$file")
  # A line that begins with '#' is a comment where it is one in that language, not in C and C++.
  case "$file" in
    *.sh | *.py | CMakeLists.txt | */CMakeLists.txt) begin='#|"""' ;;
    *) begin='//|/\*' ;;
  esac
  if ! [[ "$first" =~ ^($begin)[[:space:]]?[^[:space:]]+([[:space:]]+[^[:space:]]+)+ ]]; then
    complain "$file: begins with '$first'; begin with a comment that says what the file is"
  fi
done < <(find proto daemon client cuda deploy tests CMakeLists.txt -type f \
           \( -name '*.cc' -o -name '*.h' -o -name '*.hpp' -o -name '*.c' -o -name '*.cu' \
              -o -name '*.py' -o -name '*.sh' -o -name '*.proto' -o -name CMakeLists.txt \) | sort)

if [ "$files" -lt 20 ]; then complain "only $files files found under $1; is that the root?"; fi
echo "$files files looked at, $bad complaints"
[ "$bad" -eq 0 ]
