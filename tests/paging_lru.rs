//! Who is in memory under a budget: those that a simulated LRU keeps, for one client exactly, for many nearly.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::paged::{answers, server, server_of};
use common::scale::Scale;
use common::{Chance, finishes};
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

#[test]
fn with_one_client_the_ones_in_memory_are_those_of_a_simulated_lru() {
    const MODELS: usize = 200;
    const ROOM: usize = 20;
    const REQUESTS: usize = 3000;
    finishes(|| {
        let (builder, scale) = server(MODELS, ROOM as u64);
        let server = builder.start().unwrap();
        let mut chance = Chance::new(5);
        let asked: Vec<_> = (0..REQUESTS).map(|_| zipf(&mut chance, MODELS)).collect();
        asked.iter().for_each(|model| answers(&server, *model));
        let paging = server.paging();
        assert_eq!(paging.loads, lru_misses(&asked, ROOM), "of {REQUESTS} requests");
        assert_eq!((paging.used_bytes_max, scale.models()), (10 * ROOM as u64, ROOM));
    });
}

/// How many of these requests, one after the other, a cache misses that has room for so many and lets go of the least
/// recently used.
fn lru_misses(asked: &[usize], room: usize) -> u64 {
    let (mut kept, mut misses) = (VecDeque::new(), 0);
    for model in asked {
        match kept.iter().position(|other| other == model) {
            Some(at) => drop(kept.remove(at)),
            None => misses += 1,
        }
        kept.push_back(*model);
        if kept.len() > room {
            kept.pop_front();
        }
    }
    misses
}

/// A model below `models`, the first ones more often: the chance of the n-th falls as 1/n.
fn zipf(chance: &mut Chance, models: usize) -> usize {
    let whole: f64 = (1..=models).map(|rank| 1.0 / rank as f64).sum();
    let mut left = whole * (chance.below(1 << 40) as f64 / (1u64 << 40) as f64);
    (0..models)
        .find(|index| {
            left -= 1.0 / (index + 1) as f64;
            left <= 0.0
        })
        .unwrap_or(models - 1)
}

#[test]
fn with_many_clients_all_are_answered_and_the_ones_in_memory_are_nearly_those_of_a_simulated_lru() {
    const MODELS: usize = 200;
    const ROOM: usize = 20;
    const CLIENTS: u64 = 16;
    const REQUESTS: u64 = 1000;
    finishes(|| {
        let scale = Scale { ran: Some(Arc::default()), ..Scale::default() };
        // What is on its way into memory takes room as well; with fifteen loads at once the rate is two points lower.
        let server = server_of(&scale, MODELS, ROOM as u64).load_threads_max(4).start().unwrap();
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let server = &server;
                scope.spawn(move || {
                    let mut chance = Chance::new(client);
                    (0..REQUESTS).for_each(|_| answers(server, zipf(&mut chance, MODELS)));
                });
            }
        });
        // In the order in which they ran: there is no other that is the same for all who look.
        let (paging, asked) = (server.paging(), scale.ran());
        let of_all = |misses: u64| 100.0 - 100.0 * misses as f64 / asked.len() as f64;
        let (hits, expected) = (of_all(paging.loads), of_all(lru_misses(&asked, ROOM)));
        eprintln!("hit rate {hits:.2} %, of a simulated LRU {expected:.2} %");
        assert!((hits - expected).abs() <= 2.0, "hit rate {hits:.2} %, of a simulated LRU {expected:.2} %");
        assert!(paging.used_bytes_max <= paging.budget_bytes, "{paging:?}");
        assert!(scale.models_max() <= ROOM, "{} models", scale.models_max());
        assert_eq!((paging.exhausted, asked.len() as u64), (0, CLIENTS * REQUESTS));
    });
}
