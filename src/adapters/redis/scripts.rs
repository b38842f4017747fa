//! The scripts. Those that free memory also run when the memory is full; those that need memory are rejected before
//! they begin.

use redis::{Arg, Cmd};
use std::time::Duration;

/// Longer than any retention, and exact in the numbers of a script.
const MAX_TIME: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// Converts a time to the whole milliseconds that scripts use, rounded up.
pub(super) fn millis(time: Duration) -> u64 {
    let micros = time.min(MAX_TIME).as_micros();
    u64::try_from(micros.div_ceil(1000)).unwrap_or(u64::MAX)
}

/// A script and the hash by which servers know it.
pub(super) struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    fn new(code: &'static str) -> Self {
        let hash = redis::Script::new(code).get_hash().to_owned();
        Self { code, hash }
    }

    /// Returns a call with these keys; arguments follow with [`Cmd::arg`].
    pub(super) fn on(&self, keys: &[String]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.hash).arg(keys.len()).arg(keys);
        command
    }

    /// Returns the same call with the text of the script, for a server that does not know it yet.
    pub(super) fn in_full(&self, call: &Cmd) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(self.code);
        for arg in call.args_iter().skip(2) {
            if let Arg::Simple(arg) = arg {
                command.arg(arg);
            }
        }
        command
    }
}

/// All scripts, by file name.
pub(super) struct Scripts {
    pub(super) accept: Script,
    pub(super) claim: Script,
    pub(super) hold: Script,
    pub(super) settle: Script,
    pub(super) requeue: Script,
    pub(super) forget_dead: Script,
    pub(super) due: Script,
    pub(super) show: Script,
    pub(super) list: Script,
    pub(super) depth: Script,
    pub(super) put: Script,
    pub(super) remove: Script,
    pub(super) page: Script,
}

macro_rules! of_queue {
    ($flags:literal, $file:literal) => {
        Script::new(concat!(
            "#!lua",
            $flags,
            "\n",
            include_str!("scripts/shard.lua"),
            include_str!($file)
        ))
    };
}

macro_rules! of_ledger {
    ($flags:literal, $file:literal) => {
        Script::new(concat!("#!lua", $flags, "\n", include_str!($file)))
    };
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            accept: of_queue!("", "scripts/accept.lua"),
            claim: of_queue!(" flags=allow-oom", "scripts/claim.lua"),
            hold: of_queue!(" flags=allow-oom", "scripts/hold.lua"),
            settle: of_queue!(" flags=allow-oom", "scripts/settle.lua"),
            requeue: of_queue!("", "scripts/requeue.lua"),
            forget_dead: of_queue!(" flags=allow-oom", "scripts/forget_dead.lua"),
            due: of_queue!(" flags=no-writes", "scripts/due.lua"),
            show: of_queue!(" flags=allow-oom", "scripts/show.lua"),
            list: of_queue!(" flags=allow-oom", "scripts/list.lua"),
            depth: of_queue!(" flags=allow-oom", "scripts/depth.lua"),
            put: of_ledger!(" flags=allow-oom", "scripts/put.lua"),
            remove: of_ledger!(" flags=allow-oom", "scripts/remove.lua"),
            page: of_ledger!(" flags=no-writes", "scripts/page.lua"),
        }
    }
}
