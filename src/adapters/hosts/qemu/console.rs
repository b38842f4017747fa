//! The console of a virtual machine and the messages of QEMU, of which the end of a bounded beginning is kept: it explains a
//! boot that failed.

use std::io::{self, PipeReader};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Bytes that are read. Then the console closes: a guest cannot occupy its keeper by writing.
const MAX_READ_BYTES: usize = 256 * 1024;
/// Bytes that are kept.
const MAX_KEPT_BYTES: usize = 600;
/// Time to read the last words of a machine that has ended.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(300);

/// The reader of one console.
pub(super) struct Console {
    end: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Console {
    pub(super) fn read(from: PipeReader) -> io::Result<Self> {
        let mut from = Receiver::from_owned_fd(from.into())?;
        let end = Arc::<Mutex<Vec<u8>>>::default();
        let kept = end.clone();
        let task = tokio::spawn(async move {
            let mut chunk = [0; 2048];
            let mut all = 0;
            while all < MAX_READ_BYTES
                && let Ok(read @ 1..) = from.read(&mut chunk).await
            {
                all += read;
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&chunk[..read]);
                let surplus = kept.len().saturating_sub(MAX_KEPT_BYTES);
                kept.drain(..surplus);
            }
        });
        Ok(Self { end, task })
    }

    /// Adds the last words to an error.
    pub(super) async fn explain(&mut self, error: io::Error) -> io::Error {
        // The machine may live on; then what it has written so far counts.
        timeout(LAST_WORDS_TIMEOUT, &mut self.task)
            .await
            .map(drop)
            .unwrap_or_default();
        let said = inert(&self.end.lock().unwrap_or_else(PoisonError::into_inner));
        if said.is_empty() {
            error
        } else {
            io::Error::new(error.kind(), format!("{error}; its console says: {said}"))
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns the printable characters on one line.
pub(super) fn inert(text: &[u8]) -> String {
    let plain = text.iter().map(|byte| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => ' ',
    });
    let plain: String = plain.collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn nothing_but_printable_characters_is_left() {
        assert_eq!(inert(b"a\x1b[2J\r\n  b\xff\n"), "a [2J b");
    }

    /// Reads what a machine writes, and adds it to an error.
    async fn explained(text: &[u8]) -> (String, io::PipeWriter, Console) {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let mut console = Console::read(reader).expect("a console");
        let text = text.to_owned();
        let written = tokio::task::spawn_blocking(move || {
            // It fails once the console has read enough.
            writer.write_all(&text).map(|()| writer.flush()).ok();
            writer
        });
        let writer = written.await.expect("written");
        let error = console.explain(io::ErrorKind::TimedOut.into()).await;
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        (error.to_string(), writer, console)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_end_of_the_text_explains_an_error_while_the_machine_lives_on() {
        let (text, _writer, _console) = explained(format!("{}the end\n", "x".repeat(5000)).as_bytes()).await;
        let (_, said) = text.split_once("; its console says: ").expect("an explanation");
        assert!(said.ends_with("xthe end") && said.len() < 601, "{said}");
        let (text, _writer, _console) = explained(b"\n").await;
        assert!(!text.contains("console"), "{text}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_console_that_is_flooded_closes() {
        let (_, mut writer, _console) = explained(&vec![b'x'; 4 * MAX_READ_BYTES]).await;
        writer.write_all(b"more").expect_err("it is closed");
    }
}
