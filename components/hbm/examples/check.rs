use hbm::checker::{Breach, Checker};
use hbm::constraint::{ConstraintTable, Edition};
use hbm::preset::Preset;
use std::collections::BTreeMap;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let p = Preset::load_path(&a[1]).unwrap();
    let text = std::fs::read_to_string(&a[2]).unwrap();
    let ed = if a[3] == "full" { Edition::Full } else { Edition::Ramulator2 };
    let mut t = p.timing;
    if ed == Edition::Ramulator2 { t.n_rrefd = p.ramulator2.n_rrefd.unwrap_or(t.n_rrefd) }
    let table = ConstraintTable::build(p.generation, &t, ed);
    let cmds = hbm::trace::read_commands(&a[2], &text).unwrap();
    let v = Checker::new(p.generation, p.organisation, &table, ed == Edition::Full).check_all(&cmds);
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    let mut idx = std::collections::BTreeSet::new();
    for x in &v {
        idx.insert(x.index);
        let k = match x.breach { Breach::TooSoon { rule, .. } => format!("{:?} {} {} {} {:?}", rule.level, rule.before, rule.after, rule.ticks, rule.scope), b => format!("{b:?}").split('{').next().unwrap().to_string() };
        *kinds.entry(k).or_default() += 1;
    }
    println!("{} {} commands, {} flagged ({:.2}%)", a[2], cmds.len(), idx.len(), 100.0 * idx.len() as f64 / cmds.len() as f64);
    for (k, n) in kinds { println!("   {n:6} {k}"); }
    for x in v.iter().take(3) { println!("   {x}"); }
}
