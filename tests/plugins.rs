//! Backends in shared libraries: found where they may be and nowhere else, refused with a clear error when they are not
//! what they should be, and borne when they misbehave: the server lives on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;
#[path = "common/plugins.rs"]
mod plugins;

use common::{Folder, PATIENCE, answer, ask, finishes, receive, x as x_of};
use inferlay::{ErrorKind, Input, LogLevel, ManualClock, ModelHandle, Request, ServerBuilder, ServerHandle, Tensor};
use inferlay_backend_sdk::{Buffer, DataType};
use plugins::{c_plugin, rust_plugins};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// The config of a model of a plugin, which does not batch on its own.
fn config(backend: &str) -> String {
    format!(
        "backend: {backend}\nmax_batch_size: 4\n\
         input: {{name: x, data_type: TYPE_FP32, dims: [2]}}\noutput: {{name: y, data_type: TYPE_FP32, dims: [2]}}\n"
    )
}

/// A builder with a model `m` of a plugin, and one `fine` that must go on serving.
fn with(directory: &Path, config: &str) -> ServerBuilder {
    let fine = "backend: 'null'\nmax_batch_size: 4\ninput: {name: x, data_type: TYPE_FP32, dims: [2]}\n";
    let models = [("m", config), ("fine", fine)];
    let builder = ServerHandle::builder().backend_directory(directory);
    models.into_iter().fold(builder, |builder, (name, config)| {
        builder.model_in_memory(name, [("config.yaml", config.as_bytes().to_vec())])
    })
}

/// A server with the model `m` of `plugin.c` with these switches.
fn served(name: &str, switches: &[&str]) -> (ServerHandle, ModelHandle) {
    let server = with(&c_plugin(name, switches), &config(name)).strict().start().unwrap();
    let model = server.model("m").unwrap();
    (server, model)
}

#[track_caller]
fn lives_on(server: &ServerHandle) {
    let response = server.infer("fine", ask(3.0)).unwrap();
    assert_eq!(response.slice::<f32>("x").unwrap(), [3.0, 3.5]);
}

#[test]
fn a_backend_in_a_library_serves() {
    let (server, model) = served("subject", &[]);
    for value in [1.0, -2.0] {
        assert_eq!(model.infer(ask(value)).unwrap().slice::<f32>("y").unwrap(), answer(value));
    }
    let rows = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [3, 2]).unwrap();
    let response = model.infer(Request::new().input("x", rows)).unwrap();
    assert_eq!(response.slice::<f32>("y").unwrap(), [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
    lives_on(&server);
}

#[test]
fn a_plugin_is_told_its_options() {
    let builder = with(rust_plugins(), &config("panicking")).backend_option("panicking", "threads", "1");
    let error = builder.strict().start().unwrap_err();
    assert!(error.message().contains("backend_new: option 'threads': the backend takes no options"), "{error}");
    let asking = c_plugin("asking", &["WANTS_OPTIONS"]);
    let told = with(&asking, &config("asking")).backend_option("asking", "a \"b\"", "\u{e9}\n").strict().start();
    assert!(told.is_ok(), "{:?}", told.err());
}

#[test]
fn a_model_that_names_no_backend_is_read_by_the_first_plugin_that_can() {
    let absent = c_plugin("absent", &["READS_FILES", "IS_NOT_INSTALLED"]);
    let present = c_plugin("present", &["READS_FILES"]);
    let config = config("present").replace("backend: present\n", "");
    let files = || [("config.yaml", config.clone().into_bytes()), ("model.text", Vec::new())];
    let (send, log) = mpsc::channel();
    let builder = ServerHandle::builder().model_in_memory("m", files()).backend_directory(&absent);
    let builder = builder.log(move |record| send.send(record.message.to_owned()).unwrap());
    let server = builder.backend_directory(&present).strict().start().unwrap();
    assert_eq!(server.model("m").unwrap().config().unwrap().backend, "present");
    assert_eq!(server.infer("m", ask(1.0)).unwrap().slice::<f32>("y").unwrap(), answer(1.0));
    assert!(log.try_iter().any(|line| line == "model 'm' is not served by 'absent': install the runtime"));
    // Alone, or named, it says itself what is missing.
    let alone = ServerHandle::builder().model_in_memory("m", files()).backend_directory(&absent).strict();
    assert_eq!(alone.start().unwrap_err().message(), "model 'm': install the runtime");
    let named = [("config.yaml", format!("backend: absent\n{config}").into_bytes()), ("model.text", Vec::new())];
    let named = ServerHandle::builder().model_in_memory("m", named).backend_directory(&absent);
    let error = named.backend_directory(&present).strict().start().unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "model 'm': install the runtime"));
}

#[test]
fn a_batch_is_gathered_for_a_plugin_and_its_rows_go_to_their_requests() {
    finishes(|| {
        let batching = "dynamic_batching: {max_queue_delay_microseconds: 60000000}\n";
        let config = config("subject") + batching;
        let builder = with(&c_plugin("subject", &[]), &config).manual_clock(&ManualClock::new());
        let server = builder.strict().start().unwrap();
        let model = server.model("m").unwrap();
        let futures: Vec<_> = (0..4).map(|i| model.infer_async(ask(i as f32)).unwrap()).collect();
        for (i, future) in futures.into_iter().enumerate() {
            assert_eq!(future.wait().unwrap().slice::<f32>("y").unwrap(), answer(i as f32));
        }
        let batch_sizes = model.statistics().unwrap().batch_sizes;
        assert_eq!(batch_sizes.into_keys().collect::<Vec<_>>(), [4]);
    });
}

#[test]
fn a_plugin_reads_memory_that_a_caller_lends_and_answers_into_memory_of_a_caller() {
    for (name, switch) in [("subject", "RIGHT"), ("hands_over", "HANDS_OVER"), ("takes", "TAKES")] {
        finishes(move || {
            let (server, model) = served(name, &[switch]);
            for value in [1.0f32, 2.0, 3.0] {
                let (x, mut y) = ([value, value + 0.5], [0.0f32; 2]);
                let request = Request::new().input("x", Input::from_slice(&x, [1, 2]).unwrap());
                model.infer(request.output_into("y", &mut y)).unwrap();
                assert_eq!(y.as_slice(), answer(value), "{name}");
                let borrowed = Request::new().input("x", Input::from_slice(&x, [1, 2]).unwrap());
                assert_eq!(model.infer(borrowed).unwrap().slice::<f32>("y").unwrap(), answer(value), "{name}");
                let mut small = [0.0f32; 1];
                let error = model.infer(Request::new().input("x", x_of(value)).output_into("y", &mut small));
                let error = error.map(drop).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidArg, "{name}: {error}");
            }
            lives_on(&server);
        });
    }
}

#[test]
fn a_plugin_never_sees_memory_that_is_not_aligned() {
    for (name, switch) in [("subject", "RIGHT"), ("takes", "TAKES")] {
        finishes(move || {
            let (_server, model) = served(name, &[switch]);
            let bytes: Vec<u8> = [&[0][..], &1.0f32.to_le_bytes(), &1.5f32.to_le_bytes()].concat();
            let unaligned = Buffer::from(bytes).slice(1, 8).unwrap();
            let x = Tensor::new(DataType::Fp32, [1, 2], unaligned).unwrap();
            let response = model.infer_async(Request::new().input("x", x)).unwrap().wait().unwrap();
            assert_eq!(response.slice::<f32>("y").unwrap(), answer(1.0), "{name}");
        });
    }
}

#[test]
fn what_a_plugin_is_not_is_said_clearly_and_the_others_are_served() {
    let symbol = "found no symbol 'inferlay_backend_";
    let rows: [(&str, &[&str], &str); 14] = [
        ("other_symbol", &["OTHER_SYMBOL"], symbol),
        ("other_major", &["OTHER_MAJOR"], "found ABI major 2, expected 1"),
        ("short_table", &["SHORT_TABLE"], "found a table of 40 bytes, expected at least"),
        ("no_table", &["NO_TABLE"], "the plugin returned no table"),
        ("other_name", &["OTHER_NAME"], "found the table of backend 'another', expected 'other_name'"),
        ("no_execute", &["NO_EXECUTE"], "table: 'execute' is null, but required"),
        ("no_model_new", &["NO_MODEL_NEW"], "table: 'model_new' is null, but required"),
        ("half_a_batcher", &["HALF_A_BATCHER"], "table: 'batcher_free' is null, but required"),
        ("init_fails", &["INIT_FAILS"], "backend_new: found no licence"),
        ("load_fails", &["LOAD_FAILS"], "found no weights"),
        ("instance_fails", &["INSTANCE_FAILS"], "found no accelerator"),
        ("states_nonsense", &["STATES_NONSENSE"], "signature: inputs: 'x': tensor: found data type 99"),
        ("states_nothing", &["STATES_NOTHING"], "neither the backend nor the config says what the inputs are"),
        ("no_library", &[], "found no 'libinferlay_backend_elsewhere.so' in: "),
    ];
    for (name, switches, expected) in rows {
        let directory = c_plugin(name, switches);
        let config = match name {
            "states_nothing" => format!("backend: {name}"),
            "no_library" => config("elsewhere"),
            _ => config(name),
        };
        let server = with(&directory, &config).start().unwrap();
        let error = server.model("m").map(drop).unwrap_err();
        assert!(error.message().contains(expected), "{name}: {error}");
        lives_on(&server);
        let strict = with(&directory, &config).strict().start().map(drop).unwrap_err();
        assert!(strict.message().contains(expected), "{name}: {strict}");
        // Where it is from: the file, or the directory.
        let is_of_a_file = !matches!(name, "load_fails" | "instance_fails" | "states_nonsense" | "states_nothing");
        assert_eq!(strict.message().contains(directory.to_str().unwrap()), is_of_a_file, "{name}: {strict}");
    }
}

#[test]
fn a_table_of_a_newer_minor_serves() {
    let (server, model) = served("newer_minor", &["NEWER_MINOR"]);
    assert_eq!(model.infer(ask(1.0)).unwrap().slice::<f32>("y").unwrap(), answer(1.0));
    lives_on(&server);
}

#[test]
fn a_plugin_may_state_its_model_as_json() {
    let directory = c_plugin("states_json", &["STATES_JSON"]);
    let server = with(&directory, "backend: states_json").strict().start().unwrap();
    let model = server.model("m").unwrap();
    assert_eq!(model.infer(ask(1.0)).unwrap().slice::<f32>("y").unwrap(), answer(1.0));
}

#[test]
fn a_name_never_leads_out_of_the_backend_directories_nor_into_a_models_folder() {
    let directory = c_plugin("subject", &[]);
    let library = std::fs::read(directory.join("libinferlay_backend_subject.so")).unwrap();
    let (folder, empty) = (Folder::with(&[("m/config.yaml", &config("subject"))]), Folder::with(&[]));
    for place in ["m", "m/1"] {
        std::fs::create_dir_all(folder.path().join(place)).unwrap();
        std::fs::write(folder.path().join(place).join("libinferlay_backend_subject.so"), &library).unwrap();
    }
    let builder = ServerHandle::builder().repository(folder.path()).backend_directory(empty.path());
    let error = builder.strict().start().map(drop).unwrap_err();
    assert!(error.message().contains("found no 'libinferlay_backend_subject.so' in: "), "{error}");
    for name in ["../subject/libinferlay_backend_subject", "a/b", "a b"] {
        let error = with(&directory, &config(&format!("'{name}'"))).strict().start().map(drop).unwrap_err();
        assert!(error.message().contains("expected up to 64 letters, digits and underscores"), "{error}");
    }
}

#[test]
fn a_plugin_that_misbehaves_in_a_batch_gets_errors_and_its_callers_too() {
    type Expected = Result<(), (ErrorKind, &'static str)>;
    let rows: [(&str, &[&str], Expected); 6] = [
        ("buffer_twice", &["BUFFER_TWICE"], Err((ErrorKind::FailedPrecondition, "output 'y' is answered twice"))),
        ("answers_nothing", &["ANSWERS_NOTHING"], Err((ErrorKind::Internal, "did not answer output 'y'"))),
        ("forgets_size", &["FORGETS_SIZE"], Err((ErrorKind::Internal, "did not answer output 'y'"))),
        ("takes_and_forgets", &["TAKES", "FORGETS_SIZE"], Err((ErrorKind::Internal, "did not answer output 'y'"))),
        ("lets_go", &["LETS_GO"], Err((ErrorKind::Internal, "let a request go without an answer"))),
        ("misuses", &["MISUSES"], Ok(())),
    ];
    for (name, switches, expected) in rows {
        finishes(move || {
            let (server, model) = served(name, switches);
            for _ in 0..3 {
                let outcome = model.infer_async(ask(1.0)).unwrap().wait();
                match (outcome, expected) {
                    (Ok(response), Ok(())) => assert_eq!(response.slice::<f32>("y").unwrap(), answer(1.0), "{name}"),
                    (Err(error), Err((kind, said))) => {
                        assert_eq!(error.kind(), kind, "{name}: {error}");
                        assert!(error.message().contains(said), "{name}: {error}");
                    }
                    (outcome, _) => panic!("{name}: {:?}", outcome.map(drop)),
                }
            }
            lives_on(&server);
            // Some of these also forget to release what they took, which a stop waits for.
            let _may_be_unreleased = server.stop(MS);
        });
    }
}

#[test]
fn requests_that_a_plugin_takes_are_answered() {
    finishes(|| {
        let (server, model) = served("takes", &["TAKES"]);
        for i in 0..3 {
            let response = model.infer_async(ask(i as f32)).unwrap().wait().unwrap();
            assert_eq!(response.slice::<f32>("y").unwrap(), answer(i as f32));
        }
        lives_on(&server);
    });
}

#[test]
fn a_plugin_that_leaks_the_requests_it_has_answered_serves_on_and_the_log_tells() {
    finishes(|| {
        let (send, log) = mpsc::channel();
        let builder = with(&c_plugin("leaks", &["LEAKS"]), &config("leaks"));
        let builder = builder.log(move |record| {
            let _nobody_listens_any_more = send.send(record.message.to_owned());
        });
        let server = builder.strict().start().unwrap();
        for i in 0..3 {
            let response = server.model("m").unwrap().infer_async(ask(i as f32)).unwrap().wait().unwrap();
            assert_eq!(response.slice::<f32>("y").unwrap(), answer(i as f32));
        }
        lives_on(&server);
        // Their memory is not given back: a stop waits for that as long as it may.
        let error = server.stop(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        drop(server);
        let expected = "backend 'leaks': a model has ended, but 3 requests of it are not released";
        assert_eq!(receive(&log), expected);
    });
}

#[test]
fn the_second_answer_of_a_taken_request_is_refused() {
    finishes(|| {
        let (send, log) = mpsc::channel();
        let builder = with(&c_plugin("answers_twice", &["ANSWERS_TWICE"]), &config("answers_twice"));
        let builder = builder.log(move |record| {
            let _nobody_listens_any_more = send.send((record.level, record.message.to_owned()));
        });
        let server = builder.strict().start().unwrap();
        let model = server.model("m").unwrap();
        let response = model.infer_async(ask(1.0)).unwrap().wait().unwrap();
        assert_eq!(response.slice::<f32>("y").unwrap(), answer(1.0));
        assert_eq!(receive(&log), (LogLevel::Error, "the final response was sent before".to_owned()));
        lives_on(&server);
    });
}

#[test]
fn a_plugin_that_says_so_sends_several_responses_and_none_after_the_end() {
    finishes(|| {
        let (send, log) = mpsc::channel();
        let builder = with(&c_plugin("streams", &["STREAMS"]), &config("streams"));
        let builder = builder.log(move |record| {
            let _nobody_listens_any_more = send.send(record.message.to_owned());
        });
        let server = builder.strict().start().unwrap();
        let model = server.model("m").unwrap();
        assert!(model.config().unwrap().decoupled);
        let responses = model.infer_stream(ask(1.0)).unwrap();
        let y = |response: Result<inferlay::Response, _>| response.unwrap().slice::<f32>("y").unwrap().to_vec();
        assert_eq!(responses.map(y).collect::<Vec<_>>(), [answer(1.0), answer(1.0)]);
        assert_eq!(receive(&log), "refused as it should be");
        lives_on(&server);
    });
}

#[test]
fn a_config_has_the_last_word_on_how_many_responses_a_plugin_may_send() {
    finishes(|| {
        let config = config("streams") + "model_transaction_policy: {decoupled: false}\n";
        let server = with(&c_plugin("streams", &["STREAMS"]), &config).strict().start().unwrap();
        let model = server.model("m").unwrap();
        assert!(!model.config().unwrap().decoupled);
        assert_eq!(model.infer_stream(ask(1.0)).unwrap().next().unwrap().unwrap_err().kind(), ErrorKind::Internal);
    });
}

#[test]
fn a_deadline_and_a_stop_answer_for_a_plugin_that_never_does() {
    finishes(|| {
        let clock = ManualClock::new();
        let directory = c_plugin("never_answers", &["NEVER_ANSWERS"]);
        let config = config("never_answers") + "instance_group: [{count: 2, kind: KIND_CPU}]\n";
        let server = with(&directory, &config).manual_clock(&clock).strict().start().unwrap();
        let model = server.model("m").unwrap();
        let late = model.infer_async(ask(1.0).timeout(MS)).unwrap();
        let stuck = model.infer_async(ask(2.0)).unwrap();
        common::eventually("both are taken", || model.statistics().unwrap().execution_count == 2);
        clock.advance(2 * MS);
        assert_eq!(late.wait().unwrap_err().kind(), ErrorKind::Timeout);
        lives_on(&server);
        let stopper = std::thread::spawn(move || server.stop(MS));
        common::eventually("the stop gives up", || {
            clock.advance(MS);
            stopper.is_finished()
        });
        assert_eq!(stopper.join().unwrap().unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(stuck.wait().unwrap_err().kind(), ErrorKind::Unavailable);
    });
}

#[test]
fn outputs_of_a_plugin_are_not_copied_and_let_go_once_before_the_backend_ends() {
    let (send, log) = mpsc::channel();
    let builder = with(&c_plugin("hands_over", &["HANDS_OVER"]), &config("hands_over"));
    let builder = builder.log(move |record| {
        let _nobody_listens_any_more = send.send(record.message.to_owned());
    });
    let server = builder.strict().start().unwrap();
    let model = server.model("m").unwrap();
    let responses: Vec<_> = (0..3).map(|i| model.infer(ask(i as f32)).unwrap()).collect();
    assert_eq!(model.statistics().unwrap().bytes_copied, 0);
    server.stop(PATIENCE).unwrap();
    drop((model, server));
    for (i, response) in responses.iter().enumerate() {
        assert_eq!(response.slice::<f32>("y").unwrap(), answer(i as f32));
    }
    assert!(log.try_recv().is_err(), "the backend ended before its outputs were let go");
    drop(responses);
    assert_eq!(receive(&log), "ended: 0 models, handed over 03, released 03");
}

#[test]
fn what_a_plugin_hands_over_wrongly_is_let_go_too() {
    let (send, log) = mpsc::channel();
    let builder = with(&c_plugin("misuses", &["MISUSES"]), &config("misuses"));
    let builder = builder.log(move |record| {
        let _nobody_listens_any_more = send.send(record.message.to_owned());
    });
    let server = builder.strict().start().unwrap();
    server.infer("m", ask(1.0)).unwrap();
    server.stop(PATIENCE).unwrap();
    drop(server);
    assert_eq!(receive(&log), "ended: 0 models, handed over 07, released 07");
}

#[test]
fn panics_of_a_plugin_never_cross() {
    let panicking = |place: &str| config("panicking") + &format!("parameters: {{panic: {place}}}\n");
    let place = |place: &str| with(rust_plugins(), &panicking(place)).start().unwrap();
    for at in ["load", "instance", "load with a grenade", "instance with a grenade"] {
        let server = place(at);
        let error = server.model("m").map(drop).unwrap_err();
        assert!(error.message().contains("panicked: "), "{at}: {error}");
        lives_on(&server);
    }
    for at in ["execute", "execute with a grenade", "batches_in_flight_max", "drop", "nowhere"] {
        let server = place(at);
        let model = server.model("m").unwrap();
        for _ in 0..2 {
            assert_eq!(model.infer(ask(1.0)).unwrap().slice::<f32>("y").unwrap(), [1.0, 1.5], "{at}");
            let outcome = model.infer(ask(-1.0)).map(drop);
            let expected = if at.starts_with("execute") { Err(ErrorKind::Panic) } else { Ok(()) };
            assert_eq!(outcome.map_err(|error| error.kind()), expected, "{at}");
        }
        lives_on(&server);
        server.stop(PATIENCE).unwrap();
    }
}

#[test]
fn a_panic_after_a_request_was_taken_answers_it_too() {
    finishes(|| {
        let config = config("panicking") + "parameters: {panic: execute after taking}\n";
        let server = with(rust_plugins(), &config).strict().start().unwrap();
        let model = server.model("m").unwrap();
        let error = model.infer_async(ask(-1.0)).unwrap().wait().unwrap_err();
        assert!(error.message().contains("let a request go without an answer"), "{error}");
        assert_eq!(model.infer(ask(1.0)).unwrap().slice::<f32>("y").unwrap(), [1.0, 1.5]);
        lives_on(&server);
    });
}

#[test]
fn two_servers_share_a_library_and_neither_knows_the_other() {
    let (first, model) = served("subject", &[]);
    let (second, other) = served("subject", &[]);
    drop((first, model));
    assert_eq!(other.infer(ask(1.0)).unwrap().slice::<f32>("y").unwrap(), answer(1.0));
    lives_on(&second);
}
