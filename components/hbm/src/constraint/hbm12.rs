//! Constraints of HBM1 and HBM2 (JESD235 family).
//!
//! Models: the table Ramulator 2.1 checks (`HBM1.py`, `HBM2.py`, commit c5b1c3a), and under `full only` the edges it
//! leaves out.
//! Leaves out: the four-activate window's share for single-bank refreshes, on which public sources disagree.
//! Numbers: names only; values come from the preset.
//! Canonical tests: `tests/effective_table.rs`.

use super::{Rule, rules};
use crate::command::Command::*;
use crate::command::{Command, Generation};
use crate::timing::Timing;

const ROW: [Command; 5] = [Act, PrePb, PreAb, RefAb, RefPb];
const RD: [Command; 2] = [Rd, RdA];
const WR: [Command; 2] = [Wr, WrA];

#[rustfmt::skip]
pub(super) fn rules(generation: Generation, t: &Timing) -> Vec<Rule> {
    let act_on_bus = generation.command_ticks(Act);
    let write_to_pre = t.n_write_recovery();
    rules! { t,
    //  level           before             after             at least
        Channel:        [Act]           => ROW,              Ticks act_on_bus;

        PseudoChannel:  RD              => RD,               Nominal t.n_bl;
        PseudoChannel:  WR              => WR,               Nominal t.n_bl;
        PseudoChannel:  RD              => RD,               Nominal t.n_ccd_s;
        PseudoChannel:  WR              => WR,               Nominal t.n_ccd_s;
        PseudoChannel:  RD              => WR,               Nominal t.n_rtw;
        PseudoChannel:  WR              => RD,               Nominal t.n_cwl + t.n_bl + t.n_wtr_s;
        PseudoChannel:  [Rd]            => [PreAb],          Nominal t.n_rtp;
        PseudoChannel:  [Wr]            => [PreAb],          Nominal write_to_pre;
        PseudoChannel:  [Act]           => [Act],            Nominal t.n_rrd_s;
        PseudoChannel:  [Act]           => [Act],            Nominal t.n_faw, over 4;
        PseudoChannel:  [Act]           => [PreAb],          Nominal t.n_ras;
        PseudoChannel:  [PreAb]         => [Act],            Nominal t.n_rp;
        PseudoChannel:  [Act]           => [RefAb],          Nominal t.n_rc;
        PseudoChannel:  [PrePb, PreAb]  => [RefAb],          Nominal t.n_rp;
        PseudoChannel:  [RdA]           => [RefAb],          Nominal t.n_rtp + t.n_rp;
        PseudoChannel:  [WrA]           => [RefAb],          Nominal write_to_pre + t.n_rp;
        PseudoChannel:  [RefAb]         => [Act, PreAb],     Nominal t.n_rfc;
        PseudoChannel:  [RefPb]         => [Act],            Nominal t.n_rrefd;
        PseudoChannel:  [Act]           => [RefPb],          Nominal t.n_rrd_s;
        PseudoChannel:  [RefPb]         => [RefPb],          Nominal t.n_rrefd,  full only;
        PseudoChannel:  [RefAb]         => [RefAb, RefPb],   Nominal t.n_rfc,    full only;
        PseudoChannel:  [RefPb]         => [RefAb],          Nominal t.n_rfc_pb, full only;
        PseudoChannel:  [PreAb]         => [RefPb],          Nominal t.n_rp,     full only;

        StackId [Siblings]: RD          => RD,               Nominal t.n_ccd_r,  full only;

        BankGroup:      RD              => RD,               Nominal t.n_ccd_l;
        BankGroup:      WR              => WR,               Nominal t.n_ccd_l;
        BankGroup:      WR              => RD,               Nominal t.n_cwl + t.n_bl + t.n_wtr_l;
        BankGroup:      [Act]           => [Act],            Nominal t.n_rrd_l;
        BankGroup:      [Act]           => [RefPb],          Nominal t.n_rrd_l,  full only;
        BankGroup:      [RefPb]         => [Act],            Nominal t.n_rrd_l,  full only;

        Bank:           [Act]           => [Act],            Nominal t.n_rc;
        Bank:           [Act]           => RD,               Nominal t.n_rcd_rd;
        Bank:           [Act]           => WR,               Nominal t.n_rcd_wr;
        Bank:           [Act]           => [PrePb],          Nominal t.n_ras;
        Bank:           [PrePb]         => [Act],            Nominal t.n_rp;
        Bank:           [Rd]            => [PrePb],          Nominal t.n_rtp;
        Bank:           [Wr]            => [PrePb],          Nominal write_to_pre;
        Bank:           [RdA]           => [Act],            Nominal t.n_rtp + t.n_rp;
        Bank:           [WrA]           => [Act],            Nominal write_to_pre + t.n_rp;
        Bank:           [RefPb]         => [Act],            Nominal t.n_rfc_pb;
        Bank:           [Act]           => [RefPb],          Nominal t.n_rc;
        Bank:           [PrePb]         => [RefPb],          Nominal t.n_rp;
        Bank:           [RdA]           => [RefPb],          Nominal t.n_rtp + t.n_rp,        full only;
        Bank:           [WrA]           => [RefPb],          Nominal write_to_pre + t.n_rp,   full only;
        Bank:           [RefPb]         => [RefPb],          Nominal t.n_rfc_pb,              full only;
    }
}
