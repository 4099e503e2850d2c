//! Constraints of GDDR6 (JESD250): one channel of 16 bits, one command bus for rows and columns.
//!
//! Models: the table of Ramulator 2.1 (`gddr6.py`, commit 278f1ef), under `full only` the edges it leaves out, and that row and
//! column commands share one bus, which there is a property of the controller.
//! Leaves out: that a bank which closes itself keeps all of the channel from a single-bank refresh, and that such a refresh ends a
//! window of four activates, both of which that table has; byte masks, refresh of two banks at once, clock training.
//! Numbers: names only; values come from the preset.
//! Canonical tests: `tests/gddr6.rs`.

use super::{Rule, rules};
use crate::command::Command::*;
use crate::command::{Command, Generation};
use crate::timing::Timing;

const ROW: [Command; 5] = [Act, PrePb, PreAb, RefAb, RefPb];
const COLUMN: [Command; 4] = [Rd, Wr, RdA, WrA];
const RD: [Command; 2] = [Rd, RdA];
const WR: [Command; 2] = [Wr, WrA];
const PRE: [Command; 2] = [PrePb, PreAb];

#[rustfmt::skip]
pub(super) fn rules(generation: Generation, t: &Timing) -> Vec<Rule> {
    let on_bus = generation.command_ticks(Act);
    let write_to_pre = t.n_write_recovery();
    rules! { t,
    //  level           before             after             at least
        Channel:        ROW             => COLUMN,           Ticks on_bus,             full only;
        Channel:        COLUMN          => ROW,              Ticks on_bus,             full only;

        PseudoChannel:  RD              => RD,               Nominal t.n_bl;
        PseudoChannel:  WR              => WR,               Nominal t.n_bl;
        PseudoChannel:  RD              => RD,               Nominal t.n_ccd_s;
        PseudoChannel:  WR              => WR,               Nominal t.n_ccd_s;
        PseudoChannel:  RD              => WR,               Nominal t.n_rtw;
        PseudoChannel:  WR              => RD,               Nominal t.n_cwl + t.n_bl + t.n_wtr_s;
        PseudoChannel:  [Rd, RdA]       => [PreAb],          Nominal t.n_rtp;
        PseudoChannel:  [Wr, WrA]       => [PreAb],          Nominal write_to_pre;
        PseudoChannel:  [Act]           => [Act],            Nominal t.n_rrd_s;
        PseudoChannel:  [Act]           => [Act],            Nominal t.n_faw, over 4;
        PseudoChannel:  [Act]           => [PreAb],          Nominal t.n_ras;
        PseudoChannel:  [PreAb]         => [Act],            Nominal t.n_rp;
        PseudoChannel:  PRE             => PRE,              Nominal t.n_ppd;
        PseudoChannel:  [Act]           => [RefAb],          Nominal t.n_rc;
        PseudoChannel:  [PreAb]         => [RefAb],          Nominal t.n_rp;
        PseudoChannel:  [PrePb]         => [RefAb],          Nominal t.n_rp,           full only;
        PseudoChannel:  [RdA]           => [RefAb],          Nominal t.n_rtp + t.n_rp;
        PseudoChannel:  [WrA]           => [RefAb],          Nominal write_to_pre + t.n_rp;
        PseudoChannel:  [RefAb]         => [Act, PreAb, PrePb, Rd, Wr, RdA, WrA, RefAb, RefPb], Nominal t.n_rfc;
        PseudoChannel:  [Act]           => [RefPb],          Nominal t.n_rrd_s;
        PseudoChannel:  [PreAb]         => [RefPb],          Nominal t.n_rp;
        PseudoChannel:  [RefPb]         => [Act, RefPb],     Nominal t.n_rrefd;
        PseudoChannel:  [RefPb]         => [RefAb],          Nominal t.n_rfc_pb;

        BankGroup:      RD              => RD,               Nominal t.n_ccd_l;
        BankGroup:      WR              => WR,               Nominal t.n_ccd_l;
        BankGroup:      WR              => RD,               Nominal t.n_cwl + t.n_bl + t.n_wtr_l;
        BankGroup:      [Act]           => [Act, RefPb],     Nominal t.n_rrd_l;
        BankGroup:      [RefPb]         => [Act],            Nominal t.n_rrd_l,        full only;

        Bank:           [Act]           => [Act, RefPb],     Nominal t.n_rc;
        Bank:           [Act]           => RD,               Nominal t.n_rcd_rd;
        Bank:           [Act]           => WR,               Nominal t.n_rcd_wr;
        Bank:           [Act]           => [PrePb],          Nominal t.n_ras;
        Bank:           [PrePb]         => [Act, RefPb],     Nominal t.n_rp;
        Bank:           [Rd]            => [PrePb],          Nominal t.n_rtp;
        Bank:           [Wr]            => [PrePb],          Nominal write_to_pre;
        Bank:           [RdA]           => [Act, RefPb],     Nominal t.n_rtp + t.n_rp;
        Bank:           [WrA]           => [Act, RefPb],     Nominal write_to_pre + t.n_rp;
        Bank:           [RefPb]         => [Act, RefPb],     Nominal t.n_rfc_pb;
    }
}
