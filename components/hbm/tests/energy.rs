//! Energy against DRAMsim3 2981759, stock HBM2 configuration: its own counts give its own energies.

mod common;

use common::root;
use hbm::command::Command;
use hbm::controller::Controller;
use hbm::driver::drive;
use hbm::energy::{Currents, EnergyCounters};
use hbm::generator::RequestStream;
use hbm::mapper::{FieldMap, FieldOrder};
use hbm::native::{Native, Policy};
use hbm::preset::Preset;
use hbm::workload::Workload;

fn currents() -> Currents {
    Currents::load(&root("configs/memory/energy/hbm2-dramsim3.toml"), &|p| std::fs::read_to_string(p)).unwrap()
}

/// ACT, RD, WR, REFab, active and idle clocks; then total, activate, read, write, refresh in V x mA x clocks (pJ at 1 ns).
const GOLDEN: [([u64; 6], [f64; 5]); 3] = [
    // seq_read, 200 000 requests
    ([6689, 200_000, 0, 111, 404_506, 30_415], [201_249_048.0, 5_538_492.0, 160_800_000.0, 0.0, 6_753_240.0]),
    // rand_rw21, 200 000 requests
    (
        [201_055, 133_150, 66_848, 419, 1_523_026, 114_807],
        [476_442_216.0, 166_473_540.0, 107_052_600.0, 71_393_664.0, 25_491_960.0],
    ),
    // rand_read, one request per 400 clocks
    ([20_000, 20_000, 0, 2051, 7_425_163, 574_469], [675_058_110.0, 16_560_000.0, 16_080_000.0, 0.0, 124_782_840.0]),
];

#[test]
fn energies_of_dramsim3_follow_from_its_counts() {
    let preset = Preset::load_path(&root("validation/suites/hbm-protocol/dramsim3-hbm2.toml")).unwrap();
    let table = currents().table(&preset);
    for ([act, rd, wr, refab, active, idle], [total, e_act, e_rd, e_wr, e_ref]) in GOLDEN {
        let mut counters = EnergyCounters { background_ticks: [active, idle, 0, 0], ..Default::default() };
        for (command, n) in [(Command::Act, act), (Command::Rd, rd), (Command::Wr, wr), (Command::RefAb, refab)] {
            counters.commands[command.index()] = n;
        }
        let energy = table.energy(&counters, 1000.0);
        for (ours, golden) in [
            (energy.activate_pj, e_act),
            (energy.read_pj, e_rd),
            (energy.write_pj, e_wr),
            (energy.refresh_pj, e_ref),
            (energy.total_pj(), total),
        ] {
            assert!((ours - golden).abs() <= 1e-9 * golden.max(1.0), "{ours} {golden}");
        }
    }
}

/// DRAMsim3 finds 1.97 pJ/bit sequential; a random access pays its activate: several times that.
#[test]
fn native_runs_have_plausible_energies() {
    let preset = common::preset("hbm2-2000");
    let table = currents().table(&preset);
    let per_bit = |stream: &str| {
        let w: Workload = stream.parse().unwrap();
        let mut controller = Native::new(&preset, &Policy::default(), ()).unwrap();
        let order = FieldOrder::named(FieldMap::RoBaRaCoCh, &preset.organisation);
        let mut requests = RequestStream::new(w.stream, order, preset.organisation.access_bytes);
        drive(&mut controller, &mut requests, &w.driver);
        let mut background_ticks = [0; 4];
        for ticks in controller.background_ticks() {
            (0..4).for_each(|i| background_ticks[i] += ticks[i]);
        }
        let bytes = w.stream.requests * 32;
        let counters = EnergyCounters { commands: controller.banks().counts, background_ticks, bytes };
        table.energy(&counters, preset.tick_ps()).pj_per_bit(bytes)
    };
    let (sequential, random) = (per_bit("seq_read requests=50000"), per_bit("rand_read requests=50000"));
    assert!((1.7..2.3).contains(&sequential), "{sequential}");
    assert!((3.0..5.5).contains(&random), "{random}");
}

#[test]
fn a_refresh_that_gives_energy_back_is_refused() {
    let text = std::fs::read_to_string(root("configs/memory/energy/hbm2-dramsim3.toml")).unwrap();
    let text = text.replace("idd5pb_ma = 81.7", "idd5pb_ma = 5");
    let error = Currents::load("e.toml", &|_| Ok(text.clone())).unwrap_err().to_string();
    assert!(error.contains("e.toml:14: `idd5pb_ma`: 5 mA is below idd3n_ma"), "{error}");
}
