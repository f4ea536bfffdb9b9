//! The metrics of a server for Prometheus, with the standard library alone.
//!
//! `cargo run --example exporter --no-default-features -- 127.0.0.1:9100`; then `curl 127.0.0.1:9100/metrics`.

use inferlay::{DataType, ModelConfig, ServerHandle};
use std::io::{BufRead, BufReader, Error, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = ServerHandle::builder().start()?;
    let config = ModelConfig::new("zero").input("x", DataType::Fp32, [2]).output("y", DataType::Fp32, [2]);
    server.register_model(config, |batch| batch.output("y", [2]).map(drop))?;
    serve(&server, &TcpListener::bind(std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:9100"))?);
    Ok(())
}

/// Answers whoever connects, one after the other, whatever they ask for.
pub fn serve(server: &ServerHandle, listener: &TcpListener) {
    for connection in listener.incoming() {
        // A client that went away, or says nothing, takes nobody down.
        let _answered = connection.and_then(|stream| answer(server, &stream));
    }
}

fn answer(server: &ServerHandle, mut stream: &TcpStream) -> Result<(), Error> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let head = BufReader::new(stream).lines();
    head.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
    let (text, kind) = (server.metrics_text(), ServerHandle::METRICS_CONTENT_TYPE);
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}
