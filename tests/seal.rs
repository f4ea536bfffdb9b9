//! Sealed models through the public door: sealed by one, served by another, and what tools of the system say of them.

#![cfg(feature = "integrity")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::scale::Scale;
use common::{Folder, finishes};
use inferlay::{Algorithm, Error, ErrorKind, Request, ServerHandle, SigningKey, Tensor, seal};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const CONFIG: &str = "{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}";

fn repository() -> Folder {
    Folder::with(&[("echo/config.yaml", CONFIG), ("echo/1/model.bin", "weights")])
}

fn serve(folder: &Path, key: &SigningKey) -> Result<Vec<f32>, Error> {
    let builder = ServerHandle::builder().repository(folder).trusted_key(key.public()).require_signature();
    let server = builder.strict().start()?;
    let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    Ok(server.infer("echo", Request::new().input("x", x))?.slice::<f32>("x")?.to_vec())
}

#[test]
fn a_signed_model_serves_until_somebody_meddles() {
    let (folder, key) = (repository(), SigningKey::generate().unwrap());
    let model = folder.path().join("echo");
    let error = serve(folder.path(), &key).unwrap_err();
    assert_eq!(error.message(), "model 'echo': found no inferlay.manifest, expected one (require_manifest)");
    seal(&model, Algorithm::Blake3, Some(&key)).unwrap();
    assert_eq!(serve(folder.path(), &key).unwrap(), [1.0, 2.0]);
    let stranger = SigningKey::generate().unwrap();
    assert_eq!(serve(folder.path(), &stranger).unwrap_err().kind(), ErrorKind::FailedPrecondition);
    folder.write("echo/1/model.bin", "Weights");
    let error = serve(folder.path(), &key).unwrap_err();
    assert!(error.message().starts_with("model 'echo': file '1/model.bin': found BLAKE3 "), "{error}");
    // The thief can seal, but not sign.
    seal(&model, Algorithm::Blake3, Some(&stranger)).unwrap();
    let error = serve(folder.path(), &key).unwrap_err();
    assert!(error.message().contains("expected by a trusted key"), "{error}");
}

#[test]
fn the_tools_of_the_system_check_a_manifest_too() {
    let folder = repository();
    seal(folder.path().join("echo"), Algorithm::Sha256, None).unwrap();
    let check = || {
        let mut sha256sum = Command::new("sha256sum");
        sha256sum.args(["--check", "--strict", "--quiet", "inferlay.manifest"]);
        sha256sum.current_dir(folder.path().join("echo")).output().unwrap()
    };
    let output = check();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder.write("echo/1/model.bin", "Weights");
    let output = check();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("1/model.bin: FAILED"));
}

/// A repository with two models of the backend `scale`, sealed, which say all there is to say.
fn scales() -> Folder {
    let ports = "input: {name: x, data_type: FP32, dims: 1}\noutput: {name: y, data_type: FP32, dims: 1}";
    let config = format!("backend: scale\nmax_batch_size: 8\n{ports}\nparameters: {{bytes: \"10\"}}\n");
    let factor = format!("{:<10}", 2);
    let files = ["a", "b"].map(|name| (format!("{name}/config.yaml"), format!("{name}/1/factor.txt")));
    let folder = Folder::with(&[]);
    for (config_name, factor_name) in &files {
        folder.write(config_name, &config);
        folder.write(factor_name, &factor);
    }
    for name in ["a", "b"] {
        seal(folder.path().join(name), Algorithm::Sha256, None).unwrap();
    }
    folder
}

fn ask(server: &ServerHandle, model: &str) -> Result<f32, Error> {
    let x = Tensor::from_vec(vec![3.0f32], [1, 1])?;
    Ok(server.infer(model, Request::new().input("x", x))?.slice::<f32>("y")?[0])
}

#[test]
fn a_sealed_model_is_checked_whenever_it_comes_back_into_memory() {
    finishes(|| {
        let (folder, scale) = (scales(), Scale::default());
        let builder = ServerHandle::builder().backend(Arc::new(scale.clone())).memory_budget(10).require_manifest();
        let server = builder.strict().repository(folder.path()).start().unwrap();
        assert_eq!((ask(&server, "a").unwrap(), ask(&server, "b").unwrap(), scale.loads()), (6.0, 6.0, 2));
        folder.write("a/1/factor.txt", &format!("{:<10}", 4));
        let error = ask(&server, "a").unwrap_err();
        assert!(error.message().contains("file '1/factor.txt': found SHA256 "), "{error}");
        folder.write("a/1/factor.txt", &format!("{:<10}", 2));
        assert_eq!(ask(&server, "a").unwrap(), 6.0);
    });
}

#[test]
fn a_model_that_is_not_in_memory_yet_is_refused_at_once() {
    let folder = scales();
    std::fs::remove_file(folder.path().join("b/inferlay.manifest")).unwrap();
    let builder = ServerHandle::builder().backend(Arc::new(Scale::default())).memory_budget(10).require_manifest();
    let error = builder.strict().repository(folder.path()).start().unwrap_err();
    assert_eq!(error.message(), "model 'b': found no inferlay.manifest, expected one (require_manifest)");
}

#[test]
fn data_for_warming_up_is_sealed_with_the_model() {
    let warmup = "model_warmup: [{name: w, inputs: {x: {data_type: FP32, dims: 2, input_data_file: x}}}]";
    let config = format!("backend: 'null'\ninput: {{name: x, data_type: FP32, dims: 2}}\n{warmup}\n");
    let folder = Folder::with(&[("m/config.yaml", &config), ("m/1/model.bin", "weights"), ("m/warmup/x", "8 bytes.")]);
    seal(folder.path().join("m"), Algorithm::Sha256, None).unwrap();
    let start = || ServerHandle::builder().repository(folder.path()).strict().start().map(drop);
    start().unwrap();
    folder.write("m/warmup/x", "8 Bytes.");
    let error = start().unwrap_err();
    assert!(error.message().contains("file 'warmup/x': found SHA256 "), "{error}");
}
