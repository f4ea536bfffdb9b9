//! Other configs of models that come and go within a budget: nothing is loaded that need not be, in memory or not.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::paged::{answers, config, server};
use common::scale::Scale;
use common::{PATIENCE, eventually, finishes};
use inferlay::{LoadOptions, ServerHandle};

#[test]
fn a_model_whose_config_changed_comes_back_as_it_is_now() {
    finishes(|| {
        let (builder, scale) = server(2, 1);
        let server = builder.start().unwrap();
        answers(&server, 0);
        let changed = config("") + "instance_group: {count: 3}\n";
        let options = LoadOptions::new().files([("1/factor.txt", b"1         ".to_vec())]).config(changed);
        // Room for both at once there is not: first the other one comes, then this one anew.
        answers(&server, 1);
        server.load_model_with("m0", options).wait_for(PATIENCE).unwrap().unwrap();
        for _ in 0..2 {
            answers(&server, 0);
            eventually("it has three instances", || scale.instances() == 3);
            answers(&server, 1);
        }
    });
}

/// Has `m0` loaded as it was, with more in its config.
fn load_with(server: &ServerHandle, more: &str) {
    let options = LoadOptions::new().files([("1/factor.txt", b"1         ".to_vec())]).config(config("") + more);
    server.load_model_with("m0", options).wait_for(PATIENCE).unwrap().unwrap();
}

/// A server with room for one of two models, of which `m0` was loaded as files.
fn loaded() -> (ServerHandle, Scale) {
    let (builder, scale) = server(2, 1);
    let server = builder.start().unwrap();
    load_with(&server, "");
    answers(&server, 0);
    (server, scale)
}

#[test]
fn another_number_of_instances_of_a_model_in_memory_loads_nothing() {
    finishes(|| {
        let (server, scale) = loaded();
        let loads = scale.loads();
        for count in [3, 2] {
            load_with(&server, &format!("instance_group: {{count: {count}}}\n"));
            eventually("it has so many instances", || scale.instances() == count);
            answers(&server, 0);
        }
        assert_eq!((scale.loads(), scale.models(), server.paging().used_bytes_max), (loads, 1, 10));
        // It goes as ever, and comes back with as many.
        answers(&server, 1);
        assert_eq!((scale.loads(), scale.models(), scale.instances()), (loads + 1, 1, 1));
        answers(&server, 0);
        assert_eq!((scale.loads(), scale.models(), scale.instances()), (loads + 2, 1, 2));
    });
}

#[test]
fn other_scheduling_of_a_model_in_memory_loads_nothing() {
    finishes(|| {
        let (server, scale) = loaded();
        let loads = scale.loads();
        load_with(&server, "dynamic_batching: {}\n");
        answers(&server, 0);
        assert!(server.model("m0").unwrap().config().unwrap().dynamic_batching.is_some());
        eventually("the old lane is gone", || scale.instances() == 1);
        assert_eq!((scale.loads(), scale.models(), server.paging().used_bytes_max), (loads, 1, 10));
        for (model, more) in [(1, 1), (0, 2)] {
            answers(&server, model);
            assert_eq!((scale.loads(), scale.models(), server.paging().evictions), (loads + more, 1, more as u64));
        }
        server.unload_model("m0").wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!((scale.models(), server.paging().used_bytes), (0, 0));
    });
}

#[test]
fn another_config_of_a_model_that_is_not_in_memory_is_taken_over_and_nothing_is_loaded() {
    finishes(|| {
        let (builder, scale) = server(2, 1);
        let server = builder.start().unwrap();
        load_with(&server, "");
        [0, 1].into_iter().for_each(|model| answers(&server, model));
        let loads = scale.loads();
        for more in ["instance_group: {count: 3}\n", "instance_group: {count: 3}\ndynamic_batching: {}\n"] {
            load_with(&server, more);
            load_with(&server, more);
            assert_eq!((scale.loads(), scale.models()), (loads, 1), "{more}");
        }
        answers(&server, 0);
        assert_eq!((scale.loads(), scale.models(), scale.instances()), (loads + 1, 1, 3));
        assert!(server.model("m0").unwrap().config().unwrap().dynamic_batching.is_some());
        // What cannot be told without the model is told by it.
        answers(&server, 1);
        load_with(&server, "default_model_filename: factor.txt\n");
        assert_eq!(scale.loads(), loads + 3);
    });
}
