//! `jitgate rollout hold`, `resume` and `advance`: a person with a reason, and refusals.

use super::stage::Stage;
use jitgate::domain::rollout::Changed;
use serde_json::json;

const MANUAL: &str = "advance = \"manual\"\n[runners]\nhost = \"synthetic\"\nmin = 0\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_person_holds_the_canary_in_its_stage_and_lets_it_go_on() {
    let stage = Stage::set("enforce").await;
    for args in [&["rollout", "hold"][..], &["rollout", "hold", "--why", " "]] {
        assert_eq!(stage.jitgate(args).code, 2, "a reason is required");
    }
    let hold = ["rollout", "hold", "--why", "the image changes", "--by", "alice"];
    let dry = stage.jitgate(&[&hold[..], &["--dry-run"]].concat());
    assert_eq!(
        (dry.code, dry.out.contains("would be held in stage 0")),
        (0, true),
        "{}",
        dry.err
    );
    assert_eq!(stage.record().await.canary.held, None);
    assert_eq!(stage.jitgate(&hold).code, 0);
    let again = stage.jitgate(&hold);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("held by alice: the image changes"), "{}", again.err);
    stage.count(1..=3).await;
    let status = stage.jitgate(&["--json", "rollout", "status"]).json();
    assert_eq!((&status["stage"], &status["progress"]), (&json!(0), &json!(3)));
    let held = &status["held"];
    assert_eq!(
        (&held["by"], &held["why"], &held["cause"]),
        (&json!("alice"), &json!("the image changes"), &json!("hold"))
    );
    let text = stage.jitgate(&["rollout", "status"]).out;
    assert!(text.contains("held      by alice: the image changes"), "{text}");
    let refused = stage.jitgate(&["rollout", "advance", "--why", "now"]);
    assert_eq!(refused.code, 1, "it is held");
    assert_eq!(
        stage
            .jitgate(&["rollout", "resume", "--why", "it works", "--by", "bob"])
            .code,
        0
    );
    assert_eq!(stage.jitgate(&["rollout", "resume", "--why", "it works"]).code, 1);
    stage.pass().await;
    assert_eq!(stage.record().await.canary.stage, 1);
    let resumed = stage.changes(Changed::Resume).await.remove(0);
    assert_eq!(
        (resumed.by.as_deref(), resumed.why.as_deref()),
        (Some("bob"), Some("it works"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_stage_waits_with_routing_off_for_a_person() {
    let stage = Stage::set_with("enforce", MANUAL).await;
    // GitHub does not take the first write.
    let fault = json!({"faults": [{"endpoint": "set-variable", "status": 503}]});
    stage.github.apply(&fault).await.expect("the simulator takes it");
    stage.count([1]).await;
    stage.pass().await;
    assert_eq!(stage.variable().await, "false");
    assert_eq!(stage.alerts().await, [], "it is no rollback");
    let stops = stage.changes(Changed::Disable).await;
    assert_eq!(
        (stops.len(), stops[0].by.as_deref(), stops[0].would),
        (1, Some("jitgate"), false)
    );
    let status = stage.jitgate(&["--json", "rollout", "status"]).json();
    assert_eq!(
        (&status["stage"], &status["held"]["cause"]),
        (&json!(0), &json!("advance"))
    );
    let text = stage.jitgate(&["rollout", "status"]).out;
    assert!(text.contains("waits for `jitgate rollout advance`"), "{text}");
    for _ in 0..3 {
        stage.advance(10);
        stage.pass().await;
    }
    assert_eq!(stage.variable().await, "false");
    let advance = ["rollout", "advance", "--why", "all green", "--by", "alice"];
    assert_eq!(stage.jitgate(&[&advance[..], &["--dry-run"]].concat()).code, 0);
    assert_eq!(stage.variable().await, "false", "nothing has changed yet");
    let answer = stage.jitgate(&advance);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(answer.out.contains("has advanced to stage 1"), "{}", answer.out);
    assert_eq!(stage.variable().await, "true");
    let moved = stage.changes(Changed::Advance).await.remove(0);
    assert_eq!((moved.from, moved.to, moved.by.as_deref()), (0, 1, Some("alice")));
    assert_eq!(moved.why.as_deref(), Some("all green"));
    assert_eq!(stage.changes(Changed::Enable).await.len(), 1);
    stage.advance(1);
    stage.count(2..=11).await;
    assert_eq!(stage.variable().await, "false", "the next stage is complete");
    // A person who switches routing on at GitHub has started the next stage.
    stage.advance(10);
    stage.switch("true").await;
    stage.pass().await;
    assert_eq!(
        (stage.variable().await.as_str(), stage.record().await.canary.stage),
        ("true", 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_stage_is_refused_while_a_trigger_is_hit_or_routing_is_off_or_none_is_left() {
    let stage = Stage::set("observe").await;
    stage.failed_to_boot(1).await;
    stage.advance(1);
    stage.failed_to_boot(2).await;
    let advance = ["rollout", "advance", "--why", "now"];
    let refused = stage.jitgate(&advance);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("trigger boot-failures is hit"), "{}", refused.err);
    stage.advance(1);
    stage.ran(3, 5).await;
    for to in 1..=3 {
        let answer = stage.jitgate(&advance);
        assert_eq!(answer.code, 0, "{}", answer.err);
        assert_eq!(stage.record().await.canary.stage, to);
    }
    let refused = stage.jitgate(&advance);
    assert_eq!(
        (refused.code, refused.err.contains("last stage")),
        (1, true),
        "{}",
        refused.err
    );
    stage.switch("false").await;
    let stage = Stage::set("enforce").await;
    stage.switch("false").await;
    let refused = stage.jitgate(&advance);
    assert_eq!(
        (refused.code, refused.err.contains("routing is off")),
        (1, true),
        "{}",
        refused.err
    );
}
