//! The account that jobs run as.

use rustix::process::{getegid, geteuid};
use std::process::Command;

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// Returns the account that jitgate runs as.
    pub(crate) fn own() -> Self {
        let uid = geteuid().as_raw();
        Self {
            // An account without a name, as in a container, can run jobs too.
            name: id(&["-un"]).unwrap_or_else(|| uid.to_string()),
            uid,
            gid: getegid().as_raw(),
        }
    }

    /// Returns the account with this name, if it exists.
    pub(crate) fn named(name: &str) -> Option<Self> {
        // `id` reads every source of accounts, such as LDAP.
        let number = |what| id(&[what, "--", name])?.parse().ok();
        Some(Self {
            name: name.to_owned(),
            uid: number("-u")?,
            gid: number("-g")?,
        })
    }

    pub(crate) fn is_own(&self) -> bool {
        self.uid == geteuid().as_raw()
    }

    pub(crate) fn is_root(&self) -> bool {
        self.uid == 0
    }
}

fn id(args: &[&str]) -> Option<String> {
    let output = Command::new("id").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
