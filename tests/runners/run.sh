#!/bin/bash
# What stands in for the runner program: connects, takes a job, has the hook called, and goes on whatever it says.
set -u
config=$(printf %s "$ACTIONS_RUNNER_INPUT_JITCONFIG" | base64 -d)
runner=$(printf %s "$config" | sed -n 's/.*"\.runner":"\([^"]*\)".*/\1/p' | base64 -d)
server=$(printf %s "$runner" | sed -n 's/.*"serverUrl":"\([^"]*\)".*/\1/p')
tell() { curl --silent --fail --max-time 20 --request POST "$server/$1"; }
value() { printf %s "$look" | sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }

tell attach >/dev/null || exit 1
while look=$(tell look); do
    case $look in *'"job":null'*) sleep 0.02 ;; *) break ;; esac
done
[ -n "$look" ] || exit 0
# A job that leaves something behind which has let go of everything: it has to die too.
setsid sh -c 'trap "" TERM HUP; while :; do sleep 0.1; done' >/dev/null 2>&1 </dev/null &
# A runner whose hook waits is still there, and goes on saying so.
while tell look >/dev/null; do sleep 0.2; done &
saying=$!
GITHUB_RUN_ID=$(value run) GITHUB_RUN_ATTEMPT=$(value attempt) GITHUB_REPOSITORY=$(value repository) \
    bash "$ACTIONS_RUNNER_HOOK_JOB_STARTED"
kill "$saying"
tell open >/dev/null
# The record goes with the end of the job.
while tell look >/dev/null; do sleep 0.02; done
