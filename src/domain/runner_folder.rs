//! The folder of an unpacked runner program: the entries at its top that a copy leaves out or follows, and the worker that is
//! replaced in each copy.

/// The worker of the runner program. A copy has the stand-in in its place, which asks the job gate first.
pub const WORKER: &str = "bin/Runner.Worker";
/// The real worker beside its stand-in. It stays in its folder, where it finds its other parts.
pub const REAL_WORKER: &str = "bin/Runner.Worker.real";

/// Entries of a registration, of earlier jobs, and settings that would override ours. The runner program replaces its
/// environment variables by those in `.env`, including the one that names the hook of the job gate.
const EXCLUDED: [&str; 9] = [
    ".credentials",
    ".credentials_rsaparams",
    ".env",
    ".path",
    ".runner",
    ".runner_migrated",
    ".service",
    "_diag",
    "_work",
];
/// Folders that an update of the runner program replaces as a whole.
const REPLACED: [&str; 2] = ["bin", "externals"];

/// Returns true if no copy of the runner program contains the entry with this name.
#[must_use]
pub fn is_excluded(name: &str) -> bool {
    EXCLUDED.contains(&name)
}

/// Returns true for a folder that the runner program never writes into. An update leaves a link to the folder of its version
/// there, which would lead out of a copy.
#[must_use]
pub fn is_replaced_by_updates(name: &str) -> bool {
    REPLACED.contains(&name)
}
