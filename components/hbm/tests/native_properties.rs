//! Properties of the native controller under random streams, presets and policies: no deadlock, every command legal,
//! nothing lost, nobody starved, refresh debt bounded, every tick of a read accounted for.
//!
//! The short form runs a few hundred cases; `ORRERY_HBM_CASES=10000` runs the long form.

mod common;

use common::preset;
use hbm::bank::Tick;
use hbm::checker::{Checker, TracedCommand};
use hbm::command::Command;
use hbm::constraint::{ConstraintTable, Edition};
use hbm::controller::{CommandObserver, Controller, IssuedCommand};
use hbm::driver::{DriverSpec, drive};
use hbm::generator::Generated;
use hbm::mapper::FieldMap;
use hbm::native::{Native, PagePolicy, Policy, RefreshPolicy};
use hbm::organisation::Organisation;
use hbm::preset::Preset;
use hbm::request::Op;
use proptest::prelude::*;

/// Checks every command as it is issued.
struct Legal {
    checker: Checker,
    org: Organisation,
    violations: Vec<hbm::checker::Violation>,
}

impl CommandObserver for Legal {
    fn issued(&mut self, c: &IssuedCommand) {
        let mut place = self.org.unflatten(c.bank);
        place.row = c.row;
        let traced = TracedCommand { tick: c.tick, command: c.command, place };
        self.checker.check(&traced, &mut self.violations);
    }
}

#[derive(Debug, Clone)]
struct Case {
    preset: &'static str,
    policy: Policy,
    /// Address masks: few bits make hot spots.
    mask: u64,
    shift: u32,
    writes_percent: u64,
    gap_ticks: Tick,
    burst: u64,
    seed: u64,
    outstanding: Option<u64>,
}

fn policies() -> impl Strategy<Value = Policy> {
    let sizes = (1usize..96, 2usize..96, 1u64..400, 200u64..6000);
    let kinds = (
        prop_oneof![Just(PagePolicy::Open), Just(PagePolicy::OpenAuto), Just(PagePolicy::Closed)],
        prop_oneof![Just(RefreshPolicy::None), Just(RefreshPolicy::PerBank), Just(RefreshPolicy::AllBank)],
        prop_oneof![Just(FieldMap::Gpu), Just(FieldMap::RoBaRaCoCh), Just(FieldMap::ChRaBaRoCo)],
    );
    let rest =
        (1u32..=8, prop_oneof![Just(0.25), Just(1.0), Just(4.0)], 0u64..300, 0u64..3000, 0u32..40, any::<bool>());
    (sizes, kinds, rest).prop_map(|((read_queue, write_queue, write_idle_ticks, age_limit_ticks), kinds, rest)| {
        let (page, refresh, map) = kinds;
        let (refresh_debt, refresh_interval_scale, power_down, self_refresh, rfm, merge_writes) = rest;
        Policy {
            read_queue,
            write_queue,
            write_high: write_queue * 3 / 4 + 1,
            write_low: write_queue / 4,
            write_idle_ticks,
            merge_writes,
            age_limit_ticks,
            page,
            refresh,
            refresh_debt,
            refresh_interval_scale,
            power_down_after_ticks: if power_down < 100 { 0 } else { power_down },
            self_refresh_after_ticks: if self_refresh < 1500 { 0 } else { self_refresh },
            refresh_management_activates: if rfm < 20 { 0 } else { rfm },
            map,
        }
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let preset = prop_oneof![
        Just("hbm2-2000"),
        Just("stacks/a100-40"),
        Just("hbm3"),
        Just("hbm4"),
        Just("hbm1"),
        Just("stacks/mi300x"),
        Just("gddr6-14000"),
        Just("stacks/rtx-a6000")
    ];
    let stream = (0u32..30, 0u32..20, 0u64..=100, 0u64..600, 1u64..100, any::<u64>());
    (preset, policies(), stream, prop_oneof![Just(None), (1u64..40).prop_map(Some)]).prop_map(
        |(preset, mut policy, (bits, shift, writes_percent, gap_ticks, burst, seed), outstanding)| {
            if !matches!(preset, "hbm3" | "hbm4" | "stacks/mi300x") {
                policy.refresh_management_activates = 0;
            }
            // At a quarter of the interval, all-bank refresh would take most of the time.
            if policy.refresh == RefreshPolicy::AllBank {
                policy.refresh_interval_scale = policy.refresh_interval_scale.max(1.0);
            }
            // Nor can many banks be refreshed one by one in it, nor those of GDDR6 with half the interval; the policy says so.
            let is_short = !matches!(preset, "hbm1" | "hbm2-2000");
            if policy.refresh == RefreshPolicy::PerBank && is_short {
                policy.refresh_interval_scale = policy.refresh_interval_scale.max(1.0);
            }
            Case { preset, policy, mask: (1 << bits) - 1, shift, writes_percent, gap_ticks, burst, seed, outstanding }
        },
    )
}

/// A stream of random addresses under a mask: the whole channel, or a few rows and banks.
fn stream(case: &Case, preset: &Preset, requests: u64) -> Vec<Generated> {
    let access = u64::from(preset.organisation.access_bytes);
    let mut state = case.seed;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 32
    };
    (0..requests)
        .map(|index| {
            let block = ((random() & case.mask) << case.shift) % preset.organisation.accesses();
            let op = if random() % 100 < case.writes_percent { Op::Write } else { Op::Read };
            Generated { index, address: block * access, op, due: index / case.burst * case.gap_ticks }
        })
        .collect()
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let preset = preset(case.preset);
    let org = preset.organisation;
    let table = ConstraintTable::build(preset.generation, &preset.timing, Edition::Full);
    let checker = Checker::new(preset.generation, org, &table, true);
    let observer = Legal { checker, org, violations: Vec::new() };
    let mut controller =
        Native::new(&preset, &case.policy, observer).map_err(|e| TestCaseError::fail(e.to_string()))?;
    let requests = stream(case, &preset, 600);
    let spec = DriverSpec { requests_per_tick: 4, max_outstanding: case.outstanding };
    let out = drive(&mut controller, &mut requests.iter().copied(), &spec);
    prop_assert!(!out.deadlock, "deadlock");
    prop_assert!(controller.observer.violations.is_empty(), "{}", controller.observer.violations[0]);
    let count = |c: Command| controller.banks().counts[c.index()];
    let counters = controller.counters();
    prop_assert_eq!(out.read_latencies.len() + out.write_latencies.len(), requests.len());
    let read = count(Command::Rd) + count(Command::RdA) + counters.forwarded_reads;
    let written = count(Command::Wr) + count(Command::WrA) + counters.merged_writes;
    prop_assert_eq!((read, written), (out.read_latencies.len() as u64, out.write_latencies.len() as u64));
    let total: u64 = out.read_latencies.iter().map(|l| u64::from(*l)).sum();
    prop_assert_eq!(controller.breakdown().total_ticks(), total);
    for debt in controller.refresh_debt() {
        prop_assert!(debt <= case.policy.refresh_debt + 4, "a debt of {debt}");
    }
    let (longest, bound) =
        (longest(&out.read_latencies).max(longest(&out.write_latencies)), bound(&preset, &case.policy));
    prop_assert!(longest <= bound, "{longest} ticks, bound {bound}");
    Ok(())
}

fn longest(latencies: &[u32]) -> u64 {
    latencies.iter().max().map_or(0, |l| u64::from(*l))
}

/// After the age limit, all that were there before go first, one row cycle and turnaround each, and refresh takes its share.
fn bound(preset: &Preset, policy: &Policy) -> u64 {
    let t = &preset.timing;
    let one = u64::from(t.n_rc + t.n_rp + t.n_write_recovery() + t.n_rtw + t.n_cl) * 2;
    let ahead = (policy.read_queue + policy.write_queue) as u64;
    let refresh = u64::from(t.n_rfc + t.n_xs + t.n_rfm_pb) * 2 * u64::from(policy.refresh_debt + 2);
    let busy = policy.age_limit_ticks + ahead * one + refresh;
    // Refresh and its management may take up to half of the time.
    2 * busy
}

fn number_of_cases() -> u32 {
    std::env::var("ORRERY_HBM_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: number_of_cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_is_served_legally_and_in_time(case in cases()) {
        check(&case)?;
    }
}
