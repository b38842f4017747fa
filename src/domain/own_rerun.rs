//! Attempts that jitgate's own App started, because a job of the attempt before was lost with its machine.
//!
//! Two facts are necessary. The ledger shows that jitgate re-ran exactly the attempt before for this reason, and GitHub
//! shows that the bot of jitgate's own App started this attempt. Such an attempt is judged without the rules about its
//! triggering actor. Every other rule applies to it.

use super::facts::{Cause, Fact, Facts};

/// The answer to the question whether jitgate itself started an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnRerun {
    Yes,
    No,
    /// The login of the App's bot was not asked for yet.
    Unasked,
    /// GitHub did not answer with the login of the App's bot.
    Open(Cause),
}

/// Reports whether jitgate started the current attempt of the run.
#[must_use]
pub fn of(facts: &Facts) -> OwnRerun {
    let Some(run) = facts.run.known() else {
        return OwnRerun::No;
    };
    let attempt = facts.ledger.rerun_lost_attempt.and_then(|lost| lost.checked_add(1));
    let follows = attempt == Some(run.run_attempt);
    let starter = run.triggering_actor.as_ref();
    let Some(bot) = starter.filter(|starter| follows && starter.is_bot()) else {
        return OwnRerun::No;
    };
    match &facts.own_bot {
        Fact::Known(login) if login.eq_ignore_ascii_case(&bot.login) => OwnRerun::Yes,
        Fact::Known(_) | Fact::Gone => OwnRerun::No,
        Fact::NotAsked => OwnRerun::Unasked,
        Fact::Failed(cause) => OwnRerun::Open(*cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::facts::{LedgerFacts, Run, User};
    use crate::domain::ids::RepositoryId;

    fn facts(attempt: u32, starter: Option<(&str, &str)>, mark: Option<u32>, own_bot: Fact<String>) -> Facts {
        let starter = starter.map(|(login, kind)| User {
            login: login.to_owned(),
            kind: kind.to_owned(),
        });
        let run = Run {
            event: "pull_request".to_owned(),
            path: ".github/workflows/ci.yml".to_owned(),
            run_attempt: attempt,
            head_sha: "f".repeat(40),
            head_branch: None,
            created_at: None,
            actor: None,
            triggering_actor: starter,
            repository_id: RepositoryId(1),
            repository_owner_id: None,
            head_repository: None,
            private: Some(true),
        };
        Facts {
            run: Fact::Known(run),
            own_bot,
            ledger: LedgerFacts {
                rerun_lost_attempt: mark,
                ..LedgerFacts::default()
            },
            ..Facts::default()
        }
    }

    #[test]
    fn an_own_rerun_needs_the_mark_of_the_attempt_before_and_the_apps_own_bot() {
        use OwnRerun::{No, Open, Unasked, Yes};
        let ours = || Fact::Known("jitgate[bot]".to_owned());
        let bot = Some(("jitgate[bot]", "Bot"));
        for (attempt, starter, mark, own_bot, answer) in [
            (2, bot, Some(1), ours(), Yes),
            (2, Some(("JitGate[bot]", "Bot")), Some(1), ours(), Yes),
            (2, bot, None, ours(), No),
            (3, bot, Some(1), ours(), No),
            (1, bot, Some(1), ours(), No),
            (2, bot, Some(2), ours(), No),
            (2, Some(("renovate[bot]", "Bot")), Some(1), ours(), No),
            (2, Some(("jitgate", "User")), Some(1), ours(), No),
            (2, Some(("ann", "User")), Some(1), Fact::NotAsked, No),
            (2, None, Some(1), ours(), No),
            (2, bot, Some(1), Fact::Gone, No),
            (2, bot, Some(1), Fact::NotAsked, Unasked),
            (
                2,
                bot,
                Some(1),
                Fact::Failed(Cause::Unavailable),
                Open(Cause::Unavailable),
            ),
            (0, bot, Some(u32::MAX), ours(), No),
        ] {
            let facts = facts(attempt, starter, mark, own_bot);
            assert_eq!(of(&facts), answer, "{attempt} {starter:?} {mark:?}");
        }
        assert_eq!(of(&Facts::default()), No);
    }
}
