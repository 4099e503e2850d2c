//! Cycles per second of one modelled SM: `busy` (tiled sgemm, as many CTAs as fit), `loop` (FFMA and LDS, eight warps),
//! `stalled` (one warp that chases pointers to memory).

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gpu::sm::bench::{Program, synthetic_stream};
use gpu::sm::{Cta, CtaHandle, CtaResources, KernelTiming, NEVER, OpSource, Reason, Sm, SmEnv, SmSpec};
use protocol::{MemRequest, MemResponse};
use std::collections::VecDeque;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use workloads::sass::catalog;
use workloads::sass::exec::Grid;
use workloads::stream::CtaStream;

/// Memory of fixed latency, and CTAs one after another.
struct Outside {
    now: u64,
    answers: VecDeque<(u64, MemResponse)>,
    done: u32,
}

const LATENCY: u64 = 300;

impl SmEnv for Outside {
    fn can_send(&mut self) -> bool {
        true
    }
    fn send(&mut self, request: MemRequest) {
        self.answers.push_back((self.now + LATENCY, MemResponse::to(&request)));
    }
    fn cta_done(&mut self, _cta: CtaHandle) {
        self.done += 1;
    }
}

fn parameters() -> SmSpec {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/gpu/base/gh100-sm.toml");
    let mut file: toml::Table = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut sm = file["part"].as_table_mut().unwrap().remove("sm").unwrap();
    sm.as_table_mut().unwrap().remove("kind");
    sm.try_into().unwrap()
}

/// Runs CTAs until all are done; cycles simulated and the SM.
fn run(spec: &SmSpec, ctas: &[Cta]) -> (u64, Sm) {
    let mut sm = Sm::new(spec, 0);
    ctas.iter().take(1).for_each(|cta| sm.carve_for(&cta.resources));
    let mut outside = Outside { now: 0, answers: VecDeque::new(), done: 0 };
    let (mut now, mut next_cta) = (0, 0);
    while outside.done < ctas.len() as u32 {
        outside.now = now;
        while next_cta < ctas.len() && sm.has_room(&ctas[next_cta].resources) {
            sm.launch(now, now, ctas[next_cta].clone());
            next_cta += 1;
        }
        while outside.answers.front().is_some_and(|answer| answer.0 <= now) {
            if let Some((_, answer)) = outside.answers.pop_front() {
                sm.respond(now, &answer, &mut outside);
            }
        }
        let next = sm.step(now, &mut outside).cycle;
        let answer = outside.answers.front().map_or(NEVER, |answer| answer.0);
        if next.min(answer) == NEVER && outside.done < ctas.len() as u32 && next_cta == ctas.len() {
            panic!("nothing to do at cycle {now}, {} of {} CTAs done", outside.done, ctas.len());
        }
        now = next.min(answer).max(now + 1);
    }
    (now, sm)
}

fn sgemm(spec: &SmSpec) -> Vec<Cta> {
    let launch = catalog::launch("sgemm").unwrap();
    let kernel = catalog::kernel(&launch.kernel, "sm_90").unwrap();
    let timing = Arc::new(KernelTiming::new("sgemm", &kernel.instructions, spec).unwrap());
    let mut grid = Grid::new(&kernel, &launch).unwrap();
    let resources = CtaResources {
        threads: launch.threads_per_block(),
        registers_per_thread: kernel.metadata.registers,
        shared_bytes: launch.shared_bytes(&kernel),
    };
    let count = spec.occupancy(&resources).ctas.min(grid.cta_count() as u32);
    (0..count)
        .map(|cta| {
            let mut stream = CtaStream::default();
            grid.run_cta(cta, &mut stream).unwrap();
            Cta {
                handle: CtaHandle(cta),
                slot: 0,
                kernel: timing.clone(),
                source: OpSource::Recorded(stream),
                resources,
            }
        })
        .collect()
}

fn synthetic(spec: &SmSpec, lines: &[String], warps: u16) -> Vec<Cta> {
    let program = Program::new(lines).unwrap();
    let timing = Arc::new(KernelTiming::new("loop", &program.instructions, spec).unwrap());
    let order: Vec<u32> = (0..program.instructions.len() as u32).collect();
    let slots: Vec<u16> = (0..warps).collect();
    let stream = synthetic_stream(&program.instructions, &order, &slots);
    let resources = CtaResources { threads: u32::from(warps) * 32, registers_per_thread: 64, shared_bytes: 4096 };
    vec![Cta { handle: CtaHandle(0), slot: 0, kernel: timing, source: OpSource::Recorded(stream), resources }]
}

fn ffma_lds() -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..200 {
        lines.push("B------:R-:W0:-:S01  LDS.128 R4, [R2]".to_owned());
        for k in 0..14 {
            lines.push(format!("B------:R-:W-:-:S01  FFMA R{}, R{}, R41.reuse, R{}", 10 + k, 31 + 2 * (k % 4), 10 + k));
        }
        lines.push("B0-----:R-:W-:-:S04  FFMA R30, R4, R41, R30".to_owned());
    }
    lines.push("B------:R-:W-:-:S05  EXIT".to_owned());
    lines
}

fn chase() -> Vec<String> {
    let mut lines = vec!["B------:R-:W0:-:S02  LDG.E.STRONG.GPU R2, [R2.64]".to_owned()];
    lines.extend((0..500).map(|_| "B0-----:R-:W0:-:S02  LDG.E.STRONG.GPU R2, [R2.64]".to_owned()));
    lines.push("B0-----:R-:W-:-:S05  EXIT".to_owned());
    lines
}

/// Nanoseconds that this thread was on a CPU during `work`, where the system tells: other load does not count.
fn cpu_time<T>(work: impl FnOnce() -> T) -> Option<u64> {
    let now = || std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse::<u64>().ok();
    let before = now()?;
    work();
    Some(now()? - before)
}

fn sm(criterion: &mut Criterion) {
    let spec = parameters();
    let mut group = criterion.benchmark_group("sm_gh100");
    group.sample_size(10);
    for (name, ctas) in [
        ("busy_sgemm", sgemm(&spec)),
        ("loop_ffma_lds", synthetic(&spec, &ffma_lds(), 8)),
        ("stalled_chase", synthetic(&spec, &chase(), 1)),
    ] {
        let (cycles, sm) = run(&spec, &ctas);
        let ops = |cta: &Cta| match &cta.source {
            OpSource::Recorded(stream) => stream.warps.iter().map(Vec::len).sum(),
            OpSource::Live(_) => 0,
        };
        let ops: usize = ctas.iter().map(ops).sum();
        println!("{name}: {cycles} cycles, {ops} warp instructions");
        for (reason, amount) in Reason::ALL.iter().zip(sm.counters(cycles).subcore_cycles) {
            if amount * 200 > cycles * 4 {
                println!("  {:24} {:5.1} %", reason.name(), amount as f64 * 25.0 / cycles as f64);
            }
        }
        // The system counts CPU time in ticks of milliseconds: many runs at once.
        let runs = (2_000_000 / cycles).max(10);
        let several = || (0..runs).for_each(|_| drop(black_box(run(&spec, &ctas))));
        if let Some(nanoseconds) = (0..3).filter_map(|_| cpu_time(several)).min() {
            println!("  {:.1} ns of CPU time a cycle", nanoseconds as f64 / (cycles * runs) as f64);
        }
        // Throughput in simulated cycles.
        group.throughput(Throughput::Elements(cycles));
        group.bench_function(name, |bencher| bencher.iter(|| black_box(run(&spec, &ctas))));
    }
    group.finish();
}

criterion_group!(benches, sm);
criterion_main!(benches);
