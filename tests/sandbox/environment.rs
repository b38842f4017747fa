//! A job finds its own copy of the runner program, its JIT configuration and its job gate, and nothing else.

use crate::stage::{HOOK, Stage, listed, processes, runner, until};
use jitgate::domain::slot::{Ending, Hello, SlotState};
use jitgate::ports::RunnerHost;

#[tokio::test]
async fn a_job_runs_from_boot_to_nothing() {
    let stage = Stage::new(&format!("echo hello from the runner\n{HOOK}\n"));
    let (host, slot) = stage.at_gate().await;
    let seen = listed(&host, &slot).await.expect("listed");
    assert_eq!(seen.runner, Some(runner(&slot)));
    let hello = Hello {
        repository: Some("octo-org/chem-model".to_owned()),
        run_id: Some(42),
        run_attempt: Some(2),
    };
    assert_eq!(seen.state, SlotState::AtGate(hello));
    assert!(
        !stage.folder(&slot).join("environment/home/step").exists(),
        "nothing runs before the gate opens"
    );
    host.open_gate(&slot).await.expect("opened");
    let ended = until(&host, &slot, |slot| matches!(slot.state, SlotState::Ended(_))).await;
    assert_eq!(
        ended.state,
        SlotState::Ended(Ending::Exited),
        "{}",
        stage.output(&runner(&slot))
    );
    stage.left(&slot, "step").await;
    assert_eq!(
        stage.left(&slot, "hook.log").await,
        "jitgate: asking the job gate whether this job may run here\njitgate: it may\n"
    );
    assert_eq!(processes(&slot), [] as [String; 0]);
    host.destroy(&slot).await.expect("destroyed");
    assert_eq!(listed(&host, &slot).await, None);
    assert!(!stage.folder(&slot).exists());
    assert_eq!(stage.output(&runner(&slot)), "hello from the runner\n");
}
