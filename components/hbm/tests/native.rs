//! The native controller: analytic latencies, bandwidth of streams, refresh, power states, refresh management.

mod common;

use common::preset;
use hbm::checker::{Checker, TracedCommand, Violation};
use hbm::command::Command;
use hbm::constraint::{ConstraintTable, Edition};
use hbm::controller::{Controller, IssuedCommand};
use hbm::driver::{Outcome, drive};
use hbm::generator::{Generated, RequestStream};
use hbm::mapper::{FieldMap, FieldOrder};
use hbm::native::{Native, PagePolicy, Policy, RefreshPolicy};
use hbm::preset::Preset;
use hbm::request::Op;
use hbm::workload::Workload;

struct Run {
    outcome: Outcome,
    controller: Native<Vec<IssuedCommand>>,
    violations: Vec<Violation>,
}

fn run(preset: &Preset, policy: &Policy, workload: &str) -> Run {
    let workload: Workload = workload.parse().unwrap();
    let order = FieldOrder::named(FieldMap::RoBaRaCoCh, &preset.organisation);
    let mut stream = RequestStream::new(workload.stream, order, preset.organisation.access_bytes);
    run_stream(preset, policy, &mut stream, &workload)
}

fn run_stream(preset: &Preset, policy: &Policy, stream: &mut dyn Iterator<Item = Generated>, w: &Workload) -> Run {
    let mut controller = Native::new(preset, policy, Vec::new()).unwrap();
    let outcome = drive(&mut controller, stream, &w.driver);
    let org = preset.organisation;
    let trace = controller.observer.iter().map(|c| {
        let mut place = org.unflatten(c.bank);
        place.row = c.row;
        TracedCommand { tick: c.tick, command: c.command, place }
    });
    let trace: Vec<TracedCommand> = trace.collect();
    let table = ConstraintTable::build(preset.generation, &preset.timing, Edition::Full);
    let violations = Checker::new(preset.generation, org, &table, true).check_all(&trace);
    Run { outcome, controller, violations }
}

fn share_of_peak(preset: &Preset, run: &Run) -> f64 {
    let accesses = run.outcome.read_latencies.len() + run.outcome.write_latencies.len();
    let bytes = accesses as f64 * f64::from(preset.organisation.access_bytes);
    bytes / (run.outcome.cycles as f64 * preset.tick_ps()) * 1e3 / preset.peak_channel_gb_per_s()
}

fn count(run: &Run, command: Command) -> u64 {
    run.controller.banks().counts[command.index()]
}

/// A request at tick 0 starts at tick 1. Closed bank: ACT, nRCD, RD, read latency. Then a hit and a conflict, far apart.
#[test]
fn unloaded_latencies_are_the_sums_on_paper() {
    for name in ["hbm2-2000", "hbm3", "hbm4", "hbm1", "gddr6-14000", "stacks/rtx-a6000"] {
        let preset = preset(name);
        let (t, g, org) = (preset.timing, preset.generation, preset.organisation);
        let policy = Policy { refresh: RefreshPolicy::None, map: FieldMap::RoBaRaCoCh, ..Policy::default() };
        let order = FieldOrder::named(FieldMap::RoBaRaCoCh, &org);
        let at = |row, column| order.compose(&hbm::organisation::DramAddress { row, column, ..Default::default() });
        let request = |index, address, due| Generated { index, address, op: Op::Read, due };
        let requests = [request(0, at(5, 0), 0), request(1, at(5, 1), 10_000), request(2, at(6, 0), 20_000)];
        let w: Workload = "rand_read".parse().unwrap();
        let run = run_stream(&preset, &policy, &mut requests.into_iter(), &w);
        assert_eq!(run.violations, []);
        let ck = u64::from(g.ticks_per_ck());
        let length = |c| u64::from(g.command_ticks(c));
        let data = u64::from(t.n_cl + t.n_bl) * ck;
        let act_to_read = u64::from(t.n_rcd_rd) * ck + length(Command::Act) - length(Command::Rd);
        let pre_to_act = u64::from(t.n_rp) * ck + length(Command::PrePb) - length(Command::Act);
        // Every wait between edges rounds up to the next tick on which the command may start.
        let edge = |tick: u64| if ck == 2 && tick.is_multiple_of(2) { tick + 1 } else { tick };
        let closed = edge(edge(1) + act_to_read) + data;
        let hit = edge(1) + data;
        let conflict = edge(edge(1 + pre_to_act) + act_to_read) + data;
        let expected: Vec<u32> = [closed, hit, conflict].map(|l| l as u32).to_vec();
        assert_eq!(run.outcome.read_latencies, expected, "{name}");
        let c = run.controller.counters();
        assert_eq!((c.row_misses, c.row_hits, c.row_conflicts), (1, 1, 1));
    }
}

/// Measured pure streams on V100, H100 PCIe and GH200 reach 95 to 99 % of peak with refresh on; so must we.
#[test]
fn streams_reach_95_percent_of_peak_with_per_bank_refresh() {
    let hbm = ["hbm2-2000", "hbm2-2400", "hbm2e", "hbm3", "hbm3e", "hbm4", "stacks/h100-sxm", "stacks/mi300x"];
    for name in hbm.into_iter().chain(["gddr6-14000", "gddr6-16000", "stacks/rtx-4090"]) {
        let preset = preset(name);
        for stream in ["seq_read requests=60000", "seq_write requests=60000"] {
            let run = run(&preset, &Policy::default(), stream);
            let share = share_of_peak(&preset, &run);
            assert!((0.95..=1.0).contains(&share), "{name} {stream}: {share}");
            assert_eq!(run.violations, []);
            let due = run.outcome.cycles * u64::from(preset.organisation.banks())
                / u64::from(preset.timing.n_refi * preset.generation.ticks_per_ck());
            let owed: u32 = run.controller.refresh_debt().iter().sum();
            let got = count(&run, Command::RefPb) + u64::from(owed);
            assert!(got.abs_diff(due) <= 3, "{name}: {got} refreshes and debts, {due} due");
        }
    }
}

/// Blocking all-bank refresh costs about nRFC / nREFI of a stream; refresh by bank costs almost nothing.
#[test]
fn all_bank_refresh_costs_its_share() {
    let preset = preset("hbm3");
    let by = |refresh| {
        let run = run(&preset, &Policy { refresh, ..Policy::default() }, "seq_read requests=100000");
        assert_eq!(run.violations, []);
        let per_pseudo_channel = count(&run, Command::RefAb) / 2 * u64::from(preset.timing.n_rfc) * 2;
        (share_of_peak(&preset, &run), per_pseudo_channel as f64 / run.outcome.cycles as f64)
    };
    let (none, _) = by(RefreshPolicy::None);
    let (bank, _) = by(RefreshPolicy::PerBank);
    let (all, blocked) = by(RefreshPolicy::AllBank);
    assert!(none - bank < 0.02, "{none} {bank}");
    assert!(blocked > 0.04 && none - all > 0.9 * blocked && none - all < 1.6 * blocked, "{none} {all}: {blocked}");
}

#[test]
fn closed_pages_trade_hits_for_conflicts() {
    let preset = preset("hbm2-2000");
    let by = |page| run(&preset, &Policy { page, ..Policy::default() }, "rand_read requests=20000 outstanding=2");
    let (open, closed) = (by(PagePolicy::Open), by(PagePolicy::Closed));
    assert_eq!((open.violations.len(), closed.violations.len()), (0, 0));
    assert!(open.controller.counters().row_conflicts > 15_000);
    assert!(closed.controller.counters().row_conflicts < 100);
    assert_eq!(count(&closed, Command::Rd), 0);
    assert!(closed.outcome.cycles < open.outcome.cycles);
}

#[test]
fn every_write_is_drained_and_every_tick_of_a_read_accounted_for() {
    let preset = preset("hbm2-2000");
    for stream in [
        "rand_rw11 requests=20000",
        "rand_rw11 requests=20000 footprint=1024",
        "rand_rw11 requests=20000 footprint=65536",
        "rand_rw21 requests=3 pace=100/1",
        "wr_then_rd requests=20000",
    ] {
        let run = run(&preset, &Policy::default(), stream);
        assert!(!run.outcome.deadlock);
        assert_eq!(run.violations, [], "{stream}");
        let c = run.controller.counters();
        let reads = count(&run, Command::Rd) + count(&run, Command::RdA) + c.forwarded_reads;
        let writes = count(&run, Command::Wr) + count(&run, Command::WrA) + c.merged_writes;
        assert_eq!(reads, run.outcome.read_latencies.len() as u64);
        assert_eq!(writes, run.outcome.write_latencies.len() as u64);
        let total: u64 = run.outcome.read_latencies.iter().map(|l| u64::from(*l)).sum();
        assert_eq!(run.controller.breakdown().total_ticks(), total, "{stream}");
        assert_eq!(run.controller.breakdown().reads, reads);
    }
}

/// An idle channel sleeps: power-down soon, self refresh later, no refresh commands while it refreshes itself.
#[test]
fn an_idle_channel_sleeps_and_wakes() {
    let preset = preset("hbm3");
    let policy = Policy { power_down_after_ticks: 100, self_refresh_after_ticks: 20_000, ..Policy::default() };
    let run = run(&preset, &policy, "rand_read requests=50 pace=200000/1");
    assert_eq!(run.violations, []);
    // The two pseudo channels sleep apart: one entry a request, but for the last that ends the run.
    let entries = (count(&run, Command::SrEnter), count(&run, Command::PdEnter));
    assert!(entries.0 >= 45 && entries.1 > entries.0, "{entries:?}");
    for [active, precharged, down, asleep] in run.controller.background_ticks() {
        assert_eq!(active + precharged + down + asleep, run.outcome.cycles);
        assert!(asleep as f64 > 0.8 * run.outcome.cycles as f64, "{active} {precharged} {down} {asleep}");
        assert!(down > active + precharged);
    }
    // Waking from self refresh takes tXS before the activate: longer than a closed bank, and no longer than tXS more.
    let (t, ck) = (preset.timing, 2);
    let longest = u64::from(*run.outcome.read_latencies.iter().max().unwrap());
    let exit = u64::from(t.n_xs + t.n_cke) * ck;
    assert!(longest > u64::from(t.n_xs) * ck && longest < exit + 250, "{longest}");
}

/// A bank hammered beyond RAAIMT gets a refresh-management command each RAAIMT activates.
#[test]
fn hammered_banks_get_refresh_management() {
    let preset = preset("hbm3");
    let hammer = Policy {
        refresh_management_activates: 32,
        map: FieldMap::RoBaRaCoCh,
        page: PagePolicy::Closed,
        refresh: RefreshPolicy::None,
        ..Policy::default()
    };
    let run = run(&preset, &hammer, "row_conflict requests=3200");
    assert_eq!(run.violations, []);
    let (acts, rfms) = (count(&run, Command::Act), count(&run, Command::RfmPb));
    assert_eq!(acts, 3200);
    assert!((acts / 32 - 1..=acts / 32).contains(&rfms), "{rfms} of {acts} activates");
    let old = common::preset("hbm2-2000");
    let error = Native::new(&old, &hammer, ()).err().unwrap().to_string();
    assert!(error.contains("hbm2-2000 has no refresh management"), "{error}");
}

#[test]
fn bad_policies_name_their_keys() {
    let preset = preset("hbm3");
    let policy = Policy { read_queue: 0, write_low: 120, refresh_debt: 9, ..Policy::default() };
    let error = Native::new(&preset, &policy, ()).err().unwrap();
    let keys: Vec<&str> = error.problems.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(keys, ["read_queue", "write_low", "refresh_debt"]);
}

/// An op-and-store holds its bank group n_ccd_l + n_update: with four groups and 4 + 6 clocks, one every 2.5 clocks and pseudo
/// channel where a write takes 2. In one bank group nothing hides it.
#[test]
fn updates_hold_their_bank_group() {
    let mut preset = preset("hbm2-2000");
    preset.timing.n_update = 6;
    let order = FieldOrder::named(FieldMap::RoBaRaCoCh, &preset.organisation);
    let by = |line: &str, map| {
        let workload: Workload = line.parse().unwrap();
        let stream = RequestStream::new(workload.stream, order.clone(), preset.organisation.access_bytes);
        let mut updates = stream.map(|r| Generated { op: Op::Update, ..r });
        let policy = Policy { map, ..Policy::default() };
        let run = run_stream(&preset, &policy, &mut updates, &workload);
        assert_eq!(run.violations, []);
        assert_eq!(count(&run, Command::Upd), workload.stream.requests);
        run
    };
    let spread = share_of_peak(&preset, &by("seq_write requests=40000", FieldMap::Gpu));
    assert!((0.76..=0.80).contains(&spread), "{spread}");
    let one_bank = by("one_bank_seq requests=640", FieldMap::RoBaRaCoCh);
    let row_of_32 = one_bank.outcome.cycles as f64 / 20.0;
    let t = preset.timing;
    let least = f64::from(31 * (t.n_ccd_l + t.n_update));
    let between = f64::from(t.n_rcd_wr + t.n_write_recovery() + t.n_rp + t.n_update + 10);
    assert!(row_of_32 > least && row_of_32 < least + between, "{row_of_32}: {least} {between}");
}

/// Two updates of the same address are two operations; two writes are one.
#[test]
fn updates_are_not_merged() {
    let preset = preset("hbm2-2000");
    let requests = |op| (0..10).map(move |index| Generated { index, address: 64, op, due: 0 });
    let w: Workload = "rand_write".parse().unwrap();
    let updates = run_stream(&preset, &Policy::default(), &mut requests(Op::Update), &w);
    let writes = run_stream(&preset, &Policy::default(), &mut requests(Op::Write), &w);
    assert_eq!((count(&updates, Command::Upd), updates.controller.counters().merged_writes), (10, 0));
    assert_eq!((count(&writes, Command::Wr), writes.controller.counters().merged_writes), (1, 9));
}
