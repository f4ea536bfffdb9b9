//! Dozing: a request that meets instances on their way out is run, or somebody is told that it waits.

use super::*;
use crate::flow::Demand;

#[derive(Default)]
struct Told(AtomicUsize);

impl Demand for Told {
    fn wanted(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

#[test]
fn loom_a_request_that_meets_a_lane_going_to_doze_is_seen() {
    model(|| {
        let bench = Arc::new(Bench::new());
        let told = Arc::new(Told::default());
        let dozer = spawn({
            let (bench, demand) = (bench.clone(), told.clone() as Arc<dyn Demand>);
            move || bench.lane.doze(&demand)
        });
        let ticket = bench.submit().unwrap();
        let cells = dozer.join().unwrap();
        match cells {
            Some(cells) => {
                assert_eq!(told.0.load(Ordering::Acquire), 1, "nobody was told");
                bench.lane.wake();
                cells.into_iter().for_each(|cell| bench.lane.add_instance(cell));
            }
            None => assert!(!bench.lane.is_dozing()),
        }
        bench.work();
        assert_eq!(outcome(ticket), Ok(()));
        bench.is_at_rest();
    });
}

#[test]
fn loom_a_request_that_meets_a_refusal_to_wake_is_answered_or_asks_again() {
    model(|| {
        let bench = Arc::new(Bench::new());
        let told = Arc::new(Told::default());
        let cells = bench.lane.doze(&(told.clone() as Arc<dyn Demand>)).unwrap();
        let first = bench.submit().unwrap();
        assert_eq!(told.0.load(Ordering::Acquire), 1);
        let refuser = spawn({
            let bench = bench.clone();
            move || bench.lane.stay_dozing(&inferlay_backend_sdk::Error::unavailable("no room"))
        });
        let second = bench.submit().unwrap();
        refuser.join().unwrap();
        assert_eq!(outcome(first), Err(ErrorKind::Unavailable));
        if told.0.load(Ordering::Acquire) == 1 {
            assert_eq!(outcome(second), Err(ErrorKind::Unavailable));
        } else {
            bench.lane.wake();
            cells.into_iter().for_each(|cell| bench.lane.add_instance(cell));
            bench.work();
            assert!(matches!(outcome(second), Ok(()) | Err(ErrorKind::Unavailable)));
        }
        bench.is_at_rest();
    });
}

#[test]
fn loom_an_instance_that_leaves_is_not_counted_on() {
    model(|| {
        let bench = Arc::new(Plan { instances: 2, ..Plan::default() }.bench());
        let remover = spawn({
            let bench = bench.clone();
            move || bench.lane.shrink_to(1).len()
        });
        let ticket = bench.submit().unwrap();
        bench.work();
        remover.join().unwrap();
        bench.work();
        assert_eq!(outcome(ticket), Ok(()));
        // One that had to wait until it was free is gone with the next batch that it runs, and not counted on.
        let idle = bench.lane.word.read().idle();
        assert!((1..=2).contains(&idle) && bench.lane.instances_len() == 1, "{idle} are free");
        // Nor is it owed by those that come after a doze.
        let told = Arc::new(Told::default());
        let mut cells = bench.lane.doze(&(told as Arc<dyn Demand>)).unwrap();
        assert_eq!((cells.len(), bench.lane.instances_len()), (idle, 0));
        bench.lane.wake();
        bench.lane.add_instance(cells.pop().unwrap());
        for _ in 0..2 {
            let ticket = bench.submit().unwrap();
            bench.work();
            assert_eq!(outcome(ticket), Ok(()));
        }
        drop(cells);
    });
}
