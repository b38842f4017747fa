//! The agent's side of the conversation: one thread that handles one event after the other.

use super::client::Client;
use super::event::Event;
use super::link::Link;
use super::place::Place;
use super::runner::Launcher;
use super::{gate, logs, preparation};
use crate::adapters::hosts::qemu::channel::{FromGuest, ToGuest, VERSION};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::system::{RebootCommand, reboot};
use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use tokio::time::Instant;

/// Events that wait. Threads that cause more of them wait too.
const MAX_EVENTS: usize = 64;
/// Time to read the last output, once the runner program has ended: what it left behind can hold the pipe open.
const LAST_OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);
/// The exit code of a runner program that cannot be started, as in a shell.
const NOT_STARTED: i32 = 127;

/// Attends to the keeper until the runner program has ended, and then powers the machine off.
///
/// # Errors
/// When the channel or the job gate cannot be opened or used. The guest is of no use then.
pub(crate) fn attend(place: Place) -> io::Result<()> {
    let (sender, events) = sync_channel(MAX_EVENTS);
    gate::open(&place, sender.clone())?;
    let mut agent = Agent {
        link: Link::open(&place, sender.clone())?,
        sender,
        place,
        phase: Phase::Closed,
        launcher: None,
        last_id: 0,
        clients: BTreeMap::new(),
        is_silent: false,
        ending: None,
    };
    agent.run(&events)?;
    if agent.place.is_machine() {
        reboot(RebootCommand::PowerOff)?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No keeper has opened the conversation.
    Closed,
    Greeted,
    Prepared,
    Running,
}

struct Agent {
    link: Link,
    sender: SyncSender<Event>,
    place: Place,
    phase: Phase,
    /// There is one while the guest is prepared.
    launcher: Option<Launcher>,
    last_id: u64,
    /// The clients of the job gate by connection, each with the id of its question.
    clients: BTreeMap<u64, (u64, Client)>,
    /// No process can write output any more.
    is_silent: bool,
    /// The exit code of the runner program, and the time until its last output is waited for.
    ending: Option<(i32, Instant)>,
}

impl Agent {
    fn run(&mut self, events: &Receiver<Event>) -> io::Result<()> {
        loop {
            let event = match self.ending {
                None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some((code, _)) if self.is_silent => return self.end(code),
                Some((_, until)) => events.recv_timeout(until.saturating_duration_since(Instant::now())),
            };
            match event {
                Ok(Event::Gone) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Ok(event) => self.handle(event)?,
                Err(RecvTimeoutError::Timeout) => self.is_silent = true,
            }
        }
    }

    fn handle(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Told(message) => self.obey(message),
            Event::Asked {
                connection,
                client,
                text,
            } => self.ask(connection, client, text),
            Event::Left { connection } => match self.clients.remove(&connection) {
                Some((id, _)) => self.link.send(&FromGuest::Hangup { id }),
                None => Ok(()),
            },
            Event::Printed(text) => self.link.send(&FromGuest::Output { text }),
            Event::Silent => {
                self.is_silent = true;
                Ok(())
            }
            Event::Ended { code } => {
                self.ending = Some((code, Instant::now() + LAST_OUTPUT_TIMEOUT));
                Ok(())
            }
            Event::Gone => Ok(()),
        }
    }

    fn obey(&mut self, message: ToGuest) -> io::Result<()> {
        match (self.phase, message) {
            // From here on nothing of an earlier conversation counts.
            (Phase::Closed | Phase::Greeted | Phase::Prepared, ToGuest::Open { nonce }) => {
                self.phase = Phase::Greeted;
                let version = VERSION;
                self.link.greet(&FromGuest::Hello { nonce, version })
            }
            (Phase::Greeted, ToGuest::Prepare { entropy, unix_ns }) => {
                let entropy = STANDARD.decode(entropy).map_err(io::Error::other)?;
                // A launcher of the template has its random numbers.
                self.launcher.take().map_or(Ok(()), Launcher::discard)?;
                preparation::prepare(&self.place, &entropy, unix_ns)?;
                self.launcher = Some(Launcher::start(&self.place)?);
                self.phase = Phase::Prepared;
                self.link.send(&FromGuest::Prepared {})
            }
            // A guest that is not prepared starts no job.
            (Phase::Prepared, ToGuest::Run { jit_config }) => {
                self.phase = Phase::Running;
                self.start(&jit_config)
            }
            (Phase::Running, ToGuest::Answer { id, text }) => {
                if let Some(client) = self.client(id) {
                    client.answer(&text);
                }
                Ok(())
            }
            (Phase::Running, ToGuest::Close { id }) => {
                if let Some(client) = self.client(id) {
                    client.close();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, jit_config: &str) -> io::Result<()> {
        let launcher = self.launcher.take().ok_or(io::ErrorKind::NotFound)?;
        let Err(error) = launcher.launch(jit_config, &self.sender) else {
            return self.link.send(&FromGuest::Started {});
        };
        let text = format!("jitgate: cannot start the runner program: {error}\n");
        self.link.send(&FromGuest::Output { text })?;
        self.ending = Some((NOT_STARTED, Instant::now()));
        Ok(())
    }

    fn ask(&mut self, connection: u64, client: Client, text: String) -> io::Result<()> {
        if self.phase != Phase::Running {
            client.close();
            return Ok(());
        }
        self.last_id += 1;
        let id = self.last_id;
        self.clients.insert(connection, (id, client));
        self.link.send(&FromGuest::Ask { id, text })
    }

    /// Returns the client of a question, unless it has left.
    fn client(&self, question: u64) -> Option<&Client> {
        let mut clients = self.clients.values();
        clients.find(|(id, _)| *id == question).map(|(_, client)| client)
    }

    fn end(&mut self, code: i32) -> io::Result<()> {
        for message in logs::collect(&self.place) {
            self.link.send(&message)?;
        }
        self.link.send(&FromGuest::Ended { code })
    }
}
