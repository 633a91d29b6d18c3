#!/bin/sh
# Installs what ASSAY_INSTALL says (a pip requirement or a folder); without it, Assay must be there already.
. "$(dirname "$0")/common.sh"

if [ -n "${ASSAY_INSTALL:-}" ]; then
  python3 -P -m pip install --quiet --disable-pip-version-check -- "$ASSAY_INSTALL"
fi
command -v assay >/dev/null || fail 'there is no assay here; say in ASSAY_INSTALL (the input install) what pip installs'
