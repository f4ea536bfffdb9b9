//! Version 1.0 of the plugin ABI is kept: a library that was built with it once loads and serves, and the header has only
//! grown at its ends since.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;
#[path = "abi_v1/header.rs"]
mod header;
#[path = "common/native.rs"]
mod native;

use header::Header;
use native::{ROOT, cc, run, scratch};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn fixture(name: &str) -> PathBuf {
    Path::new(ROOT).join("tests/fixtures/abi_v1").join(name)
}

fn snapshot() -> Header {
    Header::new(&fs::read_to_string(fixture("inferlay_backend.h")).unwrap())
}

fn current() -> Header {
    Header::new(&fs::read_to_string(Path::new(ROOT).join("include/inferlay_backend.h")).unwrap())
}

/// Compiles a program against one of the headers and runs it.
fn compiled(name: &str, include: &Path, text: &str) -> String {
    let folder = scratch();
    fs::create_dir_all(&folder).unwrap();
    let (source, program) = (folder.join(format!("{name}.c")), folder.join(name));
    fs::write(&source, format!("#include \"inferlay_backend.h\"\n#include <stdio.h>\n{text}")).unwrap();
    run(Command::new(cc()).args(["-std=c11", "-Werror", "-I"]).arg(include).arg(&source).arg("-o").arg(&program));
    String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap()
}

#[test]
fn every_field_lies_where_it_lay() {
    let old = snapshot();
    let mut asks = String::from("int main(void) {\n");
    let mut places = Vec::new();
    for table in &old.structs {
        writeln!(asks, "printf(\"%zu\\n\", sizeof({}));", table.name).unwrap();
        places.push((format!("sizeof({})", table.name), if table.grows() { ">=" } else { "==" }));
        for (field, _) in &table.fields {
            let place = format!("offsetof({}, {field})", table.name);
            writeln!(asks, "printf(\"%zu\\n\", {place});").unwrap();
            places.push((place, "=="));
        }
    }
    let told = compiled("ask", &fixture(""), &(asks + "return 0; }\n"));
    let mut asserts = String::new();
    for ((place, relation), found) in places.iter().zip(told.lines()) {
        writeln!(asserts, "_Static_assert({place} {relation} {found}, \"{place}\");").unwrap();
    }
    assert_eq!(told.lines().count(), places.len());
    assert!(places.len() > 150, "the header was read wrongly: {} places", places.len());
    for (name, value) in &old.constants {
        writeln!(asserts, "_Static_assert({name} == {value}u, \"{name}\");").unwrap();
    }
    compiled("kept", &Path::new(ROOT).join("include"), &(asserts + "int main(void) { return 0; }\n"));
}

#[test]
fn what_was_declared_is_declared_alike() {
    let (old, new) = (snapshot(), current());
    assert!(old.structs.len() > 10 && old.constants.len() > 50 && old.types.len() > 20);
    for table in &old.structs {
        let now = new.structs.iter().find(|now| now.name == table.name).unwrap_or_else(|| panic!("no {}", table.name));
        let kept = now.fields.get(..table.fields.len());
        assert_eq!(kept, Some(&table.fields[..]), "{}: found other fields than those of 1.0", table.name);
        assert!(table.grows() || now.fields.len() == table.fields.len(), "{} never grows", table.name);
    }
    for declared in &old.types {
        assert!(new.types.contains(declared), "found no longer: {declared}");
    }
    // All but the number of the minor version itself.
    for constant in old.constants.iter().filter(|(name, _)| name != "INFERLAY_ABI_MINOR") {
        assert!(new.constants.contains(constant), "found no longer: {constant:?}");
    }
}

#[test]
fn what_breaks_the_abi_is_found() {
    let text = fs::read_to_string(fixture("inferlay_backend.h")).unwrap();
    let (old, changed) = (snapshot(), Header::new(&text.replace("uint64_t (*now_ns)", "uint32_t (*now_ns)")));
    let fields = |header: &Header| header.structs.iter().map(|table| table.fields.clone()).collect::<Vec<_>>();
    assert_ne!(fields(&old), fields(&changed));
    let renumbered = Header::new(&text.replace("INFERLAY_ABI_DTYPE_BYTES 13", "INFERLAY_ABI_DTYPE_BYTES 14"));
    assert_ne!(old.constants, renumbered.constants);
}

/// The library was built for one kind of machine.
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod library {
    use super::fixture;
    use crate::common::{finishes, receive};
    use inferlay::{ErrorKind, ManualClock, ModelHandle, ParameterValue, Request, ServerHandle, Tensor};
    use std::sync::mpsc;
    use std::time::Duration;

    const CONFIG: &str = "backend: v1\nmax_batch_size: 4\n\
        parameters: {first: {string_value: one}, second: {string_value: two}}\n";

    fn served(more: &str, log: mpsc::Sender<String>) -> (ServerHandle, ModelHandle) {
        let files = [("config.yaml", format!("{CONFIG}{more}").into_bytes()), ("model.v1", b"content".to_vec())];
        let builder = ServerHandle::builder().backend_directory(fixture("")).model_in_memory("m", files).strict();
        let builder = builder.manual_clock(&ManualClock::new());
        let server = builder.log(move |record| _ = log.send(record.message.to_owned())).start().unwrap();
        let model = server.model("m").unwrap();
        (server, model)
    }

    fn ask<'a>(value: f32, way: &str) -> Request<'a> {
        let x = Tensor::from_vec(vec![value, value + 0.5], [1, 2]).unwrap();
        let request = Request::new().input("x", x).id("me").parameter("way", ParameterValue::String(way.to_owned()));
        request.parameter("half", ParameterValue::Double(0.5)).parameter("yes", ParameterValue::Bool(true))
    }

    /// What the library heard of such a request.
    fn heard(prefix: &str, way: &str) -> String {
        format!(
            "{prefix}id=me rows=1 flags=0 sequence=0 sequence_text= has_deadline=0 cancelled=0 parameters=3 \
             string={way} tenths=5 bool=1 columns=2 wants_y=1 memory=0 "
        )
    }

    #[test]
    fn the_library_is_the_one_that_was_built_with_1_0() {
        // FNV-1a: enough to notice that somebody has built it anew.
        let bytes = std::fs::read(fixture("libinferlay_backend_v1.so")).unwrap();
        let hash = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        assert_eq!((bytes.len(), hash), (18296, 0x4af3_053c_ecdb_f17e));
    }

    #[test]
    fn it_loads_and_hears_what_its_model_is() {
        let (log, told) = mpsc::channel();
        let (server, model) = served("", log);
        assert_eq!(
            receive(&told),
            "model=m version=1 batch_size_max=4 parameter=one parameter=two file=model.v1 content=content \
             default=model.v1 options= "
        );
        let backend = server.backends().into_iter().find(|backend| backend.name == "v1").unwrap();
        assert_eq!((backend.version.as_str(), &backend.file_names[..]), ("1.0", &["model.v1".to_owned()][..]));
        let metadata = model.metadata().unwrap();
        let outputs: Vec<_> = metadata.outputs.iter().map(|output| output.name.as_str()).collect();
        assert_eq!(outputs, ["y", "said"]);
    }

    #[test]
    fn it_answers_in_every_way_and_hears_each_request() {
        finishes(|| {
            let (server, model) = served("", mpsc::channel().0);
            for way in ["buffer", "own", "copy", "take"] {
                let response = model.infer(ask(1.5, way)).unwrap();
                assert_eq!(response.slice::<f32>("y").unwrap(), [3.0, 4.0], "{way}");
                let prefix = if way == "take" { "taken " } else { "" };
                let said: Vec<_> = response.output("said").unwrap().strings().unwrap().collect();
                assert_eq!(said, [heard(prefix, way).as_bytes()], "{way}");
                let only_y = model.infer(ask(1.5, way).output("y")).unwrap();
                assert_eq!(only_y.slice::<f32>("y").unwrap(), [3.0, 4.0], "{way}");
                let mut y = [0f32; 2];
                model.infer(ask(2.0, way).output_into("y", &mut y)).unwrap();
                assert_eq!(y, [4.0, 5.0], "{way}");
            }
            let error = model.infer(ask(1.5, "fail")).unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::FailedPrecondition, "failed as asked"));
            server.stop(Duration::from_secs(3600)).unwrap();
        });
    }

    #[test]
    fn it_serves_batches_of_all_ways() {
        finishes(|| {
            let batching = "dynamic_batching: {max_queue_delay_microseconds: 60000000}\n";
            let (_server, model) = served(batching, mpsc::channel().0);
            let ways = ["own", "take", "fail", "buffer"];
            let ask = |(i, way): (usize, &&str)| model.infer_async(ask(i as f32, way)).unwrap();
            let sent: Vec<_> = ways.iter().enumerate().map(ask).collect();
            for (i, future) in sent.into_iter().enumerate() {
                match future.wait() {
                    Ok(response) => {
                        let x = i as f32;
                        assert_eq!(response.slice::<f32>("y").unwrap(), [2.0 * x, 2.0 * x + 1.0]);
                    }
                    Err(error) => assert_eq!((i, error.kind()), (2, ErrorKind::FailedPrecondition)),
                }
            }
        });
    }
}
