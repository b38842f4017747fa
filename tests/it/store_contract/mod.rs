//! One contract, run against every engine: what the queue and the ledger promise holds for each.

mod delivering;
mod engine;

pub(crate) use engine::AMPLE;
mod in_memory;
mod in_redis;
mod in_sqlite;
mod keeping;
mod killed;
mod one_file;
mod recording;

/// Tells every story to one engine: `each` to an engine of its own, or all `together` to one that takes long to start. A
/// story that is missing here is dead code, and the lints say so.
macro_rules! contract {
    (each, $engine:ident, $new:expr) => {
        mod $engine {
            contract!(@stories each $new);
        }
    };
    (together, $engine:ident, $new:expr) => {
        mod $engine {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn every_story() {
                let engine = $new;
                contract!(@stories together engine);
            }
        }
    };
    (@stories $how:ident $engine:expr) => {
            contract!(@$how $engine, delivering:
                a_delivery_is_taken_worked_on_and_done
                a_failed_delivery_comes_back_after_its_delay
                a_dead_letter_is_queued_again_when_its_guid_arrives_again
                what_a_dead_worker_held_comes_back
                what_a_worker_holds_stays_with_it
                giving_back_what_one_no_longer_holds_changes_nothing
                one_guid_from_fifty_senders_is_taken_once
                one_delivery_goes_to_one_of_ten_workers
                an_ignored_delivery_leaves_its_guid_and_no_body
                one_that_cannot_be_read_is_a_dead_letter_at_once_and_can_be_retried
                deliveries_of_one_job_go_out_one_at_a_time
                the_oldest_go_out_first
                requeue_hands_out_what_is_over_and_leaves_the_rest
                a_requeued_delivery_cannot_be_given_back_by_its_first_worker
                a_caller_that_gave_up_does_no_harm
                waiting_ends_when_something_arrives
                waiting_ends_when_an_earlier_one_of_the_job_is_done
            );
            contract!(@$how $engine, keeping:
                unknown_guids_are_unknown
                the_newest_deliveries_are_listed_first
                listings_show_what_was_asked_for
                a_dead_letter_is_forgotten_when_told_to
                depth_counts_what_is_where
                a_full_queue_keeps_room_for_what_could_reach_a_runner
                a_dead_letter_that_arrives_again_waits_its_turn_when_the_queue_is_full
                bodies_are_bounded_and_finished_ones_make_room
                finished_deliveries_are_forgotten_and_unfinished_ones_kept
                bodies_come_back_as_they_came
                odd_names_come_back_as_they_came
            );
            contract!(@$how $engine, recording:
                every_write_is_one_version
                a_write_on_a_stale_version_changes_nothing
                removed_records_are_gone_and_begin_anew
                of_fifty_writers_one_wins_each_version
                no_increment_is_lost
                records_are_listed_in_pages
                records_are_kept_as_long_as_was_said_last
                a_record_of_no_time_is_gone_at_once
                of_spare_records_those_go_first_that_were_changed_longest_ago
                odd_texts_come_back_as_they_came
            );
    };
    (@each $new:expr, $module:ident: $($story:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$module::$story(&$new).await;
            }
        )*
    };
    (@together $engine:expr, $module:ident: $($story:ident)*) => {
        $(
            println!("{}", stringify!($story));
            super::$module::$story(&$engine).await;
        )*
    };
}

contract!(each, memory, crate::store_contract::in_memory::InMemory::new());
contract!(each, sqlite, crate::store_contract::in_sqlite::InSqlite::new());
contract!(each, redis, crate::store_contract::in_redis::OnServer::new());
contract!(
    together,
    redis_cluster,
    crate::store_contract::in_redis::OnCluster::new()
);
