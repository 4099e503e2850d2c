use hbm::compat::ramulator2::Ramulator2;
use hbm::controller::{Controller, IssuedCommand};
use hbm::driver::drive;
use hbm::generator::RequestStream;
use hbm::golden::GoldenPolicy;
use hbm::mapper::FieldOrder;
use hbm::preset::Preset;
use std::collections::BTreeMap;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let t: toml::Table = std::fs::read_to_string("validation/suites/hbm-ramulator2/suite.toml").unwrap().parse().unwrap();
    let p: BTreeMap<String, GoldenPolicy> = t["policy"].clone().try_into().unwrap();
    let g = &p[&a[1]];
    let preset = Preset::load_path(&format!("configs/memory/{}.toml", g.machine)).unwrap();
    let w: hbm::workload::Workload = a[2].parse().unwrap();
    let order = FieldOrder::parse(&g.map, &preset.organisation).unwrap();
    let mut c = Ramulator2::new(&preset, &g.policy.policy().unwrap(), Vec::<IssuedCommand>::new());
    drive(&mut c, &mut RequestStream::new(w.stream, order, 32), &w.driver);
    for i in &c.observer {
        let u = c.banks().organisation().unflatten(i.bank);
        let ab = i.command.reach() == hbm::command::Reach::PseudoChannel;
        println!("{},{},{},{},{},{},{},{}", i.tick, i.command, u.pseudo_channel, u.stack_id, if ab {9} else {u.bank_group}, if ab {9} else {u.bank}, i.row, i.column);
    }
}
