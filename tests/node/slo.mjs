// Computes the service levels of a repository from raw deliveries and from the records of jobs and runners, without the
// measured runs of jitgate. Usage: node slo.mjs, with {"deliveries": [...], "records": {"job": [...], "runner": [...]},
// "window": N, "targets": {...}} on stdin. A delivery is {"at": TIME, "payload": ...}; deliveries are in order of arrival.
import { readFileSync } from "node:fs";

const { deliveries, records, window, targets } = JSON.parse(readFileSync(0, "utf8"));
const seconds = (from, to) => (Date.parse(to) - Date.parse(from)) / 1000;
const runnersOf = (id) => records.runner.filter((runner) => runner.job === id);

// The jobs, each with what GitHub said last, and its place in the order of first deliveries.
const jobs = new Map();
deliveries.forEach(({ payload }, place) => {
  const { action, workflow_job: said } = payload;
  const job = jobs.get(said.id) ?? { id: said.id, run: said.run_id, attempt: said.run_attempt, created: said.created_at, place };
  if (action !== "queued" && said.runner_id) job.started = said.started_at;
  if (action === "completed") {
    job.conclusion = said.conclusion;
    const own = said.steps.find((step) => step.conclusion !== "skipped" && !/^(Set up|Complete|Pre |Initialize|Stop)/.test(step.name));
    if (own && said.runner_id) job.firstStep = own.started_at;
  }
  jobs.set(said.id, job);
});

const WRONG = ["not-routed", "misroute"];
for (const job of jobs.values()) {
  const record = records.job.find((record) => record.id === job.id);
  const decisions = record.decisions.map((entry) => entry.decision);
  const verdicts = decisions.map((decision) => decision.routing.verdict);
  job.trusted = decisions.some((decision) => decision.trust.verdict === "trusted");
  job.pool = job.trusted && decisions.some((decision) => decision.labels_class === "pool");
  job.wrong = verdicts.some((verdict) => WRONG.includes(verdict));
  job.correct = !job.wrong && verdicts.includes("correct");
  job.measured = job.pool || (job.trusted && verdicts.includes("not-routed"));
  job.runCreated = record.decisions.map((entry) => entry.facts?.run?.known?.created_at).find((at) => at);
  job.ours = runnersOf(job.id);
  job.ran = job.ours.some((runner) => runner.passed_gate);
  const failed = job.ours.some((runner) => ["boot-failed", "died", "nobody-came", "refused"].includes(runner.outcome));
  job.outcome = !job.pool ? "elsewhere" : job.ran ? "success" : failed ? "failure" : "cancelled";
}

// The runs: attempts with a measured job, newest first, without those that were cancelled altogether.
const runs = new Map();
for (const job of [...jobs.values()].filter((job) => job.measured)) {
  const key = `${job.run}/${job.attempt}`;
  const run = runs.get(key) ?? { id: job.run, attempt: job.attempt, created: job.runCreated, jobs: [], place: job.place };
  run.jobs.push(job);
  runs.set(key, run);
}
const all = [...runs.values()].filter((run) => run.jobs.some((job) => job.outcome !== "cancelled"));
all.sort((a, b) => Date.parse(b.created) - Date.parse(a.created) || b.id - a.id || b.attempt - a.attempt);
const newest = all.slice(0, window);
const longest = (times) => (times.length === 0 ? undefined : Math.max(...times));
for (const run of newest) {
  const waited = run.jobs.filter((job) => job.pool && job.started);
  const failed = run.jobs.filter((job) => job.outcome === "failure" && !job.started);
  run.wait = longest([
    ...waited.map((job) => seconds(job.created, job.started)),
    ...failed.map((job) => seconds(job.created, deliveries.findLast(({ payload }) => payload.workflow_job.id === job.id).payload.workflow_job.completed_at)),
  ]);
  const setUp = run.jobs.filter((job) => job.pool && job.ran && job.firstStep);
  run.setup = longest(setUp.map((job) => seconds(job.started, job.firstStep)));
  const outcomes = run.jobs.map((job) => job.outcome);
  run.failed = outcomes.includes("failure");
  run.known = run.failed || outcomes.includes("success");
  run.unrouted = run.jobs.some((job) => job.wrong);
}

// The nearest rank, without the formula of the program: the smallest value that at least 95 of 100 do not exceed.
function p95(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.find((value) => sorted.filter((other) => other <= value).length * 100 >= 95 * sorted.length) ?? null;
}

// The number of further misses until the target is missed, found by trying.
function budget(misses, isMet) {
  let permitted = misses + 100_000;
  while (permitted > 0 && !isMet(permitted)) permitted = permitted > 100 + misses ? 100 + misses : permitted - 1;
  return permitted - misses;
}

function share(name, good, bad) {
  const sample = good + bad;
  const isMet = (misses) => misses <= sample && Math.round((sample - misses) * 1e6) >= Math.round(sample * targets[name] * 1e6);
  const value = sample === 0 ? null : good / sample;
  return { name, value, sample, met: sample === 0 ? null : value >= targets[name], error_budget_left: budget(bad, isMet) };
}

function time(name, values) {
  const bad = values.filter((value) => value > targets[name]).length;
  const isMet = (misses) => misses <= values.length && (values.length - misses) * 100 >= 95 * values.length;
  const value = p95(values);
  return { name, value, sample: values.length, met: value === null ? null : value <= targets[name], error_budget_left: budget(bad, isMet) };
}

const known = newest.filter((run) => run.known);
const since = newest.at(-1)?.place ?? 0;
const others = [...jobs.values()].filter((job) => !job.measured && job.place > since);
const judged = [...newest.flatMap((run) => run.jobs), ...others];
const has = (value) => value !== undefined;
const answer = {
  enough: all.length >= window,
  targets: [
    share("lifecycle_success", known.filter((run) => !run.failed).length, known.filter((run) => run.failed).length),
    share("routing_correctness", judged.filter((job) => job.correct).length, judged.filter((job) => job.wrong).length),
    time("queue_wait_p95_s", newest.map((run) => run.wait).filter(has)),
    time("setup_latency_p95_s", newest.map((run) => run.setup).filter(has)),
  ],
  missing: newest
    .filter((run) => run.failed || run.unrouted || run.wait > targets.queue_wait_p95_s || run.setup > targets.setup_latency_p95_s)
    .map((run) => run.id)
    .sort((a, b) => a - b),
};
process.stdout.write(JSON.stringify(answer));
