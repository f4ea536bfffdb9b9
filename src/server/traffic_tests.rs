//! What of directed traffic no caller in Rust can bring about: correlation ids, which callers in C give; a lane that takes the
//! place of another; and copies for a model that is decoupled.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use super::labels::Around;
use super::served::{Served, Weights};
use super::{ServerHandle, load};
use crate::backend::ModelBatch;
use crate::config::ModelConfig;
use crate::flow::Request;
use inferlay_backend_sdk::{DataType, Error, ErrorKind, ResponseFlags, Tensor};
use std::thread;

fn ask(value: f32) -> Request<'static> {
    Request::new().input("x", Tensor::from_vec(vec![value], [1]).unwrap())
}

/// What serves a model that is this function of one number.
fn serving(
    config: impl FnOnce(ModelConfig) -> ModelConfig,
    function: impl Fn(&ModelBatch<'_>) -> Result<(), Error> + Send + Sync + 'static,
) -> (ServerHandle, Served) {
    let server = ServerHandle::builder().start().unwrap();
    let base = ModelConfig::new("m").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    server.register_model(config(base), function).unwrap();
    let served = server.inner.catalog.entry("m").unwrap().served().pop().unwrap().1;
    (server, served)
}

fn same(batch: &ModelBatch<'_>) -> Result<(), Error> {
    let x = batch.input("x")?.as_slice::<f32>()?;
    if x[0] < 0.0 {
        return Err(Error::invalid_arg("found less than 0"));
    }
    batch.set_output("y", Tensor::from_vec(x.to_vec(), [1])?)
}

/// Another lane over the same weights.
fn in_place_of(server: &ServerHandle, before: &Served) -> Served {
    let Weights { attributes, ledger, .. } = &*before.weights;
    let weights = Weights::counting(before.weights.model().unwrap(), *attributes, None, ledger.clone());
    let config = (*before.config).clone().queue_size_max(7);
    load::serve(
        &server.inner.services,
        &server.inner.options,
        (std::sync::Arc::new(config), 1),
        weights,
        Around::default(),
    )
    .unwrap()
}

#[cfg(feature = "capi")]
#[test]
fn who_counts_changes_counts_a_lane_that_takes_the_place_of_another() {
    let (server, old) = serving(|config| config, same);
    let catalog = &server.inner.catalog;
    let entry = catalog.entry("m").unwrap();
    let count = server.change_count();
    let before = count.read();
    let new = in_place_of(&server, &old);
    assert!(entry.replace(1, &old, &new, &catalog.events));
    assert_eq!(count.read(), before + 1);
    assert!(!entry.replace(1, &old, &new, &catalog.events));
    assert_eq!(count.read(), before + 1);
    old.lane.begin_stop();
    old.end_stop();
}

#[test]
fn counts_go_on_in_the_lane_that_takes_the_place_of_another() {
    let (server, old) = serving(|config| config, same);
    let counts = |served: &Served| {
        let now = served.lane.statistics();
        (now.success.count, now.fail.count, now.execution_count, now.cuts.values().sum::<u64>())
    };
    let infer = |served: &Served, value| served.lane.infer(ask(value)).unwrap().map(drop).map_err(|error| error.kind());
    assert_eq!([infer(&old, 1.0), infer(&old, -1.0)], [Ok(()), Err(ErrorKind::InvalidArg)]);
    let in_place_of = |before: &Served| in_place_of(&server, before);
    let new = in_place_of(&old);
    assert_eq!((counts(&old), counts(&new)), ((1, 1, 2, 2), (1, 1, 2, 2)));
    // What the lane that is replaced still answers counts too, and once it has ended nothing sinks or counts twice.
    assert_eq!([infer(&new, 1.0), infer(&old, 1.0)], [Ok(()), Ok(())]);
    assert_eq!(counts(&new), (3, 1, 4, 4));
    let newest = in_place_of(&new);
    for served in [&old, &new] {
        served.lane.begin_stop();
        served.end_stop();
        served.end_stop();
        assert_eq!(counts(&newest), (3, 1, 4, 4));
    }
    assert!(old.lane.infer(ask(1.0)).is_err() && infer(&newest, 1.0).is_ok());
    drop((old, new));
    assert_eq!(counts(&newest), (4, 1, 5, 5));
    newest.lane.begin_stop();
    newest.end_stop();
}

#[test]
fn a_decoupled_shadow_sends_all_its_responses_to_nobody() {
    let (_server, served) = serving(
        |config| config.decoupled(true),
        |batch| {
            let responder = batch.responder(0)?;
            (0..3).try_for_each(|_| {
                responder.send([(0, Tensor::from_vec(vec![1f32], [1])?)], ResponseFlags { last: false })
            })?;
            responder.send([], ResponseFlags { last: true })
        },
    );
    served.lane.shadow(&ask(1.0));
    while served.lane.statistics().success.count == 0 {
        thread::yield_now();
    }
    let statistics = served.lane.statistics();
    assert_eq!((statistics.response_count, statistics.fail.count, statistics.shadow_dropped_count), (3, 0, 0));
    // What it does not take is left out.
    served.lane.shadow(&Request::new().input("z", Tensor::from_vec(vec![1f32], [1]).unwrap()));
    assert_eq!(served.lane.statistics().shadow_dropped_count, 1);
}

#[cfg(feature = "capi")]
mod ids {
    use super::*;
    use crate::flow::Sequence;
    use crate::server::LoadOptions;
    use crate::server::table_tests::of_sequence;

    fn of(sequence: &Sequence) -> Request<'_> {
        of_sequence(Request::new().input("x", Tensor::from_vec(vec![1f32], [1]).unwrap()), sequence)
    }

    #[test]
    fn requests_with_an_id_stay_with_their_version_while_others_take_turns() {
        let server = ServerHandle::builder().explicit([""; 0]).start().unwrap();
        let config = "{backend: 'null', version_policy: all, input: {name: x, data_type: FP32, dims: 1}}";
        let load = |versions: &[u64]| {
            let files = versions.iter().map(|version| (format!("{version}/weights.bin"), vec![1]));
            server.load_model_with("m", LoadOptions::new().config(config).files(files)).wait().unwrap();
        };
        load(&[1, 2, 3]);
        server.set_traffic("m", [(1, 2), (2, 1), (3, 1)]).unwrap();
        let model = server.model("m").unwrap();
        let text = |text: &str| Sequence { text: text.to_owned(), ..Sequence::default() };
        let mut sequences: Vec<_> = (1..40).map(|id| Sequence { id, ..Sequence::default() }).collect();
        sequences.extend(["a", "b", "session 7"].map(text));
        let all = || sequences.iter().map(|sequence| model.infer(of(sequence)).unwrap().version()).collect::<Vec<_>>();
        let before = all();
        assert!([1, 2, 3].iter().all(|version| before.contains(version)), "{before:?}");
        assert_eq!(all(), before);
        let mut asked = [0; 4];
        (0..8).for_each(|_| asked[model.infer(ask(1.0)).unwrap().version() as usize] += 1);
        assert_eq!(asked, [0, 4, 2, 2]);
        // A version goes: its ids move, and no others; and they come back to it.
        load(&[1, 3]);
        let after = all();
        assert!(before.iter().zip(&after).all(|(before, after)| *after != 2 && (*before == 2 || before == after)));
        load(&[1, 2, 3]);
        assert_eq!(all(), before);
    }
}
