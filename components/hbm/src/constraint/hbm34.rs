//! Constraints of HBM3 and HBM4 (JESD238, JESD270-4): half-clock row commands, stack-ID level, refresh management.
//!
//! Models: the tables Ramulator 2.1 checks (`HBM3.py`, `HBM4.py`, commit c5b1c3a; the HBM4 table already has some edges
//! that its HBM3 table lacks), and under `full only` the edges it leaves out.
//! Leaves out: the rule on falling edges, which is not pairwise (`native::edge`).
//! Numbers: names only; values come from the preset.
//! Canonical tests: `tests/effective_table.rs`.

use super::{Rule, rules};
use crate::command::Command::*;
use crate::command::{Command, Generation};
use crate::timing::Timing;

const ROW: [Command; 7] = [Act, PrePb, PreAb, RefAb, RefPb, RfmAb, RfmPb];
const COLUMN: [Command; 4] = [Rd, Wr, RdA, WrA];
const RD: [Command; 2] = [Rd, RdA];
const WR: [Command; 2] = [Wr, WrA];
const ALL_BANK: [Command; 2] = [RefAb, RfmAb];
const ONE_BANK: [Command; 2] = [RefPb, RfmPb];

#[rustfmt::skip]
pub(super) fn rules(generation: Generation, t: &Timing) -> Vec<Rule> {
    let act_on_bus = generation.command_ticks(Act);
    let column_on_bus = generation.command_ticks(Rd);
    let write_to_pre = t.n_write_recovery();
    let mut table = rules! { t,
    //  level               before             after             at least
        Channel:            [Act]           => ROW,              Ticks act_on_bus;
        Channel:            COLUMN          => COLUMN,           Ticks column_on_bus;

        PseudoChannel:      RD              => RD,               Nominal t.n_bl;
        PseudoChannel:      WR              => WR,               Nominal t.n_bl;
        PseudoChannel:      RD              => WR,               Nominal t.n_rtw;
        PseudoChannel:      WR              => RD,               Nominal t.n_cwl + t.n_bl + t.n_wtr_s;
        PseudoChannel:      [Rd]            => [PreAb],          Nominal t.n_rtp;
        PseudoChannel:      [Wr]            => [PreAb],          Nominal write_to_pre;
        PseudoChannel:      [Act]           => [Act],            Nominal t.n_rrd_s;
        PseudoChannel:      [Act]           => [Act],            Nominal t.n_faw, over 4;
        PseudoChannel:      [Act]           => [PreAb],          Nominal t.n_ras;
        PseudoChannel:      [PreAb]         => [Act],            Nominal t.n_rp;
        PseudoChannel:      [PrePb, PreAb]  => [PrePb, PreAb],   Nominal t.n_ppd;
        PseudoChannel:      [Act]           => ALL_BANK,         Nominal t.n_rc;
        PseudoChannel:      [PrePb, PreAb]  => ALL_BANK,         Nominal t.n_rp;
        PseudoChannel:      [RdA]           => ALL_BANK,         Nominal t.n_rtp + t.n_rp;
        PseudoChannel:      [WrA]           => ALL_BANK,         Nominal write_to_pre + t.n_rp;
        PseudoChannel:      [RefAb]         => [Act, PreAb],     Nominal t.n_rfc;
        PseudoChannel:      [RfmAb]         => [Act, PreAb],     Nominal t.n_rfm_ab;
        PseudoChannel:      [RefPb]         => [RefPb],          Nominal t.n_rrefd;
        PseudoChannel:      ONE_BANK        => [Act],            Nominal t.n_rrefd;
        PseudoChannel:      [Act]           => ONE_BANK,         Nominal t.n_rrd_s;
        PseudoChannel:      ONE_BANK        => ONE_BANK,         Nominal t.n_rrefd,  full only;
        PseudoChannel:      [RefAb]         => [RefAb, RefPb, RfmAb, RfmPb], Nominal t.n_rfc,    full only;
        PseudoChannel:      [RfmAb]         => [RefAb, RefPb, RfmAb, RfmPb], Nominal t.n_rfm_ab, full only;
        PseudoChannel:      [RefPb]         => ALL_BANK,         Nominal t.n_rfc_pb, full only;
        PseudoChannel:      [RfmPb]         => ALL_BANK,         Nominal t.n_rfm_pb, full only;
        PseudoChannel:      [PreAb]         => ONE_BANK,         Nominal t.n_rp,     full only;

        StackId:            RD              => RD,               Nominal t.n_ccd_s;
        StackId:            WR              => WR,               Nominal t.n_ccd_s;
        StackId [Siblings]: RD              => RD,               Nominal t.n_ccd_r;
        StackId [Siblings]: WR              => WR,               Nominal t.n_ccd_r,  full only;

        BankGroup:          RD              => RD,               Nominal t.n_ccd_l;
        BankGroup:          WR              => WR,               Nominal t.n_ccd_l;
        BankGroup:          WR              => RD,               Nominal t.n_cwl + t.n_bl + t.n_wtr_l;
        BankGroup:          [Act]           => [Act],            Nominal t.n_rrd_l;

        Bank:               [Act]           => [Act],            Nominal t.n_rc;
        Bank:               [Act]           => RD,               Nominal t.n_rcd_rd;
        Bank:               [Act]           => WR,               Nominal t.n_rcd_wr;
        Bank:               [Act]           => [PrePb],          Nominal t.n_ras;
        Bank:               [PrePb]         => [Act],            Nominal t.n_rp;
        Bank:               [Rd]            => [PrePb],          Nominal t.n_rtp;
        Bank:               [Wr]            => [PrePb],          Nominal write_to_pre;
        Bank:               [RdA]           => [Act],            Nominal t.n_rtp + t.n_rp;
        Bank:               [WrA]           => [Act],            Nominal write_to_pre + t.n_rp;
        Bank:               [RefPb]         => [Act],            Nominal t.n_rfc_pb;
        Bank:               [RfmPb]         => [Act],            Nominal t.n_rfm_pb;
        Bank:               [Act]           => ONE_BANK,         Nominal t.n_rc;
        Bank:               [PrePb]         => ONE_BANK,         Nominal t.n_rp;
        Bank:               [RefPb]         => ONE_BANK,         Nominal t.n_rfc_pb, full only;
        Bank:               [RfmPb]         => ONE_BANK,         Nominal t.n_rfm_pb, full only;
    };
    table.extend(one_bank_refresh_edges(generation, t));
    table
}

/// Edges between activates, auto-precharges and single-bank refreshes that Ramulator 2 has for HBM4 only.
#[rustfmt::skip]
fn one_bank_refresh_edges(generation: Generation, t: &Timing) -> Vec<Rule> {
    let write_to_pre = t.n_write_recovery();
    let mut table = rules! { t,
        PseudoChannel:      [RefAb]         => [RefPb],          Nominal t.n_rfc;
        PseudoChannel:      [RfmAb]         => [RfmPb],          Nominal t.n_rfm_ab;
        PseudoChannel:      [RfmPb]         => [RfmPb],          Nominal t.n_rrefd;
        BankGroup:          [Act]           => ONE_BANK,         Nominal t.n_rrd_l;
        BankGroup:          ONE_BANK        => [Act],            Nominal t.n_rrd_l;
        Bank:               [RdA]           => ONE_BANK,         Nominal t.n_rtp + t.n_rp;
        Bank:               [WrA]           => ONE_BANK,         Nominal write_to_pre + t.n_rp;
    };
    for rule in &mut table {
        rule.full_only = generation != Generation::Hbm4;
    }
    table
}
