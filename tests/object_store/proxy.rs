//! A proxy before the store that does to each request of one object what its script says.

use super::store::Store;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What happens to a request.
pub(crate) enum Act {
    /// Only so many bytes of the answer come through.
    Cut(usize),
    /// It is forbidden.
    Refuse,
    /// The object has another content from now on.
    Change(Vec<u8>),
}

pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    script: std::vec::IntoIter<Act>,
    ranges: Vec<u64>,
}

impl Proxy {
    /// Starts a proxy whose script is about requests for objects with this ending.
    pub(crate) fn start(store: &'static Store, ending: &'static str, script: Vec<Act>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = Arc::new(Mutex::new(State { script: script.into_iter(), ranges: Vec::new() }));
        let proxy = Proxy { address: listener.local_addr().unwrap(), state: state.clone() };
        // It waits for connections until the process ends.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let state = state.clone();
                std::thread::spawn(move || serve(client.unwrap(), store, ending, &state));
            }
        });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From which byte on the object was asked for, each time.
    pub(crate) fn ranges(&self) -> Vec<u64> {
        self.state.lock().unwrap().ranges.clone()
    }
}

/// Answers the one request of a connection.
fn serve(mut client: TcpStream, store: &Store, ending: &str, state: &Mutex<State>) -> Option<()> {
    let head = head(&mut client)?;
    let path = head.split(' ').nth(1)?.split('?').next()?.to_owned();
    let act = if path.ends_with(ending) { note(&head, state) } else { None };
    let mut len_max = usize::MAX;
    match act {
        Some(Act::Refuse) => {
            let refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return client.write_all(refusal).ok();
        }
        Some(Act::Change(content)) => store.put(&path, &content),
        Some(Act::Cut(len)) => len_max = len,
        None => {}
    }
    let mut upstream = TcpStream::connect(store.address).ok()?;
    // One request for each connection: its answer ends where the connection does.
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    upstream.write_all(head.as_bytes()).ok()?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).ok()?;
    client.write_all(&answer[..len_max.min(answer.len())]).ok()
}

/// Notes a request for the object, and what is to happen to it.
fn note(head: &str, state: &Mutex<State>) -> Option<Act> {
    let from = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": bytes=")?;
        name.eq_ignore_ascii_case("range").then(|| value.split('-').next().unwrap().parse().unwrap())
    });
    let mut state = state.lock().unwrap();
    state.ranges.push(from.unwrap_or(0));
    state.script.next()
}

/// The head of a request, which has no body.
fn head(client: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}
