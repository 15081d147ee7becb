#!/bin/sh
# Every check in checks/ must pass.
set -e
for check in checks/*.sh; do
  sh "$check"
  echo "ok: $check"
done
