//! Results are a function of configuration and seed: not of shards, threads or density.

mod support;

use proptest::prelude::*;
use sim_core::{Density, Detail, Plan, Scope, StopAt};
use support::{Heard, Ring, result, ring};

fn plan(threads: usize, shards: usize, density: Density) -> Plan {
    Plan { threads, shards, density, ..Plan::serial() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn same_digest_for_every_plan(ring in ring()) {
        let serial = result(ring.build(plan(1, 1, Density::Sparse)));
        for threads in [1, 2] {
            for shards in [1, 2, 3, 8] {
                for density in [Density::Sparse, Density::Dense, Density::Auto] {
                    let other = result(ring.build(plan(threads, shards, density)));
                    prop_assert_eq!(&serial, &other, "{} threads, {} shards, {:?}", threads, shards, density);
                }
            }
        }
    }

    #[test]
    fn idle_tick_changes_nothing(ring in ring()) {
        // Dense ticks everybody at every edge at which anybody is due: most of these ticks are idle.
        let sparse = result(ring.build(plan(1, 1, Density::Sparse)));
        let dense = result(ring.build(plan(1, 1, Density::Dense)));
        prop_assert_eq!(sparse, dense);
    }

    #[test]
    fn no_message_lost_or_doubled(ring in ring()) {
        let mut machine = ring.build(plan(1, 3, Density::Auto));
        machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
        let words = (ring.left + ring.right) as u64 * ring.fan as u64 * u64::from(ring.words);
        let report = machine.report(Detail::Parts);
        let sum = |name: &str| ["left", "right"].iter().filter_map(|p| report.value(&format!("{p}.{name}"))).sum::<u64>();
        prop_assert_eq!(sum("said"), words);
        prop_assert_eq!(sum("heard"), words);
        prop_assert_eq!(sum("out_of_order"), 0);
    }

    #[test]
    fn running_in_pieces_is_running_at_once(ring in ring(), piece_ns in 1_u64..400) {
        let whole = result(ring.build(plan(1, 1, Density::Auto)));
        let mut machine = ring.build(plan(1, 2, Density::Auto));
        for i in 1..20 {
            let by = sim_core::Femtos::from_ns(i * piece_ns);
            if machine.run(StopAt::WorkDoneBy(by), &mut |_| {}).unwrap().reason == sim_core::StopReason::WorkDone {
                break;
            }
        }
        prop_assert_eq!(whole, result(machine));
    }

    #[test]
    fn facts_come_in_the_same_order_from_every_plan(ring in ring()) {
        let facts = |plan: Plan| {
            let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
            let mut machine = ring.build(plan);
            let sink = heard.clone();
            machine.listen::<Heard>(move |s| sink.lock().unwrap().push(*s));
            machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
            drop(machine);
            std::sync::Arc::into_inner(heard).unwrap().into_inner().unwrap()
        };
        let serial = facts(plan(1, 1, Density::Sparse));
        let ordered = serial.windows(2).all(|w| (w[0].time, w[0].component) <= (w[1].time, w[1].component));
        prop_assert!(ordered, "facts are out of order");
        prop_assert_eq!(serial.len() as u64, (ring.left + ring.right) as u64 * ring.fan as u64 * u64::from(ring.words));
        prop_assert!(serial == facts(plan(2, 3, Density::Dense)));
    }
}

/// A listener with a scope hears what a listener to everything hears of it, and nothing else; several do not disturb
/// each other.
#[test]
fn a_scope_is_a_part_of_the_whole() {
    let ring = Ring {
        left: 3,
        right: 3,
        fan: 2,
        words: 50,
        capacity: 4,
        pause_cycles: 3,
        refresh_cycles: 50,
        latencies: vec![2],
        mhz: [1000.0, 1300.0],
        seed: 3,
    };
    type Facts = Vec<sim_core::probe::Stated<Heard>>;
    let facts = |plan: Plan, scopes: &[Scope]| -> Vec<Facts> {
        let mut machine = ring.build(plan);
        let heard: Vec<_> = scopes.iter().map(|_| std::sync::Arc::new(std::sync::Mutex::new(Vec::new()))).collect();
        for (scope, sink) in scopes.iter().zip(&heard) {
            let sink = sink.clone();
            machine.listen_in::<Heard>(scope.clone(), move |s| sink.lock().unwrap().push(*s));
        }
        machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
        heard.iter().map(|facts| facts.lock().unwrap().clone()).collect()
    };
    let early = Scope { components: 0..u32::MAX, cycles: 0..200 };
    let two = Scope { components: 1..3, cycles: 100..u64::MAX };
    let whole = facts(plan(1, 1, Density::Sparse), &[Scope::ALL]).remove(0);
    let part = |scope: &Scope| -> Facts {
        let inside =
            whole.iter().filter(|s| scope.components.contains(&s.component.0) && scope.cycles.contains(&s.cycle.0));
        inside.copied().collect()
    };
    for plan in [plan(1, 1, Density::Sparse), plan(2, 3, Density::Dense)] {
        let heard = facts(plan, &[early.clone(), two.clone()]);
        assert!(heard == [part(&early), part(&two)]);
        assert!(heard.iter().all(|facts| !facts.is_empty() && facts.len() < whole.len()));
    }
}

#[test]
fn shards_report_their_load() {
    let ring = Ring {
        left: 8,
        right: 8,
        fan: 2,
        words: 50,
        capacity: 4,
        pause_cycles: 3,
        refresh_cycles: 100,
        latencies: vec![20],
        mhz: [1000.0, 1000.0],
        seed: 1,
    };
    let mut machine = ring.build(plan(1, 2, Density::Auto));
    let outcome = machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
    assert_eq!(outcome.shards.len(), 2);
    assert!(outcome.shards.iter().all(|s| s.ticks > 400), "{outcome:?}");
    assert!(outcome.windows * 3 < outcome.shards[0].edges, "windows are longer than an edge: {outcome:?}");
}
