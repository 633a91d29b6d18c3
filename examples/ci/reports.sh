#!/bin/sh
# Writes the reports of the audit to $ASSAY_OUT/reports: JUnit, SARIF, the comment, the step summary, HTML and JSON.
. "$(dirname "$0")/common.sh"

if ! is_decided; then
  say 'the audit gave no verdict, so there is nothing to report'
  exit 0
fi
set -- report latest --audits "$ASSAY_OUT/audits" --output "$REPORTS" --level "${ASSAY_LEVEL:-findings}" \
  --format junit,sarif,comment,step-summary,html,json
if [ -n "${ASSAY_BASELINE:-}" ]; then
  set -- "$@" --policy "$ASSAY_POLICY" --baseline "$ASSAY_BASELINE"
fi
assay "$@"
