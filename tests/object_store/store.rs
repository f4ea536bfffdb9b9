//! A server that speaks the language of S3, one for all tests of a process. It is told what to hold over plain HTTP, as
//! it asks for no signature.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

pub(crate) struct Store {
    /// Ends with the pipe that it is told to live by.
    _child: Child,
    pub(crate) address: SocketAddr,
}

impl Store {
    /// The server, if there is one on this machine.
    pub(crate) fn shared() -> Option<&'static Store> {
        static STORE: OnceLock<Option<Store>> = OnceLock::new();
        let store = STORE.get_or_init(|| std::env::var_os("INFERLAY_STORE").map(|program| Store::start(&program)));
        if store.is_none() {
            eprintln!("INFERLAY_STORE names no object store: nothing was shown");
        }
        store.as_ref()
    }

    fn start(program: &std::ffi::OsStr) -> Store {
        // The shell ends the server when this process has ended, however it ended.
        let script = "\"$0\" -H 127.0.0.1 -p 0 < /dev/null & read -r _; kill $!";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(program).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.unwrap();
            line.split_once("Running on http://").map(|(_, address)| address.trim().parse().unwrap())
        });
        // It goes on writing a line per request, and would stop if nobody read them.
        std::thread::spawn(move || lines.for_each(drop));
        Store { _child: child, address: address.expect("the store did not say where it is") }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a bucket, or an object in one.
    pub(crate) fn put(&self, path: &str, content: &[u8]) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            content.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(content)).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
}
