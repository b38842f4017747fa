//! The job gate inside of the guest: a socket for the worker and the hook of the job, whose connections become questions.
//!
//! Every connection is passed on, whatever it sends: the keeper's job gate judges it. Connections beyond a bound are closed.

use super::client::Client;
use super::event::Event;
use super::place::Place;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// Connections at the same time; the keeper permits as many questions.
const MAX_CONNECTIONS: usize = 16;
/// Longest line of a question.
const MAX_LINE_BYTES: u64 = 4096;
/// Time for the line, as at the keeper's job gate.
const LINE_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the socket for every account of the guest, and passes questions to `events` on threads of their own.
pub(super) fn open(place: &Place, events: SyncSender<Event>) -> io::Result<()> {
    let path = place.gate();
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o666))?;
    let thread = std::thread::Builder::new().name("gate".to_owned());
    thread.spawn(move || accept(&listener, &events))?;
    Ok(())
}

fn accept(listener: &UnixListener, events: &SyncSender<Event>) {
    let open = Arc::new(());
    let mut connection = 0;
    while let Ok((stream, _)) = listener.accept() {
        if Arc::strong_count(&open) > MAX_CONNECTIONS {
            continue;
        }
        connection += 1;
        let (events, open) = (events.clone(), open.clone());
        let thread = std::thread::Builder::new().name("question".to_owned());
        let spawned = thread.spawn(move || {
            pass_on(connection, stream, &events).unwrap_or_default();
            events.send(Event::Left { connection }).unwrap_or_default();
            // After the report, so that the keeper never sees more questions than it permits.
            drop(open);
        });
        // Without a thread the connection is closed, and the job does not begin.
        spawned.ok();
    }
}

/// Returns once the client has sent more than a line, or has left.
fn pass_on(connection: u64, stream: UnixStream, events: &SyncSender<Event>) -> io::Result<()> {
    stream.set_read_timeout(Some(LINE_TIMEOUT))?;
    let text = line(&stream);
    let client = Client::of(&stream)?;
    let asked = Event::Asked {
        connection,
        client,
        text,
    };
    events.send(asked).map_err(|_| io::ErrorKind::BrokenPipe)?;
    stream.set_read_timeout(None)?;
    // One byte more, the end, or an error: the client is done.
    (&stream).read(&mut [0]).map(|_| ())
}

/// Returns what was sent until the end of the line, the connection, the time or the bound. What follows the line in the same
/// piece is passed on too, because it is a reason to refuse.
fn line(stream: &UnixStream) -> String {
    let mut bounded = stream.take(MAX_LINE_BYTES);
    let mut line = Vec::new();
    let mut chunk = [0; 1024];
    while !line.contains(&b'\n') {
        match bounded.read(&mut chunk) {
            Ok(read) if read > 0 => line.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    String::from_utf8_lossy(&line).into_owned()
}
