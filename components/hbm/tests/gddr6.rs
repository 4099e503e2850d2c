//! GDDR6: its table of constraints against that of Ramulator 2.1, and its one command bus.

mod common;

use std::collections::BTreeSet;

use common::preset;
use hbm::checker::{Breach, Checker, TracedCommand};
use hbm::command::Command;
use hbm::constraint::{ConstraintTable, Edition, Level};
use hbm::organisation::DramAddress;

/// Every constraint of Ramulator 2.1's GDDR6 (`python/ramulator/dram/gddr6.py`, commit 278f1ef) with the clocks of its preset
/// `GDDR6_14000_1350mV_double` (Samsung K4Z80325BC Rev. 1.3): level, commands before, commands after, clocks, window. Refresh
/// times follow from a clock of 4/7 ns (there 572 ps): 120 ns are 210 clocks, 60 ns 105.
const RAMULATOR2: &[(&str, &str, &str, u64, u8)] = &[
    ("Channel", "RD RDA", "RD RDA", 2, 1),           // nBL = nCCDS
    ("Channel", "WR WRA", "WR WRA", 2, 1),           // nBL = nCCDS
    ("Channel", "RD RDA", "WR WRA", 25, 1),          // nRTW = 24 + 2 * 2 - 6 + 3
    ("Channel", "WR WRA", "RD RDA", 18, 1),          // nCWL + nBL + nWTRS
    ("Channel", "RD RDA", "PREab", 4, 1),            // nRTP
    ("Channel", "WR WRA", "PREab", 35, 1),           // nCWL + nBL + nWR
    ("Channel", "ACT", "ACT", 8, 1),                 // nRRDS
    ("Channel", "ACT", "ACT", 29, 4),                // nFAW
    ("Channel", "ACT", "PREab", 53, 1),              // nRAS
    ("Channel", "PREab", "ACT", 27, 1),              // nRP
    ("Channel", "PREab PREpb", "PREab PREpb", 1, 1), // nPPD
    ("Channel", "ACT", "REFab", 79, 1),              // nRC
    ("Channel", "PREab", "REFab", 27, 1),            // nRP
    ("Channel", "RDA", "REFab", 31, 1),              // nRP + nRTP
    ("Channel", "WRA", "REFab", 62, 1),              // nCWL + nBL + nWR + nRP
    ("Channel", "REFab", "ACT PREab PREpb RD WR RDA WRA REFab REFpb", 210, 1), // nRFCab
    ("Channel", "ACT", "REFpb", 8, 1),               // nRRDS
    ("Channel", "PREab", "REFpb", 27, 1),            // nRP
    ("Channel", "REFpb", "ACT REFpb", 15, 1),        // nRREFD
    ("Channel", "REFpb", "REFab", 105, 1),           // nRFCpb
    ("BankGroup", "RD RDA", "RD RDA", 4, 1),         // nCCDL
    ("BankGroup", "WR WRA", "WR WRA", 4, 1),         // nCCDL
    ("BankGroup", "WR WRA", "RD RDA", 20, 1),        // nCWL + nBL + nWTRL
    ("BankGroup", "ACT", "ACT REFpb", 8, 1),         // nRRDL
    ("Bank", "ACT", "ACT REFpb", 79, 1),             // nRC
    ("Bank", "ACT", "RD RDA", 27, 1),                // nRCDRD
    ("Bank", "ACT", "WR WRA", 16, 1),                // nRCDWR
    ("Bank", "ACT", "PREpb", 53, 1),                 // nRAS
    ("Bank", "PREpb", "ACT REFpb", 27, 1),           // nRP
    ("Bank", "RD", "PREpb", 4, 1),                   // nRTP
    ("Bank", "WR", "PREpb", 35, 1),                  // nCWL + nBL + nWR
    ("Bank", "RDA", "ACT REFpb", 31, 1),             // nRTP + nRP
    ("Bank", "WRA", "ACT REFpb", 62, 1),             // nCWL + nBL + nWR + nRP
    ("Bank", "REFpb", "ACT REFpb", 105, 1),          // nRFCpb
];

/// It has three more, which are left out: a bank that reads or writes and closes itself keeps all banks of the channel from a
/// single-bank refresh, and a single-bank refresh counts as an activate at the end of a window (D-08).
const NOT_TAKEN: usize = 3;

#[test]
fn the_table_is_that_of_ramulator2() {
    let preset = preset("gddr6-14000");
    let ours: BTreeSet<String> = ConstraintTable::build(preset.generation, &preset.timing, Edition::Ramulator2)
        .pairs
        .iter()
        .map(|rule| {
            let level =
                if rule.level == Level::PseudoChannel { "Channel".to_owned() } else { format!("{:?}", rule.level) };
            format!("{level}: {} -> {} >= {} window {}", rule.before, rule.after, rule.ticks, rule.window)
        })
        .collect();
    let mut theirs = BTreeSet::new();
    for (level, before, after, clocks, window) in RAMULATOR2 {
        for b in before.split(' ') {
            for a in after.split(' ') {
                theirs.insert(format!("{level}: {b} -> {a} >= {clocks} window {window}"));
            }
        }
    }
    assert_eq!(ours.difference(&theirs).collect::<Vec<_>>(), Vec::<&String>::new(), "only ours");
    assert_eq!(theirs.difference(&ours).collect::<Vec<_>>(), Vec::<&String>::new(), "only theirs");
    assert_eq!(RAMULATOR2.len() + NOT_TAKEN, 37);
}

/// HBM has a bus for rows and one for columns; a GDDR6 channel has one for both.
#[test]
fn a_row_and_a_column_command_do_not_share_a_clock() {
    let breaches = |name: &str, ticks: u64| {
        let preset = preset(name);
        let table = ConstraintTable::build(preset.generation, &preset.timing, Edition::Full);
        let place = DramAddress::default();
        let other = DramAddress { bank_group: 1, ..place };
        let commands = [(1, Command::Act, place), (101, Command::Rd, place), (101 + ticks, Command::Act, other)];
        let commands = commands.map(|(tick, command, place)| TracedCommand { tick, command, place });
        let found = Checker::new(preset.generation, preset.organisation, &table, true).check_all(&commands);
        found.iter().filter(|v| matches!(v.breach, Breach::TooSoon { .. })).count()
    };
    assert_eq!(breaches("gddr6-14000", 0), 1);
    assert_eq!(breaches("gddr6-14000", 1), 0);
    assert_eq!(breaches("hbm2-2000", 0), 0);
}
