//! Sealed models through the public door: sealed by one, served by another, and what tools of the system say of them.

#![cfg(feature = "integrity")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::Folder;
use inferlay::{Algorithm, Error, ErrorKind, Request, ServerHandle, SigningKey, Tensor, seal};
use std::path::Path;
use std::process::Command;

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
