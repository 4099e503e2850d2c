//! The report of a channel run alone adds up.

mod common;

use common::{preset, root};
use hbm::bank::Tick;
use hbm::energy::Currents;
use hbm::generator::RequestStream;
use hbm::mapper::{FieldMap, FieldOrder};
use hbm::native::Policy;
use hbm::report::{ChannelReport, ChannelRun, run};
use hbm::trace::{RequestLimits, read_requests};
use hbm::workload::Workload;
use sim_core::{Reader, Saved, Writer};
use std::sync::atomic::AtomicBool;

fn report(name: &str, line: &str) -> ChannelReport {
    let preset = preset(name);
    let workload: Workload = line.parse().unwrap();
    let order = FieldOrder::named(FieldMap::RoBaRaCoCh, &preset.organisation);
    let mut stream = RequestStream::new(workload.stream, order, preset.organisation.access_bytes);
    let file = root("configs/memory/energy/hbm2-dramsim3.toml");
    let currents = Currents::load(&file, &|p| std::fs::read_to_string(p)).unwrap();
    run(&preset, &Policy::default(), &mut stream, &workload.driver, Some(&currents)).unwrap()
}

/// A channel that is stopped at any tick, saved and gone on with in another reports what one reports that was not.
#[test]
fn a_run_goes_on_where_it_was_saved() {
    let going_on = AtomicBool::new(false);
    let lines = [
        "rand_rw21 requests=3000",
        "seq_write requests=3000 outstanding=7",
        "hot_rows requests=900 pace=90/1",
        "wr_then_rd requests=3000 burst=64/4000",
    ];
    for (name, line) in ["hbm2-2000", "hbm3"].into_iter().flat_map(|name| lines.map(|line| (name, line))) {
        let preset = preset(name);
        let workload: Workload = line.parse().unwrap();
        let order = FieldOrder::named(FieldMap::RoBaRaCoCh, &preset.organisation);
        let stream = RequestStream::new(workload.stream, order, preset.organisation.access_bytes);
        let new = || ChannelRun::new(&preset, &Policy::default(), ()).unwrap();
        let mut whole = new();
        assert!(whole.advance(&mut stream.clone(), &workload.driver, Tick::MAX, &going_on));
        let expected = whole.report(&preset, None);
        let mut pieces = new();
        let mut ended = false;
        for piece in 1.. {
            let end = whole.now() / 23 * piece;
            ended = pieces.advance(&mut stream.clone(), &workload.driver, end, &going_on);
            assert!(ended || pieces.now() == end, "{name} {line}: {} instead of {end}", pieces.now());
            if ended {
                break;
            }
            let partial = pieces.report(&preset, None);
            let t = partial.read_ticks;
            assert_eq!(t.queue + t.bank + t.bus + t.refresh + t.data, t.total, "{name} {line} at {end}");
            let mut out = Writer::new();
            pieces.save(&mut out);
            let bytes = out.into_bytes();
            pieces = new();
            let mut from = Reader::new(&bytes);
            pieces.load(&mut from).unwrap();
            from.finish().unwrap();
            assert_eq!(pieces.report(&preset, None), partial);
        }
        assert!(ended);
        assert_eq!(pieces.report(&preset, None), expected, "{name} {line}");
    }
}

#[test]
fn parts_sum_to_wholes() {
    for (name, line) in [("hbm2-2000", "rand_rw21 requests=20000"), ("hbm3", "line128_rw21 requests=20000")] {
        let r = report(name, line);
        let (reads, writes) = (r.reads.unwrap(), r.writes.unwrap());
        assert_eq!(reads.requests + writes.requests, 20_000);
        let b = r.read_breakdown;
        let sum = b.queue_ns + b.bank_ns + b.bus_ns + b.refresh_ns + b.data_ns;
        assert!((sum - reads.mean_ns).abs() < 1e-6 * sum, "{sum} {}", reads.mean_ns);
        let count = |names: &[&str]| r.commands.iter().filter(|(n, _)| names.contains(n)).map(|(_, n)| n).sum::<u64>();
        assert_eq!(r.banks.iter().map(|b| b.activates).sum::<u64>(), count(&["ACT"]));
        assert_eq!(r.banks.iter().map(|b| b.accesses).sum::<u64>(), count(&["RD", "RDA", "WR", "WRA"]));
        assert_eq!(r.banks.iter().map(|b| b.refreshes).sum::<u64>(), count(&["REFpb"]));
        assert_eq!(r.row_hits + r.row_misses + r.row_conflicts + r.forwarded_reads + r.merged_writes, 20_000);
        assert!(reads.p50_ns <= reads.p99_ns && reads.p99_ns <= reads.max_ns);
        let energy = r.energy.unwrap();
        // Requests that end in the write queue move nothing.
        let moved = 20_000 - r.forwarded_reads - r.merged_writes;
        let bits = moved as f64 * 32.0 * 8.0;
        assert!((r.gb_per_s * r.time_ns * 8.0 / bits - 1.0).abs() < 1e-9);
        assert!((energy.by_cause_pj.iter().sum::<f64>() / bits / energy.total_pj_per_bit - 1.0).abs() < 1e-9);
    }
}

/// Each bank is refreshed once in nREFI for nRFCpb: that share of its time, long runs and short debts aside.
#[test]
fn refresh_takes_its_share_of_bank_time() {
    let preset = preset("hbm3");
    let r = report("hbm3", "seq_read requests=100000");
    let expected = 100.0 * f64::from(preset.timing.n_rfc_pb) / f64::from(preset.timing.n_refi);
    assert!((r.refresh_percent / expected - 1.0).abs() < 0.05, "{} {expected}", r.refresh_percent);
    assert!(r.percent_of_peak > 95.0 && r.percent_of_peak <= 100.0);
}

#[test]
fn a_trace_runs_like_a_stream() {
    let preset = preset("hbm2-2000");
    let limits = RequestLimits { access_bytes: 32, capacity_bytes: preset.organisation.channel_bytes() };
    let trace = read_requests("t", "at,op,address,bytes\n0,R,0x0,64\n100,W,0x40,32\n", &limits).unwrap();
    let w: Workload = "seq_read".parse().unwrap();
    let r = run(&preset, &Policy::default(), &mut trace.into_iter(), &w.driver, None).unwrap();
    assert_eq!((r.reads.unwrap().requests, r.writes.unwrap().requests), (2, 1));
    assert!(r.energy.is_none() && !r.deadlock);
}

/// Half of the writes of this stream are merged with one that waits: they move no bytes, and the bus stays below its peak.
#[test]
fn merged_writes_are_no_bandwidth() {
    let r = report("hbm3", "wr_then_rd requests=200");
    assert!(r.merged_writes > 40, "{}", r.merged_writes);
    assert!(r.percent_of_peak <= 100.0);
    assert!((r.gb_per_s * r.time_ns - (200 - r.merged_writes - r.forwarded_reads) as f64 * 32.0).abs() < 1e-6);
}
