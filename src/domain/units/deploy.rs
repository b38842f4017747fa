//! The units in `deploy/`: those of `jitgate serve`, and those of `jitgate setup` with example values.

use super::command::{BadWord, Program, Word};
use super::gate;
use super::pool::PoolUnits;
use super::recovery::RecoveryUnits;
use super::token::{DEFAULT_TOKEN_FILE, TokenUnits};
use super::unit::Unit;

/// Returns the units with their file names in `deploy/`.
///
/// # Errors
/// If an example value is not a word.
pub fn deployed() -> Result<Vec<Unit>, BadWord> {
    let word = Word::parse;
    let program = Program {
        path: word("/usr/local/bin/jitgate")?,
        config: Some(word("/etc/jitgate/jitgate.toml")?),
        user: word("jitgate")?,
        environment: Vec::new(),
    };
    let worker = [
        ("JITGATE__SERVER__STATE_DIR", "%S/jitgate"),
        ("JITGATE__STORE__URL", "sqlite:%S/jitgate/jitgate.db"),
    ];
    let worker = worker.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let pool = PoolUnits {
        program: Program {
            environment: worker.to_vec(),
            ..program.clone()
        },
        min: 1,
        max: 4,
        target: 4,
        interval_s: 15,
        token_file: Some(word(DEFAULT_TOKEN_FILE)?),
        is_refreshed: true,
    };
    let token = TokenUnits {
        program: program.clone(),
        app_id: word("123456")?,
        installation_id: 12_345_678,
        private_key_file: word("/etc/jitgate/app.pem")?,
        token_file: word(DEFAULT_TOKEN_FILE)?,
        token_directory: word("/etc/chem-model-edit")?,
        interval_s: 1800,
    };
    let recovery = RecoveryUnits {
        program,
        repository: word("octo-org/octo-repo")?,
        labels: Some(word("self-hosted,linux,x64")?),
        group: word("Default")?,
        runner_home: word("/opt/actions-runner")?,
        token_file: Some(word(DEFAULT_TOKEN_FILE)?),
    };
    let timer = PoolUnits {
        interval_s: 60,
        ..pool.clone()
    };
    let setup = [pool.supervisor(), timer.reconcile(), token.units(), recovery.units()];
    Ok(gate::units().into_iter().chain(setup.into_iter().flatten()).collect())
}
