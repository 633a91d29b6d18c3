#!/bin/sh
# The last step: ends with the audit's exit code. 0 passes, 1 blocks, 3 fails or warns as ASSAY_INCONCLUSIVE says; anything
# else, an audit that never ended included, is a failed audit.
. "$(dirname "$0")/common.sh"

code=$(noted_code)
case $code in
  0)
    say 'pass'
    exit 0
    ;;
  1) what='the policy blocks this release' ;;
  3) what='inconclusive: the evidence decides too few gates' ;;
  none)
    what='the audit did not end'
    code=4
    ;;
  *) what="the audit failed (exit code $code)" ;;
esac
kind=error
if [ "$code" = 3 ]; then
  case ${ASSAY_INCONCLUSIVE:-fail} in
    fail) ;;
    warn)
      kind=warning
      code=0
      ;;
    *) fail 'ASSAY_INCONCLUSIVE (the input inconclusive) is fail or warn' ;;
  esac
fi
if [ -n "${GITHUB_ACTIONS:-}" ]; then
  echo "::$kind title=Assay::$what"
else
  say "$kind: $what"
fi
if ! is_decided && [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
  printf '**FAILED** Assay gave no verdict: %s.\n' "$what" >>"$GITHUB_STEP_SUMMARY"
fi
exit "$code"
