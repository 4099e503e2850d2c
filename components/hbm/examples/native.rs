use hbm::checker::{Checker, TracedCommand};
use hbm::constraint::{ConstraintTable, Edition};
use hbm::controller::{Controller, IssuedCommand};
use hbm::driver::drive;
use hbm::generator::RequestStream;
use hbm::mapper::{FieldMap, FieldOrder};
use hbm::native::{Native, Policy, RefreshPolicy};
use hbm::preset::Preset;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let p = Preset::load_path(&a[1]).unwrap();
    let mut pol = Policy::default();
    for kv in &a[3..] {
        match kv.as_str() { "allbank" => pol.refresh = RefreshPolicy::AllBank, "noref" => pol.refresh = RefreshPolicy::None, "ro" => pol.map = FieldMap::RoBaRaCoCh, "pd" => {pol.power_down_after_ticks = 50; pol.self_refresh_after_ticks = 3000;}, "rfm" => pol.refresh_management_activates = 32, _ => panic!() }
    }
    for w in a[2].split(';') {
        let w: hbm::workload::Workload = w.parse().unwrap();
        let order = FieldOrder::named(FieldMap::RoBaRaCoCh, &p.organisation);
        let mut c = Native::new(&p, &pol, Vec::<IssuedCommand>::new()).unwrap();
        let t0 = std::time::Instant::now();
        let o = drive(&mut c, &mut RequestStream::new(w.stream, order, p.organisation.access_bytes), &w.driver);
        let dt = t0.elapsed().as_secs_f64();
        let org = p.organisation;
        let tr: Vec<TracedCommand> = c.observer.iter().map(|i| { let mut pl = org.unflatten(i.bank); pl.row = i.row; TracedCommand { tick: i.tick, command: i.command, place: pl } }).collect();
        let v = Checker::new(p.generation, org, &ConstraintTable::build(p.generation, &p.timing, Edition::Full), true).check_all(&tr);
        let bytes = (o.read_latencies.len() + o.write_latencies.len()) as f64 * org.access_bytes as f64;
        let gbs = bytes / (o.cycles as f64 * p.tick_ps()) * 1e3;
        let avg = |v: &Vec<u32>| v.iter().map(|x| *x as f64).sum::<f64>() / v.len().max(1) as f64;
        let b = c.breakdown();
        println!("{:?} {:6.2} GB/s {:5.1}% rd avg {:.1} max {:?} wr avg {:.1} max {:?} debt {:?} viol {} dead {} {:.2} Mreq/s {:.1} Mtick/s", w.stream.kind, gbs, 100.0 * gbs / p.peak_channel_gb_per_s(), avg(&o.read_latencies), o.read_latencies.iter().max(), avg(&o.write_latencies), o.write_latencies.iter().max(), c.refresh_debt(), v.len(), o.deadlock, w.stream.requests as f64 / dt / 1e6, o.cycles as f64 / dt / 1e6);
        println!("     {:?} {:?} bg {:?} bd q{} b{} bus{} r{} d{}", c.counters(), hbm::command::ALL.iter().map(|k| (k.name(), c.banks().counts[k.index()])).filter(|x| x.1 > 0).collect::<Vec<_>>(), c.background_ticks(), b.queue_ticks / b.reads.max(1), b.bank_ticks / b.reads.max(1), b.bus_ticks / b.reads.max(1), b.refresh_ticks / b.reads.max(1), b.data_ticks / b.reads.max(1));
        for x in v.iter().take(3) { println!("     {x}"); }
    }
}
