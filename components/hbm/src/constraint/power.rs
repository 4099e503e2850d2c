//! Constraints of power-down and self refresh, the same in all generations.
//!
//! Models: entry after the last data, least stay (tCKE), exit to the next command (tXP, tXS).
//! Leaves out: differences between fast and slow exit; clock stop.
//! Numbers: names only; values come from the preset.
//! Canonical tests: `tests/native.rs`.

use super::{Rule, rules};
use crate::command::Command::*;
use crate::command::{Command, Generation};
use crate::timing::Timing;

const ALL_BUT_EXIT: [Command; 13] = [Act, PrePb, PreAb, Rd, Wr, RdA, WrA, RefAb, RefPb, RfmAb, RfmPb, PdEnter, SrEnter];
const POWER: [Command; 4] = [PdEnter, PdExit, SrEnter, SrExit];
const ENTER: [Command; 2] = [PdEnter, SrEnter];

#[rustfmt::skip]
pub(super) fn rules(generation: Generation, t: &Timing) -> Vec<Rule> {
    let act_on_bus = generation.command_ticks(Act);
    let read = t.n_read_data() + 1;
    let write = t.n_write_recovery() + 1;
    rules! { t,
    //  level           before               after          at least
        Channel:        [Act]               => POWER,        Ticks act_on_bus,    full only;
        PseudoChannel:  [Act, PrePb, PreAb, RefAb, RefPb, RfmAb, RfmPb] => ENTER, Nominal 1, full only;
        PseudoChannel:  [Rd, RdA]           => ENTER,        Nominal read,        full only;
        PseudoChannel:  [Wr, WrA]           => ENTER,        Nominal write,       full only;
        PseudoChannel:  [PrePb, PreAb]      => [SrEnter],    Nominal t.n_rp,      full only;
        PseudoChannel:  [RdA]               => [SrEnter],    Nominal t.n_rtp + t.n_rp,               full only;
        PseudoChannel:  [WrA]               => [SrEnter],    Nominal t.n_write_recovery() + t.n_rp,  full only;
        PseudoChannel:  [RefAb]             => [SrEnter],    Nominal t.n_rfc,     full only;
        PseudoChannel:  [RefPb]             => [SrEnter],    Nominal t.n_rfc_pb,  full only;
        PseudoChannel:  [RfmAb]             => [SrEnter],    Nominal t.n_rfm_ab,  full only;
        PseudoChannel:  [RfmPb]             => [SrEnter],    Nominal t.n_rfm_pb,  full only;
        PseudoChannel:  [PdEnter]           => [PdExit],     Nominal t.n_cke,     full only;
        PseudoChannel:  [SrEnter]           => [SrExit],     Nominal t.n_cke,     full only;
        PseudoChannel:  [PdExit]            => ALL_BUT_EXIT, Nominal t.n_xp,      full only;
        PseudoChannel:  [SrExit]            => ALL_BUT_EXIT, Nominal t.n_xs,      full only;
    }
}
