# shellcheck shell=sh
# Read by the steps. Values from outside come by environment variables and stay quoted: none of them is ever run.
set -eu

ASSAY_OUT=${ASSAY_OUT:-assay-audit}
# shellcheck disable=SC2034 # the steps read it
REPORTS=$ASSAY_OUT/reports
if [ -n "${ASSAY_CACHE:-}" ]; then # weights from the hub are kept with the rest
  HF_HOME=${HF_HOME:-$ASSAY_CACHE/huggingface}
  export ASSAY_CACHE HF_HOME
fi

say() {
  printf 'assay-ci: %s\n' "$*"
}

fail() {
  printf 'assay-ci: %s\n' "$*" >&2
  exit 2
}

# Exit code of the audit; 'none' where it did not end.
noted_code() {
  code=
  if [ -f "$ASSAY_OUT/exit-code" ]; then
    read -r code <"$ASSAY_OUT/exit-code" || :
  fi
  case $code in
    '' | *[!0-9]*) echo none ;;
    *) echo "$code" ;;
  esac
}

is_decided() {
  case $(noted_code) in
    0 | 1 | 3) return 0 ;;
    *) return 1 ;;
  esac
}
