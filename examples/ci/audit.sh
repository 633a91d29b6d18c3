#!/bin/sh
# Audits, and notes the exit code in $ASSAY_OUT/exit-code. It ends well whatever the verdict: the next steps publish it,
# and verdict.sh, the last one, fails the job.
. "$(dirname "$0")/common.sh"

[ -n "${ASSAY_SPEC:-}" ] || fail 'say in ASSAY_SPEC (the input spec) what to audit'
if [ -n "${ASSAY_BASELINE:-}" ] && [ -z "${ASSAY_POLICY:-}" ]; then
  fail 'a baseline needs a policy: say in ASSAY_POLICY (the input policy) by which gates to compare'
fi
if [ -e "$ASSAY_OUT" ]; then
  [ ! -d "$ASSAY_OUT" ] || echo 2 >"$ASSAY_OUT/exit-code"
  fail 'the output folder exists already, and an old audit must not pass for this one; give each audit its own'
fi
mkdir -p -- "$ASSAY_OUT/audits"

set -- run "$ASSAY_SPEC" --output "$ASSAY_OUT/audits"
[ -z "${ASSAY_CHECKPOINT:-}" ] || set -- "$@" --checkpoint "$ASSAY_CHECKPOINT"
[ -z "${ASSAY_POLICY:-}" ] || set -- "$@" --policy "$ASSAY_POLICY"
[ -z "${ASSAY_TRACKING_URI:-}" ] || set -- "$@" --tracking-uri "$ASSAY_TRACKING_URI"
[ "${ASSAY_TRUST_MANIFEST:-}" != true ] || set -- "$@" --trust-manifest

# What an audit prints can hold text of rows: GitHub's runner must not take a line of it for a command.
stop=
if [ -n "${GITHUB_ACTIONS:-}" ]; then
  stop=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  echo "::stop-commands::$stop"
fi
code=0
assay "$@" || code=$?
# An interpreter that cannot start Assay ends with 1 as well: a code counts as a verdict only where one was written.
if [ "$code" -lt 4 ] && [ "$code" -ne 2 ] && ! ls "$ASSAY_OUT"/audits/*/verdict.json >/dev/null 2>&1; then
  say "assay ended with $code and wrote no verdict"
  code=4
fi
case $code in
  0 | 1 | 3)
    if [ -n "${ASSAY_BASELINE:-}" ]; then
      code=0
      assay gate latest --output "$ASSAY_OUT/audits" --policy "$ASSAY_POLICY" --baseline "$ASSAY_BASELINE" || code=$?
    fi
    ;;
esac
[ -z "$stop" ] || printf '\n::%s::\n' "$stop"

case $code in
  0) verdict=pass ;;
  1) verdict=block ;;
  3) verdict=inconclusive ;;
  *) verdict=failed ;;
esac
echo "$code" >"$ASSAY_OUT/exit-code"
if [ -n "${GITHUB_OUTPUT:-}" ]; then
  printf '%s\n' "verdict=$verdict" "exit-code=$code" >>"$GITHUB_OUTPUT"
fi
say "the audit ended with exit code $code ($verdict)"
