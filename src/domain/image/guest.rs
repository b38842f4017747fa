//! The places in the guest on which image, host and agent agree.

/// jitgate, as the agent, the hook and the stand-in of the worker.
pub const PROGRAM: &str = "/usr/local/bin/jitgate";
/// The socket of the job gate, which the agent makes.
pub const GATE_SOCKET: &str = "/run/jitgate/gate";
/// The hook that the runner program starts before the first step of a job.
pub const HOOK: &str = "/usr/local/lib/jitgate/job-started.sh";
/// A program that the agent runs as root before the runner program, in images with Docker.
pub const SERVICES: &str = "/usr/local/lib/jitgate/services";
/// The account of the runner program.
pub const ACCOUNT: &str = "runner";
/// The number of the account and of its group.
pub const ACCOUNT_ID: u32 = 1001;
/// The home directory of the account.
pub const HOME: &str = "/home/runner";
/// The folder of the runner program.
pub const RUNNER: &str = "/home/runner/actions-runner";
