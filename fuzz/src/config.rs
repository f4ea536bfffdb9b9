//! Configs of models: any text is read or refused with its places, and what was read is written and read back the same.

use inferlay::config::{ConfigErrors, ModelConfig, PartialConfig, parse, to_yaml};
use inferlay_backend_sdk::{DataType, Signature, TensorSpec};

/// Runs one text.
///
/// # Panics
/// When a promise of `inferlay::config` is broken.
///
/// # Examples
/// ```
/// inferlay_fuzz::config::run(b"max_batch_size: 8");
/// ```
pub fn run(bytes: &[u8]) {
    check("config.yaml", bytes);
}

/// Runs one text in Triton's text format.
///
/// # Panics
/// When a promise of `inferlay::config` is broken.
///
/// # Examples
/// ```
/// inferlay_fuzz::config::run_pbtxt(b"max_batch_size: 8 input { name: 'x' }");
/// ```
pub fn run_pbtxt(bytes: &[u8]) {
    check("config.pbtxt", bytes);
}

fn check(file: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match parse(file, &text) {
        Ok(partial) => {
            let _stated = partial.signature();
            check_yaml(&partial);
            for signature in [Signature::default(), batching()] {
                complete(partial.clone(), &signature);
            }
        }
        Err(errors) => check_errors(&errors, &text),
    }
}

/// The signature of a model that batches.
fn batching() -> Signature {
    let spec = |name: &str| TensorSpec {
        name: name.to_owned(),
        dtype: DataType::Fp32,
        dims: Some(vec![-1, 16]),
        optional: false,
    };
    Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true }
}

fn complete(partial: PartialConfig, signature: &Signature) {
    let name = partial.name.clone().unwrap_or_else(|| "m".to_owned());
    let backend = partial.backend.clone().unwrap_or_else(|| "null".to_owned());
    match partial.complete(&name, &backend, signature) {
        Ok(config) => check_written(&config),
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
}

/// What a file says is said by the YAML that is made of it.
fn check_yaml(partial: &PartialConfig) {
    let yaml = to_yaml(partial);
    match parse("config.yaml", &yaml) {
        Ok(again) => assert_eq!(again.to_json(), partial.to_json(), "{yaml}"),
        Err(errors) => panic!("{yaml}:\n{errors}"),
    }
}

fn check_written(config: &ModelConfig) {
    assert_eq!(config.check(), Ok(()));
    let text = config.to_json().to_string();
    let read = match parse("config.json", &text) {
        Ok(read) => read,
        Err(errors) => panic!("{text}:\n{errors}"),
    };
    let again = read.complete(&config.name, &config.backend, &Signature::default());
    assert_eq!(again.as_ref(), Ok(config), "{text}");
}

fn check_errors(errors: &ConfigErrors, text: &str) {
    let lines = text.split(['\n', '\r']).count();
    assert!(errors.iter().count() > 0);
    for error in errors.iter() {
        // What is wrong with the whole text, such as its size, has no place.
        assert!(error.position().is_none_or(|(line, column)| line >= 1 && line <= lines + 1 && column >= 1), "{error}");
    }
    assert!(!errors.to_string().is_empty());
}
