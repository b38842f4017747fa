//! A fixed address in front of servers that change, like a load balancer or a proxy in front of Redis.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The behaviour of the door.
#[derive(Clone)]
pub(crate) enum Behind {
    /// New connections lead to this address; open ones stay where they are.
    Server(String),
    /// Every command is answered with this error, also on open connections.
    Error(&'static str),
}

/// The door. Open connections outlive a change of its behaviour.
pub(crate) struct Door {
    address: SocketAddr,
    behind: Arc<Mutex<Behind>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Door {
    pub(crate) fn to(server: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let door = Self {
            address: listener.local_addr().expect("an address"),
            behind: Arc::new(Mutex::new(Behind::Server(server))),
            open: Arc::default(),
        };
        let (behind, open) = (door.behind.clone(), door.open.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                open.lock()
                    .expect("no panic")
                    .push(client.try_clone().expect("a handle"));
                let behind = behind.clone();
                std::thread::spawn(move || receive(client, &behind));
            }
        });
        door
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Returns the number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.open.lock().expect("no panic").len()
    }

    pub(crate) fn put_behind(&self, behind: Behind) {
        *self.behind.lock().expect("no panic") = behind;
    }

    /// Closes every connection.
    pub(crate) fn cut(&self) {
        for client in self.open.lock().expect("no panic").iter() {
            // The client may have closed it already.
            client.shutdown(Shutdown::Both).ok();
        }
    }
}

fn receive(mut client: TcpStream, behind: &Mutex<Behind>) {
    let now = || behind.lock().expect("no panic").clone();
    let mut server = match now() {
        Behind::Server(address) => {
            let Ok(server) = TcpStream::connect(address) else {
                return;
            };
            let (mut answers, mut out) = (
                server.try_clone().expect("a handle"),
                client.try_clone().expect("a handle"),
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
        let received = match client.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => break,
            Ok(length) => &buffer[..length],
        };
        let done = match (now(), &mut server) {
            (Behind::Error(error), _) => {
                // A command begins with an asterisk at the start of a line, and no argument of jitgate does.
                let commands = received
                    .split(|byte| *byte == b'\n')
                    .filter(|line| line.starts_with(b"*"));
                client.write_all(format!("-{error}\r\n").repeat(commands.count()).as_bytes())
            }
            (Behind::Server(_), Some(server)) => server.write_all(received),
            (Behind::Server(_), None) => break,
        };
        if done.is_err() {
            break;
        }
    }
    client.shutdown(Shutdown::Both).ok();
    if let Some(server) = server {
        server.shutdown(Shutdown::Both).ok();
    }
}
