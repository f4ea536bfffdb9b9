//! Metrics as Prometheus sees them: its own checker reads the text, and the program itself scrapes the example `exporter`.
//!
//! Where Prometheus is: the folder in `INFERLAY_PROMETHEUS`, which `cargo xtask test` sets, else the search path. Where it
//! is not, that is said, and nothing is shown.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;
#[path = "../examples/exporter.rs"]
#[allow(dead_code, unreachable_pub, reason = "its `main` is that of a program")]
mod exporter;

use common::{Folder, PATIENCE, ask, batching, double, finishes};
use inferlay::ServerHandle;
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A program of Prometheus; says so if it is not there, past the capture of a test's output.
fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("INFERLAY_PROMETHEUS").map_or_else(|| name.into(), |at| Path::new(&at).join(name));
    let runs = Command::new(&path).arg("--version").output().is_ok_and(|output| output.status.success());
    if !runs {
        let message =
            format!("\n*** {name} IS NOT THERE: metrics are not shown to Prometheus (apt install prometheus)\n");
        std::io::stderr().write_all(message.as_bytes()).unwrap();
    }
    runs.then_some(path)
}

/// A server with a model that has answered three requests, one that failed to load, and metrics of the application.
fn server() -> (ServerHandle, Vec<Box<dyn std::any::Any>>) {
    let broken = [("config.yaml", b"backend: nowhere".to_vec())];
    let server = ServerHandle::builder().model_in_memory("broken", broken).start().unwrap();
    let model = server.register_model(batching("m", 0), double).unwrap();
    let words = common::doubling("words").decoupled(true);
    server.register_model(words, |batch| batch.responder(0).and_then(|responder| responder.finish())).unwrap();
    server.model("words").unwrap().infer_stream(ask(1.0)).unwrap().for_each(drop);
    (0..3).for_each(|_| drop(model.infer(ask(1.0)).unwrap()));
    let counter =
        server.metric_counter("app_pages_total", "Pages\\that\nwere \"read\"", &[("of", "a\\b\n\"c\"")]).unwrap();
    let histogram = server.metric_histogram("app_parse_seconds", "Time", &[], &[1e-7, 0.5, 1e30]).unwrap();
    counter.increment(2.0).unwrap();
    histogram.observe(0.25);
    let gauge = server.metric_gauge("app_ratio", "No number", &[]).unwrap();
    gauge.set(f64::NAN);
    (server, vec![Box::new(counter), Box::new(histogram), Box::new(gauge)])
}

#[test]
fn the_checker_finds_no_fault_but_in_names_that_are_tritons() {
    let Some(promtool) = tool("promtool") else { return };
    let (server, _held) = server();
    let piped = || Stdio::piped();
    let mut checker = Command::new(promtool);
    let checker = checker.args(["check", "metrics"]).stdin(piped()).stdout(piped()).stderr(piped());
    let mut checker = checker.spawn().unwrap();
    checker.stdin.take().unwrap().write_all(server.metrics_text().as_bytes()).unwrap();
    let output = checker.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // 3: it was read, and names or units are not what Prometheus recommends.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {said}", output.status);
    let ours: Vec<_> = said.lines().filter(|line| !line.is_empty() && !line.starts_with("nv_")).collect();
    assert!(ours.is_empty(), "{ours:#?}");
}

#[test]
fn the_alerts_of_the_documentation_are_rules() {
    let Some(promtool) = tool("promtool") else { return };
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    let rules =
        page.split("```").find_map(|block| block.strip_prefix("yaml\n").filter(|text| text.starts_with("groups:")));
    let folder = Folder::with(&[("rules.yml", rules.unwrap())]);
    let output = Command::new(promtool).args(["check", "rules"]).arg(folder.path().join("rules.yml")).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("SUCCESS: 7 rules found"), "{said}");
}

/// A Prometheus that scrapes one address every 200 ms, ended when dropped.
struct Prometheus {
    process: Child,
    address: SocketAddr,
    folder: Folder,
}

impl Prometheus {
    fn start(program: &Path, scraped: SocketAddr) -> Self {
        let folder = Folder::with(&[(
            "prometheus.yml",
            &format!(
                "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
                 scrape_configs: [{{job_name: inferlay, static_configs: [{{targets: ['{scraped}']}}]}}]\n"
            ),
        )]);
        // Free now: nothing else of this machine has a reason to take it at once.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = Command::new(program)
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Prometheus { process, address, folder }
    }

    /// Asks its HTTP interface until the answer is one.
    fn ask<T>(&mut self, path: &str, read: impl Fn(&Value) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = get(self.address, path).unwrap_or_default();
            if let Some(found) = serde_json::from_str(&answer).ok().as_ref().and_then(&read) {
                return found;
            }
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(self.process.try_wait().unwrap().is_none(), "Prometheus has ended:\n{}", log());
            assert!(Instant::now() < end, "{path}: found {answer}\n{}", log());
            // Between two questions, nothing that could be waited for happens in this process.
            thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// The one value of a query that gives a number.
    fn value(&mut self, query: &str) -> f64 {
        self.ask(&format!("/api/v1/query?query={query}"), |answer| {
            let value = answer["data"]["result"][0]["value"][1].as_str()?.parse::<f64>().ok()?;
            value.is_finite().then_some(value)
        })
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _it_may_have_ended = self.process.kill();
        let _its_status_says_nothing = self.process.wait();
    }
}

/// The body of an answer.
fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

#[test]
fn prometheus_scrapes_the_exporter() {
    let Some(program) = tool("prometheus") else { return };
    finishes(move || {
        let (server, _held) = server();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let scraped = listener.local_addr().unwrap();
        // It serves as long as the process lives.
        let served = server.clone();
        thread::spawn(move || exporter::serve(&served, &listener));
        let mut prometheus = Prometheus::start(&program, scraped);
        assert_eq!(prometheus.value("nv_inference_request_success{model=%22m%22,version=%221%22}"), 3.0);
        assert_eq!(prometheus.value("up{job=%22inferlay%22}"), 1.0);
        assert_eq!(prometheus.value("inferlay_model_state{model=%22broken%22,state=%22UNAVAILABLE%22}"), 1.0);
        assert_eq!(prometheus.value("app_pages_total"), 2.0);
        let p99 = "histogram_quantile(0.99,inferlay_request_duration_seconds_bucket{model=%22m%22})";
        assert!(prometheus.value(p99) > 0.0);
        let kind = |answer: &Value, name: &str| Some(answer["data"][name][0]["type"].as_str()?.to_owned());
        let kinds = ["nv_inference_count", "inferlay_saturation", "inferlay_batch_rows"]
            .map(|name| prometheus.ask(&format!("/api/v1/metadata?metric={name}"), |answer| kind(answer, name)));
        assert_eq!(kinds, ["counter", "gauge", "histogram"]);
    });
}
