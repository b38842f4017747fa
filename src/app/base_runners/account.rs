//! The account that a runner program runs as.

use crate::ports::Tools;
use crate::ports::tools::{ToolCall, ToolError};
use std::time::Duration;

/// Time that `getent` may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: String,
}

impl Account {
    /// Looks up an account by its name or number. Returns none if the machine does not have it.
    ///
    /// # Errors
    /// If `getent` cannot be run.
    pub async fn find(tools: &dyn Tools, key: &str) -> Result<Option<Self>, ToolError> {
        let call = ToolCall::new("getent", LOOKUP_TIMEOUT).args(["passwd", "--", key]);
        let output = tools.run(&call).await?;
        Ok(output.stdout.lines().next().and_then(Self::parse))
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields.as_slice() else {
            return None;
        };
        Some(Self {
            name: (*name).to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: (*home).to_owned(),
        })
    }

    /// Returns the words of a command that runs as this account, with its home directory. Only root can do this for
    /// another account.
    #[must_use]
    pub fn command(&self, is_own: bool, words: &[String]) -> Vec<String> {
        let mut command = Vec::new();
        if !is_own {
            command.extend([
                "setpriv".to_owned(),
                format!("--reuid={}", self.uid),
                format!("--regid={}", self.gid),
                "--init-groups".to_owned(),
                "--".to_owned(),
            ]);
            command.extend([
                "env".to_owned(),
                format!("HOME={}", self.home),
                format!("USER={}", self.name),
                format!("LOGNAME={}", self.name),
            ]);
        }
        command.extend(words.iter().cloned());
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_changes_to_the_account_with_its_groups_and_home() {
        let account = Account::parse("runner:x:1001:1002:Runner,,,:/home/runner:/bin/sh").expect("an account");
        assert_eq!((account.uid, account.gid), (1001, 1002));
        let words = ["/opt/r/config.sh".to_owned(), "--unattended".to_owned()];
        assert_eq!(
            account.command(false, &words).join(" "),
            "setpriv --reuid=1001 --regid=1002 --init-groups -- env HOME=/home/runner USER=runner LOGNAME=runner \
             /opt/r/config.sh --unattended"
        );
        assert_eq!(account.command(true, &words), words);
        assert_eq!(Account::parse("runner:x:one"), None);
    }
}
