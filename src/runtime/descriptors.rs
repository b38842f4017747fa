//! File descriptors: as many as the system lets this process have, and a share of them for connections, so that whoever
//! opens connections takes none from runners, the store and GitHub.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Most connections of the public listener, whatever the system allows: each can hold some memory.
const MAX_PUBLIC: u64 = 4096;
/// Most connections of the admin listener.
const MAX_ADMIN: u64 = 256;
/// What the system has where it names no limit.
const MAX_DESCRIPTORS: u64 = 1 << 20;

/// How many connections each listener may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connections {
    pub(super) public: usize,
    pub(super) admin: usize,
}

/// Raises the soft limit of open files to the hard one.
pub(super) fn raise() {
    let Rlimit { maximum, current } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, soft = current, hard = maximum, "cannot raise the limit of open files");
    }
}

/// The bounds that the present limit allows.
pub(super) fn connections() -> Connections {
    share(getrlimit(Resource::Nofile).current.unwrap_or(MAX_DESCRIPTORS))
}

/// Half of all for connections of the public, a sixteenth for those of the admin listener, the rest for the work.
fn share(descriptors: u64) -> Connections {
    let bound = |wanted: u64, most: u64| usize::try_from(wanted.clamp(1, most)).unwrap_or(1);
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
