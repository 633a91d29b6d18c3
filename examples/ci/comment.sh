#!/bin/sh
# Posts the verdict as one comment on the pull or merge request, or updates the one that is there. A job without a verdict
# says so in the same place: an earlier pass must not stand beside it.
. "$(dirname "$0")/common.sh"

here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

has_report() {
  is_decided && [ -s "$REPORTS/report.comment.md" ]
}

# A second hidden marker, for runs that have no verdict; the same for every run of this spec.
job_marker() {
  sum=$(printf '%s\n' "${ASSAY_SPEC:-}" "${ASSAY_POLICY:-}" "${ASSAY_COMMENT_KEY:-}" | cksum)
  printf '<!-- assay-job %s -->' "${sum%% *}"
}

verdict_marker() {
  if has_report; then
    sed -n '1s/^\(<!-- assay-verdict [0-9a-f]* -->\)$/\1/p' "$REPORTS/report.comment.md"
  fi
}

body() {
  if has_report; then
    sed 's|^[[:space:]]*/|\\/|' "$REPORTS/report.comment.md" # a line that begins with / is a command to GitLab
  else
    printf '**FAILED** There is no report on this commit (exit code of the audit: %s); the log says why. ' "$(noted_code)"
    printf 'What an earlier audit said is no verdict on it.\n'
  fi
  printf '\n[Reports and log](%s)' "$url"
  case ${ASSAY_COMMIT:-} in
    '' | *[!0-9a-f]*) echo ;;
    *) printf ', commit %s\n' "$ASSAY_COMMIT" ;;
  esac
  job_marker
  echo
}

on_github() {
  number=${ASSAY_PULL_REQUEST:-}
  url="${GITHUB_SERVER_URL:-https://github.com}/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID"
  author=${ASSAY_COMMENT_AUTHOR:-github-actions[bot]}
  page() { gh api "repos/$GITHUB_REPOSITORY/issues/$number/comments?per_page=100&page=$1"; }
  create() { gh api --silent --method POST "repos/$GITHUB_REPOSITORY/issues/$number/comments" -F "body=@$work/body"; }
  update() { gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$1" -F "body=@$work/body"; }
}

on_gitlab() {
  number=${CI_MERGE_REQUEST_IID:-}
  url=$CI_JOB_URL
  notes="$CI_API_V4_URL/projects/$CI_PROJECT_ID/merge_requests/$number/notes"
  if [ -n "$number" ]; then
    gitlab GET "$CI_API_V4_URL/user" >"$work/user"
    author=$(python3 "$here/find_comment.py" --user <"$work/user")
  fi
  page() { gitlab GET "$notes?sort=asc&order_by=created_at&per_page=100&page=$1"; }
  create() { gitlab POST "$notes" --data-urlencode "body@$work/body" >"$work/answer"; }
  update() { gitlab PUT "$notes/$1" --data-urlencode "body@$work/body" >"$work/answer"; }
}

# METHOD URL [OPTION...]; the token comes by standard input, where no list of processes shows it.
gitlab() {
  method=$1
  shift
  printf 'header = "PRIVATE-TOKEN: %s"\n' "${ASSAY_GITLAB_TOKEN:-}" |
    curl --config - --silent --show-error --fail --max-time 60 --request "$method" "$@"
}

# Id of our comment, if there is one. A marker in somebody else's comment is no reason to edit it.
find_comment() {
  at=1
  while [ "$at" -le 100 ]; do
    page "$at" >"$work/page"
    python3 "$here/find_comment.py" "$author" "$(job_marker)" "$(verdict_marker)" <"$work/page" >"$work/found"
    read -r found <"$work/found" || found=
    case $found in
      next) at=$((at + 1)) ;;
      *)
        printf '%s' "$found"
        return
        ;;
    esac
  done
}

if [ -n "${GITHUB_ACTIONS:-}" ]; then
  on_github
elif [ -n "${GITLAB_CI:-}" ]; then
  if [ -z "${ASSAY_GITLAB_TOKEN:-}" ]; then
    say 'no comment: ASSAY_GITLAB_TOKEN is not set (a project access token with the scope api)'
    exit 0
  fi
  on_gitlab
else
  fail 'neither a GitHub nor a GitLab job'
fi
case $number in
  '')
    say 'no comment: this job belongs to no pull or merge request'
    exit 0
    ;;
  *[!0-9]*) fail 'the number of the pull or merge request is no number' ;;
esac

body >"$work/body"
id=$(find_comment)
case $id in
  '')
    create
    say 'posted a comment'
    ;;
  *[!0-9]*) fail 'the id of the comment is no number' ;;
  *)
    update "$id"
    say 'updated the comment'
    ;;
esac
