#!/usr/bin/env bash
# Installs what the tests need and pip cannot give: Debian's Chromium, which drives the page in tests/browser/.
# Run as root, or by a user who may sudo. Does nothing where it is there already.
set -euo pipefail

if command -v chromium >/dev/null; then
    echo "chromium is installed: $(command -v chromium)"
    exit 0
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo)
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    chromium fonts-dejavu-core
