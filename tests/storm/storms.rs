//! The storms: deliveries pour in, and whatever takes, keeps and works on them is killed at random.

use crate::deliveries::{Dice, Storm};
use crate::fleet::Fleet;
use crate::github::{GitHub, pace};
use crate::reckoning::{calm, reckon};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Fewer kills are no storm.
const ENOUGH: usize = 6;
/// More of them, or for longer, would only cost a slow machine time.
const MANY: usize = 24;
const STORMY: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_ingresses_and_two_workers_on_one_redis() {
    let mut dice = Dice::new();
    let storm = Storm::brew(&mut dice);
    let github = GitHub::of(&storm.world).await;
    let fleet = Fleet::on_redis(&github, &["ingress", "ingress", "worker", "worker"]).await;
    blow(&mut dice, &storm, &github, fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_on_sqlite() {
    let mut dice = Dice::new();
    let storm = Storm::brew(&mut dice);
    let github = GitHub::of(&storm.world).await;
    let fleet = Fleet::on_sqlite(&github).await;
    blow(&mut dice, &storm, &github, fleet).await;
}

/// Delivers everything while one after the other is killed and started again; then holds account.
async fn blow(dice: &mut Dice, storm: &Storm, github: &Arc<GitHub>, mut fleet: Fleet) {
    let began = Instant::now();
    let at = || format!("{:>6.2} s", began.elapsed().as_secs_f64());
    let storming = watch::Sender::new(true);
    let mut is_over = storming.subscribe();
    let living = tokio::spawn({
        let (github, storming) = (github.clone(), storming.subscribe());
        async move {
            let mut pace = pace(50);
            while *storming.borrow() {
                pace.tick().await;
                github.live().await;
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
    // Random moments of the delivering, as it is counted and not as it is timed: the machine may be slow.
    let mut sent = github.sent.subscribe();
    let mut more = async |count: usize| {
        let until = *sent.borrow() + count;
        tokio::select! {
            counted = sent.wait_for(|sent| *sent >= until) => drop(counted.expect("it is counted")),
            over = is_over.wait_for(|storming| !storming) => drop(over.expect("it ends")),
        }
    };
    let mut kills = 0;
    while !sending.is_finished() && kills < MANY && (kills < ENOUGH || began.elapsed() < STORMY) {
        more(dice.below(250)).await;
        let mut victims = BTreeSet::from([fleet.any(dice)]);
        if dice.below(3) == 0 {
            victims.insert(fleet.any(dice));
        }
        for victim in &victims {
            let name = fleet.sink(*victim).await;
            println!(
                "{}  killed {name} {victim} after {} were sent",
                at(),
                *github.sent.borrow()
            );
            kills += 1;
        }
        more(dice.below(50)).await;
        for victim in victims {
            fleet.raise(victim).await;
        }
    }
    sending.await.expect("all was delivered");
    living.await.expect("it lives on");
    println!("{}  all was delivered", at());
    assert!(kills >= ENOUGH, "{kills} kills are a breeze");
    calm(github, fleet.gate(0)).await;
    println!("{}  nothing is left to do", at());
    reckon(storm, github, fleet.gate(0)).await;
    println!("{}  everything is accounted for, {kills} kills", at());
}
