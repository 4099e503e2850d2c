fn main() {
    let mut args = std::env::args().skip(1);
    let (m, w) = (args.next().unwrap(), args.next().unwrap());
    let shards: usize = args.next().map_or(1, |s| s.parse().unwrap());
    let file = sim_core::MachineFile::load(&m, &mut sim_core::config::Document::from_disk, &[])
        .unwrap_or_else(|e| panic!("{}", e.iter().map(|e| e.to_string()).collect::<Vec<_>>().join("\n")));
    let launch = workloads::sass::catalog::launch(&w).unwrap();
    let shape = machine::gpu::GpuShape::of(&file).unwrap();
    let kernel = workloads::sass::catalog::kernel(&launch.kernel, &shape.sm.arch).unwrap();
    let plan = sim_core::Plan { threads: shards.min(2), shards, ..Default::default() };
    let t = std::time::Instant::now();
    let result = machine::gpu::GpuSimulation::new(&file, &kernel, &launch, plan)
        .unwrap_or_else(|e| panic!("{e}"))
        .run(&mut |_| {})
        .unwrap_or_else(|e| panic!("{e}"));
    let s = t.elapsed().as_secs_f64();
    println!(
        "{} cycles, {} s, {:.0} cycles/s, {} warp instr, check {:?}",
        result.cycles,
        s,
        result.cycles as f64 / s,
        result.executed.warp_instructions,
        result.check.as_ref().map(|c| (c.passed(), c.max_abs_error))
    );
    println!("{}", result.digest);
    for p in &result.outcome.shards {
        println!("{p:?}");
    }
    if let Some(b) = result.stats.breakdown_at("sm.subcore_cycles") {
        for p in &b.parts {
            println!("{} {:.2}%", p.name, 100.0 * p.total as f64 / b.total as f64);
            for q in &p.parts {
                println!("    {} {:.2}%", q.name, 100.0 * q.total as f64 / b.total as f64);
            }
        }
    }
    println!("l1 {:?} {:?}", result.stats.value("sm.l1d.sector_hits"), result.stats.value("sm.l1d.sector_misses"));
}
