//! The scripts. What frees memory runs when memory is full; what needs more of it is refused before it has begun.

use redis::{Arg, Cmd};
use std::time::Duration;

/// Longer than anything is kept, and exact in a script's numbers.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// A time as scripts take it: whole milliseconds, never shorter than it was.
pub(super) fn millis(time: Duration) -> u64 {
    let micros = time.min(LONGEST).as_micros();
    u64::try_from(micros.div_ceil(1000)).unwrap_or(u64::MAX)
}

/// A script and its hash, by which servers know it.
pub(super) struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    fn new(code: &'static str) -> Self {
        let hash = redis::Script::new(code).get_hash().to_owned();
        Self { code, hash }
    }

    /// A call with these keys; arguments follow by [`Cmd::arg`].
    pub(super) fn on(&self, keys: &[String]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.hash).arg(keys.len()).arg(keys);
        command
    }

    /// The same call for a server that does not know the script; it will from then on.
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

/// All scripts, by file.
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
