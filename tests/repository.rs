//! What bad input gets, through the server: a clear error that names place, found and expected, and nothing lost.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::{Folder, ask, double, doubling, x};
use inferlay::{
    Buffer, DataType, Error, ErrorKind, LogLevel, ModelConfig, ModelState, Request, ServerHandle, Shape, Tensor,
};
use std::sync::{Arc, Mutex};

const GOOD: &str = "backend: \"null\"\nmax_batch_size: 4\ninput: {name: x, data_type: TYPE_FP32, dims: [2]}\n";

/// Checks that `error` is of this kind and holds every part.
#[track_caller]
fn check(error: &Error, kind: ErrorKind, parts: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for part in parts {
        assert!(error.message().contains(part), "no {part:?} in: {error}");
    }
}

#[test]
fn a_wrong_request_is_told_what_is_wrong_and_the_model_goes_on() {
    use ErrorKind::{InvalidArg, NotFound};
    let server = ServerHandle::builder().start().unwrap();
    let model = server.register_model(doubling("m"), double).unwrap();
    let floats = |dims: &[usize]| {
        let elements = dims.iter().product();
        Request::new().input("x", Tensor::from_vec(vec![0f32; elements], dims).unwrap())
    };
    let halves = Tensor::new(DataType::Fp16, [1, 2], Buffer::copy_of(&[0; 4])).unwrap();
    let words = Tensor::from_strings(["a", "b"], [1, 2]).unwrap();
    let place = "model 'm' version 1: ";
    let rows: Vec<(Request<'static>, ErrorKind, &[&str])> = vec![
        (Request::new(), InvalidArg, &["input 'x' is missing"]),
        (ask(1.0).input("z", x(1.0)), NotFound, &["input 'z' not found; known: x"]),
        (ask(1.0).input("x", x(1.0)), InvalidArg, &["input 'x' is given twice"]),
        (ask(1.0).output("q"), NotFound, &["output 'q' not found; known: y"]),
        (Request::new().input("x", halves), InvalidArg, &["input 'x': found FP16, expected FP32"]),
        (Request::new().input("x", words), InvalidArg, &["input 'x': found BYTES, expected FP32"]),
        (floats(&[2]), InvalidArg, &["input 'x': found shape [2], expected [batch]+[2]"]),
        (floats(&[]), InvalidArg, &["input 'x': found shape [], expected [batch]+[2]"]),
        (floats(&[1, 3]), InvalidArg, &["input 'x': found shape [1, 3], expected [batch]+[2]"]),
        (floats(&[1, 2, 1]), InvalidArg, &["found shape [1, 2, 1], expected [batch]+[2]"]),
        (floats(&[9, 2]), InvalidArg, &["input 'x': found a batch of 9, expected 1 to 8 (max_batch_size)"]),
        (floats(&[0, 2]), InvalidArg, &["input 'x': found a batch of 0, expected 1 to 8 (max_batch_size)"]),
    ];
    for (request, kind, parts) in rows {
        let refused = model.infer_async(request).unwrap_err();
        check(&refused.error, kind, parts);
        check(&refused.error, kind, &[place]);
        check(&model.infer(refused.request).unwrap_err(), kind, parts);
        assert!(model.infer(ask(1.0)).is_ok());
    }
    assert_eq!(model.statistics().unwrap().fail.count, 0);
}

#[test]
fn names_that_nobody_bears_are_told_the_known_ones() {
    let server = ServerHandle::builder().start().unwrap();
    server.register_model(doubling("b"), double).unwrap();
    let model = server.register_model(doubling("a"), double).unwrap();
    check(&server.model("c").unwrap_err(), ErrorKind::NotFound, &["model 'c' not found; known: a, b"]);
    check(&server.infer("a\n", ask(1.0)).unwrap_err(), ErrorKind::NotFound, &["model 'a\\n' not found"]);
    let refused = server.infer_async("c", ask(1.0)).unwrap_err();
    assert!(refused.error.kind() == ErrorKind::NotFound && model.infer(refused.request).is_ok());
    let parts = ["model 'a' version 2 not found; known: 1"];
    check(&server.model_version("a", 2).unwrap_err(), ErrorKind::NotFound, &parts);
    check(&server.remove_model("c", Default::default()).unwrap_err(), ErrorKind::NotFound, &["known: a, b"]);
    let response = model.infer(ask(1.0)).unwrap();
    check(&response.output("z").unwrap_err(), ErrorKind::NotFound, &["no output 'z' in the response; it has: y"]);
    check(&response.slice::<i32>("y").unwrap_err(), ErrorKind::InvalidArg, &["FP32", "INT32"]);
}

#[test]
fn a_config_that_contradicts_itself_registers_nothing() {
    let server = ServerHandle::builder().start().unwrap();
    let rows: Vec<(ModelConfig, &[&str])> = vec![
        (ModelConfig::new(""), &["an empty name"]),
        (ModelConfig::new("a/b"), &["'/' in the name"]),
        (ModelConfig::new("a\\b"), &["in the name"]),
        (ModelConfig::new("../a"), &["'..' in the name"]),
        (ModelConfig::new("a\u{7}"), &["model 'a\\u{7}'", "in the name"]),
        (doubling("m").input("x", DataType::Fp32, [1]), &["model 'm'", "input[1].name", "x"]),
        (doubling("m").output("y", DataType::Fp32, [1]), &["model 'm'", "output[1].name", "y"]),
        (doubling("m").input("z", DataType::Fp32, [-2]), &["model 'm'", "input[1].dims[0]", "found -2"]),
        (doubling("m").input("z", DataType::Fp32, [i64::MAX, i64::MAX]), &["model 'm'", "input[1].dims"]),
        (doubling("m").instances(0), &["instance_group[0].count: found 0"]),
        (doubling("m").queue_size_max(0), &["model 'm'", "found 0"]),
    ];
    for (config, parts) in rows {
        check(&server.register_model(config, double).unwrap_err(), ErrorKind::InvalidArg, parts);
    }
    assert!(server.models().is_empty());
    assert!(server.register_model(doubling("m"), double).unwrap().infer(ask(1.0)).is_ok());
}

#[test]
fn an_output_that_is_not_what_the_config_says_is_an_error_of_its_batch() {
    let server = ServerHandle::builder().start().unwrap();
    let rows: [(Shape, &[&str]); 3] = [
        ([2, 2].into(), &["output 'y': found shape [2, 2], expected 1 rows"]),
        ([1, 3].into(), &["output 'y': found dims [3], expected [2]"]),
        (Shape::SCALAR, &["output 'y': found shape [], expected 1 rows"]),
    ];
    for (index, (shape, parts)) in rows.into_iter().enumerate() {
        let function = move |batch: &inferlay::ModelBatch<'_>| batch.output("y", shape.clone()).map(drop);
        let model = server.register_model(doubling(&format!("m{index}")), function).unwrap();
        check(&model.infer(ask(1.0)).unwrap_err(), ErrorKind::InvalidArg, parts);
    }
    let silent = server.register_model(doubling("silent"), |_| Ok(())).unwrap();
    let parts = ["model 'silent' version 1: the backend did not answer output 'y'"];
    check(&silent.infer(ask(1.0)).unwrap_err(), ErrorKind::Internal, &parts);
    let twice = |batch: &inferlay::ModelBatch<'_>| {
        batch.output("y", [1, 2])?;
        batch.output("y", [1, 2]).map(drop)
    };
    let twice = server.register_model(doubling("twice"), twice).unwrap();
    check(&twice.infer(ask(1.0)).unwrap_err(), ErrorKind::FailedPrecondition, &["output 'y' is answered twice"]);
}

/// What a model with this config says when it does not load.
fn reasons() -> Vec<(&'static str, String, &'static [&'static str])> {
    let deep = "[".repeat(100_000);
    let laughs: String =
        (1..30).map(|i| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(","))).collect();
    let input = |dims: &str| format!("backend: \"null\"\ninput: {{name: x, data_type: TYPE_FP32, dims: {dims}}}\n");
    vec![
        ("not_yaml", "input: [}".to_owned(), &["not_yaml/config.yaml:1:"]),
        ("deep", deep, &["deep/config.yaml:1:", "64"]),
        ("laughs", format!("a0: &a0 [lol]\n{laughs}"), &["laughs/config.yaml"]),
        ("misspelt", format!("{GOOD}max_bacth_size: 3\n"), &["config.yaml:4:1:", "max_bacth_size", "max_batch_size"]),
        ("negative", input("[-2]"), &["config.yaml:2:", "found -2"]),
        ("overflowing", input("[9223372036854775807, 9]"), &["config.yaml:2:", "dims"]),
        ("huge", input("[99999999999999999999]"), &["config.yaml:2:", "99999999999999999999"]),
        ("word", input("many"), &["config.yaml:2:", "many"]),
        ("type", GOOD.replace("TYPE_FP32", "TYPE_FP31"), &["config.yaml:3:", "TYPE_FP31", "FP32"]),
        ("twice", format!("{GOOD}max_batch_size: 3\n"), &["config.yaml:4:", "max_batch_size"]),
        (
            "backendless",
            "backend: nope\n".to_owned(),
            &["backend 'nope' is not there: found no 'lib", "linked in: ", "null"],
        ),
        ("inputless", "backend: \"null\"\n".to_owned(), &["found no input in the config"]),
        ("gpu", format!("{GOOD}instance_group: {{kind: KIND_GPU}}\n"), &["KIND_GPU"]),
        ("versionless", format!("{GOOD}version_policy: {{specific: {{versions: [7]}}}}\n"), &["7"]),
    ]
}

#[test]
fn a_model_that_does_not_load_says_why_and_the_others_serve() {
    let folder = Folder::with(&[("good/config.yaml", GOOD)]);
    for (name, config, _) in reasons() {
        folder.write(&format!("{name}/config.yaml"), &config);
    }
    for name in ["dots..inside", "back\\slash", "bell\u{7}"] {
        folder.write(&format!("{name}/config.yaml"), GOOD);
    }
    let secret = Folder::with(&[("config.yaml", GOOD), ("1/model", "secret")]);
    std::os::unix::fs::symlink(secret.path(), folder.path().join("leads_out")).unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = log.clone();
    let builder = ServerHandle::builder().repository(folder.path()).log(move |record| {
        if record.level == LogLevel::Error {
            lines.lock().unwrap().push(record.message.to_owned());
        }
    });
    let progress = Arc::new(Mutex::new(Vec::new()));
    let steps = progress.clone();
    let server = builder.on_progress(move |step| steps.lock().unwrap().push((step.done, step.total))).start().unwrap();
    let total = reasons().len() + 5;
    let expected: Vec<_> = (1..=total).map(|done| (done, total)).collect();
    assert_eq!(*progress.lock().unwrap(), expected);
    let reason_of = |name: &str| {
        let status = server.models().into_iter().find(|status| status.name == name);
        let status = status.unwrap_or_else(|| panic!("{name:?} is not in the index"));
        assert_eq!(status.state, ModelState::Unavailable, "{name}");
        status.reason
    };
    let others: [(&'static str, &'static [&'static str]); 4] = [
        ("dots..inside", &["found '..' in the name"]),
        ("back\\slash", &["found '\\' in the name"]),
        ("bell\u{7}", &["model 'bell\\u{7}'"]),
        ("leads_out", &["leads_out': found a link to", "expected a target inside of"]),
    ];
    let all = reasons().into_iter().map(|(name, _, parts)| (name, parts)).chain(others);
    for (name, parts) in all {
        let reason = reason_of(name);
        for part in parts {
            assert!(reason.contains(part), "{name}: no {part:?} in: {reason}");
        }
        assert_eq!(server.model(name).unwrap_err().kind(), ErrorKind::Unavailable, "{name}");
        let shown = name.escape_debug().to_string();
        assert!(log.lock().unwrap().iter().any(|line| line.contains(&shown)), "{name} is not in the log");
    }
    assert!(server.is_live() && !server.is_ready());
    let response = server.infer("good", ask(1.0)).unwrap();
    assert_eq!(response.slice::<f32>("x").unwrap(), [1.0, 1.5]);
}

#[test]
fn a_strict_start_fails_with_the_first_reason() {
    let folder = Folder::with(&[("good/config.yaml", GOOD), ("bad/config.yaml", "backend: nope")]);
    let error = ServerHandle::builder().repository(folder.path()).strict().start().unwrap_err();
    check(&error, ErrorKind::Unavailable, &["model 'bad': backend 'nope' is not there"]);
    for path in [folder.path().join("nowhere"), folder.path().join("good/config.yaml")] {
        let error = ServerHandle::builder().repository(&path).start().unwrap_err();
        assert!(error.message().contains(&path.display().to_string()), "{error}");
    }
    let error = ServerHandle::open(folder.path().join("nowhere")).unwrap_err();
    check(&error, ErrorKind::NotFound, &["nowhere"]);
    assert_eq!(ServerHandle::open(folder.path()).unwrap().models().len(), 2);
}

#[test]
fn the_highest_version_serves_unless_the_policy_names_others() {
    let folder = Folder::with(&[
        ("latest/config.yaml", GOOD),
        ("all/config.yaml", &format!("{GOOD}version_policy: {{all: {{}}}}\n")),
        ("some/config.yaml", &format!("{GOOD}version_policy: {{specific: {{versions: [2, 9]}}}}\n")),
    ]);
    for name in ["latest", "all", "some"] {
        for version in [2, 10, 9] {
            folder.write(&format!("{name}/{version}/weights"), "");
        }
    }
    let server = ServerHandle::builder().repository(folder.path()).strict().start().unwrap();
    let rows: [(&str, &[&str], u64); 3] =
        [("latest", &["10"], 10), ("all", &["2", "9", "10"], 10), ("some", &["2", "9"], 9)];
    for (name, versions, served) in rows {
        let model = server.model(name).unwrap();
        assert_eq!(
            (model.metadata().unwrap().versions, model.version().unwrap()),
            (versions.iter().map(|v| (*v).to_owned()).collect(), served)
        );
        assert_eq!(model.infer(ask(1.0)).unwrap().version(), served);
    }
    let old = server.model_version("all", 2).unwrap();
    assert_eq!(old.infer(ask(1.0)).unwrap().version(), 2);
    check(&server.model_version("latest", 9).unwrap_err(), ErrorKind::NotFound, &["version 9 not found; known: 10"]);
}
