//! File descriptors: the most that the system allows, and a part of them for connections, so that clients cannot take
//! descriptors from runners, the store and GitHub.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most connections of the public listener, whatever the system allows, because each can hold memory.
const MAX_PUBLIC: u64 = 4096;
/// The most connections of the admin listener.
const MAX_ADMIN: u64 = 256;
/// The system's maximum if it reports no limit.
const MAX_DESCRIPTORS: u64 = 1 << 20;

/// The most connections of each listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connections {
    pub(super) public: usize,
    pub(super) admin: usize,
}

/// Raises the soft limit of open files to the hard limit.
pub(super) fn raise() {
    let Rlimit { maximum, current } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, soft = current, hard = maximum, "failed to raise the limit of open files");
    }
}

/// Returns the bounds for the current limit.
pub(super) fn connections() -> Connections {
    share(getrlimit(Resource::Nofile).current.unwrap_or(MAX_DESCRIPTORS))
}

/// Reserves half of the descriptors for public connections and a sixteenth for admin connections.
fn share(descriptors: u64) -> Connections {
    let bound = |share: u64, max: u64| usize::try_from(share.clamp(1, max)).unwrap_or(1);
    Connections {
        public: bound(descriptors / 2, MAX_PUBLIC),
        admin: bound(descriptors / 16, MAX_ADMIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_never_get_more_than_their_share() {
        let of = |public, admin| Connections { public, admin };
        assert_eq!(share(1024), of(512, 64));
        assert_eq!(share(64), of(32, 4));
        assert_eq!(share(1), of(1, 1));
        assert_eq!(share(u64::MAX), of(4096, 256));
    }
}
