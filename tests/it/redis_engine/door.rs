//! A fixed address in front of servers that change: the balancer or proxy that operators put before Redis.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the door does with those who come.
#[derive(Clone)]
pub(crate) enum Behind {
    /// Lets them through to this address; who is inside stays where they are.
    Server(String),
    /// Answers every command with this error, also to those who are inside.
    Error(&'static str),
}

/// The door. Connections that it let through outlive what it does next.
pub(crate) struct Door {
    address: SocketAddr,
    behind: Arc<Mutex<Behind>>,
    inside: Arc<Mutex<Vec<TcpStream>>>,
}

impl Door {
    pub(crate) fn to(server: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let door = Self {
            address: listener.local_addr().expect("an address"),
            behind: Arc::new(Mutex::new(Behind::Server(server))),
            inside: Arc::default(),
        };
        let (behind, inside) = (door.behind.clone(), door.inside.clone());
        std::thread::spawn(move || {
            for visitor in listener.incoming().map_while(Result::ok) {
                inside
                    .lock()
                    .expect("no panic")
                    .push(visitor.try_clone().expect("a handle"));
                let behind = behind.clone();
                std::thread::spawn(move || receive(visitor, &behind));
            }
        });
        door
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// How many have come so far.
    pub(crate) fn visitors(&self) -> usize {
        self.inside.lock().expect("no panic").len()
    }

    pub(crate) fn put_behind(&self, behind: Behind) {
        *self.behind.lock().expect("no panic") = behind;
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        for visitor in self.inside.lock().expect("no panic").iter() {
            // It may have left by itself.
            visitor.shutdown(Shutdown::Both).ok();
        }
    }
}

fn receive(mut visitor: TcpStream, behind: &Mutex<Behind>) {
    let now = || behind.lock().expect("no panic").clone();
    let mut server = match now() {
        Behind::Server(address) => {
            let Ok(server) = TcpStream::connect(address) else {
                return;
            };
            let (mut answers, mut out) = (
                server.try_clone().expect("a handle"),
                visitor.try_clone().expect("a handle"),
            );
            std::thread::spawn(move || {
                std::io::copy(&mut answers, &mut out).ok();
                out.shutdown(Shutdown::Both).ok();
            });
            Some(server)
        }
        Behind::Error(_) => None,
    };
    let mut buffer = vec![0; 1 << 16];
    loop {
        let heard = match visitor.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => break,
            Ok(length) => &buffer[..length],
        };
        let done = match (now(), &mut server) {
            (Behind::Error(error), _) => {
                // Commands begin a line with an asterisk, and none of ours has another one there.
                let commands = heard.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"*"));
                visitor.write_all(format!("-{error}\r\n").repeat(commands.count()).as_bytes())
            }
            (Behind::Server(_), Some(server)) => server.write_all(heard),
            (Behind::Server(_), None) => break,
        };
        if done.is_err() {
            break;
        }
    }
    visitor.shutdown(Shutdown::Both).ok();
    if let Some(server) = server {
        server.shutdown(Shutdown::Both).ok();
    }
}
