//! `pool scale`: the stored bounds, the steps that follow from them, and the files about both.

use super::stage::{Stage, each, has_slots, steps};
use crate::support::gate::Settings;
use crate::support::payload::guid;
use crate::support::stores::on_each_store;
use serde_json::{Value, json};
use std::fs;

const TARGET_4: &[&str] = &["--min", "1", "--max", "4", "--target", "4"];

async fn a_worker_obeys_stored_bounds_until_they_are_reset(store: Settings<'_>) {
    let stage = Stage::set(store).await;
    // The worker looks for a change by itself, long before its next pass.
    let flags = [TARGET_4, &["--interval", "3600"]].concat();
    let supervisor = stage.supervise(&flags).await;
    let before = stage
        .status_until(|status| has_slots(status, &[1, 2, 3, 4], "ready"))
        .await;
    assert_eq!(before["set"], Value::Null);
    assert!(before["last_pass"].is_string() && before["lock"]["command"] == "pool supervise");

    let files = ["inventory.json", "status.json"].map(|name| stage.place.path(name).display().to_string());
    let scale = [
        &[
            "pool",
            "scale",
            "--repo",
            "octo-org/chem-model",
            "--min",
            "1",
            "--max",
            "4",
            "--target",
            "2",
        ][..],
        &["--inventory-out", &files[0], "--status-out", &files[1]],
        &["--why", "the disk is slow", "--by", "alice"],
    ]
    .concat();
    let answer = stage.run(&scale).await;
    assert_eq!(answer.code, 0, "{}", answer.err);
    let read = |at: usize| -> Value { serde_json::from_slice(&fs::read(&files[at]).expect("a file")).expect("JSON") };
    let (inventory, result) = (read(0), read(1));
    let names = |count: usize| -> Vec<String> {
        let names = [
            "home-self-host",
            "home-self-host-2",
            "home-self-host-3",
            "home-self-host-4",
        ];
        names.iter().take(count).map(|name| (*name).to_owned()).collect()
    };
    assert_eq!(
        inventory["control"],
        json!({"min": 1, "max": 4, "target_requested": 2, "target_effective": 2})
    );
    assert_eq!(inventory["desired_names"], json!(names(2)));
    assert_eq!(inventory["local_managed_names"], json!(names(4)));
    assert_eq!(inventory["github_managed_names"], json!([]));
    assert_eq!(each(&inventory["runners"], "desired"), [true, true, false, false]);
    assert_eq!(result["result"], "changed");
    assert_eq!(
        steps(&result),
        ["set -", "remove home-self-host-4", "remove home-self-host-3"]
    );
    assert_eq!(result["warnings"], json!([]));
    assert_eq!(result["counts"]["remove"], 2);

    let after = stage.status_until(|status| has_slots(status, &[1, 2], "ready")).await;
    assert_eq!((&after["source"], &after["target"]), (&json!("scale"), &json!(2)));
    assert_eq!(
        (&after["set"]["by"], &after["set"]["why"]),
        (&json!("alice"), &json!("the disk is slow"))
    );
    // The two slots in the lowest places are the same as before.
    assert_eq!(each(&after["slots"], "slot"), each(&before["slots"], "slot")[..2]);

    let again = stage.run(&[&scale[..], &["--json"]].concat()).await.json();
    assert_eq!(
        (&again["status"]["result"], steps(&again["status"]).len()),
        (&json!("unchanged"), 0)
    );
    let told = stage.run(&scale).await;
    assert!(told.out.contains("nothing is to do"), "{}", told.out);
    let last = stage.status().await;
    assert_eq!(last["set"], after["set"], "a repetition records nothing");

    // A restart with other flags changes nothing, and a reset does.
    drop(supervisor);
    let _supervisor = stage.supervise(&flags).await;
    stage.status_until(|status| has_slots(status, &[1, 2], "ready")).await;
    let checked = stage.run(&["config", "check"]).await;
    assert!(
        checked.out.contains("set by alice: the disk is slow"),
        "{}",
        checked.out
    );
    let reset = stage.run(&["pool", "scale", "--reset"]).await;
    assert_eq!(reset.code, 0, "{}", reset.err);
    let configured = stage
        .status_until(|status| has_slots(status, &[1, 2, 3, 4], "ready"))
        .await;
    assert_eq!(
        (&configured["set"], &configured["source"]),
        (&Value::Null, &json!("configuration"))
    );
    let checked = stage.run(&["config", "check"]).await;
    assert!(!checked.out.contains("set by"), "{}", checked.out);
    // Stored bounds that are the configured ones replace nothing.
    let same = stage.run(&[&["pool", "scale"], TARGET_4].concat()).await;
    assert_eq!(same.code, 0, "{}", same.err);
    let checked = stage.run(&["config", "check"]).await;
    assert!(!checked.out.contains("set by"), "{}", checked.out);
}
on_each_store!(a_worker_obeys_stored_bounds_until_they_are_reset);

#[tokio::test(flavor = "multi_thread")]
async fn the_target_is_kept_between_the_bounds() {
    let stage = Stage::set(&[]).await;
    let _supervisor = stage.supervise(&["--min", "2", "--max", "3", "--target", "9"]).await;
    stage
        .status_until(|status| has_slots(status, &[1, 2, 3], "ready"))
        .await;
    for (flags, requested, effective) in [
        (&["--min", "2", "--max", "3"][..], Value::Null, 2),
        (&["--min", "2", "--max", "3", "--target", "9"], json!(9), 3),
        (&["--min", "2", "--max", "3", "--target", "0"], json!(0), 2),
    ] {
        let planned = stage
            .run(&[&["pool", "scale", "--json", "--dry-run"], flags].concat())
            .await
            .json();
        let control = &planned["inventory"]["control"];
        assert_eq!(control["target_requested"], requested, "{flags:?}");
        assert_eq!(control["target_effective"], effective, "{flags:?}");
    }
    for (wrong, part) in [
        (
            &["--min", "4", "--max", "3"][..],
            "the minimum 4 is more than the maximum 3",
        ),
        (&["--max", "10001"], "10001"),
        (&["--force-remove-busy"], "--min"),
        (&["--reset", "--min", "1"], "--reset"),
        (
            &["--min", "1", "--inventory-out", "a", "--status-out", "a"],
            "the same file",
        ),
    ] {
        let answer = stage.run(&[&["pool", "scale"], wrong].concat()).await;
        assert_eq!(answer.code, 2, "{wrong:?}: {}", answer.err);
        assert!(answer.err.contains(part), "{wrong:?}: {}", answer.err);
    }
}

/// Three jobs run, and a fourth slot is free.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_slot_is_removed_only_by_force() {
    let stage = Stage::set(&[]).await;
    let job = |id: u64| json!({"id": id, "name": "e2e", "duration_s": 3600});
    let run = json!({"runs": [{"id": 20, "pull": 7, "jobs": [job(101), job(102), job(103)]}]});
    stage.github.apply(&run).await.expect("a run");
    let (gate, rest) = stage.serve(&[]).await;
    for (number, job) in (101..=103).enumerate() {
        let payload = rest
            .github
            .render("workflow_job", "queued", job, None)
            .await
            .expect("a payload");
        let answer = gate.deliver("workflow_job", &guid(number), payload.to_string()).await;
        assert_eq!(answer.status, 202);
    }
    let free = |status: &Value| {
        let mut slots = status["slots"].as_array().expect("slots").iter();
        let free = slots.find(|slot| slot["busy"] == false && slot["state"] == "ready")?;
        free["index"].as_u64()
    };
    let is_open = |status: &Value| {
        let open = each(&status["slots"], "state")
            .into_iter()
            .filter(|state| *state == "open");
        // A slot counts as busy until the task that was about to use it has ended, even if its job got another one.
        open.count() == 3 && each(&status["slots"], "index") == [1, 2, 3, 4] && free(status).is_some()
    };
    let busy = rest.status_until(&gate, is_open).await;
    let idle = free(&busy).expect("a free slot");

    let scale = ["pool", "scale", "--json", "--min", "1", "--max", "4", "--target", "1"];
    let answer = rest.run(&gate, &scale).await.json();
    let (inventory, result) = (&answer["inventory"], &answer["status"]);
    let name = |index: u64| match index {
        1 => "home-self-host".to_owned(),
        _ => format!("home-self-host-{index}"),
    };
    assert_eq!(steps(result), ["set -".to_owned(), format!("remove {}", name(idle))]);
    let beyond: Vec<u64> = (2..=4).rev().filter(|index| *index != idle).collect();
    let warned = each(&result["warnings"], "runner");
    assert_eq!(
        warned,
        beyond
            .iter()
            .map(|index| json!(name(*index)))
            .collect::<Vec<_>>()
            .iter()
            .collect::<Vec<_>>()
    );
    assert!(
        each(&result["warnings"], "code")
            .iter()
            .all(|code| *code == "busy_runner_not_removed")
    );
    let at_github = inventory["github_managed_names"].as_array().expect("names").len();
    assert_eq!(at_github, 3, "GitHub lists the runners in the slots: {inventory:#}");
    let still = rest
        .status_until(&gate, |status| each(&status["slots"], "busy") == [true, true, true])
        .await;
    assert_eq!(each(&still["runners"], "state"), ["running"; 3]);

    let forced = rest
        .run(
            &gate,
            &[
                &scale[..],
                &["--force-remove-busy", "--by", "bob", "--why", "the host is needed"],
            ]
            .concat(),
        )
        .await
        .json();
    let removals: Vec<String> = beyond
        .iter()
        .map(|index| format!("remove-busy {}", name(*index)))
        .collect();
    let told: Vec<String> = steps(&forced["status"])
        .into_iter()
        .filter(|step| !step.starts_with("set"))
        .collect();
    let (busy_ones, others): (Vec<String>, Vec<String>) =
        told.into_iter().partition(|step| step.starts_with("remove-busy"));
    assert_eq!(busy_ones, removals);
    // If the free slot had the first place, a job's slot is the one that stays, or a new one boots in the first place.
    assert!(others.iter().all(|step| step == "boot home-self-host"), "{others:?}");
    rest.status_until(&gate, |status| each(&status["slots"], "index") == [1])
        .await;
    let past = gate.ask_until("/api/v1/runners?all=true", |list| {
        let removed = each(&list["runners"], "outcome")
            .into_iter()
            .filter(|it| *it == "removed");
        removed.count() == beyond.len()
    });
    let past = past.await;
    let of_removed = past["runners"]
        .as_array()
        .expect("runners")
        .iter()
        .find(|it| it["outcome"] == "removed");
    let detail = &of_removed.expect("one")["detail"];
    assert_eq!(detail, "bob removed its busy slot: the host is needed");
}
