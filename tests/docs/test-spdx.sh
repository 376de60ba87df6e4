#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Every file says its licence in one of its first lines, where its format has comments.
set -eu
top=${srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
cd "$top"
# What git holds; in a tarball all that configure's own tools did not make.
if [ -e .git ] && command -v git >/dev/null; then
  files=$(git ls-files)
else
  files=$(find . -path ./build-aux -prune -o -path ./m4 -prune -o -path ./autom4te.cache -prune -o -path './*build*/*' -prune -o \
    -path './_*' -prune -o -type f ! -name configure ! -name aclocal.m4 ! -name 'config.h.in*' ! -name 'Makefile.in' -print)
fi
missing=
count=0
for file in $files; do
  case $file in
    # The licence itself; logs that a test compares byte by byte; what others' programs wrote; arbitrary bytes.
    *COPYING | *.expected | *tests/unit/data/* | *tests/fuzz/corpus/*) continue ;;
  esac
  [ -f "$file" ] || continue  # removed, and not yet committed
  count=$((count + 1))
  head -n 3 "$file" | grep -q 'SPDX-License-Identifier: GPL-2.0-or-later' || missing="$missing $file"
done
[ $count -gt 100 ] || missing="$missing (only $count files were found)"
if [ -n "$missing" ]; then
  echo "FAIL every file names its licence: missing in$missing"
  exit 1
fi
echo "PASS every file names its licence"
