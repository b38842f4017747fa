//! The storms: deliveries arrive while the processes and the server that handle them are killed at random.

use crate::cluster::Cluster;
use crate::deliveries::{SeededRng, Storm};
use crate::effects::{verify_effects, wait_until_idle};
use crate::github::{GitHub, pace};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Each storm has at least this number of kills.
const MIN_KILLS: usize = 6;
/// More kills, or a longer storm, would cost a slow machine time without a new result.
const MAX_KILLS: usize = 24;
const STORM_DURATION: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_ingresses_and_two_workers_on_redis_lose_no_delivery() {
    let mut rng = SeededRng::new();
    let storm = Storm::generate(&mut rng);
    let github = GitHub::of(&storm.world).await;
    let cluster = Cluster::on_redis(&github, &["ingress", "ingress", "worker", "worker"]).await;
    run_storm(&mut rng, &storm, &github, cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_on_sqlite_loses_no_delivery() {
    let mut rng = SeededRng::new();
    let storm = Storm::generate(&mut rng);
    let github = GitHub::of(&storm.world).await;
    let cluster = Cluster::on_sqlite(&github).await;
    run_storm(&mut rng, &storm, &github, cluster).await;
}

/// Delivers everything while processes are killed and restarted, then checks the effects.
async fn run_storm(rng: &mut SeededRng, storm: &Storm, github: &Arc<GitHub>, mut cluster: Cluster) {
    let began = Instant::now();
    let at = || format!("{:>6.2} s", began.elapsed().as_secs_f64());
    let storming = watch::Sender::new(true);
    let mut ended = storming.subscribe();
    let going_on = tokio::spawn({
        let (github, storming) = (github.clone(), storming.subscribe());
        async move {
            let mut pace = pace(50);
            while *storming.borrow() {
                pace.tick().await;
                github.go_on().await;
            }
        }
    });
    let sending = tokio::spawn({
        let (github, deliveries) = (github.clone(), storm.deliveries.clone());
        async move {
            github.deliver_all(deliveries).await;
            storming.send_replace(false);
        }
    });
    // The random moments are numbers of deliveries and not times: the machine may be slow.
    let mut sent = github.sent.subscribe();
    let mut until_more_are_sent = async |count: usize| {
        let until = *sent.borrow() + count;
        tokio::select! {
            counted = sent.wait_for(|sent| *sent >= until) => drop(counted.expect("it is counted")),
            over = ended.wait_for(|storming| !storming) => drop(over.expect("it ends")),
        }
    };
    let mut kills = 0;
    while !sending.is_finished() && kills < MAX_KILLS && (kills < MIN_KILLS || began.elapsed() < STORM_DURATION) {
        until_more_are_sent(rng.below(250)).await;
        let mut victims = BTreeSet::from([cluster.any(rng)]);
        if rng.below(3) == 0 {
            victims.insert(cluster.any(rng));
        }
        for victim in &victims {
            let name = cluster.kill(*victim).await;
            println!(
                "{}  killed {name} {victim} after {} were sent",
                at(),
                *github.sent.borrow()
            );
            kills += 1;
        }
        until_more_are_sent(rng.below(50)).await;

        for victim in victims {
            cluster.restart(victim).await;
        }
    }
    sending.await.expect("all deliveries are accepted");
    going_on.await.expect("GitHub goes on");
    println!("{}  all deliveries are accepted", at());
    assert!(kills >= MIN_KILLS, "only {kills} kills");
    wait_until_idle(storm, github, cluster.gate(0)).await;
    println!("{}  no work is left", at());
    verify_effects(storm, github, cluster.gate(0)).await;
    println!("{}  every delivery took effect once, {kills} kills", at());
}
