//! Speed of the kernel against the boxed-component event-queue variant of the same models.
//!
//! `cargo bench -p sim-core --bench kernel -- --ratios` prints the table of ratios (CPU time of one thread, best of
//! three, equal results checked) and the bound of two shards; without `--ratios` criterion measures each by itself.

#[path = "models/boxed.rs"]
mod boxed;
#[path = "models/graph.rs"]
mod graph;
#[path = "models/mesh.rs"]
mod mesh;

use criterion::{BatchSize, Criterion, Throughput};
use sim_core::{Density, Femtos, Plan, StopAt, thread_cpu_ns};
use std::sync::Arc;

const NODES: usize = 10_000;
const SIDE: usize = 64;

fn seconds(f: impl FnOnce()) -> f64 {
    let begun = thread_cpu_ns();
    f();
    (thread_cpu_ns() - begun) as f64 / 1e9
}

fn at_cycle(cycle: u64) -> StopAt {
    StopAt::Time(Femtos::from_ns(cycle))
}

/// Best CPU seconds of three of the kernel and of the boxed variant, with equal results.
fn graph_pair(cycles: u64) -> (f64, f64, u64) {
    let wiring = Arc::new(graph::Wiring::random(NODES, 7));
    let (mut ours, mut theirs, mut events) = (f64::MAX, f64::MAX, 0);
    for _ in 0..3 {
        let mut machine = graph::machine(&wiring, Plan::serial());
        let mut engine = boxed::graph(&wiring);
        ours = ours.min(seconds(|| drop(machine.run(at_cycle(cycles), &mut |_| {}).expect("no deadlock"))));
        theirs = theirs.min(seconds(|| engine.run(cycles)));
        let same = graph::nodes(&machine, NODES).zip(engine.states::<graph::Node>()).all(|(a, b)| a.state == b.state);
        assert!(same, "the two kernels disagree on graph_10k");
        events = engine.events;
    }
    (ours, theirs, events)
}

fn mesh_pair(rate: f64, cycles: u64) -> (f64, f64) {
    let (mut ours, mut theirs) = (f64::MAX, f64::MAX);
    for _ in 0..3 {
        let mut machine = mesh::machine(SIDE, rate, 1, Plan::serial());
        let mut engine = boxed::mesh(SIDE, rate);
        ours = ours.min(seconds(|| drop(machine.run(at_cycle(cycles), &mut |_| {}).expect("no deadlock"))));
        theirs = theirs.min(seconds(|| engine.run(cycles)));
        let (a, b) = (mesh::summary(mesh::routers(&machine, SIDE)), mesh::summary(engine.states()));
        assert_eq!(a, b, "the two kernels disagree on the mesh at {rate}");
    }
    (ours, theirs)
}

fn ratios() {
    println!("bench,kernel_per_cpu_second,boxed_per_cpu_second,unit,ratio,required");
    let (ours, theirs, events) = graph_pair(6_000);
    let (a, b) = (events as f64 / ours / 1e6, events as f64 / theirs / 1e6);
    println!("graph_10k,{a:.1},{b:.1},million events,{:.2},3", theirs / ours);
    for (rate, cycles, required) in [(0.0001, 20_000, 5), (0.01, 600, 8), (0.06, 300, 8)] {
        let (ours, theirs) = mesh_pair(rate, cycles);
        let (a, b) = (cycles as f64 / ours / 1e3, cycles as f64 / theirs / 1e3);
        println!("mesh_64_rate_{rate},{a:.2},{b:.2},kilo-cycles,{:.2},{required}", theirs / ours);
    }
    for (rate, cycles, density) in [
        (0.001, 3_000, Density::Sparse),
        (0.001, 3_000, Density::Dense),
        (0.01, 600, Density::Sparse),
        (0.01, 600, Density::Dense),
        (0.06, 300, Density::Sparse),
        (0.06, 300, Density::Dense),
    ] {
        let best = (0..3)
            .map(|_| {
                let mut machine = mesh::machine(SIDE, rate, 1, Plan { density, ..Plan::serial() });
                seconds(|| drop(machine.run(at_cycle(cycles), &mut |_| {}).expect("no deadlock")))
            })
            .fold(f64::MAX, f64::min);
        println!("mesh_64_rate_{rate} {density:?},{:.2},,kilo-cycles,,", cycles as f64 / best / 1e3);
    }
    for (rate, latency, cycles) in [(0.001, 1, 3_000), (0.01, 1, 600), (0.06, 1, 300), (0.01, 4, 600), (0.01, 16, 600)]
    {
        let serial = {
            let mut machine = mesh::machine(SIDE, rate, latency, Plan::serial());
            seconds(|| drop(machine.run(at_cycle(cycles), &mut |_| {}).expect("no deadlock")))
        };
        let mut machine = mesh::machine(SIDE, rate, latency, Plan { shards: 2, ..Plan::serial() });
        let outcome = machine.run(at_cycle(cycles), &mut |_| {}).expect("no deadlock");
        let bound = serial * 1e9 / outcome.critical_cpu_ns as f64;
        println!("mesh_64_rate_{rate}_latency_{latency} two shards,{},,windows,{bound:.2},", outcome.windows);
    }
}

fn measured(c: &mut Criterion) {
    let wiring = Arc::new(graph::Wiring::random(NODES, 7));
    let mut group = c.benchmark_group("graph_10k");
    group.sample_size(10).throughput(Throughput::Elements(500));
    group.bench_function("kernel", |b| {
        let build = || graph::machine(&wiring, Plan::serial());
        b.iter_batched(build, |mut m| m.run(at_cycle(500), &mut |_| {}).map(|_| m), BatchSize::PerIteration);
    });
    group.bench_function("boxed", |b| {
        b.iter_batched(|| boxed::graph(&wiring), |mut e| (e.run(500), e).1, BatchSize::PerIteration);
    });
    group.finish();
    for (name, rate, cycles) in [("0001", 0.0001, 5_000), ("01", 0.01, 300), ("06", 0.06, 200)] {
        let mut group = c.benchmark_group(format!("mesh_64_rate_{name}"));
        group.sample_size(10).throughput(Throughput::Elements(cycles));
        group.bench_function("kernel", |b| {
            let build = || mesh::machine(SIDE, rate, 1, Plan::serial());
            b.iter_batched(build, |mut m| m.run(at_cycle(cycles), &mut |_| {}).map(|_| m), BatchSize::PerIteration);
        });
        group.bench_function("boxed", |b| {
            b.iter_batched(|| boxed::mesh(SIDE, rate), |mut e| (e.run(cycles), e).1, BatchSize::PerIteration);
        });
        group.finish();
    }
}

/// Runs one model of the kernel for a profiler and prints its CPU seconds: `--spin graph|RATE [CYCLES]`.
fn spin(what: &str, cycles: Option<u64>) {
    let (mut machine, cycles) = if what == "graph" {
        let wiring = Arc::new(graph::Wiring::random(NODES, 7));
        (graph::machine(&wiring, Plan::serial()), cycles.unwrap_or(6_000))
    } else {
        let rate: f64 = what.parse().expect("`graph` or an injection rate");
        let cycles = cycles.unwrap_or((1_000.0 / rate.max(0.01).sqrt()) as u64);
        (mesh::machine(SIDE, rate, 1, Plan::serial()), cycles)
    };
    let seconds = seconds(|| drop(machine.run(at_cycle(cycles), &mut |_| {}).expect("no deadlock")));
    println!("{what},{cycles},{seconds:.3}");
}

fn main() {
    let mut arguments = std::env::args().skip_while(|a| a != "--spin").skip(1);
    if let Some(what) = arguments.next() {
        spin(&what, arguments.next().and_then(|c| c.parse().ok()));
        return;
    }
    if std::env::args().any(|a| a == "--ratios") {
        ratios();
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    measured(&mut criterion);
    criterion.final_summary();
}
