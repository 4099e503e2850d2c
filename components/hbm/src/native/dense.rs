//! Sleeping is never different from looking at every tick (the invariant of all skipping): the same commands and
//! completions, whatever the stream.

use super::{Native, PagePolicy, Policy, RefreshPolicy};
use crate::controller::{Controller, IssuedCommand};
use crate::preset::Preset;
use crate::request::{Admission, Completion, Op, Request, Until};
use proptest::prelude::*;

type Recorded = Native<Vec<IssuedCommand>>;

/// Runs to `limit`; `dense` looks at both slots in every tick.
fn run(native: &mut Recorded, limit: u64, dense: bool, done: &mut Vec<Completion>) {
    if !dense {
        native.run(limit, Until::Limit, done);
        return;
    }
    while native.now() < limit {
        (native.column_not_before, native.row_not_before) = (0, 0);
        native.bounds.forget(0..native.banks.organisation().ranks() as usize);
        native.pseudo_channels.iter_mut().for_each(|pc| pc.look_at_refresh = true);
        native.step(native.now() + 1);
    }
    done.extend(std::iter::from_fn(|| native.take_done()));
}

/// Commands and completions of a stream of (gap in ticks, address, operation).
fn outcome(
    preset: &Preset,
    policy: &Policy,
    stream: &[(u64, u64, Op)],
    dense: bool,
) -> (Vec<IssuedCommand>, Vec<Completion>) {
    let mut native = Recorded::new(preset, policy, Vec::new()).unwrap();
    let mut done = Vec::new();
    for (id, &(gap, address, op)) in (0..).zip(stream) {
        let limit = native.now() + gap;
        run(&mut native, limit, dense, &mut done);
        while native.enqueue(Request { id, address, op }) == Admission::Refused {
            let next = native.now() + 1;
            run(&mut native, next, dense, &mut done);
        }
    }
    let limit = native.now() + 20_000;
    run(&mut native, limit, dense, &mut done);
    (native.observer, done)
}

fn policy() -> impl Strategy<Value = Policy> {
    let page = prop_oneof![Just(PagePolicy::Open), Just(PagePolicy::OpenAuto), Just(PagePolicy::Closed)];
    let refresh = prop_oneof![Just(RefreshPolicy::None), Just(RefreshPolicy::PerBank), Just(RefreshPolicy::AllBank)];
    let sleep = prop_oneof![Just((0, 0)), Just((100, 0)), Just((100, 2000)), Just((0, 2000))];
    let limits = (1usize..64, 100u64..5000, prop_oneof![Just(0u32), 10u32..40]);
    (page, refresh, sleep, limits).prop_map(|(page, refresh, sleep, (queue, age_limit_ticks, managed))| Policy {
        page,
        refresh,
        read_queue: queue,
        write_queue: queue + 1,
        write_high: queue.div_ceil(2) + 1,
        write_low: queue / 4,
        age_limit_ticks,
        power_down_after_ticks: sleep.0,
        self_refresh_after_ticks: sleep.1,
        refresh_management_activates: managed,
        ..Policy::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sleeping_is_looking_at_every_tick(
        policy in policy(),
        spread in 8u32..28,
        writes in 0u64..=100,
        gaps in 0u64..60,
        stream in prop::collection::vec((any::<u64>(), any::<u64>(), 0u64..100), 50..600),
    ) {
        let preset = Preset::load_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/memory/hbm3.toml")).unwrap();
        let stream: Vec<(u64, u64, Op)> = (stream.into_iter())
            .map(|(gap, address, kind)| {
                let op = if kind >= writes { Op::Read } else if kind % 7 == 0 { Op::Update } else { Op::Write };
                // Now and then a pause in which the channel may fall asleep.
                let gap = if gap % 97 == 0 { 5000 } else { gap % (gaps + 1) };
                (gap, (address % (1 << spread)) & !31, op)
            })
            .collect();
        let (commands, done) = outcome(&preset, &policy, &stream, false);
        let (dense_commands, dense_done) = outcome(&preset, &policy, &stream, true);
        let first = commands.iter().zip(&dense_commands).position(|(a, b)| a != b);
        prop_assert_eq!(first.map(|i| (commands[i], dense_commands[i])), None);
        prop_assert_eq!(commands.len(), dense_commands.len());
        prop_assert_eq!(done, dense_done);
    }
}
