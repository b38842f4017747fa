//! Valid, wrong and random messages of a guest, against the session alone.

use super::*;
use proptest::prelude::*;

const NONCE: &str = "0123456789abcdef0123456789abcdef";
/// Everything that a guest can make a session hold: a line, names of log files, questions.
const MAX_HELD_BYTES: usize = MAX_FROM_GUEST_BYTES + (MAX_LOG_FILES + 1) * 100 + MAX_QUESTIONS;

/// Returns a session that a valid guest has brought this far, from 0 (closed) to 6 (over).
fn session(stage: usize) -> Session {
    let mut session = Session::new();
    let hello = format!("{{\"hello\":{{\"nonce\":\"{NONCE}\",\"version\":1}}}}\n");
    let steps: [&dyn Fn(&mut Session); 6] = [
        &|session| drop(session.open(NONCE).expect("opened")),
        &|session| assert_eq!(said(session, &hello), Ok(vec![Event::Greeted])),
        &|session| drop(session.prepare(b"random", 1).expect("a line")),
        &|session| assert_eq!(said(session, "{\"prepared\":{}}\n"), Ok(vec![Event::Prepared])),
        &|session| {
            session.run("jit").expect("a line");
            assert_eq!(said(session, "{\"started\":{}}\n"), Ok(vec![Event::Started]));
        },
        &|session| {
            assert_eq!(
                said(session, "{\"ended\":{\"code\":0}}\n"),
                Ok(vec![Event::Ended { code: 0 }])
            )
        },
    ];
    steps.iter().take(stage).for_each(|step| step(&mut session));
    session
}

fn said(session: &mut Session, text: &str) -> Result<Vec<Event>, Abuse> {
    let mut rest = text.as_bytes();
    let mut events = Vec::new();
    while let Some(event) = session.receive(&mut rest)? {
        events.push(event);
    }
    assert!(rest.is_empty());
    Ok(events)
}

#[test]
fn each_stage_takes_only_its_own_messages() {
    let lines = [
        (
            "hello",
            format!("{{\"hello\":{{\"nonce\":\"{NONCE}\",\"version\":1}}}}\n"),
            &[][..],
        ),
        ("prepared", "{\"prepared\":{}}\n".to_owned(), &[3]),
        ("started", "{\"started\":{}}\n".to_owned(), &[]),
        ("output", "{\"output\":{\"text\":\"x\"}}\n".to_owned(), &[5]),
        ("ask", "{\"ask\":{\"id\":1,\"text\":\"{}\\n\"}}\n".to_owned(), &[5]),
        ("hangup", "{\"hangup\":{\"id\":1}}\n".to_owned(), &[]),
        (
            "diag",
            "{\"diag\":{\"name\":\"a.log\",\"text\":\"x\"}}\n".to_owned(),
            &[5],
        ),
        ("ended", "{\"ended\":{\"code\":1}}\n".to_owned(), &[5]),
    ];
    // Everything before the hello is dropped.
    for stage in 2..=6 {
        for (name, line, taken) in &lines {
            let result = said(&mut session(stage), line);
            assert_eq!(
                result.is_ok(),
                taken.contains(&stage),
                "{name} in stage {stage}: {result:?}"
            );
        }
    }
}

#[test]
fn only_the_hello_with_this_nonce_counts() {
    let empty = "{\"hello\":{\"nonce\":\"\",\"version\":1}}\n";
    assert_eq!(said(&mut session(0), empty), Ok(vec![]));
    let mut session = session(1);
    let old = "f".repeat(32);
    let torn = "{\"output\":{\"text\":\"half a li";
    let long = "x".repeat(3 * MAX_FROM_GUEST_BYTES);
    for dropped in [
        format!("{{\"hello\":{{\"nonce\":\"{old}\",\"version\":1}}}}\n"),
        "{\"ask\":{\"id\":1,\"text\":\"\"}}\n".to_owned(),
        format!("garbage\n\n\0{long}\n{torn}\n"),
    ] {
        assert_eq!(said(&mut session, &dropped), Ok(vec![]));
    }
    let wrong = format!("{{\"hello\":{{\"nonce\":\"{NONCE}\",\"version\":2}}}}\n");
    assert_eq!(said(&mut session, &wrong), Err(Abuse::Version));
    assert!(session.open(NONCE).is_err());
}

#[test]
fn a_conversation_begins_anew_until_a_runner_program_was_ordered() {
    for stage in 0..=6 {
        assert_eq!(session(stage).open(NONCE).is_ok(), stage < 5, "stage {stage}");
    }
    let mut session = session(4);
    session.open("other").expect("opened");
    assert!(session.run("jit").is_err(), "it is not prepared any more");
}

#[test]
fn ids_increase_and_questions_are_few() {
    let ask = |id: u64| format!("{{\"ask\":{{\"id\":{id},\"text\":\"{{}}\\n\"}}}}\n");
    for wrong in [ask(7), ask(6), ask(0), "{\"hangup\":{\"id\":8}}\n".to_owned()] {
        let mut session = session(5);
        said(&mut session, &ask(7)).expect("a question");
        assert_eq!(said(&mut session, &wrong), Err(Abuse::WrongId), "{wrong}");
    }
    let mut session = session(5);
    let hangup = "{\"hangup\":{\"id\":0}}\n";
    said(&mut session, &format!("{}{hangup}", ask(0))).expect("a question that is over");
    assert_eq!(said(&mut session, hangup), Err(Abuse::WrongId), "it ends once");
    let mut session = self::session(5);
    for id in 1..=16 {
        said(&mut session, &ask(id)).expect("a question");
    }
    assert_eq!(said(&mut session, &ask(17)), Err(Abuse::TooMuch));
    assert_eq!(session.answer(1, "go\n"), None, "after an abuse there is no answer");
}

#[test]
fn a_question_is_answered_once_and_closed_once() {
    let mut session = session(5);
    let asks = "{\"ask\":{\"id\":1,\"text\":\"\"}}\n{\"ask\":{\"id\":2,\"text\":\"\"}}\n";
    assert_eq!(said(&mut session, asks).map(|events| events.len()), Ok(2));
    let answer = session.answer(1, "go\n").expect("a line");
    assert_eq!(answer, b"{\"answer\":{\"id\":1,\"text\":\"go\\n\"}}\n");
    assert_eq!(session.answer(1, "go\n"), None);
    assert_eq!(session.close(1).expect("a line"), b"{\"close\":{\"id\":1}}\n");
    assert_eq!((session.close(1), session.answer(1, "go\n")), (None, None));
    session.close(2).expect("a line");
    assert_eq!(session.answer(2, "go\n"), None, "the gate has closed it");
    assert_eq!((session.answer(3, "go\n"), session.close(3)), (None, None));
}

#[test]
fn lines_texts_and_names_are_bounded() {
    let output = |text: &str| format!("{{\"output\":{{\"text\":\"{text}\"}}}}\n");
    let diag = |name: &str, text: &str| format!("{{\"diag\":{{\"name\":\"{name}\",\"text\":\"{text}\"}}}}\n");
    for (line, abuse) in [
        (output(&"x".repeat(4097)), Abuse::TooLong),
        ("x".repeat(MAX_FROM_GUEST_BYTES + 1), Abuse::TooLong),
        (diag("../a", ""), Abuse::Invalid),
        (diag(".a", ""), Abuse::Invalid),
        (diag("", ""), Abuse::Invalid),
        (diag(&"a".repeat(101), ""), Abuse::Invalid),
        ("\n".to_owned(), Abuse::Invalid),
        ("\"prepared\"\n".to_owned(), Abuse::Invalid),
        ("[\"started\",{}]\n".to_owned(), Abuse::Invalid),
        ("{\"started\":{},\"ended\":{\"code\":0}}\n".to_owned(), Abuse::Invalid),
        ("{\"ended\":{\"code\":0,\"more\":1}}\n".to_owned(), Abuse::Invalid),
        ("{\"ask\":{\"id\":-1,\"text\":\"\"}}\n".to_owned(), Abuse::Invalid),
        (format!("{}\n", "[".repeat(10_000)), Abuse::Invalid),
    ] {
        assert_eq!(said(&mut session(5), &line), Err(abuse), "{line:.80}");
    }
    let mut full = session(5);
    for file in 0..16 {
        said(&mut full, &diag(&format!("{file}.log"), "x")).expect("a log file");
    }
    said(&mut full, &diag("0.log", "x")).expect("more of it");
    assert_eq!(said(&mut full, &diag("16.log", "x")), Err(Abuse::TooMuch));
    let mut full = session(5);
    let text = "x".repeat(4096);
    let logged = (0..).find(|_| said(&mut full, &diag("a.log", &text)).is_err());
    assert_eq!(logged, Some(MAX_LOG_BYTES / 4096));
}

#[test]
fn a_flood_ends_the_conversation_in_every_stage() {
    for stage in 0..=5 {
        let mut session = session(stage);
        session.received = MAX_RECEIVED_BYTES - 10;
        assert_eq!(said(&mut session, &"x".repeat(10)), Ok(vec![]), "stage {stage}");
        assert_eq!(said(&mut session, "x"), Err(Abuse::TooMuch), "stage {stage}");
    }
}

#[test]
fn no_line_to_the_guest_is_too_long() {
    let mut session = session(4);
    assert!(session.run(&"x".repeat(MAX_TO_GUEST_BYTES)).is_err());
    assert!(session.run(&"x".repeat(60 * 1024)).is_ok());
    assert!(session.run("again").is_err());
}

/// An event of a session.
#[derive(Debug, Clone)]
enum Move {
    Say(Vec<u8>),
    Answer(u64),
    Close(u64),
    Open,
    Prepare,
    Run,
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![Just("{}\n".to_owned()), ".{0,20}", Just("x".repeat(4097))];
    let nonce = prop_oneof![3 => Just(NONCE.to_owned()), 1 => "[0-9a-f]{32}"];
    let name = prop_oneof![3 => "[a-z]{1,8}\\.log", 1 => ".{0,9}"];
    let message = prop_oneof![
        (nonce, 0_u32..3).prop_map(|(nonce, version)| FromGuest::Hello { nonce, version }),
        Just(()).prop_map(|()| FromGuest::Prepared {}),
        Just(()).prop_map(|()| FromGuest::Started {}),
        text.clone().prop_map(|text| FromGuest::Output { text }),
        (0_u64..30, text.clone()).prop_map(|(id, text)| FromGuest::Ask { id, text }),
        (0_u64..30).prop_map(|id| FromGuest::Hangup { id }),
        (name, text).prop_map(|(name, text)| FromGuest::Diag { name, text }),
        any::<i32>().prop_map(|code| FromGuest::Ended { code }),
    ];
    let line = message.prop_map(|message| encoded(&message).expect("a line"));
    // Some lines lose a byte, or have one changed.
    (
        line,
        prop_oneof![8 => Just(None), 1 => any::<(prop::sample::Index, Option<u8>)>().prop_map(Some)],
    )
        .prop_map(|(mut line, change)| {
            match change {
                None => {}
                Some((at, None)) => drop(line.remove(at.index(line.len()))),
                Some((at, Some(byte))) => {
                    let at = at.index(line.len());
                    line[at] = byte;
                }
            }
            line
        })
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        10 => line().prop_map(Move::Say),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Move::Say),
        4 => (0_u64..30).prop_map(Move::Answer),
        2 => (0_u64..30).prop_map(Move::Close),
        1 => prop_oneof![Just(Move::Open), Just(Move::Prepare), Just(Move::Run)],
    ];
    prop::collection::vec(one, 0..40)
}

proptest! {
    /// Any bytes, in any pieces.
    #[test]
    fn random_bytes_neither_panic_nor_grow(
        stage in 0_usize..7,
        stream in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'{'), any::<u8>()], 0..500),
        repeats in 1_usize..100,
        size in 1_usize..5000,
    ) {
        let stream = stream.repeat(repeats);
        let mut whole = session(stage);
        let mut cut = session(stage);
        let all = |session: &mut Session, mut rest: &[u8]| loop {
            match session.receive(&mut rest) {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(abuse) => return Some(abuse),
            }
        };
        let abuse = all(&mut whole, &stream);
        let mut cut_abuse = None;
        for piece in stream.chunks(size) {
            cut_abuse = all(&mut cut, piece);
            prop_assert!(cut.held() <= MAX_HELD_BYTES);
        }
        prop_assert_eq!(abuse, cut_abuse);
    }

    /// Valid and invalid messages in any order, between any actions of the keeper.
    #[test]
    fn no_guest_is_answered_that_did_not_ask(stage in 0_usize..7, moves in moves()) {
        let mut session = session(stage);
        let mut waiting = BTreeSet::new();
        let mut closable = BTreeSet::new();
        let mut abused = None;
        let mut is_prepared = stage == 4;
        for one in moves {
            match one {
                Move::Say(bytes) => {
                    let mut rest = &bytes[..];
                    loop {
                        let heard = session.receive(&mut rest);
                        prop_assert!(abused.is_none() || heard == Err(abused.expect("abuse")));
                        match heard {
                            Ok(None) => break,
                            Ok(Some(Event::Asked { id, text })) => {
                                prop_assert!(text.len() <= MAX_TEXT_BYTES);
                                waiting.insert(id);
                                closable.insert(id);
                            }
                            Ok(Some(Event::Left { id })) => {
                                waiting.remove(&id);
                                closable.remove(&id);
                            }
                            Ok(Some(Event::Prepared)) => is_prepared = true,
                            Ok(Some(_)) => {}
                            Err(abuse) => {
                                abused = Some(abuse);
                                waiting.clear();
                                closable.clear();
                                break;
                            }
                        }
                    }
                    prop_assert!(session.held() <= MAX_HELD_BYTES);
                    prop_assert!(closable.len() <= MAX_QUESTIONS);
                }
                Move::Answer(id) => {
                    prop_assert_eq!(session.answer(id, "go\n").is_some(), waiting.remove(&id));
                }
                Move::Close(id) => {
                    waiting.remove(&id);
                    prop_assert_eq!(session.close(id).is_some(), closable.remove(&id));
                }
                Move::Open => {
                    if session.open(NONCE).is_ok() {
                        prop_assert!(abused.is_none());
                        is_prepared = false;
                    }
                }
                Move::Prepare => prop_assert!(session.prepare(b"random", 1).is_err() || abused.is_none()),
                Move::Run => {
                    let may_run = is_prepared && abused.is_none();
                    prop_assert_eq!(session.run("jit").is_ok(), may_run);
                    is_prepared = false;
                }
            }
        }
    }
}
