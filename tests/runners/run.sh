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
    value() { printf %s "$look" | sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }

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
    number() { printf "\\x$(printf %02x $(($1 & 255)))\\x$(printf %02x $(($1 >> 8 & 255)))\\x00\\x00"; }
    { number 1; number $((${#message} * 2)); printf %s "$message" | iconv -f UTF-8 -t UTF-16LE; } >&"$to"
    bin/Runner.Worker spawnclient "$to" "$from"
    kill "$saying"
    # The record goes with the end of the job.
    while tell look >/dev/null; do sleep 0.02; done
    exit
fi

# Its kind, its length, its text.
head -c 4 <&"$2" >/dev/null
length=$(($(head -c 4 <&"$2" | od -An -tu4)))
message=$(head -c "$length" <&"$2" | iconv -f UTF-16LE -t UTF-8)
value() { printf %s "$message" | sed -n "s/.*{\"k\":\"$1\",\"v\":\"\([^\"]*\)\"}.*/\1/p"; }
# WORKER BEGINS
GITHUB_RUN_ID=$(value run_id) GITHUB_RUN_ATTEMPT=$(value run_attempt) GITHUB_REPOSITORY=$(value repository) \
    bash "$ACTIONS_RUNNER_HOOK_JOB_STARTED"
tell open >/dev/null
