//! The guest's end of the channel: a virtio-serial port, or stdin for a stand-in.

use super::event::Event;
use super::place::Place;
use crate::adapters::hosts::qemu::channel::{FromGuest, Line, Lines, MAX_TO_GUEST_BYTES, ToGuest, encoded};
use rustix::event::{Timespec, poll};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;

/// The name of the port.
const PORT: &str = "jitgate";
/// The kernel's list of ports.
const PORTS: &str = "/sys/class/virtio-ports";
/// Looks for the port before the agent gives up, and the interval between two: drivers start in the background.
const MAX_LOOKS: u32 = 1000;
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};
const CHUNK_BYTES: usize = 64 * 1024;

/// The writing half.
pub(super) struct Link(File);

impl Link {
    /// Opens the channel, and passes each message of the keeper to `events` on a thread of its own.
    pub(super) fn open(place: &Place, events: SyncSender<Event>) -> io::Result<Self> {
        let port = if place.is_machine() {
            find_port(place)?
        } else {
            File::from(io::stdin().as_fd().try_clone_to_owned()?)
        };
        let reader = port.try_clone()?;
        let is_port = place.is_machine();
        let thread = std::thread::Builder::new().name("channel".to_owned());
        thread.spawn(move || listen(reader, is_port, &events))?;
        Ok(Self(port))
    }

    /// Sends a message. It waits while no keeper reads.
    pub(super) fn send(&mut self, message: &FromGuest) -> io::Result<()> {
        self.0.write_all(&encoded(message)?)
    }

    /// Sends the hello, which ends a line that was torn before.
    pub(super) fn greet(&mut self, hello: &FromGuest) -> io::Result<()> {
        self.0.write_all(&[b"\n", &*encoded(hello)?].concat())
    }
}

fn find_port(place: &Place) -> io::Result<File> {
    for _ in 0..MAX_LOOKS {
        if let Some(port) = named_port(place) {
            return OpenOptions::new().read(true).write(true).open(port);
        }
        poll(&mut [], Some(&PAUSE))?;
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "there is no channel"))
}

fn named_port(place: &Place) -> Option<PathBuf> {
    let ports = fs::read_dir(place.at(PORTS)).ok()?;
    let port = ports.flatten().find(|port| {
        let name = fs::read_to_string(port.path().join("name"));
        name.is_ok_and(|name| name.trim() == PORT)
    })?;
    let device = place.at("/dev").join(port.file_name());
    device.exists().then_some(device)
}

/// Reads until the keeper is gone for good, which a port never reports.
fn listen(mut from: File, is_port: bool, events: &SyncSender<Event>) {
    let mut lines = Lines::new(MAX_TO_GUEST_BYTES);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match from.read(&mut chunk) {
            Ok(0) | Err(_) if !is_port => break,
            // No keeper is connected. The port says so at once, again and again.
            Ok(0) | Err(_) => pause(),
            Ok(read) => {
                let mut rest = &chunk[..read];
                while let Some(line) = lines.next(&mut rest) {
                    // A line that was torn by a new keeper is dropped.
                    if let Some(message) = message(&line)
                        && events.send(Event::Told(message)).is_err()
                    {
                        return;
                    }
                }
            }
        }
    }
    // Fails when the conversation is over.
    events.send(Event::Gone).unwrap_or_default();
}

fn pause() {
    poll(&mut [], Some(&PAUSE)).map(|_| ()).unwrap_or_default();
}

fn message(line: &Line) -> Option<ToGuest> {
    match line {
        Line::Whole(line) => serde_json::from_slice(line).ok(),
        Line::TooLong => None,
    }
}
