//! Repositories in an object store: a real server that speaks the language of S3, and a proxy before it that cuts
//! connections, refuses, and changes what is asked for.
//!
//! `cargo xtask test` installs the server and names its program in `INFERLAY_STORE`; without that the tests here pass over
//! what they would show.

#![cfg(feature = "object-store")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;
#[path = "object_store/proxy.rs"]
mod proxy;
#[path = "object_store/store.rs"]
mod store;

use common::Folder;
use inferlay::{Error, ErrorKind, Request, ServerBuilder, ServerHandle, Tensor, UrlOptions};
use proxy::{Act, Proxy};
use std::fs;
use std::path::{Path, PathBuf};
use store::Store;

const CONFIG: &str = "{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}";

/// Long enough to come in many pieces.
fn weights(seed: u32) -> Vec<u8> {
    (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8).collect()
}

/// Puts a repository of one model into a bucket of the store.
fn publish(store: &Store, bucket: &str, weights: &[u8]) {
    store.put(&format!("/{bucket}"), b"");
    store.put(&format!("/{bucket}/prod/echo/config.yaml"), CONFIG.as_bytes());
    store.put(&format!("/{bucket}/prod/echo/1/model.bin"), weights);
    store.put(&format!("/{bucket}/other/not-a-model"), b"beside the prefix");
}

fn builder(endpoint: &str, bucket: &str, cache: &Folder) -> ServerBuilder {
    let options = UrlOptions::new(cache.path())
        .option("aws_endpoint", endpoint)
        .option("aws_region", "us-east-1")
        .option("aws_access_key_id", "key")
        .option("aws_secret_access_key", "secret")
        .option("allow_http", "true");
    ServerHandle::builder().repository_url(format!("s3://{bucket}/prod"), options).strict()
}

fn ask(server: &ServerHandle) -> Result<Vec<f32>, Error> {
    let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    Ok(server.infer("echo", Request::new().input("x", x))?.slice::<f32>("x")?.to_vec())
}

/// The copies that can be seen in a cache.
fn replicas(cache: &Folder) -> Vec<PathBuf> {
    let sources = fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().path().join("replicas"));
    let entries = sources.flat_map(|replicas| fs::read_dir(replicas).unwrap());
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn model(replica: &Path) -> Vec<u8> {
    fs::read(replica.join("echo/1/model.bin")).unwrap()
}

#[test]
fn a_bucket_is_served_and_followed() {
    let Some(store) = Store::shared() else { return };
    let cache = Folder::with(&[]);
    publish(store, "served", &weights(1));
    let server = builder(&store.url(), "served", &cache).start().unwrap();
    assert_eq!(ask(&server).unwrap(), [1.0, 2.0]);
    let [first] = &replicas(&cache)[..] else { panic!("{:?}", replicas(&cache)) };
    assert_eq!(model(first), weights(1));
    assert!(!first.join("not-a-model").exists());
    // The next one finds new weights; the first copy is there as long as its server.
    store.put("/served/prod/echo/1/model.bin", &weights(2));
    let second = builder(&store.url(), "served", &cache).start().unwrap();
    assert_eq!(ask(&second).unwrap(), [1.0, 2.0]);
    assert_eq!(replicas(&cache).iter().map(|at| model(at)).collect::<Vec<_>>(), [weights(1), weights(2)]);
    drop(server);
    let third = builder(&store.url(), "served", &cache).start().unwrap();
    assert_eq!(replicas(&cache).iter().map(|at| model(at)).collect::<Vec<_>>(), [weights(2)]);
    drop((second, third));
}

#[test]
fn a_connection_that_is_cut_costs_only_what_is_missing() {
    let Some(store) = Store::shared() else { return };
    let cache = Folder::with(&[]);
    publish(store, "cut", &weights(1));
    let proxy = Proxy::start(store, "/model.bin", vec![Act::Cut(100_000), Act::Cut(50_000)]);
    let server = builder(&proxy.url(), "cut", &cache).start().unwrap();
    assert_eq!(ask(&server).unwrap(), [1.0, 2.0]);
    assert_eq!(model(&replicas(&cache)[0]), weights(1));
    let ranges = proxy.ranges();
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    assert_eq!(ranges[0], 0);
    assert!(ranges[0] < ranges[1] && ranges[1] < ranges[2], "{ranges:?}");
}

#[test]
fn a_download_that_was_given_up_is_not_seen_and_goes_on_at_the_next_start() {
    let Some(store) = Store::shared() else { return };
    let cache = Folder::with(&[]);
    publish(store, "resumed", &weights(1));
    let proxy = Proxy::start(store, "/model.bin", vec![Act::Cut(200_000), Act::Refuse, Act::Refuse]);
    let error = builder(&proxy.url(), "resumed", &cache).start().unwrap_err();
    assert!(error.message().starts_with("source 's3://resumed/prod': file 'echo/1/model.bin': "), "{error}");
    assert!(!error.message().contains("secret"), "{error}");
    assert!(replicas(&cache).is_empty());
    let given_up = proxy.ranges();
    let proxy = Proxy::start(store, "/model.bin", vec![]);
    builder(&proxy.url(), "resumed", &cache).start().unwrap();
    let [resumed] = proxy.ranges()[..] else { panic!("{:?}", proxy.ranges()) };
    assert!(resumed > 0 && given_up.contains(&resumed), "{resumed} is not where it ended: {given_up:?}");
    assert_eq!(model(&replicas(&cache)[0]), weights(1));
}

#[test]
fn an_object_that_changes_after_it_was_listed_is_never_mixed() {
    let Some(store) = Store::shared() else { return };
    let rows = [
        ("changed-before", vec![Act::Change(weights(2))]),
        ("changed-within", vec![Act::Cut(9_000), Act::Change(weights(2))]),
    ];
    for (bucket, script) in rows {
        let cache = Folder::with(&[]);
        publish(store, bucket, &weights(1));
        let proxy = Proxy::start(store, "/model.bin", script);
        let server = builder(&proxy.url(), bucket, &cache).start().unwrap();
        assert_eq!(ask(&server).unwrap(), [1.0, 2.0]);
        assert_eq!(model(&replicas(&cache)[0]), weights(2), "{bucket}");
    }
}

#[test]
fn a_server_starts_inside_of_a_runtime() {
    let Some(store) = Store::shared() else { return };
    let cache = Folder::with(&[]);
    publish(store, "inside", b"weights");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answer = runtime.block_on(async { ask(&builder(&store.url(), "inside", &cache).start()?) });
    assert_eq!(answer.unwrap(), [1.0, 2.0]);
}

#[test]
fn a_bucket_that_is_not_there_is_named() {
    let Some(store) = Store::shared() else { return };
    let error = builder(&store.url(), "nowhere", &Folder::with(&[])).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().starts_with("source 's3://nowhere/prod': "), "{error}");
    assert!(error.message().contains("NoSuchBucket"), "{error}");
}

#[cfg(feature = "integrity")]
#[test]
fn a_signed_model_is_still_signed_when_it_comes_from_a_bucket() {
    use inferlay::{Algorithm, SigningKey, seal};
    let Some(store) = Store::shared() else { return };
    let (cache, key) = (Folder::with(&[]), SigningKey::generate().unwrap());
    let folder = Folder::with(&[("echo/config.yaml", CONFIG), ("echo/1/model.bin", "weights")]);
    seal(folder.path().join("echo"), Algorithm::Blake3, Some(&key)).unwrap();
    publish(store, "sealed", b"weights");
    for name in ["inferlay.manifest", "inferlay.manifest.sig"] {
        store.put(&format!("/sealed/prod/echo/{name}"), &fs::read(folder.path().join("echo").join(name)).unwrap());
    }
    let start = || builder(&store.url(), "sealed", &cache).trusted_key(key.public()).require_signature().start();
    assert_eq!(ask(&start().unwrap()).unwrap(), [1.0, 2.0]);
    store.put("/sealed/prod/echo/1/model.bin", b"Weights");
    let error = start().unwrap_err();
    assert!(error.message().starts_with("model 'echo': file '1/model.bin': found BLAKE3 "), "{error}");
}
