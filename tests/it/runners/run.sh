#!/bin/bash
# What stands in for the runner program. As `run.sh` it connects, takes a job and starts its worker as actions/runner does:
# with two inherited pipes, and the job's message in the first. As `bin/Runner.Worker` it has the hook called, and goes on
# whatever that says.
set -u
tell() { curl --silent --fail --max-time 20 --request POST "$server/$1"; }

if [ "${1-}" != spawnclient ]; then
    config=$(printf %s "$ACTIONS_RUNNER_INPUT_JITCONFIG" | base64 -d)
    runner=$(printf %s "$config" | sed -n 's/.*"\.runner":"\([^"]*\)".*/\1/p' | base64 -d)
    server=$(printf %s "$runner" | sed -n 's/.*"serverUrl":"\([^"]*\)".*/\1/p')
    export server
    value() { [[ $look =~ \"$1\":\"?([^\",}]*) ]] && printf %s "${BASH_REMATCH[1]}"; }

    tell attach >/dev/null || exit 1
    while look=$(tell look); do
        case $look in *'"job":null'*) sleep 0.02 ;; *) break ;; esac
    done
    [ -n "$look" ] || exit 0
    # A job that leaves something behind which has let go of everything: it has to die too.
    setsid sh -c 'trap "" TERM HUP; while :; do sleep 0.1; done' >/dev/null 2>&1 </dev/null &
    # A runner whose worker waits is still there, and goes on saying so.
    while tell look >/dev/null; do sleep 0.2; done &
    saying=$!
    github="{\"k\":\"repository\",\"v\":\"$(value repository)\"},{\"k\":\"run_id\",\"v\":\"$(value run)\"}"
    github="$github,{\"k\":\"run_attempt\",\"v\":\"$(value attempt)\"}"
    message="{\"messageType\":\"PipelineAgentJobRequest\",\"contextData\":{\"github\":{\"t\":2,\"d\":[$github]}}}"
    mkfifo "$HOME/to-worker" "$HOME/from-worker"
    exec {to}<>"$HOME/to-worker" {from}<>"$HOME/from-worker"
    # Its kind and its length, as four bytes each, and its text of two bytes a character.
    printf -v length '\\x%02x\\x%02x' $((${#message} * 2 & 255)) $((${#message} * 2 >> 8))
    { printf "\x01\x00\x00\x00$length\x00\x00"; for ((i = 0; i < ${#message}; i++)); do printf '%s\0' "${message:i:1}"; done; } >&"$to"
    bin/Runner.Worker spawnclient "$to" "$from"
    kill "$saying"
    # The record goes with the end of the job.
    while tell look >/dev/null; do sleep 0.02; done
    exit
fi

# Its kind, which is read away, its length and its text.
read -r _ _ _ _ low high _ < <(head -c 8 <&"$2" | od -An -tu1)
message=$(head -c $((high * 256 + low)) <&"$2" | tr -d '\0')
value() { [[ $message =~ \{\"k\":\"$1\",\"v\":\"([^\"]*)\"\} ]] && printf %s "${BASH_REMATCH[1]}"; }
# WORKER BEGINS
GITHUB_RUN_ID=$(value run_id) GITHUB_RUN_ATTEMPT=$(value run_attempt) GITHUB_REPOSITORY=$(value repository) \
    bash "$ACTIONS_RUNNER_HOOK_JOB_STARTED"
tell open >/dev/null
