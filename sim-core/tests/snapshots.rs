//! A run that is saved and goes on in another machine is the run that was not: whatever the time, shards and threads.

mod support;

use proptest::prelude::*;
use sim_core::{Density, Detail, Femtos, LoadError, Machine, Plan, StopAt, StopReason};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::{Ring, result, ring};

fn plan(shards: usize, density: Density) -> Plan {
    Plan { shards, density, ..Plan::serial() }
}

/// Runs to a time; the state there and what may not depend on the plan.
fn state_at(ring: &Ring, by: Femtos, plan: Plan) -> (Vec<u8>, String) {
    let mut machine = ring.build(plan);
    machine.run(StopAt::WorkDoneBy(by), &mut |_| {}).unwrap();
    let state = machine.save();
    (state, machine.digest().to_string())
}

fn loaded(ring: &Ring, state: &[u8], plan: Plan) -> Machine {
    let mut machine = ring.build(plan);
    machine.load(state).unwrap();
    machine
}

/// Time of the end.
fn end_of(ring: &Ring) -> Femtos {
    let mut machine = ring.build(Plan::serial());
    machine.run(StopAt::WorkDone, &mut |_| {}).unwrap().time
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_goes_on_where_it_was_saved(ring in ring(), share in 0.0_f64..1.0, from in 1_usize..5, to in 1_usize..9) {
        let whole = result(ring.build(Plan::serial()));
        let by = Femtos((end_of(&ring).0 as f64 * share) as u64);
        let (state, digest) = state_at(&ring, by, plan(from, Density::Auto));
        for density in [Density::Sparse, Density::Dense] {
            let mut machine = loaded(&ring, &state, plan(to, density));
            prop_assert_eq!(machine.digest().to_string(), digest.clone(), "what was saved is what was loaded");
            prop_assert_eq!(&whole, &result(machine), "saved at {} by {} shards, loaded into {}", by, from, to);
        }
    }

    #[test]
    fn the_state_does_not_depend_on_the_plan(ring in ring(), share in 0.0_f64..1.0) {
        let by = Femtos((end_of(&ring).0 as f64 * share) as u64);
        let serial = state_at(&ring, by, plan(1, Density::Sparse));
        for shards in [2, 3, 8] {
            prop_assert!(serial == state_at(&ring, by, plan(shards, Density::Sparse)), "{} shards at {}", shards, by);
        }
        let mut machine = loaded(&ring, &serial.0, plan(3, Density::Sparse));
        prop_assert!(serial.0 == machine.save(), "saving what was loaded gives it again");
    }

    #[test]
    fn a_run_may_be_saved_many_times(ring in ring(), pieces in 2_u64..12) {
        let whole = result(ring.build(Plan::serial()));
        let end = end_of(&ring).0;
        let mut machine = ring.build(plan(2, Density::Auto));
        for piece in 1..pieces {
            machine.run(StopAt::WorkDoneBy(Femtos(end / pieces * piece)), &mut |_| {}).unwrap();
            let state = machine.save();
            machine = loaded(&ring, &state, plan(1 + piece as usize % 4, Density::Auto));
        }
        prop_assert_eq!(whole, result(machine));
    }

    /// A state with a byte changed is refused, or is one that runs or panics on its own broken invariants (a snapshot's
    /// checksum keeps it from being loaded at all); reading it neither panics nor hangs.
    #[test]
    fn a_broken_state_is_read_to_an_end(ring in ring(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (mut state, _) = state_at(&ring, Femtos(end_of(&ring).0 / 2), Plan::serial());
        let at = at.index(state.len());
        state[at] = byte;
        let _ = ring.build(plan(2, Density::Auto)).load(&state);
        state.truncate(at);
        prop_assert!(ring.build(plan(2, Density::Auto)).load(&state).is_err());
    }
}

fn example() -> Ring {
    Ring {
        left: 3,
        right: 5,
        fan: 2,
        words: 40,
        capacity: 2,
        pause_cycles: 9,
        refresh_cycles: 50,
        latencies: vec![7, 1, 30],
        mhz: [1755.0, 1000.0],
        seed: 5,
    }
}

#[test]
fn before_the_first_edge() {
    let ring = example();
    let state = ring.build(plan(2, Density::Auto)).save();
    assert_eq!(result(loaded(&ring, &state, plan(3, Density::Auto))), result(ring.build(Plan::serial())));
}

#[test]
fn with_messages_far_in_the_future() {
    let ring = Ring { latencies: vec![70_000, 500, 20_000_000, 3], words: 5, refresh_cycles: 1_000_000, ..example() };
    let whole = result(ring.build(Plan::serial()));
    for at_us in [1, 60, 8_000] {
        let (state, _) = state_at(&ring, Femtos::from_us(at_us), plan(2, Density::Auto));
        assert_eq!(result(loaded(&ring, &state, plan(3, Density::Auto))), whole);
    }
}

#[test]
fn a_frequency_changed_on_the_way_comes_along() {
    let ring = example();
    let half = Femtos(end_of(&ring).0 / 2);
    let mut machine = ring.build(plan(2, Density::Auto));
    machine.run(StopAt::WorkDoneBy(half), &mut |_| {}).unwrap();
    machine.set_frequency("b", 700_000_000).unwrap();
    let state = machine.save();
    assert_eq!(result(loaded(&ring, &state, plan(1, Density::Auto))), result(machine));
}

#[test]
fn a_state_of_another_machine_is_refused() {
    let state = example().build(Plan::serial()).save();
    let error = |ring: Ring| ring.build(Plan::serial()).load(&state).unwrap_err().to_string();
    assert_eq!(error(Ring { left: 4, ..example() }), "the snapshot has 24 links, the machine 27");
    assert_eq!(error(Ring { fan: 1, ..example() }), "the snapshot has 24 links, the machine 16");
    let mut machine = example().build(Plan::serial());
    machine.run(StopAt::WorkDoneBy(Femtos::from_ns(10)), &mut |_| {}).unwrap();
    assert_eq!(machine.load(&state), Err(LoadError::NotFresh));
}

#[test]
fn a_machine_stops_when_it_is_asked_to() {
    let ring = example();
    let whole = result(ring.build(Plan::serial()));
    for shards in [1, 3] {
        let mut machine = ring.build(plan(shards, Density::Auto));
        machine.run(StopAt::WorkDoneBy(Femtos::from_ns(200)), &mut |_| {}).unwrap();
        let flag = Arc::new(AtomicBool::new(true));
        machine.stop_on(flag.clone());
        let outcome = machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
        assert_eq!(outcome.reason, StopReason::Interrupted);
        assert!(outcome.time <= Femtos::from_ns(200), "{}", outcome.time);
        let stopped = machine.report(Detail::Components);
        let state = machine.save();
        flag.store(false, Ordering::Relaxed);
        assert_eq!(result(machine), whole, "an interrupted run can go on");
        let machine = loaded(&ring, &state, plan(2, Density::Auto));
        assert_eq!(format!("{:?}", machine.report(Detail::Components)), format!("{stopped:?}"));
        assert_eq!(result(machine), whole, "and so can what was saved of it");
    }
}

/// A credit from another shard finds a sender that is due already and has been full before.
#[test]
fn a_credit_for_a_sender_that_is_due() {
    let ring = Ring {
        left: 6,
        right: 3,
        fan: 3,
        words: 15,
        pause_cycles: 1,
        refresh_cycles: 6,
        latencies: vec![3],
        mhz: [1000.0, 1000.0],
        seed: 1_959_689_581_354_766_581,
        ..example()
    };
    let by = Femtos(28_342_000);
    let serial = state_at(&ring, by, plan(1, Density::Sparse));
    for shards in [2, 3, 8] {
        assert!(serial == state_at(&ring, by, plan(shards, Density::Sparse)), "{shards} shards");
    }
}
