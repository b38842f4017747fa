//! Hostile guests at the other end of a real socket, against the real channel and the real job gate of a slot.

use super::timeouts::Timeouts;
use super::{Channel, MAX_FROM_GUEST_BYTES};
use crate::adapters::hosts::slots::{GateEvent, watch_gate};
use crate::domain::slot::Ending;
use chrono::DateTime;
use proptest::prelude::*;
use rustix::net::sockopt::set_socket_send_buffer_size;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

/// The guest's end, played by the test.
struct Guest(BufReader<UnixStream>);

impl Guest {
    async fn say(&mut self, message: &Value) {
        self.write(format!("{message}\n").as_bytes()).await;
    }

    /// A keeper that has seen an abuse reads no more.
    async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap_or_default();
    }

    /// Returns the next message of the keeper; null once it has closed the channel.
    async fn told(&mut self) -> Value {
        loop {
            let mut line = String::new();
            match self.0.read_line(&mut line).await {
                Ok(read) if read > 0 => {}
                _ => return Value::Null,
            }
            if line != "\n" {
                return serde_json::from_str(&line).expect("a message");
            }
        }
    }

    async fn greet(&mut self) {
        let open = self.told().await;
        let nonce = open["open"]["nonce"].as_str().expect("a nonce");
        assert_eq!(nonce.len(), 32);
        self.say(&json!({"hello": {"nonce": nonce, "version": 1}})).await;
    }

    async fn get_ready(&mut self) {
        self.greet().await;
        let prepare = self.told().await;
        assert_eq!(prepare["prepare"]["unix_ns"], 1_000_000_000);
        self.say(&json!({"prepared": {}})).await;
    }
}

/// A channel to a guest that a test plays, and the job gate of its slot.
struct Stage {
    channel: Channel,
    guest: Guest,
    gate: mpsc::Receiver<GateEvent>,
    go: Option<oneshot::Sender<()>>,
    folder: TempDir,
}

impl Stage {
    fn new() -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let folder = tempfile::tempdir().expect("a folder");
        let (report, gate) = mpsc::channel(1);
        let (go, may_go) = oneshot::channel();
        let listener = UnixListener::bind(folder.path().join("gate")).expect("a socket");
        tokio::spawn(watch_gate(listener, report, may_go));
        Self {
            channel: Channel::open(ours).expect("a channel"),
            guest: Guest(BufReader::new(theirs)),
            gate,
            go: Some(go),
            folder,
        }
    }

    /// Returns a stage whose guest is ready for a job.
    async fn ready() -> Self {
        let mut stage = Self::new();
        stage.get_ready().await;
        stage
    }

    async fn get_ready(&mut self) {
        let keeper = async {
            self.channel.hello().await.expect("a hello");
            let now = DateTime::from_timestamp(1, 0).expect("a time");
            self.channel.prepare(now).await.expect("prepared");
        };
        tokio::join!(keeper, self.guest.get_ready());
    }

    /// Returns a stage whose guest runs a job, and the output of the guest.
    async fn running() -> (Self, tokio::net::unix::pipe::Receiver) {
        let mut stage = Self::ready().await;
        let output = stage.run().expect("it runs");
        assert_eq!(stage.guest.told().await, json!({"run": {"jit_config": "secret"}}));
        stage.guest.say(&json!({"started": {}})).await;
        (stage, output)
    }

    fn run(&mut self) -> std::io::Result<tokio::net::unix::pipe::Receiver> {
        let gate = self.folder.path().join("gate");
        self.channel.run("secret", &gate, &self.diag())
    }

    fn diag(&self) -> PathBuf {
        self.folder.path().join("diag")
    }

    /// Returns true if the gate has opened. It was reported or never happens.
    async fn has_opened(&mut self) -> bool {
        while let Some(event) = self.gate.recv().await {
            match event {
                GateEvent::Opened => return true,
                GateEvent::Abuse => return false,
                GateEvent::Hello(_) => {}
            }
        }
        false
    }
}

#[tokio::test]
async fn the_last_words_of_a_guest_that_is_gone_are_heard() {
    // The keeper reads or writes first, by chance.
    for _ in 0..20 {
        let mut stage = Stage::ready().await;
        let mut output = stage.run().expect("it runs");
        let words = [
            json!({"started": {}}),
            json!({"output": {"text": "the end"}}),
            json!({"ended": {"code": 0}}),
        ];
        for message in words {
            stage.guest.say(&message).await;
        }
        drop(stage.guest);
        let mut text = String::new();
        output.read_to_string(&mut text).await.expect("output");
        assert_eq!(text, "the end");
    }
}

#[tokio::test]
async fn a_job_asks_runs_and_ends() {
    let (mut stage, mut output) = Stage::running().await;
    stage.guest.say(&json!({"output": {"text": "listening\n"}})).await;
    let line = "{\"lock\":\"worker\",\"repository\":\"o/r\",\"run_id\":7}\n";
    stage.guest.say(&json!({"ask": {"id": 3, "text": line}})).await;
    match stage.gate.recv().await {
        Some(GateEvent::Hello(hello)) => {
            assert_eq!((hello.run_id, hello.repository.as_deref()), (Some(7), Some("o/r")))
        }
        other => panic!("{other:?}"),
    }
    stage.go.take().expect("once").send(()).expect("the gate waits");
    assert!(stage.has_opened().await);
    assert_eq!(stage.guest.told().await, json!({"answer": {"id": 3, "text": "go\n"}}));
    assert_eq!(stage.guest.told().await, json!({"close": {"id": 3}}));
    stage.guest.say(&json!({"hangup": {"id": 3}})).await;
    // The hook of the same job is the second lock.
    stage
        .guest
        .say(&json!({"ask": {"id": 4, "text": "{\"run_id\":7}\n"}}))
        .await;
    assert_eq!(stage.guest.told().await, json!({"answer": {"id": 4, "text": "go\n"}}));
    assert_eq!(stage.guest.told().await, json!({"close": {"id": 4}}));
    stage.guest.say(&json!({"hangup": {"id": 4}})).await;
    for text in ["one ", "two"] {
        stage
            .guest
            .say(&json!({"diag": {"name": "Worker.log", "text": text}}))
            .await;
    }
    stage.guest.say(&json!({"ended": {"code": 0}})).await;
    let mut text = String::new();
    tokio::select! {
        read = output.read_to_string(&mut text) => read.expect("output"),
        ending = stage.channel.broken() => panic!("the output ends before the guest is ended: {ending:?}"),
    };
    assert_eq!(text, "listening\n");
    let log = fs::read_to_string(stage.diag().join("Worker.log"));
    assert_eq!(log.expect("a log file"), "one two");
    // The guest does not power off.
    assert_eq!(stage.channel.broken().await, Ending::Exited);
}

#[tokio::test]
async fn a_guest_that_breaks_the_protocol_is_ended_and_no_job_begins() {
    let ask = |id: u64| json!({"ask": {"id": id, "text": "{}\n"}}).to_string();
    let many: Vec<String> = (1..=17).map(ask).collect();
    let hello = json!({"hello": {"nonce": "0".repeat(32), "version": 1}}).to_string();
    let long = json!({"output": {"text": "x".repeat(4097)}}).to_string();
    for (name, lines) in [
        ("garbage", "\u{1b}[2J garbage".to_owned()),
        ("an empty line", String::new()),
        ("a second hello", hello),
        ("a second start", json!({"started": {}}).to_string()),
        ("a late preparation", json!({"prepared": {}}).to_string()),
        ("a torn message", format!("{{\"output\":{{\"text\":\"half{}", ask(1))),
        ("an id again", format!("{}\n{}", ask(5), ask(5))),
        ("an id that was not asked", json!({"hangup": {"id": 1}}).to_string()),
        (
            "an id of another kind",
            "{\"ask\":{\"id\":\"1\",\"text\":\"\"}}".to_owned(),
        ),
        ("too many questions", many.join("\n")),
        ("a long text", long),
        ("a long line", "x".repeat(MAX_FROM_GUEST_BYTES + 1)),
        (
            "a path",
            json!({"diag": {"name": "../status.json", "text": ""}}).to_string(),
        ),
        (
            "words after the end",
            format!("{}\n{}", json!({"ended": {"code": 0}}), ask(1)),
        ),
        (
            "an order of the keeper",
            json!({"answer": {"id": 1, "text": "go\n"}}).to_string(),
        ),
    ] {
        let (mut stage, mut output) = Stage::running().await;
        stage.guest.write(format!("{lines}\n").as_bytes()).await;
        assert_eq!(stage.channel.broken().await, Ending::GateAbused, "{name}");
        let mut text = String::new();
        output.read_to_string(&mut text).await.expect("output");
        let is_explained = text.starts_with("\njitgate: the guest sent ") || name == "words after the end";
        assert!(is_explained && !text.contains('\u{1b}'), "{name}: {text}");
        // Everything that waited at the gate is gone, so a permission comes too late.
        stage.go.take().expect("once").send(()).unwrap_or_default();
        loop {
            let told = stage.guest.told().await;
            assert!(told["answer"].is_null(), "{name}: {told}");
            if told.is_null() {
                break;
            }
        }
        assert_eq!(stage.channel.broken().await, Ending::GateAbused, "{name}: it stays");
        assert!(stage.run().is_err(), "{name}");
    }
}

#[tokio::test]
async fn a_guest_that_speaks_before_its_turn_gets_no_configuration() {
    let ask = json!({"ask": {"id": 1, "text": "{}\n"}});
    for message in [
        &ask,
        &json!({"started": {}}),
        &json!({"prepared": {}}),
        &json!("garbage"),
    ] {
        // At once, or while it waits for a job.
        let mut stage = Stage::ready().await;
        stage.guest.say(message).await;
        assert!(stage.run().is_err(), "{message}");
        assert_eq!(stage.channel.broken().await, Ending::GateAbused, "{message}");
        let mut stage = Stage::ready().await;
        stage.guest.say(message).await;
        assert_eq!(stage.channel.broken().await, Ending::GateAbused, "{message}");
        assert!(stage.run().is_err(), "{message}");
        assert!(stage.channel.hello().await.is_err(), "{message}");
    }
    // The order has gone out, but no start was reported.
    let mut stage = Stage::ready().await;
    let _output = stage.run().expect("it runs");
    stage.guest.say(&ask).await;
    assert_eq!(stage.channel.broken().await, Ending::GateAbused);
}

#[tokio::test]
async fn a_guest_that_is_not_prepared_gets_no_configuration() {
    let mut stage = Stage::new();
    assert!(stage.run().is_err());
    let (greeted, ()) = tokio::join!(stage.channel.hello(), stage.guest.greet());
    greeted.expect("a hello");
    assert!(stage.run().is_err());
    // A guest that was prepared and is opened again has to be prepared again.
    let mut stage = Stage::ready().await;
    let (greeted, ()) = tokio::join!(stage.channel.hello(), stage.guest.greet());
    greeted.expect("a hello");
    assert!(stage.run().is_err());
}

#[tokio::test]
async fn everything_before_the_hello_is_dropped() {
    let mut stage = Stage::new();
    let old = json!({"hello": {"nonce": "0".repeat(32), "version": 1}});
    stage.guest.say(&old).await;
    let guest = async {
        let open = stage.guest.told().await;
        let garbage = vec![b'x'; 1024 * 1024];
        for part in [
            &garbage[..],
            b"\n",
            b"{\"ask\":{\"id\":1,\"text\":\"\"}}\n",
            b"{\"output\":{\"te",
        ] {
            stage.guest.write(part).await;
        }
        let hello = json!({"hello": {"nonce": open["open"]["nonce"], "version": 1}});
        stage.guest.write(format!("\n{hello}\n").as_bytes()).await;
    };
    let (greeted, ()) = tokio::join!(stage.channel.hello(), guest);
    greeted.expect("a hello");
    // A second one is not dropped.
    stage.guest.say(&old).await;
    assert_eq!(stage.channel.broken().await, Ending::GateAbused);
}

#[tokio::test]
async fn a_flood_before_the_hello_ends() {
    let mut stage = Stage::new();
    let flood = async {
        let chunk = vec![b'x'; 1024 * 1024];
        for _ in 0..65 {
            stage.guest.write(&chunk).await;
        }
    };
    let (greeted, ()) = tokio::join!(
        async {
            let greeted = stage.channel.hello().await;
            let ending = stage.channel.broken().await;
            // The guest is ended, which closes the channel.
            drop(stage.channel);
            greeted.map_err(|_| ending)
        },
        flood
    );
    assert_eq!(greeted, Err(Ending::GateAbused));
}

#[tokio::test]
async fn a_flood_of_output_ends_and_is_not_collected() {
    let (mut stage, mut output) = Stage::running().await;
    let line = format!("{}\n", json!({"output": {"text": "x".repeat(4096)}}));
    let flood = async {
        let lines = line.repeat(256);
        for _ in 0..65 {
            stage.guest.write(lines.as_bytes()).await;
        }
    };
    let reader = async {
        let mut chunk = vec![0; 64 * 1024];
        let mut bytes = 0;
        while let Ok(read) = output.read(&mut chunk).await
            && read > 0
        {
            bytes += read;
        }
        bytes
    };
    let keeper = async {
        let ending = stage.channel.broken().await;
        drop(stage.channel);
        ending
    };
    let (ending, bytes, ()) = tokio::join!(keeper, reader, flood);
    assert_eq!(ending, Ending::GateAbused);
    assert!(bytes < 64 * 1024 * 1024, "{bytes}");
}

#[tokio::test]
async fn silence_ends_by_deadlines() {
    let short = |timeouts: Timeouts| {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut stage = Stage::new();
        stage.channel = Channel::with_timeouts(ours, timeouts).expect("a channel");
        stage.guest = Guest(BufReader::new(theirs));
        stage
    };
    let moment = Duration::from_millis(10);
    let usual = Timeouts::default();
    let mut stage = short(Timeouts { hello: moment, ..usual });
    let silent = stage.channel.hello().await.expect_err("no hello");
    assert_eq!(silent.kind(), std::io::ErrorKind::TimedOut);
    let mut stage = short(Timeouts {
        prepare: moment,
        ..usual
    });
    let (greeted, ()) = tokio::join!(stage.channel.hello(), stage.guest.greet());
    greeted.expect("a hello");
    let now = DateTime::from_timestamp(1, 0).expect("a time");
    let silent = stage.channel.prepare(now).await.expect_err("no answer");
    assert_eq!(silent.kind(), std::io::ErrorKind::TimedOut);
    let mut stage = short(Timeouts { start: moment, ..usual });
    stage.get_ready().await;
    let _output = stage.run().expect("it runs");
    assert!(matches!(stage.channel.broken().await, Ending::BootFailed(_)));
}

#[tokio::test]
async fn a_guest_that_hangs_up_without_an_answer_abuses_the_gate() {
    let (mut stage, _output) = Stage::running().await;
    stage.guest.say(&json!({"ask": {"id": 1, "text": "{}\n"}})).await;
    assert!(matches!(stage.gate.recv().await, Some(GateEvent::Hello(_))));
    stage.guest.say(&json!({"hangup": {"id": 1}})).await;
    assert!(matches!(stage.gate.recv().await, Some(GateEvent::Abuse)));
    stage.guest.say(&json!({"ask": {"id": 2, "text": "{}\n"}})).await;
    assert_eq!(stage.guest.told().await, json!({"close": {"id": 2}}));
}

#[tokio::test]
async fn the_gate_judges_the_text_of_a_question() {
    for text in ["", "go\n", "[]\n", "{\"more\":1}\n", "{}\n{}\n"] {
        let (mut stage, _output) = Stage::running().await;
        stage.guest.say(&json!({"ask": {"id": 1, "text": text}})).await;
        stage.guest.say(&json!({"hangup": {"id": 1}})).await;
        assert!(!stage.has_opened().await, "{text:?}");
    }
    // Others are sent away while the first waits, and are counted.
    let (mut stage, _output) = Stage::running().await;
    stage.guest.say(&json!({"ask": {"id": 1, "text": "{}\n"}})).await;
    assert!(matches!(stage.gate.recv().await, Some(GateEvent::Hello(_))));
    for id in 2..=17 {
        stage.guest.say(&json!({"ask": {"id": id, "text": "{}\n"}})).await;
        assert_eq!(stage.guest.told().await, json!({"close": {"id": id}}));
        stage.guest.say(&json!({"hangup": {"id": id}})).await;
    }
    assert!(matches!(stage.gate.recv().await, Some(GateEvent::Abuse)));
}

#[tokio::test]
async fn a_guest_that_asks_and_never_reads_is_ended() {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    set_socket_send_buffer_size(&ours, 4096).expect("a small buffer");
    let mut stage = Stage::new();
    (stage.channel, stage.guest) = (Channel::open(ours).expect("a channel"), Guest(BufReader::new(theirs)));
    stage.get_ready().await;
    let path = stage.folder.path().join("open-gate");
    let gate = UnixListener::bind(&path).expect("a socket");
    let _output = stage.channel.run("secret", &path, &stage.diag()).expect("it runs");
    stage.guest.say(&json!({"started": {}})).await;
    let asking = async {
        for id in 1.. {
            stage.guest.say(&json!({"ask": {"id": id, "text": "{}\n"}})).await;
            let (mut client, _) = gate.accept().await.expect("a question");
            client.write_all(b"go\n").await.expect("an answer");
            drop(client);
            // The channel takes the answer meanwhile.
            tokio::task::yield_now().await;
            stage.guest.say(&json!({"hangup": {"id": id}})).await;
        }
    };
    tokio::select! {
        ending = stage.channel.broken() => assert_eq!(ending, Ending::GateAbused),
        () = asking => {}
    }
}

#[tokio::test]
async fn a_guest_that_is_gone_is_shown_by_its_process_only() {
    let is_pending = async |channel: &mut Channel| {
        // Some rounds of the runtime, in which it sees the end of the stream.
        for _ in 0..10 {
            tokio::select! {
                biased;
                ending = channel.broken() => panic!("{ending:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
    };
    let mut stage = Stage::ready().await;
    drop(stage.guest);
    is_pending(&mut stage.channel).await;
    let (mut stage, mut output) = Stage::running().await;
    drop(stage.guest);
    let mut text = String::new();
    output.read_to_string(&mut text).await.expect("the output ends");
    is_pending(&mut stage.channel).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nothing_that_follows_an_abuse_undoes_it(
        before in prop::collection::vec(0_u64..4, 0..8),
        abuse in prop::sample::select(vec!["\0", "{\"hello\":{}}", "{\"ask\":{\"id\":0,\"text\":\"\"}}"]),
        after in prop::collection::vec(any::<u8>(), 0..3000),
        size in 1_usize..100,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (ending, go) = runtime.block_on(async {
            let (mut stage, _output) = Stage::running().await;
            let mut lines = Vec::new();
            for (id, kind) in (1..).zip(before) {
                let line = match kind {
                    0 => json!({"output": {"text": "x"}}),
                    1 => json!({"diag": {"name": "a.log", "text": "x"}}),
                    _ => json!({"ask": {"id": id, "text": "{}\n"}}),
                };
                lines.extend(format!("{line}\n").into_bytes());
            }
            // An id that never increases: 0 follows another question, or itself.
            lines.extend(format!("{abuse}\n{abuse}\n").into_bytes());
            lines.extend(after);
            for part in lines.chunks(size) {
                stage.guest.write(part).await;
            }
            let ending = stage.channel.broken().await;
            stage.go.take().expect("once").send(()).unwrap_or_default();
            let mut go = false;
            loop {
                match stage.guest.told().await {
                    Value::Null => break (ending, go),
                    told => go |= !told["answer"].is_null(),
                }
            }
        });
        prop_assert_eq!(ending, Ending::GateAbused);
        prop_assert!(!go);
    }
}
