#!/bin/sh
# Writes the reports of the audit to $ASSAY_OUT/reports: JUnit, SARIF, the comment, the step summary, HTML and JSON.
. "$(dirname "$0")/common.sh"

if ! is_decided; then
  say 'the audit gave no verdict, so there is nothing to report'
  exit 0
fi
set -- report latest --audits "$ASSAY_OUT/audits" --output "$REPORTS" --level "${ASSAY_LEVEL:-findings}" \
  --format junit,sarif,comment,step-summary,html,json
# JUnit is as red as the job: an undecided gate fails in both, or in neither.
case ${ASSAY_INCONCLUSIVE:-fail} in
  warn) set -- "$@" --undecided skipped ;;
  *) set -- "$@" --undecided failure ;;
esac
if [ -n "${ASSAY_BASELINE:-}" ]; then
  set -- "$@" --policy "$ASSAY_POLICY" --baseline "$ASSAY_BASELINE"
fi
assay "$@"
