//! Stories of the ledger: versions, conflicts, expiry and pages.

use super::engine::*;
use jitgate::ports::ledger::{Keep, Key, Kind, Put, Stored};
use jitgate::ports::queue::Bounds;
use std::sync::Arc;
use tokio::task::JoinSet;

async fn put(store: &dyn Store, key: &Key, value: &str, expected: Option<u64>) -> Put {
    let put = store.put(key, value, expected, Keep::Forever).await;
    put.expect("the store answers")
}

async fn get(store: &dyn Store, key: &Key) -> Option<(u64, String)> {
    let stored = store.get(key).await.expect("the store answers");
    stored.map(|Stored { version, value }| (version, value))
}

async fn page(store: &dyn Store, kind: Kind, after: Option<&str>, limit: usize) -> Vec<String> {
    let page = store.list(kind, after, limit).await.expect("the store answers");
    page.into_iter().map(|(id, _)| id).collect()
}

pub(super) async fn every_write_is_one_version(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    let key = Key::new(Kind::Job, 7);
    assert_eq!(get(store, &key).await, None);
    assert_eq!(put(store, &key, "one", None).await, Put::Written(1));
    assert_eq!(put(store, &key, "two", Some(1)).await, Put::Written(2));
    assert_eq!(put(store, &key, "two", Some(2)).await, Put::Written(3));
    assert_eq!(get(store, &key).await, Some((3, "two".to_owned())));
}

pub(super) async fn a_write_on_a_stale_version_changes_nothing(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    let key = Key::new(Kind::Job, 7);
    assert_eq!(
        put(store, &key, "x", Some(1)).await,
        Put::Conflict,
        "there is no such record"
    );
    assert_eq!(put(store, &key, "x", Some(0)).await, Put::Conflict);
    assert_eq!(put(store, &key, "one", None).await, Put::Written(1));
    assert_eq!(put(store, &key, "two", Some(1)).await, Put::Written(2));
    for stale in [None, Some(0), Some(1), Some(3), Some(u64::MAX)] {
        assert_eq!(put(store, &key, "x", stale).await, Put::Conflict, "{stale:?}");
    }
    assert_eq!(get(store, &key).await, Some((2, "two".to_owned())));
}

pub(super) async fn removed_records_are_gone_and_begin_anew(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    let (key, other) = (Key::new(Kind::Run, 7), Key::new(Kind::Job, 7));
    assert_eq!(store.remove(&key).await, Ok(()));
    assert_eq!(put(store, &other, "other", None).await, Put::Written(1));
    assert_eq!(put(store, &key, "one", None).await, Put::Written(1));
    assert_eq!(put(store, &key, "two", Some(1)).await, Put::Written(2));
    assert_eq!(store.remove(&key).await, Ok(()));
    assert_eq!(get(store, &key).await, None);
    assert_eq!(put(store, &key, "x", Some(2)).await, Put::Conflict);
    assert_eq!(put(store, &key, "anew", None).await, Put::Written(1));
    assert_eq!(get(store, &other).await, Some((1, "other".to_owned())));
}

pub(super) async fn of_fifty_writers_one_wins_each_version(engine: &dyn Engine) {
    let store = engine.ample().await;
    let key = Key::new(Kind::Alert, "contested");
    for version in 0..5 {
        let expected = (version > 0).then_some(version);
        let mut writers = JoinSet::new();
        for n in 0..50 {
            let (store, key) = (store.clone(), key.clone());
            writers.spawn(async move { (n, put(&*store, &key, &n.to_string(), expected).await) });
        }
        let outcomes = writers.join_all().await;
        let winners: Vec<_> = outcomes.iter().filter(|(_, put)| *put != Put::Conflict).collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(winners[0].1, Put::Written(version + 1));
        assert_eq!(get(&*store, &key).await, Some((version + 1, winners[0].0.to_string())));
    }
}

pub(super) async fn nobodys_increment_is_lost(engine: &dyn Engine) {
    let store = engine.ample().await;
    let key = Arc::new(Key::new(Kind::Group, "counter"));
    let mut writers = JoinSet::new();
    for _ in 0..20 {
        let (store, key) = (store.clone(), key.clone());
        writers.spawn(async move {
            loop {
                let (version, value) = get(&*store, &key).await.unzip();
                let next = value.map_or(1, |value| value.parse::<u64>().expect("a number") + 1);
                if put(&*store, &key, &next.to_string(), version).await != Put::Conflict {
                    break;
                }
            }
        });
    }
    writers.join_all().await;
    assert_eq!(get(&*store, &key).await, Some((20, "20".to_owned())));
}

pub(super) async fn records_are_listed_in_pages(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    assert_eq!(page(store, Kind::Job, None, 10).await, [""; 0]);
    let ids = ["10", "2", "3", "a/b", "a/b/c", "aB", "z", "é"];
    for id in ids.iter().rev() {
        put(store, &Key::new(Kind::Runner, id), id, None).await;
    }
    for kind in [Kind::Job, Kind::Run, Kind::Repository] {
        put(store, &Key::new(kind, "5"), "x", None).await;
    }
    let mut sorted = ids;
    sorted.sort_unstable();
    assert_eq!(page(store, Kind::Runner, None, 100).await, sorted);
    assert_eq!(page(store, Kind::Runner, None, 3).await, sorted[..3]);
    assert_eq!(page(store, Kind::Runner, Some(sorted[2]), 3).await, sorted[3..6]);
    assert_eq!(
        page(store, Kind::Runner, Some("7"), 1).await,
        [sorted[3]],
        "between two ids"
    );
    assert_eq!(page(store, Kind::Runner, Some("é"), 3).await, [""; 0]);
    assert_eq!(page(store, Kind::Runner, None, 0).await, [""; 0]);
    let all = store.list(Kind::Runner, None, 100).await.expect("the store answers");
    for (id, stored) in all {
        assert_eq!((stored.version, stored.value), (1, id));
    }
}

pub(super) async fn records_are_kept_as_long_as_was_said_last(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    let key = |id| Key::new(Kind::Job, id);
    let brief = Keep::For(engine.brief());
    let writes = [
        ("brief", Keep::Forever, brief),
        ("ever", brief, Keep::Forever),
        ("long", brief, Keep::For(LONG)),
    ];
    for (id, first, last) in writes {
        for keep in [first, last] {
            write_over(store, &key(id), id, keep).await;
        }
    }
    engine.pass(engine.brief()).await;
    assert_eq!(get(store, &key("brief")).await, None);
    for stale in [Some(1), Some(2)] {
        assert_eq!(put(store, &key("brief"), "x", stale).await, Put::Conflict);
    }
    assert_eq!(page(store, Kind::Job, None, 10).await, ["ever", "long"]);
    assert_eq!(put(store, &key("brief"), "anew", None).await, Put::Written(1));
}

/// Writes whatever is there now; on a clock that moves by itself that may have expired just before.
async fn write_over(store: &dyn Store, key: &Key, value: &str, keep: Keep) {
    loop {
        let version = get(store, key).await.map(|(version, _)| version);
        let put = store.put(key, value, version, keep).await;
        if put.expect("the store answers") != Put::Conflict {
            break;
        }
    }
}

pub(super) async fn a_record_of_no_time_is_gone_at_once(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    let key = Key::new(Kind::Job, 1);
    let put_for_no_time = store.put(&key, "x", None, Keep::For(std::time::Duration::ZERO)).await;
    assert_eq!(put_for_no_time, Ok(Put::Written(1)));
    assert_eq!(get(store, &key).await, None);
}

pub(super) async fn of_spare_records_those_go_first_that_were_changed_longest_ago(engine: &dyn Engine) {
    let bounds = Bounds {
        max_spare_records: 64,
        ..AMPLE
    };
    let store = &*engine.open(bounds).await;
    let write = async |id: u64, keep: Keep| write_over(store, &Key::new(Kind::Job, id), "x", keep).await;
    let spare = Keep::Spare(LONG);
    for id in 1000..1010 {
        write(id, Keep::Forever).await;
        write(id + 10, Keep::For(LONG)).await;
    }
    for id in 0..10 {
        write(id, spare).await;
        // The record is needed again, so it is not a spare one now.
        write(id + 500, spare).await;
        write(id + 500, Keep::Forever).await;
    }
    for id in 100..400 {
        write(id, spare).await;
        // One that is changed again and again is always new.
        write(0, spare).await;
    }
    let kept = page(store, Kind::Job, None, 1000).await;
    let spare_ones = kept.iter().filter(|id| id.len() < 4 && !id.starts_with('5')).count();
    // The shards of a cluster have an even share each.
    assert!((33..=64).contains(&spare_ones), "{spare_ones} of {kept:?}");
    let has = |id: u64| kept.contains(&id.to_string());
    assert!(
        (1000..1020).chain(500..510).all(has),
        "what is not spare stays: {kept:?}"
    );
    assert!(has(0) && has(399), "the newest stay: {kept:?}");
    assert!(!(1..10).chain(100..140).any(has), "the oldest are gone: {kept:?}");
    for id in [1, 100] {
        assert_eq!(get(store, &Key::new(Kind::Job, id)).await, None);
        assert_eq!(
            put(store, &Key::new(Kind::Job, id), "anew", None).await,
            Put::Written(1)
        );
    }
}

pub(super) async fn odd_texts_come_back_as_they_came(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    let odd = [
        "",
        "'",
        "a\0b",
        "{tag}:*?[x]",
        "\u{202e}é\u{10ffff}",
        "line\r\nline",
        "%_\\",
    ];
    let big = "x".repeat(2 << 20);
    for text in odd.into_iter().chain([big.as_str()]) {
        let key = Key::new(Kind::Group, text.get(..20).unwrap_or(text));
        assert_eq!(put(store, &key, text, None).await, Put::Written(1), "{key}");
        assert_eq!(
            get(store, &key).await.map(|(_, value)| value).as_deref(),
            Some(text),
            "{key}"
        );
    }
    assert_eq!(page(store, Kind::Group, None, 100).await.len(), odd.len() + 1);
}
